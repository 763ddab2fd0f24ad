//! From a kubeconfig to two clients, with errors that a person can act on.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ::kube::config::{Config, ExecInteractiveMode, KubeConfigOptions, Kubeconfig};
use http::header::{HeaderValue, USER_AGENT};
use sha2::{Digest, Sha256};

use super::client::clients;
use super::{ConnectOptions, Inner, KubeCluster, discovery};
use crate::ports::{ReadError, ReadFailure};

/// A credential plugin that takes longer is given up on.
const PLUGIN_DEADLINE: Duration = Duration::from_secs(30);
const CONNECT_DEADLINE: Duration = Duration::from_secs(5);

/// The contexts that a kubeconfig offers and the current one.
pub fn contexts(kubeconfig: Option<&Path>) -> Result<(Vec<String>, Option<String>), ReadError> {
    let config = load(kubeconfig)?;
    Ok((
        config
            .contexts
            .into_iter()
            .map(|named| named.name)
            .collect(),
        config.current_context,
    ))
}

pub(super) async fn connect(options: ConnectOptions) -> Result<KubeCluster, ReadError> {
    // Two TLS providers in one program make the first client panic; whoever comes first decides for all.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut kubeconfig = load(options.kubeconfig.as_deref())?;
    for named in &mut kubeconfig.auth_infos {
        if let Some(exec) = named.auth_info.as_mut().and_then(|info| info.exec.as_mut()) {
            // A plugin that asks questions would fight the screen for the keyboard.
            exec.interactive_mode = Some(ExecInteractiveMode::Never);
        }
    }
    let known: Vec<String> = kubeconfig
        .contexts
        .iter()
        .map(|named| named.name.clone())
        .collect();
    if known.is_empty() {
        return Err(settings(
            "choose a context",
            "the kubeconfig has none",
            "pass --kubeconfig with a file that has one (`kubectl config get-contexts` lists them), or set KUBECONFIG",
        ));
    }
    let context = match options
        .context
        .clone()
        .or_else(|| kubeconfig.current_context.clone())
    {
        Some(context) if known.contains(&context) => context,
        Some(context) => {
            return Err(settings(
                &format!("use context {context:?}"),
                "the kubeconfig does not have it",
                &format!("choose one of: {}", known.join(", ")),
            ));
        }
        None => {
            return Err(settings(
                "choose a context",
                "the kubeconfig names no current context",
                &format!("pass --context with one of: {}", known.join(", ")),
            ));
        }
    };
    let other_context = current_on_the_same_server(&kubeconfig, &context);
    let chosen = KubeConfigOptions {
        context: Some(context.clone()),
        cluster: None,
        user: None,
    };
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &chosen)
        .await
        .map_err(|error| {
            settings(
                &format!("use context {context:?}"),
                &error.to_string(),
                "check the context's cluster and user in the kubeconfig",
            )
        })?;
    config.connect_timeout = Some(CONNECT_DEADLINE);
    config.headers.push((
        USER_AGENT,
        HeaderValue::from_static(concat!("trueup/", env!("CARGO_PKG_VERSION"))),
    ));
    let server = config.cluster_url.to_string();
    let ca_digest = match &config.root_cert {
        Some(certificates) => {
            let mut hash = Sha256::new();
            certificates.iter().for_each(|der| hash.update(der));
            hash.finalize()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        }
        None => String::new(),
    };
    // Building a client may run a credential plugin and wait for it.
    let build = tokio::task::spawn_blocking(move || clients(&config));
    let (reads, effects) = match tokio::time::timeout(PLUGIN_DEADLINE, build).await {
        Ok(Ok(Ok(clients))) => clients,
        Ok(Ok(Err(error))) => {
            return Err(ReadError {
                failure: ReadFailure::Unauthenticated,
                what: format!("log in to {server} as context {context:?} says"),
                why: describe(&error),
                hint: "run `kubectl get namespaces` with the same context; renew the credentials if it fails too".into(),
            });
        }
        Ok(Err(_)) | Err(_) => {
            return Err(ReadError {
                failure: ReadFailure::Unauthenticated,
                what: format!("log in to {server} as context {context:?} says"),
                why: format!(
                    "the credential plugin did not answer within {} s",
                    PLUGIN_DEADLINE.as_secs()
                ),
                hint: "log in with it in another terminal first; it is run without a keyboard here"
                    .into(),
            });
        }
    };
    Ok(KubeCluster {
        inner: Arc::new(Inner {
            reads,
            effects,
            server,
            ca_digest,
            context,
            other_context,
            options,
            discovery: discovery::Cache::default(),
            caches: tokio::sync::OnceCell::new(),
            probed: std::sync::Mutex::default(),
        }),
    })
}

