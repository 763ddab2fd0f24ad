//! Bundles and pushes: what leaves the mirror, and what is known about it afterwards.

use std::io::Write;

use trueup_core::forge::branch_name;

use super::names::is_full_sha;
use super::process::Outcome;
use super::{GitRepo, REMOTE, objects};
use crate::ports::{GitError, GitFailure, PushError, Repo};

/// Parts of git's messages that come before anything was sent.
const BEFORE_SENDING: [&str; 9] = [
    "Could not resolve host",
    "Could not resolve hostname",
    "Connection refused",
    "does not appear to be a git repository",
    "Repository not found",
    "Authentication failed",
    "Permission denied (",
    "could not read Username",
    "Host key verification failed",
];

impl GitRepo {
    /// The objects of a commit that its parent lacks.
    pub(super) async fn bundle(&self, sha: &str, parent: &str) -> Result<Vec<u8>, GitError> {
        let what = format!("bundle commit {sha}");
        let (kept, without) = (objects::kept_ref(sha), format!("^{parent}"));
        match self
            .git
            .local(
                &what,
                &["bundle", "create", "--quiet", "-", &kept, &without],
            )
            .await
        {
            Outcome::Ended {
                success: true,
                stdout,
                ..
            } => Ok(stdout),
            Outcome::Ended { stderr, .. } => Err(self.error(GitFailure::Local, &what, stderr)),
            Outcome::TimedOut { .. } => {
                Err(self.error(GitFailure::Local, &what, "it took too long"))
            }
            Outcome::NotStarted { why } => Err(self.error(GitFailure::Local, &what, why)),
        }
    }

    pub(super) async fn unbundle(&self, bundle: &[u8]) -> Result<(), GitError> {
        let what = "take a commit back from its bundle";
        let local = |why: String| self.error(GitFailure::Local, what, why);
        // The prerequisites of a bundle are the remote's commits.
        self.fetch().await?;
        let mut file = tempfile::NamedTempFile::new().map_err(|error| local(error.to_string()))?;
        file.write_all(bundle)
            .and_then(|()| file.flush())
            .map_err(|error| local(error.to_string()))?;
        let path = file.path().to_string_lossy().into_owned();
        let arguments = [
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            &path,
            "refs/trueup/*:refs/trueup/*",
        ];
        match self.git.local(what, &arguments).await {
            Outcome::Ended { success: true, .. } => Ok(()),
            Outcome::Ended { stderr, .. } => Err(local(stderr)),
            Outcome::TimedOut { .. } => Err(local("it took too long".to_owned())),
            Outcome::NotStarted { why } => Err(local(why)),
        }
    }

    pub(super) async fn push_once(
        &self,
        branch: &str,
        sha: &str,
        expected: Option<&str>,
    ) -> Result<(), PushError> {
        let rejected = |why: String| PushError::Rejected {
            branch: branch.to_owned(),
            why,
        };
        let not_sent = |cause: String| PushError::NotSent {
            branch: branch.to_owned(),
            cause,
        };
        if let Err(why) = branch_name(branch) {
            return Err(not_sent(why.to_owned()));
        }
        if branch == "HEAD" || !is_full_sha(sha) {
            return Err(not_sent(
                "a push names a branch and a full commit id".to_owned(),
            ));
        }
        // A branch that was set back would take our commit without complaint, and with it what was taken away.
        let now = match self.head(branch).await {
            Ok(head) => Some(head.sha),
            Err(error) if error.failure == GitFailure::NoSuchRevision => None,
            Err(error) => return Err(not_sent(error.to_string())),
        };
        match (&now, expected) {
            (Some(now), _) if now == sha => return Ok(()),
            (Some(now), Some(expected)) if now != expected => {
                return Err(rejected(format!(
                    "the branch is at {now}, no longer at {expected}"
                )));
            }
            (Some(now), None) => {
                return Err(rejected(format!("the branch exists already, at {now}")));
            }
            (None, Some(_)) => return Err(rejected("the branch is gone".to_owned())),
            _ => {}
        }
        let refspec = format!("{sha}:refs/heads/{branch}");
        let arguments = [
            "push",
            "--porcelain",
            "--no-verify",
            "--no-recurse-submodules",
            REMOTE,
            &refspec,
        ];
        let _guard = self.network.lock().await;
        match self
            .git
            .network(&format!("push {sha} to {branch}"), &arguments, true)
            .await
        {
            Outcome::NotStarted { why } => Err(not_sent(why)),
            Outcome::TimedOut { after } => Err(PushError::Unknown {
                branch: branch.to_owned(),
                cause: format!("no answer within {} s", after.as_secs()),
            }),
            Outcome::Ended {
                success,
                stdout,
                stderr,
            } => match verdict(success, &String::from_utf8_lossy(&stdout), &stderr) {
                Verdict::Landed => Ok(()),
                Verdict::Rejected(why) => Err(rejected(self.git.scrub(&why))),
                Verdict::NotSent(cause) => Err(not_sent(cause)),
                Verdict::Unknown(cause) => Err(PushError::Unknown {
                    branch: branch.to_owned(),
                    cause,
                }),
            },
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Landed,
    Rejected(String),
    NotSent(String),
    Unknown(String),
}

/// Reads what `git push --porcelain` of one ref said: `<flag>\t<from>:<to>\t<summary> (<reason>)`.
fn verdict(success: bool, stdout: &str, stderr: &str) -> Verdict {
    for line in stdout.lines() {
        let mut fields = line.splitn(3, '\t');
        let (Some(flag), Some(refs), Some(summary)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if !refs.contains(":refs/heads/") {
            continue;
        }
        return match flag {
            " " | "*" | "=" if success => Verdict::Landed,
            "!" if summary.starts_with("[rejected]")
                || summary.starts_with("[remote rejected]") =>
            {
                let remote: Vec<&str> = stderr
                    .split("; ")
                    .filter(|line| line.starts_with("remote:"))
                    .collect();
                let said = if remote.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", remote.join("; "))
                };
                Verdict::Rejected(format!("{summary}{said}"))
            }
            // `[remote failure]`: the other side did not report what it did.
            _ => Verdict::Unknown(format!("{summary} {stderr}").trim().to_owned()),
        };
    }
    if BEFORE_SENDING.iter().any(|part| stderr.contains(part)) {
        return Verdict::NotSent(stderr.to_owned());
    }
    let cause = if stderr.is_empty() {
        "git ended without saying what happened"
    } else {
        stderr
    };
    Verdict::Unknown(cause.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_landed_only_when_the_ref_line_says_so() {
        let refs = "abc:refs/heads/main";
        assert_eq!(
            verdict(true, &format!("To x\n \t{refs}\t1..2\nDone\n"), ""),
            Verdict::Landed
        );
        assert!(matches!(
            verdict(
                false,
                &format!("To x\n!\t{refs}\t[rejected] (fetch first)\nDone\n"),
                ""
            ),
            Verdict::Rejected(_)
        ));
        assert!(matches!(
            verdict(
                false,
                &format!("!\t{refs}\t[remote failure] (remote failed to report status)\n"),
                ""
            ),
            Verdict::Unknown(_)
        ));
        assert!(matches!(
            verdict(false, "", "fatal: the remote end hung up unexpectedly"),
            Verdict::Unknown(_)
        ));
        assert!(matches!(
            verdict(false, "", "ssh: connect to host x: Connection refused"),
            Verdict::NotSent(_)
        ));
        assert!(matches!(verdict(true, "", ""), Verdict::Unknown(_)));
    }
}
