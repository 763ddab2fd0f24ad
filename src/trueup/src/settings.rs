//! The global options of every command, and the settings file behind them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{
    Args, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
};
use etcetera::BaseStrategy;
use serde::Deserialize;
use trueup_core::event::{Armed, Waits};
use trueup_core::span::Span;

use crate::ports::Author;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// The options that every command takes.
#[derive(Debug, Clone, Default, Args)]
pub struct GlobalArgs {
    /// Kubeconfig file [default: $KUBECONFIG, else ~/.kube/config]
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the cluster that Argo CD runs on [default: the current one]
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Context that reaches a destination of Applications (its name or server URL); may be given again
    #[arg(long, global = true, value_name = "NAME=CONTEXT", value_parser = pair)]
    pub destination: Vec<(String, String)>,
    /// Namespace of Argo CD [default: argocd]
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Prometheus server for gates
    #[arg(long, global = true, value_name = "URL")]
    pub prometheus: Option<String>,
    /// URL to reach a repository by, where it differs from the Applications' repoURL; may be given again
    #[arg(long, global = true, value_name = "ARGO_URL=URL", value_parser = url_pair)]
    pub repo: Vec<(String, String)>,
    /// The incident to work on [default: the only open one]
    #[arg(long, global = true, value_name = "ID")]
    pub incident: Option<String>,
    /// Allow writes; without it nothing is written outside the state folder
    #[arg(long, global = true, value_name = "WHAT", value_parser = armed())]
    pub write: Option<Armed>,
    /// Folder of journals and mirrors [default: trueup in the XDG state folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Settings file [default: trueup/config.toml in the XDG configuration folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print without colour
    #[arg(long, global = true)]
    pub no_color: bool,
    /// Draw the workbench with ASCII alone [default: where the locale is not UTF-8]
    #[arg(long, global = true)]
    pub ascii: bool,
    /// How to print results
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        default_value_t
    )]
    pub output: Output,
}

/// What the options and the file say together.
#[derive(Debug, Clone)]
pub struct Settings {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    /// Destination name or server URL → kubeconfig context.
    pub destinations: BTreeMap<String, String>,
    /// Argo CD's namespace.
    pub namespace: String,
    pub prometheus: Option<String>,
    /// An Application's repoURL → the URL to use.
    pub repos: BTreeMap<String, String>,
    pub incident: Option<String>,
    /// What this process may write; nothing unless the command line says so.
    pub write: Armed,
    pub state_dir: PathBuf,
    pub waits: Waits,
    /// Whether the settings file names any of them.
    pub names_waits: bool,
    /// From `[git]`; overrides Git's own configuration.
    pub author: Option<Author>,
    /// Contexts that do not count as production.
    pub non_production: Vec<String>,
    pub color: bool,
    /// The workbench draws nothing but ASCII.
    pub ascii: bool,
    /// The workbench's theme, as the settings file names it; empty: as the terminal's background is.
    pub theme: String,
    pub output: Output,
}

/// Settings that cannot be used; exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {what}: {why}")]
pub struct SettingsError {
    what: String,
    why: String,
}

/// The settings file. An unknown key is an error: a misspelt wait would silently be the default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    waits: FileWaits,
    git: FileGit,
    clusters: FileClusters,
    screen: FileScreen,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileScreen {
    theme: Option<Theme>,
    ascii: bool,
}

/// The workbench's themes.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Theme {
    Dark,
    Light,
    HighContrast,
}

