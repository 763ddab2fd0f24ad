//! `trueup doctor`: what is here, what is allowed, and what would not work and why.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use trueup_core::drift::report::ReportError;

use super::output::{self, exit};
use super::roles;
use crate::adapters::clock::random_key;
use crate::adapters::git::without_credentials;
use crate::adapters::probes::Probes;
use crate::app;
use crate::engine::read::{LookOptions, World, from_read};
use crate::ports::{Author, GitFailure, Kind, Probe, no_log};
use crate::settings::{Output, Settings};
use crate::wiring::{Wired, wire};

/// Arguments of `trueup doctor`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Args {
    /// Applications to check for, as NAME or NAMESPACE/NAME [default: all]
    #[arg(value_name = "APP")]
    pub apps: Vec<String>,
    /// Print Kubernetes roles that allow exactly what these Applications need, for `kubectl apply -f -`
    #[arg(long)]
    pub roles: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Not there; something would not work.
    Missing,
    /// Not there; the walk goes on with less.
    Limited,
    /// Could not be found out.
    Error,
}

/// One line of the examination.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    name: String,
    status: Status,
    detail: String,
    /// What does not work without it.
    #[serde(skip_serializing_if = "String::is_empty")]
    needed_for: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    hint: String,
    /// Of a permission, the shipped role that grants it.
    #[serde(skip_serializing_if = "str::is_empty")]
    role: &'static str,
}

impl Check {
    fn new(name: impl Into<String>, status: Status, detail: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            status,
            detail: detail.into(),
            needed_for: String::new(),
            hint: String::new(),
            role: "",
        }
    }

    fn needed_for(mut self, what: impl Into<String>) -> Self {
        self.needed_for = what.into();
        self
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// Examines and prints. 0: all is there; 1: something is missing; 2: something could not be found out.
pub async fn run(
    settings: &Settings,
    args: &Args,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    if args.roles {
        return roles_of(settings, args, out, err).await;
    }
    let mut checks = vec![Check::new("trueup", Status::Ok, env!("CARGO_PKG_VERSION"))];
    checks.push(
        binary(
            "git",
            &["--version"],
            false,
            "reading and pushing repositories",
        )
        .await,
    );
    checks.push(
        binary(
            "kubectl",
            &["version", "--client"],
            true,
            "taking over by hand",
        )
        .await,
    );
    checks.push(state_folder(settings));
    let mut errors = Vec::new();
    match wire(settings, random_key(), no_log()).await {
        Err(error) => {
            let check = Check::new(
                "kubeconfig",
                Status::Error,
                format!("cannot {}: {}", error.what, error.why),
            );
            checks.push(
                check
                    .needed_for("everything on the cluster")
                    .hint(error.hint),
            );
        }
        Ok(wired) => {
            let world = look(&wired, args).await;
            cluster(&mut checks, settings, &wired, &world).await;
            if world.pin.is_some() {
                author(&mut checks, &wired, &world, settings).await;
                for (need, grant) in &world.permissions {
                    checks.push(permission(need, grant));
                }
            } else {
                // One cluster that does not answer is one thing that is wrong.
                checks.push(Check::new(
                    "repositories, author of commits, permissions",
                    Status::Error,
                    "not asked",
                ));
            }
            errors = world.errors;
        }
    }
    metrics(&mut checks, settings).await;

    match settings.output {
        Output::Json => output::json(out, &document(&checks, &errors)),
        Output::Table => print(out, &checks),
    }
    output::errors(err, &errors);
    let any = |status| checks.iter().any(|check| check.status == status);
    if any(Status::Error) || !errors.is_empty() {
        exit::ERROR
    } else if any(Status::Missing) {
        exit::SOMETHING
    } else {
        exit::DONE
    }
}

async fn look(wired: &Wired, args: &Args) -> World {
    let keys: Vec<_> = args
        .apps
        .iter()
        .map(|name| wired.reader.app_key(name))
        .collect();
    let scope = (!keys.is_empty()).then_some(keys.as_slice());
    let options = LookOptions {
        permissions: true,
        ..LookOptions::default()
    };
    wired.reader.look(scope, options).await
}

/// Prints roles. 0: for everything; 2: something could not be read, and its roles may be missing.
async fn roles_of(
    settings: &Settings,
    args: &Args,
    out: &mut (dyn Write + Send),
    err: &mut (dyn Write + Send),
) -> i32 {
    let errors = match wire(settings, random_key(), no_log()).await {
        Err(error) => vec![from_read(&error)],
        Ok(wired) => {
            let world = look(&wired, args).await;
            let needs = world.permissions.iter().map(|(need, _)| need);
            roles::print(needs, settings.output, out);
            world.errors
        }
    };
    output::errors(err, &errors);
    if errors.is_empty() {
        exit::DONE
    } else {
        exit::ERROR
    }
}

fn document(checks: &[Check], errors: &[ReportError]) -> Value {
    json!({
        "apiVersion": trueup_core::API_VERSION,
        "kind": "DoctorReport",
        "checks": checks,
        "missing": checks.iter().filter(|check| check.status == Status::Missing).map(|check| &check.name).collect::<Vec<_>>(),
        "errors": errors,
    })
}

fn print(out: &mut (dyn Write + Send), checks: &[Check]) {
    let rows: Vec<Vec<String>> = checks
        .iter()
        .map(|check| {
            let word = match check.status {
                Status::Ok => "ok",
                Status::Missing => "MISSING",
                Status::Limited => "limited",
                Status::Error => "ERROR",
            };
            let mut detail = check.detail.clone();
            if check.status != Status::Ok && !check.needed_for.is_empty() {
                detail = format!(
                    "{detail}{}needed for {}",
                    if detail.is_empty() { "" } else { "; " },
                    check.needed_for
                );
            }
            vec![word.to_owned(), check.name.clone(), detail]
        })
        .collect();
    output::table(out, 0, &["STATUS", "CHECK", "DETAIL"], &rows);
    let lacks = |check: &Check| check.status != Status::Ok && !check.role.is_empty();
    if checks.iter().any(lacks) {
        output::say(
            out,
            "hint, permissions: `trueup doctor --roles`, run by somebody who may look, prints the roles that grant them",
        );
    }
    for check in checks
        .iter()
        .filter(|check| check.status != Status::Ok && !check.hint.is_empty())
    {
        output::say(
            out,
            &format!(
                "hint, {}: {}",
                trueup_core::text::line(&check.name),
                trueup_core::text::line(&check.hint)
            ),
        );
    }
}

async fn binary(name: &str, arguments: &[&str], optional: bool, needed_for: &str) -> Check {
    let run = tokio::process::Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .output();
    let detail = match tokio::time::timeout(Duration::from_secs(5), run).await {
        Ok(Ok(output)) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            return Check::new(name, Status::Ok, text.lines().next().unwrap_or_default());
        }
        Ok(Ok(output)) => format!("it ended with {}", output.status),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            "not on the PATH".to_owned()
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "it did not answer within 5 s".to_owned(),
    };
    let status = if optional {
        Status::Limited
    } else {
        Status::Missing
    };
    Check::new(name, status, detail).needed_for(needed_for)
}

