//! Secret values shown by hand: read fresh, recorded before they are shown, kept nowhere.

use std::sync::Arc;

use trueup_core::{
    decision::CellKey,
    event::Event,
    object::{
        identity::ObjectRef,
        redact::{plain, secret_key},
    },
    sheet::Refusal,
    text,
};

use super::super::{
    handle::{Revealed, Update},
    read::AppSeen,
    state::Engine,
    trouble::Trouble,
};

impl Engine {
    /// Reads the values of Secret fields and hands them to the front end. Who revealed what is durable before anything is
    /// handed over, and nothing is where that cannot be written down.
    pub(in super::super) async fn reveal(&self, cells: &[CellKey]) -> Result<(), Trouble> {
        if self.run().closed.is_some() || self.run().id().is_empty() {
            return Err(Refusal::new(
                7,
                "no incident is open in which it could be recorded",
                "use kubectl",
            )
            .into());
        }
        let (world, now) = self.seen_or_look().await?;
        let mut shown = Vec::with_capacity(cells.len());
        for cell in cells {
            let key = secret_key(&cell.field)
                .filter(|_| cell.object.group.is_empty() && cell.object.kind == "Secret")
                .filter(|_| now.cells.contains_key(cell))
                .ok_or_else(|| {
                    Refusal::new(
                        7,
                        text::line(&format!(
                            "{} {} is no secret value in question",
                            cell.object, cell.field
                        )),
                        "put the cursor on the field of a Secret",
                    )
                })?;
            let live = self
                .destination(&cell.application)
                .await?
                .reveal(&cell.object, key)
                .await?;
            let git = world
                .applications
                .get(&cell.application)
                .and_then(|app| in_git(app, &cell.object))
                .and_then(|(secret, file)| Some((plain(secret, key)?, text::line(file))));
            shown.push(Revealed {
                cell: cell.clone(),
                live,
                git,
            });
        }
        for one in &shown {
            let sides = match (&one.live, &one.git) {
                (_, None) => "live",
                (_, Some(_)) => "live and Git",
            };
            self.record(Event::Revealed {
                what: text::line(&format!("{} {} ({sides})", one.cell.object, one.cell.field)),
                by: self.setting.operator.clone(),
            })?;
        }
        self.tell(Update::Revealed(shown));
        Ok(())
    }
}

/// A Secret as the repository has it at the head, and its file.
fn in_git<'a>(app: &'a AppSeen, object: &ObjectRef) -> Option<(&'a serde_json::Value, &'a str)> {
    let rendering = app.rendering.as_ref().map(Arc::as_ref)?;
    rendering
        .objects
        .iter()
        .find(|one| ObjectRef::from_object(&one.object).is_ok_and(|o| o.key() == object.key()))
        .map(|one| (one.object.as_ref(), one.file.as_str()))
}