/// The current context, where that is another one than `chosen` and asks the same server: who is not allowed something as one of
/// them may be as the other.
fn current_on_the_same_server(kubeconfig: &Kubeconfig, chosen: &str) -> Option<String> {
    let current = kubeconfig.current_context.as_deref()?;
    let server = |context: &str| {
        let mut contexts = kubeconfig.contexts.iter();
        let named = contexts.find(|named| named.name == context)?;
        let cluster = &named.context.as_ref()?.cluster;
        let mut clusters = kubeconfig.clusters.iter();
        let named = clusters.find(|named| named.name == *cluster)?;
        named.cluster.as_ref()?.server.as_deref()
    };
    let same = server(current).is_some() && server(current) == server(chosen);
    (current != chosen && same).then(|| current.to_owned())
}

fn load(path: Option<&Path>) -> Result<Kubeconfig, ReadError> {
    let (read, what) = match path {
        Some(path) => (
            Kubeconfig::read_from(path),
            format!("read the kubeconfig {}", path.display()),
        ),
        None => (Kubeconfig::read(), "read the kubeconfig".to_owned()),
    };
    read.map_err(|error| {
        settings(
            &what,
            &error.to_string(),
            "pass --kubeconfig, or set KUBECONFIG to a file that kubectl can use",
        )
    })
}

fn settings(what: &str, why: &str, hint: &str) -> ReadError {
    ReadError {
        failure: ReadFailure::Settings,
        what: what.into(),
        why: why.into(),
        hint: hint.into(),
    }
}

/// An error chain in words. A credential plugin's output may hold a token and is never repeated.
pub(super) fn describe(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut current = Some(error);
    while let Some(error) = current {
        if let Some(auth) = error.downcast_ref::<::kube::client::AuthError>() {
            words.push(describe_auth(auth));
            break;
        }
        if let Some(::kube::Error::Auth(auth)) = error.downcast_ref::<::kube::Error>() {
            words.push(describe_auth(auth));
            break;
        }
        let text = error.to_string();
        current = error.source();
        // Wrappers that print their source would say everything twice.
        let wraps = current.is_some_and(|source| text.contains(&source.to_string()));
        if !wraps && !words.last().is_some_and(|last| last.contains(&text)) {
            words.push(text);
        }
    }
    words.join(": ")
}

fn describe_auth(error: &::kube::client::AuthError) -> String {
    use ::kube::client::AuthError;
    match error {
        AuthError::AuthExecRun { cmd, out } => {
            let program = cmd
                .trim_matches('"')
                .split_whitespace()
                .next()
                .unwrap_or("plugin")
                .to_owned();
            format!("the credential plugin {program} ended with {}", out.status)
        }
        AuthError::AuthExecStart(source) => {
            format!("the credential plugin could not be started: {source}")
        }
        AuthError::AuthExecParse(_) => {
            "the credential plugin's answer could not be read".to_owned()
        }
        AuthError::AuthExec(_) => "the credential plugin failed".to_owned(),
        AuthError::ReadTokenFile(source, path) => {
            format!("token file {}: {source}", path.display())
        }
        _ => "the kubeconfig's credentials could not be used".to_owned(),
    }
}
