//! Running one command to its end, or to the end of its time.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use crate::group::Group;

/// How long a command that ran out of time has to end by itself.
const GRACE: Duration = Duration::from_secs(2);
/// How long to wait for the last words of a command that has ended.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// How many lines are kept for an error.
const LINES: usize = 20;
/// How much of a line is kept.
const LINE: usize = 500;
/// How many bytes a command may answer on its standard output.
const OUTPUT: usize = 4096;
/// How many bytes of a line are read; the rest of it is passed over.
const READ: u64 = 64 << 10;
/// Variables with secrets of databases. Everything of Sternway's own is taken away as well.
const SECRETS: [&str; 4] = ["PGPASSWORD", "PGPASSFILE", "PGSERVICEFILE", "MYSQL_PWD"];

/// Where and how commands run.
#[derive(Clone)]
pub(super) struct Shell {
    /// The folder.
    pub folder: PathBuf,
    /// Variables that they do not get.
    pub hidden: Vec<String>,
    /// What takes secrets out of their words.
    pub redact: fn(&str) -> String,
}

impl fmt::Debug for Shell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shell").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl Shell {
    /// As [`Shell::run`], of a command that is asked something. Returns its answer.
    pub async fn ask(&self, name: &str, command: &str, limit: Duration) -> Result<String, String> {
        let answer = self.run(name, command, &[], limit).await?;
        match answer.len() > OUTPUT {
            true => Err(format!("`{name}` answered with more than {OUTPUT} bytes")),
            false => Ok(answer),
        }
    }

    /// Runs the command of the key `name`. Returns the beginning of what it said on its standard
    /// output; the error is why it failed, with its last lines.
    pub async fn run(
        &self,
        name: &str,
        command: &str,
        variables: &[(&str, String)],
        limit: Duration,
    ) -> Result<String, String> {
        let mut shell = self.command(command, variables);
        let mut child =
            shell.spawn().map_err(|error| format!("`{name}` cannot be run by sh: {error}"))?;
        let group = Group::of(&child);
        let heard = Arc::new(Mutex::new(Heard::default()));
        let hear = |stream, output| {
            let (heard, name, redact) = (Arc::clone(&heard), name.to_owned(), self.redact);
            tokio::spawn(listen(stream, name, redact, heard, output))
        };
        let out = child.stdout.take().map(|it| hear(Box::new(it) as Stream, true));
        let err = child.stderr.take().map(|it| hear(Box::new(it) as Stream, false));
        let ended = timeout(limit, child.wait()).await;
        if ended.is_err() {
            group.terminate();
            let _ = timeout(GRACE, child.wait()).await;
        }
        let succeeded = matches!(&ended, Ok(Ok(status)) if status.success());
        // What a command leaves running when it fails would go on behind our back.
        if succeeded {
            group.release()
        } else {
            drop(group)
        }
        let listened = async {
            for task in [out, err].into_iter().flatten() {
                let _ = task.await;
            }
        };
        if timeout(LAST_WORDS, listened).await.is_err() && succeeded {
            tracing::warn!(
                "`{name}` left a program running that writes where Sternway reads; it may end when \
                 Sternway does: send its output elsewhere"
            );
        }
        let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match ended {
            Ok(Ok(_)) if succeeded => Ok(heard.output.clone()),
            Ok(Ok(status)) => Err(format!("`{name}` ended with {status}{}", heard.last_words())),
            Ok(Err(error)) => Err(format!("`{name}` cannot be waited for: {error}")),
            Err(_) => {
                let seconds = limit.as_secs_f64();
                let words = heard.last_words();
                Err(format!("`{name}` did not end within {seconds:.1} s and was killed{words}"))
            }
        }
    }

    fn command(&self, command: &str, variables: &[(&str, String)]) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).stdin(Stdio::null());
        shell.stdout(Stdio::piped()).stderr(Stdio::piped());
        if !self.folder.as_os_str().is_empty() {
            shell.current_dir(&self.folder);
        }
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("STERNWAY_") || SECRETS.contains(&&*text) {
                shell.env_remove(&name);
            }
        }
        for name in &self.hidden {
            shell.env_remove(name);
        }
        for (name, value) in variables {
            shell.env(name, value);
        }
        Group::prepare(&mut shell);
        shell
    }
}

type Stream = Box<dyn AsyncRead + Send + Unpin>;

/// What a command said.
#[derive(Default)]
struct Heard {
    /// The beginning of what it said on its standard output: so much that an answer that is too long
    /// can be told.
    output: String,
    /// Its last lines, wherever it said them.
    lines: VecDeque<String>,
}

impl Heard {
    fn last_words(&self) -> String {
        match self.lines.is_empty() {
            true => "; it said nothing".to_owned(),
            false => self
                .lines
                .iter()
                .fold("; it said:".to_owned(), |text, line| format!("{text}\n{line}")),
        }
    }
}

/// Takes down what a command says, as long as it says something: a full pipe would stop it.
async fn listen(
    stream: Stream,
    name: String,
    redact: fn(&str) -> String,
    heard: Arc<Mutex<Heard>>,
    output: bool,
) {
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    let mut within = false;
    while (&mut stream).take(READ).read_until(b'\n', &mut bytes).await.is_ok_and(|read| read > 0) {
        let (rest, ended) = (within, bytes.ends_with(b"\n"));
        within = !ended;
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        bytes.clear();
        if rest {
            continue;
        }
        // A secret that is cut in two is not known for one.
        let shown: String = match ended || (line.len() as u64) < READ {
            true => redact(&line),
            false => redact(&line).chars().take(LINE).chain(['…']).collect(),
        };
        tracing::info!("{name}: {shown}");
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        if output && heard.output.len() <= OUTPUT {
            heard.output.push_str(&line);
            heard.output.push('\n');
        }
        if heard.lines.len() == LINES {
            heard.lines.pop_front();
        }
        heard.lines.push_back(shown.chars().take(LINE).collect());
    }
}
