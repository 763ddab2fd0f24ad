//! A branch of our own: what it may be called, and where it is merged. Nothing here opens a pull request.

use crate::text;

/// The push opens no pull request: where somebody opens it, or merges without one.
pub fn where_to_merge(repository: &str, branch: &str, tracked: &str) -> String {
    let at = match site(repository) {
        Some((site, path, true)) => {
            format!("open it at https://{site}/{path}/compare/{tracked}...{branch}?expand=1")
        }
        Some((site, path, false)) => format!(
            "open it at https://{site}/{path}/-/merge_requests/new?merge_request[source_branch]={branch}&merge_request[target_branch]={tracked}"
        ),
        None => format!("open it, or merge {branch} into {tracked}, where {repository} is hosted"),
    };
    text::line(&format!("no pull request is opened by this push: {at}"))
}

/// Host and path of a repository on a site whose addresses are known; whether it is GitHub's kind, else GitLab's.
fn site(repository: &str) -> Option<(&str, &str, bool)> {
    let (_, rest) = repository.split_once("://").unwrap_or(("", repository));
    let rest = rest.split_once('@').map_or(rest, |(_, rest)| rest);
    let at = rest.find(['/', ':'])?;
    let (host, path) = (&rest[..at], &rest[at + 1..]);
    // A port is no part of where the pages are.
    let path = match path.split_once('/') {
        Some((port, path)) if port.chars().all(|c| c.is_ascii_digit()) => path,
        _ => path,
    };
    let path = path.strip_suffix(".git").unwrap_or(path);
    let named = |name: &str| host.split('.').any(|part| part == name);
    match (named("github"), named("gitlab")) {
        (true, _) => Some((host, path, true)),
        (_, true) => Some((host, path, false)),
        _ => None,
    }
}

/// Why a branch cannot be called so, after git-check-ref-format(1); what would be read as an option is refused too.
pub fn branch_name(name: &str) -> Result<(), &'static str> {
    if name.starts_with('-') {
        return Err("it would be read as an option");
    }
    let forbidden =
        |c: char| c.is_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let is_name = name != "@"
        && !name.ends_with('.')
        && !name.contains("..")
        && !name.contains("@{")
        && !name.contains(forbidden)
        && name.split('/').all(part);
    is_name
        .then_some(())
        .ok_or("it is not a name that a branch or tag can have")
}

#[cfg(test)]
mod tests {
    use super::where_to_merge;

    #[test]
    fn a_push_to_a_branch_says_where_it_is_merged() {
        for (repository, said) in [
            (
                "https://github.com/acme/deploy.git",
                "https://github.com/acme/deploy/compare/main...trueup/INC-1?expand=1",
            ),
            (
                "git@github.com:acme/deploy.git",
                "https://github.com/acme/deploy/compare/main...trueup/INC-1?expand=1",
            ),
            (
                "ssh://git@gitlab.example.com:2222/a/b/deploy.git",
                "https://gitlab.example.com/a/b/deploy/-/merge_requests/new?",
            ),
            (
                "http://127.0.0.1:8080/deploy",
                "merge trueup/INC-1 into main, where http://127.0.0.1:8080/deploy is hosted",
            ),
            ("/srv/git/deploy", "where /srv/git/deploy is hosted"),
        ] {
            let told = where_to_merge(repository, "trueup/INC-1", "main");
            assert!(told.contains(said), "{repository}: {told}");
        }
    }
}
