//! A repository behind `ssh`: the program of that name, with the user's own settings and keys.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout, timeout_at};

use super::protocol::{Abilities, abilities, is_whole};
use super::{LISTING, Trouble};
use crate::Remote;
use crate::files::Environment;
use crate::web::answering;

/// How long an answer may pause.
const PAUSE: Duration = Duration::from_secs(60);

pub(super) struct Ssh {
    /// Ends with this.
    program: Child,
    /// What has come and was not yet read.
    come: Vec<u8>,
    place: String,
}

impl Ssh {
    /// Starts the program.
    pub fn new(remote: &Remote, environment: &Environment) -> Result<Ssh, Trouble> {
        let (host, port) = match remote.authority.strip_prefix(remote.name()) {
            Some(rest) if !rest.is_empty() => (remote.name(), rest.strip_prefix(':')),
            _ => (&*remote.authority, None),
        };
        let mut command = match environment.get("GIT_SSH_COMMAND") {
            Some(own) => {
                let mut command = Command::new("sh");
                command.args(["-c", &format!("{own} \"$@\""), "ssh"]);
                command
            }
            None => Command::new("ssh"),
        };
        command.args(["-o", "SendEnv=GIT_PROTOCOL"]);
        if let Some(port) = port {
            command.args(["-p", port]);
        }
        let host = match &remote.user {
            Some(user) => format!("{user}@{host}"),
            None => host.to_owned(),
        };
        // The other side's shell reads it again.
        let path = format!("/{}", remote.path).replace('\'', r"'\''");
        let path = if path.starts_with("/~") { path[1..].to_owned() } else { path };
        command.arg(host).arg(format!("git-upload-pack '{path}'"));
        command.env("GIT_PROTOCOL", "version=2").kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let place = remote.to_string();
        let program = command.spawn().map_err(|cause| {
            Trouble::away(&place, format!("the program `ssh` cannot be started: {cause}"))
        })?;
        Ok(Ssh { program, come: Vec::new(), place })
    }

    /// Hears what the server can do.
    pub async fn greet(&mut self) -> Result<Abilities, Trouble> {
        let said = self.message(LISTING).await?;
        abilities(&said).map_err(|what| Trouble::answered(self.place.clone(), what))
    }

    /// The answer to a request, up to so many bytes.
    pub async fn command(&mut self, request: Vec<u8>, longest: usize) -> Result<Vec<u8>, Trouble> {
        let Some(input) = &mut self.program.stdin else { return Err(self.ended()) };
        let sent = async {
            input.write_all(&request).await?;
            input.flush().await
        };
        match timeout(PAUSE, sent).await {
            Ok(Ok(())) => self.message(longest).await,
            _ => Err(self.ended()),
        }
    }

    /// The next message, to its end.
    async fn message(&mut self, longest: usize) -> Result<Vec<u8>, Trouble> {
        let (mut seen, patience) = (0, answering());
        let end = Instant::now() + patience;
        loop {
            let whole = is_whole(&self.come, &mut seen);
            if whole.map_err(|what| Trouble::answered(self.place.clone(), what))? {
                let rest = self.come.split_off(seen);
                return Ok(std::mem::replace(&mut self.come, rest));
            }
            if self.come.len() > longest {
                let what = format!("more than {} MB", longest >> 20);
                return Err(Trouble::answered(self.place.clone(), what));
            }
            let Some(output) = &mut self.program.stdout else { return Err(self.ended()) };
            self.come.reserve(1 << 16);
            let until = end.min(Instant::now() + PAUSE);
            match timeout_at(until, output.read_buf(&mut self.come)).await {
                Ok(Ok(0)) | Ok(Err(_)) => return Err(self.ended()),
                Ok(Ok(_)) if Instant::now() < end => {}
                _ => {
                    let what = match until < end {
                        true => format!("nothing for {} s", PAUSE.as_secs()),
                        false => format!("no whole answer in {} s", patience.as_secs()),
                    };
                    return Err(Trouble::away(&self.place, what));
                }
            }
        }
    }

    fn ended(&self) -> Trouble {
        Trouble::away(
            &self.place,
            "`ssh` ended before the answer did; what it said is above".to_owned(),
        )
    }
}
