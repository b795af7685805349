//! Recognises a rollback that nobody declared: a return to the version before.

use deployline_schemas::{Deploy, deploy::Kind};
use deployline_store::{
    StoreError,
    catalog::{Applied, Batch},
};

/// The deploy, marked in the catalog as a rollback if it is one.
///
/// A deploy that brings back the version that its predecessor replaced is a rollback of that predecessor. One that was
/// declared a rollback and names no deploy takes back its predecessor too.
///
/// # Errors
/// When the catalog cannot be asked or written.
pub(super) fn recognised(batch: &Batch<'_>, deploy: Deploy) -> Result<Deploy, StoreError> {
    if deploy.rollback_of.is_some() || !matches!(deploy.kind, Kind::Deploy | Kind::Rollback) {
        return Ok(deploy);
    }
    let Some(previous) = batch.predecessor(&deploy)? else { return Ok(deploy) };
    let returns = match &deploy.version {
        Some(version) => *version != previous.version && previous.replaced.as_ref() == Some(version),
        None => false,
    };
    if !returns && deploy.kind != Kind::Rollback {
        return Ok(deploy);
    }
    let marked = Deploy { kind: Kind::Rollback, rollback_of: Some(previous.id), ..deploy };
    Ok(match batch.apply_deploy(&marked)? {
        Applied::New(deploy) | Applied::Changed(deploy) => deploy,
        Applied::Same => marked,
    })
}