#[derive(PartialEq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileWaits {
    freeze_hold: Option<Span>,
    gate_for: Option<Span>,
    gate_every: Option<Span>,
    gate_within: Option<Span>,
    refresh_deadline: Option<Span>,
    sync_deadline: Option<Span>,
    health_deadline: Option<Span>,
    thaw_hold: Option<Span>,
    thaw_rounds_timeout: Option<Span>,
    merge_deadline: Option<Span>,
    act_reread_first: Option<Span>,
    act_reread_last: Option<Span>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileGit {
    name: Option<String>,
    email: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileClusters {
    non_production: Vec<String>,
}

impl Settings {
    /// Puts options, environment and file together.
    pub fn resolve(args: GlobalArgs) -> Result<Self, SettingsError> {
        let file = read_file(args.config.as_deref())?;
        let state_dir = match args.state_dir {
            Some(dir) => dir,
            None => default_state_dir()?,
        };
        let author = match (file.git.name, file.git.email) {
            (Some(name), Some(email)) => Some(Author { name, email }),
            (None, None) => None,
            _ => {
                return Err(SettingsError {
                    what: "[git] in the settings file".into(),
                    why: "name and email are needed together".into(),
                });
            }
        };
        Ok(Self {
            kubeconfig: args.kubeconfig,
            context: args.context,
            destinations: args.destination.into_iter().collect(),
            namespace: args.namespace.unwrap_or_else(|| "argocd".to_owned()),
            prometheus: args.prometheus,
            repos: args.repo.into_iter().collect(),
            incident: args.incident,
            write: args.write.unwrap_or_default(),
            state_dir,
            names_waits: file.waits != FileWaits::default(),
            waits: file.waits.over(Waits::default()),
            author,
            non_production: file.clusters.non_production,
            color: !args.no_color
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
            ascii: args.ascii || file.screen.ascii || !utf8_locale(),
            theme: match file.screen.theme {
                None => "",
                Some(Theme::Dark) => "dark",
                Some(Theme::Light) => "light",
                Some(Theme::HighContrast) => "high-contrast",
            }
            .to_owned(),
            output: args.output,
        })
    }

    /// Whether a write through this context counts as one to production.
    pub fn is_production(&self, context: &str) -> bool {
        !self.non_production.iter().any(|name| name == context)
    }

    /// The program with the options by which it finds this state folder again, for a shell.
    pub fn program(&self) -> String {
        if default_state_dir().is_ok_and(|dir| dir == self.state_dir) {
            return "trueup".into();
        }
        let dir = self.state_dir.display().to_string();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
        if dir.chars().all(plain) {
            format!("trueup --state-dir {dir}")
        } else {
            format!("trueup --state-dir '{}'", dir.replace('\'', "'\\''"))
        }
    }

    /// Where mirrors of repositories are kept.
    pub fn mirrors(&self) -> PathBuf {
        self.state_dir.join("mirrors")
    }
}

impl FileWaits {
    fn over(self, mut waits: Waits) -> Waits {
        for (slot, set) in [
            (&mut waits.freeze_hold, self.freeze_hold),
            (&mut waits.refresh_deadline, self.refresh_deadline),
            (&mut waits.sync_deadline, self.sync_deadline),
            (&mut waits.health_deadline, self.health_deadline),
            (&mut waits.thaw_hold, self.thaw_hold),
            (&mut waits.thaw_deadline, self.thaw_rounds_timeout),
            (&mut waits.merge_deadline, self.merge_deadline),
            (&mut waits.act_reread_first, self.act_reread_first),
            (&mut waits.act_reread_last, self.act_reread_last),
        ] {
            if let Some(set) = set {
                *slot = set;
            }
        }
        waits.gate_for = self.gate_for;
        waits.gate_every = self.gate_every;
        waits.gate_within = self.gate_within;
        waits
    }
}

/// Whether the locale does not say that the terminal knows nothing but ASCII. One that is not set says nothing.
fn utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    set.is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

fn default_state_dir() -> Result<PathBuf, SettingsError> {
    Ok(base()?
        .state_dir()
        .unwrap_or_else(|| PathBuf::from(".local/state"))
        .join("trueup"))
}

fn base() -> Result<etcetera::base_strategy::Xdg, SettingsError> {
    etcetera::base_strategy::Xdg::new().map_err(|error| SettingsError {
        what: "the home folder".into(),
        why: format!("{error}; pass --state-dir"),
    })
}

fn read_file(named: Option<&Path>) -> Result<File, SettingsError> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => match base() {
            Ok(base) => base.config_dir().join("trueup/config.toml"),
            Err(_) => return Ok(File::default()),
        },
    };
    let refuse = |why: String| SettingsError {
        what: format!("the settings file {}", path.display()),
        why,
    };
    match std::fs::read_to_string(&path) {
        Ok(text) => toml::from_str(&text)
            .map_err(|error| refuse(error.to_string().trim().replace('\n', " "))),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(File::default())
        }
        Err(error) => Err(refuse(error.to_string())),
    }
}

/// The words of `--write`.
fn armed() -> impl TypedValueParser<Value = Armed> {
    PossibleValuesParser::new(["git", "cluster", "all"]).map(|word| match word.as_str() {
        "git" => Armed::Git,
        "cluster" => Armed::Cluster,
        _ => Armed::All,
    })
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err(format!("`{text}` is not of the form NAME=VALUE")),
    }
}

/// `ARGO_URL=URL`, where both may hold `=` in a query: split at the first `=` that a URL or a path follows.
fn url_pair(text: &str) -> Result<(String, String), String> {
    let starts = |rest: &str| {
        let scheme = |head: &str| {
            !head.is_empty()
                && head
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "@.-_+".contains(c))
        };
        rest.starts_with('/') || rest.split_once(':').is_some_and(|(head, _)| scheme(head))
    };
    text.match_indices('=')
        .map(|(at, _)| (&text[..at], &text[at + 1..]))
        .find(|(from, to)| !from.is_empty() && starts(to))
        .map(|(from, to)| (from.to_owned(), to.to_owned()))
        .ok_or_else(|| format!("`{text}` is not of the form ARGO_URL=URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Settings, SettingsError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        std::fs::write(&path, text).unwrap();
        Settings::resolve(GlobalArgs {
            config: Some(path),
            state_dir: Some("/x".into()),
            ..GlobalArgs::default()
        })
    }

    #[test]
    fn waits_come_from_the_file_and_unknown_keys_are_refused() {
        let settings = file(
            "[waits]\nfreeze_hold = \"1s\"\ngate_for = \"3s\"\nthaw_rounds_timeout = \"5s\"\n",
        )
        .unwrap();
        assert_eq!(settings.waits.freeze_hold, Span::seconds(1));
        assert_eq!(settings.waits.gate_for, Some(Span::seconds(3)));
        assert_eq!(settings.waits.thaw_deadline, Span::seconds(5));
        assert_eq!(settings.namespace, "argocd");
        for bad in [
            "[waits]\nfreeze_hld = \"1s\"",
            "[wait]",
            "x = 1",
            "[waits]\ngate_for = 3",
            "[git]\nname = \"a\"",
        ] {
            assert!(file(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_named_file_must_exist() {
        let args = GlobalArgs {
            config: Some("/nonexistent/x.toml".into()),
            ..GlobalArgs::default()
        };
        assert!(Settings::resolve(args).is_err());
    }

    #[test]
    fn repository_urls_split_where_the_second_begins() {
        let (from, to) = url_pair("https://h/r?a=b=file:///srv/r.git").unwrap();
        assert_eq!(
            (from.as_str(), to.as_str()),
            ("https://h/r?a=b", "file:///srv/r.git")
        );
        assert!(url_pair("https://h/r").is_err());
    }
}