fn state_folder(settings: &Settings) -> Check {
    let name = format!("state folder {}", settings.state_dir.display());
    let made = std::fs::create_dir_all(&settings.state_dir)
        .and_then(|()| tempfile::tempfile_in(&settings.state_dir));
    match made {
        Ok(_) => Check::new(name, Status::Ok, "can be written"),
        Err(error) => Check::new(name, Status::Missing, error.to_string())
            .needed_for("journals: nothing can be started without")
            .hint("pass --state-dir with a folder on a local disk"),
    }
}

/// Open incidents that were opened with another context than the one that is examined: their commands use it.
fn other_contexts(settings: &Settings, context: &str) -> Vec<Check> {
    if settings.context.is_some() {
        return Vec::new();
    }
    let ids = crate::journal::list(&settings.state_dir).unwrap_or_default();
    ids.into_iter()
        .filter_map(|id| crate::journal::read(&settings.state_dir, &id).ok())
        .map(|lines| trueup_core::run::Run::fold(lines.iter().map(|line| &line.record)))
        .filter(|run| run.closed.is_none())
        .filter_map(|run| {
            let opened = run.connection.context.clone().filter(|opened| opened != context)?;
            let check = Check::new(
                format!("context of {}", run.id()),
                Status::Limited,
                format!(
                    "{} was opened with context {opened}, and its commands use that; what is said here of rights is of {context}",
                    run.id()
                ),
            );
            Some(check.hint(format!("`trueup doctor --context {opened}` examines that one; --context {context} makes a command use this one")))
        })
        .collect()
}

async fn cluster(checks: &mut Vec<Check>, settings: &Settings, wired: &Wired, world: &World) {
    let context = wired.hub.context();
    let Some(pin) = &world.pin else {
        checks.push(
            Check::new(
                format!("cluster {context}"),
                Status::Error,
                match world.errors.first() {
                    Some(error) => format!("not reached: {}", error.why),
                    None => "not reached".to_owned(),
                },
            )
            .needed_for("everything"),
        );
        return;
    };
    checks.push(Check::new(
        format!("cluster {context}"),
        Status::Ok,
        format!("{} at {}", pin.version, pin.server),
    ));
    checks.extend(other_contexts(settings, context));
    let kind = Kind::new("argoproj.io", "v1alpha1", "Application");
    match wired
        .hub
        .served(std::slice::from_ref(&kind))
        .await
        .map(|mut served| served.pop().flatten())
    {
        Ok(Some(_)) => {
            let count = world.applications.len();
            let namespace = wired.reader.namespace();
            checks.push(match count {
                // The permission is named by itself.
                0 if unlisted(world) => Check::new(
                    "Argo CD",
                    Status::Error,
                    "its Applications may not be listed",
                )
                .needed_for("everything"),
                0 => Check::new(
                    "Argo CD",
                    Status::Missing,
                    format!("no Application in namespace {namespace}"),
                )
                .needed_for("everything")
                .hint("name Argo CD's namespace with --namespace"),
                count => Check::new(
                    "Argo CD",
                    Status::Ok,
                    format!("{count} applications of namespace {namespace} can be read"),
                ),
            });
        }
        Ok(None) => checks.push(
            Check::new(
                "Argo CD",
                Status::Missing,
                "this cluster has no Applications (argoproj.io/v1alpha1)",
            )
            .needed_for("everything")
            .hint("choose the cluster that Argo CD runs on with --context"),
        ),
        Err(error) => checks.push(Check::new("Argo CD", Status::Error, error.why).hint(error.hint)),
    }
    for (name, cluster) in &wired.destinations {
        let check = match cluster.pin().await {
            Ok(pin) => Check::new(
                format!("destination {name}"),
                Status::Ok,
                format!("{} at {}", pin.version, pin.server),
            ),
            Err(error) => {
                Check::new(format!("destination {name}"), Status::Error, error.why).hint(error.hint)
            }
        };
        checks.push(check);
    }
}

