//! Whether a store keeps its word when a name must not be taken.
//!
//! Stores turn up that know no conditions, that take them and do not heed them, and that heed them one writer at a time only. So it is tried: some
//! writers put one object at the same moment, another puts it later, and an upload in parts is completed over it. Exactly one of them may succeed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures::future::join_all;
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use tracing::warn;

use super::errors::{Action, Class, Failure, Flavor};
use super::object::Object;
use super::objects::{Inner, parse_key};
use super::retry::Failed;
use super::{Condition, Conditions, Published, StoreError};

/// Writers that put the object at the same moment.
const WRITERS: usize = 4;

/// How often its removal is tried.
const REMOVALS: u32 = 4;

/// Tries it once, and removes what that makes.
///
/// # Errors
/// As of any object that is written beside the real ones.
pub(super) async fn conditions(sink: &Arc<Inner>) -> Result<Conditions, StoreError> {
    let key = format!("{}-{}", sink.probe, Object::random_mark());
    let path = parse_key(&sink.place, &key)?;
    let object = || Arc::new(Object::new(Arc::clone(sink), key.clone(), path.clone(), "application/octet-stream", Vec::new()));
    let found = async {
        // A folder makes every object of parts.
        let has_puts = sink.place.flavor != Flavor::Folder;
        let at_once = join_all((0..WRITERS).map(|_| write(object(), has_puts))).await;
        let mut winners = at_once.into_iter().collect::<Result<Vec<_>, _>>()?.into_iter().filter(|is_visible| *is_visible).count();
        winners += usize::from(write(object(), has_puts).await?);
        let is_completed = write(object(), false).await?;
        let on_put = winners == 1 && !sink.looks_first.load(Ordering::Relaxed);
        let on_complete = !is_completed && !sink.looks_first.load(Ordering::Relaxed) && !matches!(sink.place.flavor, Flavor::Gcs | Flavor::Memory);
        Ok(Conditions { on_put, on_complete })
    };
    let found = found.await;
    remove(sink, &key, &path).await;
    let found = found?;
    // Better a look with a moment between it and the write than no look.
    sink.looks_first.fetch_or(!found.on_put, Ordering::Relaxed);
    sink.completes_after_look.fetch_or(!found.on_complete, Ordering::Relaxed);
    Ok(found)
}

/// Removes the object, a few times over when the store does not answer.
async fn remove(sink: &Inner, key: &str, path: &Path) {
    for attempt in 1..=REMOVALS {
        let removed = {
            let _slot = sink.slot().await;
            sink.objects.delete(path).await
        };
        let failure = match removed {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => return,
            Err(error) => Failure::of(sink.place.flavor, &error),
        };
        if attempt < REMOVALS && failure.class == Class::Transient {
            tokio::time::sleep(sink.tuning.backoff.wait(0, attempt)).await;
            continue;
        }
        let why = match sink.place.judge(Action::Remove, key, attempt, failure) {
            Failed::ForNow(text) => text,
            Failed::ForGood(error) => error.message,
        };
        let object = sink.place.object(key);
        warn!(%object, %why, "an object that tried the store's conditions stays behind: remove it");
        return;
    }
}

/// Writes the object where nobody has the name; true when it is visible.
async fn write(object: Arc<Object>, at_once: bool) -> Result<bool, StoreError> {
    let payload = object_store::PutPayload::from_static(b"lakehead");
    if at_once {
        return Ok(object.put(payload, &[], Condition::IfAbsent).await? == Published::Visible);
    }
    let id = object.start().await?;
    let part = object.put_part(&id, 0, payload).await;
    let published = match part {
        Ok(part) => object.complete(&id, &[part], &[], Condition::IfAbsent).await,
        Err(error) => Err(error),
    };
    if !matches!(published, Ok(Published::Visible)) {
        object.remove(&id).await;
    }
    Ok(published? == Published::Visible)
}
