//! One operator at a time: arming takes a Lease beside the Applications, and keeps it until the close.
//!
//! A Lease is no fence (client-go says so): every write still carries its own guard. It tells a second operator that
//! somebody is here.

use std::{
    path::Path,
    sync::Weak,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::{Value, json};
use trueup_core::{
    event::{Armed, Event},
    object::identity::ObjectRef,
    policy::FIELD_MANAGER,
    text,
};

use super::super::{state::Engine, trouble::Trouble};
use crate::ports::{ReadFailure, WriteError, WriteKind, WriteRequest};

/// How long a Lease is good without being renewed.
const GOOD_FOR: i64 = 60;
/// How often it is renewed.
const RENEW: Duration = Duration::from_secs(20);

impl Engine {
    fn lease(&self) -> ObjectRef {
        self.lease_of(self.run().id())
    }

    fn lease_of(&self, incident: &str) -> ObjectRef {
        ObjectRef {
            group: "coordination.k8s.io".into(),
            version: "v1".into(),
            kind: "Lease".into(),
            namespace: Some(self.setting.namespace.clone()),
            name: format!("trueup-{}", incident.to_lowercase().replace('_', "-")),
        }
    }

    /// What another incident froze is taken over only when nobody holds its Lease any more.
    pub(in super::super) async fn nobody_works_on(&self, incident: &str) -> Result<(), Trouble> {
        let lease = self.lease_of(incident);
        let held = match self.ports.cluster.get(&lease).await {
            // Who may have no Lease is noticed by nobody, as arming says.
            Err(error) if matches!(error.failure, ReadFailure::NotServed) => None,
            held => held?,
        };
        // An incident of the same name has the same Lease, and who holds that is we.
        let ours = if incident == self.run().id() {
            self.holder()
        } else {
            String::new()
        };
        match held.as_ref().and_then(|held| self.held(held, &ours)) {
            None => Ok(()),
            Some(other) => Err(Trouble::Waiting(text::line(&format!(
                "somebody works on {incident}: {other}; talk to them, or wait until the Lease {} runs out",
                lease.name
            )))),
        }
    }

    /// Who held the Lease of an incident last, where it tells: whoever leaves gives it up and is not in it any more.
    pub(in super::super) async fn last_holder(&self, incident: &str) -> Option<String> {
        let lease = self
            .ports
            .cluster
            .get(&self.lease_of(incident))
            .await
            .ok()??;
        let of_spec = |field: &str| lease.pointer("/spec")?.get(field)?.as_str();
        let identity = of_spec("holderIdentity").filter(|holder| !holder.is_empty())?;
        let holder = identity
            .rsplit_once('#')
            .map_or(identity, |(holder, _)| holder);
        // Two incidents of one name have one Lease, which we have taken before anything is refused.
        if holder == self.holder() {
            return None;
        }
        let renewed: Timestamp = of_spec("renewTime")?.parse().ok()?;
        let at_work = match self.held(&lease, "") {
            Some(_) => "at work on it",
            None => "last at work on it",
        };
        Some(text::line(&format!(
            "{at_work}: {holder}, seen {}",
            renewed.strftime("%-d %b %H:%M:%S UTC")
        )))
    }

    fn holder(&self) -> String {
        text::line(&format!(
            "{}@{}/{}",
            self.setting.operator, self.setting.host, self.setting.folder
        ))
    }

    /// Arms, and takes the Lease where the cluster may be written.
    pub(in super::super) async fn arm(&self, write: Armed) -> Result<(), Trouble> {
        if write.cluster() {
            self.take_lease().await?;
        }
        if self.run().armed != write {
            self.record(Event::Armed {
                write,
                by: self.setting.operator.clone(),
                host: self.setting.host.clone(),
                pid: std::process::id(),
            })?;
        }
        Ok(())
    }

    async fn take_lease(&self) -> Result<(), Trouble> {
        let began = Instant::now();
        let lease = self.lease();
        let by_hand = format!(
            "kubectl -n {} get lease {} -o yaml",
            self.setting.namespace, lease.name
        );
        let held = match self.ports.cluster.get(&lease).await {
            Ok(held) => held,
            Err(error)
                if matches!(
                    error.failure,
                    ReadFailure::Forbidden | ReadFailure::NotServed
                ) =>
            {
                return self.logged(
                    by_hand,
                    format!("no Lease: {}; a second operator is not noticed", error.why),
                    began.elapsed(),
                );
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(other) = held.as_ref().and_then(|held| self.held_by_another(held)) {
            return Err(Trouble::Waiting(format!(
                "another operator works on this incident: {other}; wait until the Lease {} runs out, or talk to them",
                lease.name
            )));
        }
        let (kind, body) = self.lease_body(&lease, held.as_ref());
        let result = match self.write_lease(&lease, kind, body).await {
            Ok(()) => format!("taken, renewed every {} s until the close", RENEW.as_secs()),
            Err(WriteError::Refused { code: 403, .. }) => {
                "no right to a Lease; a second operator is not noticed".to_owned()
            }
            Err(error) => {
                return Err(Trouble::failed(
                    "take the Lease of this incident",
                    &error,
                    "arm again; `trueup doctor` lists the permissions",
                ));
            }
        };
        self.logged(
            format!("{by_hand} # taken by trueup"),
            result,
            began.elapsed(),
        )
    }

    fn held_by_another(&self, lease: &Value) -> Option<String> {
        self.held(lease, &self.holder())
    }

    /// Who holds a Lease that is still good, unless it is the one named. A process of this machine that is gone holds nothing.
    fn held(&self, lease: &Value, but: &str) -> Option<String> {
        let identity = lease
            .pointer("/spec/holderIdentity")
            .and_then(Value::as_str)
            .filter(|h| !h.is_empty())?;
        let (holder, process) = identity.rsplit_once('#').unwrap_or((identity, ""));
        let host = holder.rsplit_once('@').map_or("", |(_, place)| place);
        let here = host.split('/').next() == Some(self.setting.host.as_str());
        let renewed: Timestamp = lease
            .pointer("/spec/renewTime")
            .and_then(Value::as_str)?
            .parse()
            .ok()?;
        let age = self.ports.clock.now().duration_since(renewed).as_secs();
        (holder != but && age < GOOD_FOR && !(here && is_gone(process)))
            .then(|| text::line(&format!("{holder}, seen {age} s ago")))
    }

    fn lease_body(&self, lease: &ObjectRef, held: Option<&Value>) -> (WriteKind, Value) {
        let now = format!("{:.6}", self.ports.clock.now());
        let holder = format!("{}#{}", self.holder(), std::process::id());
        let of_held = |field: &str| held?.get("spec")?.get(field);
        // As the client library of Kubernetes does: only another holder acquires it.
        let acquired = of_held("acquireTime")
            .filter(|_| of_held("holderIdentity").and_then(Value::as_str) == Some(&holder));
        let spec = json!({
            "holderIdentity": holder,
            "leaseDurationSeconds": GOOD_FOR,
            "acquireTime": acquired.unwrap_or(&Value::from(now.as_str())),
            "renewTime": now,
        });
        let (kind, mut body) = match held {
            None => {
                let body = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {"name": lease.name, "namespace": lease.namespace},
                });
                (WriteKind::Create, body)
            }
            Some(held) => (WriteKind::Replace, held.clone()),
        };
        body["spec"] = spec;
        (kind, body)
    }

    async fn write_lease(
        &self,
        lease: &ObjectRef,
        kind: WriteKind,
        body: Value,
    ) -> Result<(), WriteError> {
        let request = WriteRequest {
            object: lease.clone(),
            kind,
            body,
            dry_run: false,
            field_manager: FIELD_MANAGER.into(),
            subresource: None,
        };
        self.ports.cluster.write(&request).await.map(|_| ())
    }

    /// Keeps the Lease; a failure shows in the command log and stops nothing.
    pub(in super::super) async fn renew_lease(&self) {
        let lease = self.lease();
        if let Ok(Some(held)) = self.ports.cluster.get(&lease).await
            && self.held_by_another(&held).is_none()
        {
            let (kind, body) = self.lease_body(&lease, Some(&held));
            let _ = self.write_lease(&lease, kind, body).await;
        }
    }

    /// Gives the Lease up when a process ends before the close; one that is killed leaves it to run out.
    pub async fn leave(&self) {
        if self.run().closed.is_none() {
            // Leaving waits for nobody.
            let _ = tokio::time::timeout(Duration::from_secs(1), self.release_lease()).await;
        }
    }

    /// Gives the Lease up, so that nobody waits for it to run out.
    pub(in super::super) async fn release_lease(&self) {
        if !self.run().armed.cluster() {
            return;
        }
        let lease = self.lease();
        if let Ok(Some(mut held)) = self.ports.cluster.get(&lease).await
            && self.held_by_another(&held).is_none()
        {
            held["spec"]["holderIdentity"] = Value::from("");
            let began = Instant::now();
            let result = match self.write_lease(&lease, WriteKind::Replace, held).await {
                Ok(()) => "released".to_owned(),
                Err(error) => error.to_string(),
            };
            let _ = self.logged(
                format!(
                    "kubectl -n {} get lease {} # released by trueup",
                    self.setting.namespace, lease.name
                ),
                result,
                began.elapsed(),
            );
        }
    }
}

/// Whether a process is known not to be there any more; where processes cannot be seen, none is.
fn is_gone(process: &str) -> bool {
    let own = Path::new("/proc/self").exists();
    own && process
        .parse::<u32>()
        .is_ok_and(|id| !Path::new("/proc").join(id.to_string()).exists())
}

/// Renews the Lease beside whatever else goes on, for as long as the engine is there.
pub async fn keep(engine: Weak<Engine>) {
    let mut every = tokio::time::interval(RENEW);
    every.tick().await;
    loop {
        every.tick().await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        if engine.run().armed.cluster() && engine.run().closed.is_none() {
            engine.renew_lease().await;
        }
    }
}