fn unlisted(world: &World) -> bool {
    world.permissions.iter().any(|(need, grant)| {
        let permission = &need.permission;
        grant.allowed == Some(false)
            && (permission.verb.as_str(), permission.resource.as_str()) == ("list", "applications")
    })
}

async fn author(checks: &mut Vec<Check>, wired: &Wired, world: &World, settings: &Settings) {
    let urls: BTreeSet<&str> = world
        .applications
        .values()
        .map(|app| app.repo_url.as_str())
        .filter(|url| !url.is_empty())
        .collect();
    for url in urls {
        let name = format!("repository {}", without_credentials(url));
        let head = world.heads.iter().find(|((known, _), _)| known == url);
        let repo = wired.repos.open(url).await;
        checks.push(match (head, &repo) {
            (Some(((_, revision), sha)), _) => {
                Check::new(name, Status::Ok, format!("{revision} is at {sha}"))
            }
            // Nothing is wrong with the repository: this machine cannot keep a copy of it.
            (None, Err(error)) if error.failure == GitFailure::Local => Check::new(
                name,
                Status::Error,
                format!(
                    "not looked at: its mirror in the state folder cannot be made: {}",
                    error.why
                ),
            )
            .needed_for("seeing what Git says, and pushing")
            .hint(error.hint.clone()),
            // Its error is among the report's.
            (None, _) => Check::new(name, Status::Missing, "not read")
                .needed_for("seeing what Git says, and pushing"),
        });
        let author = match repo {
            Ok(repo) => repo.author(),
            Err(_) => settings.author.clone(),
        };
        let name = "author of commits";
        if checks.iter().any(|check| check.name == name) {
            continue;
        }
        checks.push(match author {
            Some(author) => Check::new(name, Status::Ok, format!("{} <{}>", author.name, author.email)),
            None => {
                let author = Author::made_up(&app::operator(), &app::host());
                Check::new(
                    name,
                    Status::Limited,
                    format!(
                        "Git's configuration names nobody: a commit will say {} <{}>",
                        author.name, author.email
                    ),
                )
                .hint("run `git config --global user.name …` and `user.email …`, or set [git] in the settings file, for another name")
            }
        });
    }
}

fn permission(need: &crate::engine::read::Need, grant: &crate::ports::Grant) -> Check {
    let name = need.permission.to_string();
    let check = match grant.allowed {
        Some(true) => Check::new(name, Status::Ok, ""),
        Some(false) if need.optional => Check::new(name, Status::Limited, "not allowed"),
        Some(false) => Check::new(name, Status::Missing, "not allowed"),
        None => Check::new(
            name,
            Status::Error,
            format!("could not be asked: {}", grant.why),
        ),
    };
    Check {
        role: roles::name(need.role),
        ..check.needed_for(&need.needed_for)
    }
}

async fn metrics(checks: &mut Vec<Check>, settings: &Settings) {
    let Some(url) = &settings.prometheus else {
        checks.push(
            Check::new("Prometheus", Status::Limited, "none is named")
                .needed_for("gates on metrics")
                .hint("pass --prometheus URL"),
        );
        return;
    };
    let name = format!("Prometheus {}", without_credentials(url));
    let why = match Probes::new(Some(url), no_log()) {
        Err(why) => why,
        Ok(probes) => match probes.metric("vector(1)").await {
            trueup_core::gate::Reading::Value(_) => {
                checks.push(Check::new(name, Status::Ok, "answers"));
                return;
            }
            trueup_core::gate::Reading::Empty => "it answered nothing to vector(1)".to_owned(),
            trueup_core::gate::Reading::Unusable(why)
            | trueup_core::gate::Reading::Unasked(why) => why,
        },
    };
    checks.push(Check::new(name, Status::Missing, why).needed_for("gates on metrics"));
}
