//! Which URLs, revisions and paths we hand to git at all.

use crate::ports::{GitError, GitFailure};

/// Transports that run nothing and leave nothing open to the reader of the wire.
const SCHEMES: [&str; 4] = ["file", "https", "ssh", "git"];

/// Refuses a URL that git could read as an option, a helper program or an unlisted transport.
pub fn check_url(url: &str) -> Result<(), GitError> {
    let refuse = |why: &str| {
        Err(GitError {
            failure: GitFailure::BadName,
            what: format!("use the repository URL {:?}", without_credentials(url)),
            why: why.to_owned(),
            hint: "give a file, https, ssh or git URL with --repo ARGO_URL=URL".to_owned(),
        })
    };
    if url.is_empty() || url.starts_with('-') {
        return refuse("it would be read as an option");
    }
    if url.chars().any(char::is_control) {
        return refuse("it holds control characters");
    }
    if let Some((scheme, rest)) = url.split_once("://") {
        if !SCHEMES.contains(&scheme) {
            return refuse("only file, https, ssh and git are allowed");
        }
        let host = rest.split('/').next().unwrap_or_default();
        let host = host.rsplit('@').next().unwrap_or_default();
        if host.starts_with('-') {
            return refuse("its host would be read as an option");
        }
        return Ok(());
    }
    if url.contains("::") {
        return refuse("it names a helper program");
    }
    if url.starts_with('/') {
        return Ok(());
    }
    // host:path, as scp writes it.
    match url.split_once(':') {
        Some((host, path)) if !host.contains('/') && !path.is_empty() => {
            let name = host.rsplit('@').next().unwrap_or_default();
            if name.is_empty() || name.starts_with('-') || path.starts_with('-') {
                return refuse("its host or path would be read as an option");
            }
            Ok(())
        }
        _ => refuse("it is neither a URL nor an absolute path"),
    }
}

/// A URL as it may be shown: without user name and password.
pub fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (authority, path) = match rest.find('/') {
        Some(slash) => rest.split_at(slash),
        None => (rest, ""),
    };
    match authority.rsplit_once('@') {
        // An ssh user name is part of the address and no secret.
        Some((user, host)) if scheme == "ssh" && !user.contains(':') => {
            format!("{scheme}://{user}@{host}{path}")
        }
        Some((_, host)) => format!("{scheme}://{host}{path}"),
        None => url.to_owned(),
    }
}

/// The secret parts of a URL, as they could appear in an error.
pub(super) fn credentials(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else {
        return Vec::new();
    };
    let authority = rest.split('/').next().unwrap_or_default();
    let Some((user, _)) = authority.rsplit_once('@') else {
        return Vec::new();
    };
    match user.split_once(':') {
        Some((_, password)) if !password.is_empty() => vec![user.to_owned(), password.to_owned()],
        // A token alone, as GitHub takes it.
        None if url.starts_with("https") => vec![user.to_owned()],
        _ => Vec::new(),
    }
}

pub(super) fn is_full_sha(text: &str) -> bool {
    text.len() == 40
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The parts of a path inside a repository; refuses what could leave it or reach Git's own files.
pub(super) fn path_parts(path: &str) -> Result<Vec<&str>, String> {
    let parts: Vec<&str> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    for part in &parts {
        // HFS+ drops these characters, NTFS knows .git as git~1 and ignores trailing dots and spaces.
        let folded: String = part.chars().filter(|c| !matches!(*c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')).collect();
        let folded = folded.trim_end_matches(['.', ' ']).to_lowercase();
        if *part == ".."
            || folded == ".git"
            || folded.starts_with("git~")
            || folded.starts_with(".git:")
        {
            return Err(format!(
                "the path {path:?} leaves the repository or reaches into Git's own files"
            ));
        }
        if part.contains('\\') || part.chars().any(char::is_control) {
            return Err(format!(
                "the path {path:?} holds a backslash or a control character"
            ));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use trueup_core::forge::branch_name;

    #[test]
    fn hostile_urls_are_refused_and_ordinary_ones_are_not() {
        for url in [
            "--upload-pack=touch /tmp/x",
            "ext::sh -c touch% /tmp/x",
            "ssh://-oProxyCommand=x/repo",
            "ssh://git@-oProxyCommand=x/repo",
            "-oProxyCommand=x:repo",
            "git@-x:repo",
            "http://plain.example/repo.git",
            "fd::17",
            "relative/path",
            "https://h/\nx",
            "",
        ] {
            assert!(check_url(url).is_err(), "{url:?}");
        }
        for url in [
            "https://git.example/team/repo.git",
            "ssh://git@git.example:2222/repo",
            "git@git.example:team/repo.git",
            "git://127.0.0.1:9418/repo",
            "file:///srv/repo.git",
            "/srv/repo.git",
        ] {
            assert!(check_url(url).is_ok(), "{url:?}");
        }
    }

    #[test]
    fn credentials_do_not_show() {
        assert_eq!(
            without_credentials("https://bob:s3cret@h.example/r.git"),
            "https://h.example/r.git"
        );
        assert_eq!(
            without_credentials("https://ghp_token@h.example/r.git"),
            "https://h.example/r.git"
        );
        assert_eq!(
            without_credentials("ssh://git@h.example/r"),
            "ssh://git@h.example/r"
        );
        assert_eq!(
            credentials("https://bob:s3cret@h.example/r.git"),
            ["bob:s3cret", "s3cret"]
        );
    }

    #[test]
    fn paths_cannot_leave_or_touch_gits_own_files() {
        for path in [
            "../x",
            "a/../../x",
            ".git/config",
            "a/.GIT/hooks/x",
            "git~1/x",
            ".g\u{200c}it/x",
            "a\\b",
            ".git./x",
        ] {
            assert!(path_parts(path).is_err(), "{path:?}");
        }
        assert_eq!(
            path_parts("./deploy//auth/x.yaml").unwrap(),
            ["deploy", "auth", "x.yaml"]
        );
        assert!(path_parts(".github/workflows/x.yaml").is_ok());
    }

    #[test]
    fn revisions_that_are_options_or_patterns_are_refused() {
        for name in [
            "-x", "--force", "a..b", "a b", "refs/*", "a^", "a:b", "@{1}",
        ] {
            assert!(branch_name(name).is_err(), "{name:?}");
        }
        assert!(branch_name("release/1.2").is_ok());
    }

    /// What is refused before anything is frozen is what Git would refuse in the end.
    #[test]
    fn a_branch_is_called_what_git_lets_it_be_called() {
        let parts = [
            "a", "/", ".", "..", "@", "{", "@{", ".lock", "~", " ", "\\", "*", "[", "\u{7f}", "é",
            "-", "",
        ];
        for name in parts.iter().flat_map(|a| {
            let with = move |b: &&str| parts.map(|c| format!("{a}{b}{c}"));
            parts.iter().flat_map(with)
        }) {
            let git = git2::Reference::is_valid_name(&format!("refs/heads/{name}"));
            let ours = branch_name(&name).is_ok();
            assert_eq!(
                ours,
                git && !name.starts_with('-') && name != "@",
                "{name:?}"
            );
        }
    }
}
