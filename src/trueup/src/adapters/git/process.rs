//! The installed `git` as a child: a fixed set of configuration, no prompts, no hooks, a deadline.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use jiff::Timestamp;
use tokio::process::Command;

use super::REMOTE;
use super::names::{credentials, without_credentials};
use crate::ports::{CommandLine, CommandLog};

/// Variables of the operator's environment that belong to their set-up rather than to some other repository.
const KEPT: [&str; 12] = [
    "GIT_ASKPASS",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
    "GIT_PROXY_COMMAND",
    "GIT_SSH",
    "GIT_SSH_COMMAND",
    "GIT_SSH_VARIANT",
    "GIT_SSL_CAINFO",
    "GIT_SSL_CAPATH",
    "GIT_SSL_CERT",
];

/// How a git process ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Ended {
        success: bool,
        stdout: Vec<u8>,
        stderr: String,
    },
    TimedOut {
        after: Duration,
    },
    NotStarted {
        why: String,
    },
}

/// Starts git on one mirror and one remote.
pub(super) struct Git {
    mirror: PathBuf,
    url: String,
    secrets: Vec<String>,
    deadline: Duration,
    log: CommandLog,
}

impl Git {
    pub fn new(mirror: &Path, url: &str, deadline: Duration, log: CommandLog) -> Self {
        Self {
            mirror: mirror.to_owned(),
            url: url.to_owned(),
            secrets: credentials(url),
            deadline,
            log,
        }
    }

    /// Takes the credentials of the URL out of a message.
    pub fn scrub(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            text.replace(secret.as_str(), "***")
        })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("--git-dir").arg(&self.mirror);
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("GIT_") && !KEPT.contains(&name.as_ref()) {
                command.env_remove(name.as_ref());
            }
        }
        // The URL goes through the environment: a password in it does not show in the list of processes.
        let mut settings = vec![
            (format!("remote.{REMOTE}.url"), self.url.clone()),
            ("core.hooksPath".into(), "/dev/null".into()),
            ("core.fsmonitor".into(), "false".into()),
            // A pack is there as a whole or not at all; loose objects come commit first, and a fetch that is cut short leaves
            // a commit without its files.
            ("fetch.unpackLimit".into(), "1".into()),
            ("gc.auto".into(), "0".into()),
            ("maintenance.auto".into(), "false".into()),
            ("push.followTags".into(), "false".into()),
            ("push.gpgSign".into(), "false".into()),
            ("push.recurseSubmodules".into(), "no".into()),
            ("submodule.recurse".into(), "false".into()),
            ("protocol.allow".into(), "never".into()),
        ];
        for scheme in ["file", "https", "ssh", "git"] {
            settings.push((format!("protocol.{scheme}.allow"), "always".into()));
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{index}"), key)
                .env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
        command
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0");
        if std::env::var_os("GIT_SSH_COMMAND").is_none()
            && std::env::var_os("GIT_SSH").is_none()
            && !own_ssh_command()
        {
            // ssh asks on the terminal itself, where the screen is.
            command.env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=10",
            );
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.process_group(0);
        command
    }

    /// Runs a git command that speaks with the remote.
    pub async fn network(&self, what: &str, arguments: &[&str], effect: bool) -> Outcome {
        self.run(what, arguments, effect).await
    }

    /// Runs a git command on the mirror alone.
    pub async fn local(&self, what: &str, arguments: &[&str]) -> Outcome {
        self.run(what, arguments, false).await
    }

    async fn run(&self, what: &str, arguments: &[&str], effect: bool) -> Outcome {
        let mut command = self.command();
        command.args(arguments);
        let started = Timestamp::now();
        let outcome = match command.spawn() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Outcome::NotStarted {
                why: "the program `git` is not on the PATH".to_owned(),
            },
            Err(error) => Outcome::NotStarted {
                why: format!("`git` could not be started: {error}"),
            },
            // Dropping the child at the deadline kills it.
            Ok(child) => {
                match tokio::time::timeout(self.deadline, child.wait_with_output()).await {
                    Err(_) => Outcome::TimedOut {
                        after: self.deadline,
                    },
                    Ok(Err(error)) => Outcome::NotStarted {
                        why: error.to_string(),
                    },
                    Ok(Ok(output)) => Outcome::Ended {
                        success: output.status.success(),
                        stdout: output.stdout,
                        stderr: self.scrub(&tidy(&String::from_utf8_lossy(&output.stderr))),
                    },
                }
            }
        };
        let shown = without_credentials(&self.url);
        let typed: Vec<&str> = arguments
            .iter()
            .map(|word| {
                if *word == REMOTE {
                    shown.as_str()
                } else {
                    word
                }
            })
            .collect();
        (self.log)(CommandLine {
            at: started,
            what: format!("{what} of {shown}"),
            equivalent: format!("git {}", typed.join(" ")),
            outcome: match &outcome {
                Outcome::Ended { success: true, .. } => "done".to_owned(),
                Outcome::Ended { stderr, .. } => stderr.clone(),
                Outcome::TimedOut { after } => format!("stopped after {} s", after.as_secs()),
                Outcome::NotStarted { why } => why.clone(),
            },
            took: Duration::try_from(Timestamp::now().duration_since(started)).unwrap_or_default(),
            effect,
        });
        outcome
    }
}

fn own_ssh_command() -> bool {
    git2::Config::open_default()
        .and_then(|config| config.get_string("core.sshCommand"))
        .is_ok()
}

/// The lines of git's stderr that say something, as one line.
fn tidy(stderr: &str) -> String {
    let lines = stderr
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("hint:"));
    lines.take(8).collect::<Vec<_>>().join("; ")
}
