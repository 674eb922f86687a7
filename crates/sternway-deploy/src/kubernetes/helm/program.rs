//! Running `helm`: with the cluster that is meant, without the caller's variables that mean another one.

use std::ffi::OsString;
use std::io::{Read as _, Seek as _};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use super::super::cluster::Cluster;
use crate::group::Group;
use crate::leash;

/// How long a question may take; fetching a chart is one.
const QUESTION: Duration = Duration::from_secs(120);
/// The oldest Helm with charts in OCI registries.
const OLDEST: (u64, u64) = (3, 8);
/// Variables that would send Helm to another cluster or namespace, or mix words into its answers.
const MISLEADING: [&str; 9] = [
    "HELM_NAMESPACE",
    "HELM_KUBECONTEXT",
    "HELM_KUBETOKEN",
    "HELM_KUBEASUSER",
    "HELM_KUBEASGROUPS",
    "HELM_KUBEAPISERVER",
    "HELM_KUBECAFILE",
    "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
    "HELM_DEBUG",
];

/// The program, and what it is always told.
#[derive(Clone)]
pub(in super::super) struct Program {
    binary: String,
    version: (u64, u64),
    namespace: String,
    context: Option<String>,
    kubeconfig: Option<OsString>,
}

impl Program {
    pub async fn find(cluster: &Cluster, binary: &str) -> Result<Program, String> {
        let mut program = Program {
            binary: binary.to_owned(),
            version: (0, 0),
            namespace: cluster.namespace().to_owned(),
            context: cluster.place.context.clone(),
            kubeconfig: cluster.kubeconfig.clone(),
        };
        let output = Command::new(binary)
            .args(["version", "--template", "{{.Version}}"])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = match timeout(QUESTION, output).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => {
                return Err(format!(
                    "`{binary}` cannot be run ({error}): charts are moved by Helm 3.8 or later; install it, or name it with `helm_binary` in [deploy.kubernetes]"
                ));
            }
            Err(_) => return Err(format!("`{binary} version` did not end")),
        };
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        program.version = version(&text).ok_or_else(|| {
            format!("`{binary} version` says {text:?}, which is no version of Helm")
        })?;
        match program.version >= OLDEST {
            true => Ok(program),
            false => {
                Err(format!("`{binary}` is Helm {text}; charts are moved by Helm 3.8 or later"))
            }
        }
    }

    /// Whether it is Helm 4.
    pub fn is_four(&self) -> bool {
        self.version.0 >= 4
    }

    /// Asks it something. Returns what it said on its standard output.
    pub async fn ask(&self, words: &[&str]) -> Result<String, String> {
        self.asked(words, None).await
    }

    /// The same, with `input` on its standard input.
    ///
    /// # Errors
    /// Its own words where it fails.
    pub async fn asked(&self, words: &[&str], input: Option<&str>) -> Result<String, String> {
        let mut command = self.command(words);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let output = run(command, words, input, QUESTION).await?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(failed(words, &String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Has it change something, with `input` on its standard input.
    ///
    /// # Errors
    /// Its own words where it fails. One that does not end within `limit` is told to end: it then
    /// notes that its change has failed.
    pub async fn change(
        &self,
        words: &[&str],
        input: Option<&str>,
        limit: Duration,
    ) -> Result<(), String> {
        // One that is told to end says so before it notes it. It would die of that, were nobody there to hear it.
        let said = tempfile::tempfile();
        let mut said = said.map_err(|error| format!("no file can be made: {error}"))?;
        let copy = said.try_clone().map_err(|error| error.to_string())?;
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(copy);
        let output = run(command, words, input, limit).await?;
        if output.status.success() {
            return Ok(());
        }
        let mut text = Vec::new();
        let read = said.rewind().and_then(|()| said.read_to_end(&mut text));
        read.map_err(|error| failed(words, &error.to_string()))?;
        Err(failed(words, &String::from_utf8_lossy(&text)))
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = leash::command(&self.binary);
        command.args(words).args(["--namespace", &self.namespace]);
        if let Some(context) = &self.context {
            command.args(["--kube-context", context]);
        }
        match &self.kubeconfig {
            Some(files) => command.env("KUBECONFIG", files),
            None => command.env_remove("KUBECONFIG"),
        };
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            let secret = text.starts_with("STERNWAY_") || text.starts_with("PG");
            if secret || MISLEADING.contains(&&*text) {
                command.env_remove(&name);
            }
        }
        // A Ctrl-C at the terminal is for Sternway: a Helm that is interrupted leaves its change half done.
        // Where Sternway is killed it ends too: whoever goes on or takes back is not to meet it at work.
        Group::prepare(&mut command);
        command
    }
}

/// Runs it to its end.
async fn run(
    mut command: Command,
    words: &[&str],
    input: Option<&str>,
    limit: Duration,
) -> Result<Output, String> {
    let what = words.first().copied().unwrap_or_default();
    tracing::debug!("helm {}", words.join(" "));
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let child = command.spawn();
    let mut child = child.map_err(|error| format!("`helm {what}` cannot be run: {error}"))?;
    let group = Group::of(&child);
    if let (Some(text), Some(mut pipe)) = (input, child.stdin.take()) {
        // One that ends before it has read all of it says why.
        let _ = pipe.write_all(text.as_bytes()).await;
    }
    let output = match timeout(limit, child.wait_with_output()).await {
        Ok(output) => output.map_err(|error| format!("`helm {what}`: {error}"))?,
        Err(_) => {
            group.terminate();
            return Err(format!("`helm {what}` did not end within {} s", limit.as_secs()));
        }
    };
    group.release();
    Ok(output)
}

fn failed(words: &[&str], said: &str) -> String {
    format!("`helm {}`: {}", words.first().copied().unwrap_or_default(), words_of(said))
}

/// What Helm says of an error, without its warnings and the word `Error:`.
fn words_of(said: &str) -> String {
    let lines = said.lines().filter(|it| !it.starts_with("level=") && !it.starts_with("WARNING:"));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.trim().trim_start_matches("Error: ").to_owned()
}

/// The JSON of an answer; Helm 4 says on the same stream which chart it has fetched.
pub(super) fn json(text: &str) -> &str {
    let begins = text.lines().find(|it| it.starts_with(['{', '[']) || it.trim() == "null");
    begins.and_then(|line| text.find(line)).map_or(text, |at| &text[at..])
}

/// Reads `v3.22.0+g1234567`.
fn version(text: &str) -> Option<(u64, u64)> {
    let mut numbers = text.trim().strip_prefix('v')?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_majors_are_read() {
        assert_eq!(version("v3.22.0"), Some((3, 22)));
        assert_eq!(version("v4.1.4+gabc"), Some((4, 1)));
        assert_eq!(version("helm"), None);
    }

    #[test]
    fn an_answer_begins_where_its_json_does() {
        assert_eq!(json("Pulled: x\nDigest: y\n{\"a\":1}\n"), "{\"a\":1}\n");
        assert_eq!(json("null\n"), "null\n");
    }

    #[test]
    fn an_error_is_told_without_warnings() {
        let said = "level=WARN msg=\"old\"\nError: UPGRADE FAILED: no\nbecause\n";
        assert_eq!(words_of(said), "UPGRADE FAILED: no\nbecause");
    }
}
