//! One object on its way: one PUT when it is small, a multipart upload when it is large, or when it goes to a folder.
//!
//! ```text
//! write ─► waiting (< one part) ─► part tasks (≤ parts_in_flight) ─► store      publish ─► complete, or the one PUT
//!                                        └─ requests (≤ requests per sink, held only while a request is under way)
//! ```
//! The object shows when [`Upload::publish`] returns, and not before. Every chunk's memory is given back when the store has its bytes: with its part, or
//! at the end of the single PUT. An upload that is dropped unpublished is removed from the store in the background.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use object_store::PutPayload;
use object_store::multipart::PartId;
use object_store::path::Path;
use tokio::task::JoinSet;

use super::object::{Object, Started};
use super::objects::{Flavor, Inner};
use super::{Chunk, Condition, Published, StoreError, StoreErrorKind, Upload};
use crate::memory::Permit;

/// Most parts of one object: the limit of S3 and GCS.
const MAX_PARTS: usize = 10_000;

/// How long `abort` waits for the store.
const ABORT_WAIT: Duration = Duration::from_secs(5);

/// How long parts that are under way may take to end before they are cut off, and how long a store may take to carry out what was cut off.
const PARTS_WAIT: Duration = Duration::from_secs(2);

/// Bytes that wait, with the memory of the chunk that they came in; the parts that share a chunk share its permit.
struct Held {
    bytes: Bytes,
    permit: Arc<Permit>,
}

/// Takes the first `length` bytes out of what waits.
fn cut(waiting: &mut VecDeque<Held>, length: usize) -> Vec<Held> {
    let mut rest = length;
    let mut part = Vec::new();
    while rest > 0 {
        let Some(mut held) = waiting.pop_front() else { break };
        if held.bytes.len() > rest {
            part.push(Held { bytes: held.bytes.split_to(rest), permit: Arc::clone(&held.permit) });
            waiting.push_front(held);
            break;
        }
        rest -= held.bytes.len();
        part.push(held);
    }
    part
}

struct Parts {
    started: Started,
    tasks: JoinSet<Result<(usize, PartId), StoreError>>,
    done: Vec<(usize, PartId)>,
    count: usize,
}

impl Parts {
    /// Sends one part, and gives its memory back when it is stored.
    async fn upload(object: Arc<Object>, started: Started, index: usize, held: Vec<Held>) -> Result<(usize, PartId), StoreError> {
        let id = started.await?;
        let payload: PutPayload = held.iter().map(|held| held.bytes.clone()).collect();
        Ok((index, object.put_part(&id, index, payload).await?))
    }

    /// Waits for one part task.
    async fn join(&mut self, object: &Object) -> Result<(), StoreError> {
        match self.tasks.join_next().await {
            Some(Ok(part)) => self.done.push(part?),
            Some(Err(error)) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Some(Err(_)) => return Err(object.error(StoreErrorKind::Vanished, "a part's task was cancelled")),
            None => {}
        }
        Ok(())
    }
}

enum State {
    Open,
    Sealed,
    Published,
    Failed(StoreError),
}

pub(super) struct ObjectUpload {
    object: Arc<Object>,
    state: State,
    waiting: VecDeque<Held>,
    waiting_bytes: usize,
    parts: Option<Parts>,
    attributes: Vec<(&'static str, String)>,
}

impl ObjectUpload {
    /// An upload to `key`, or one that fails as its name does.
    pub(super) fn new(sink: Arc<Inner>, key: String, path: Result<Path, StoreError>, content_type: &'static str, known: Vec<(&'static str, String)>) -> Self {
        let (path, state) = match path {
            Ok(path) => (path, State::Open),
            Err(error) => (Path::ROOT, State::Failed(error)),
        };
        let object = Arc::new(Object::new(sink, key, path, content_type, known));
        Self { object, state, waiting: VecDeque::new(), waiting_bytes: 0, parts: None, attributes: Vec::new() }
    }

    /// Notes a failure, so that nothing but `abort` does anything after it.
    fn note<T>(&mut self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result {
            self.state = State::Failed(error.clone());
        }
        result
    }

    fn still(&self, wanted: &'static str) -> Result<(), StoreError> {
        match (&self.state, wanted) {
            (State::Failed(error), _) => Err(error.clone()),
            (State::Open, "open") | (State::Sealed | State::Published, "sealed") => Ok(()),
            _ => Err(self.object.error(StoreErrorKind::Vanished, &format!("used when it was not {wanted}"))),
        }
    }

    /// Sends the next `length` bytes as a part; waits for room in the window. Cancel-safe: nothing leaves what waits before there is room.
    async fn send(&mut self, length: usize) -> Result<(), StoreError> {
        let object = &self.object;
        let parts = self.parts.get_or_insert_with(|| Parts { started: object.start(), tasks: JoinSet::new(), done: Vec::new(), count: 0 });
        if parts.count == MAX_PARTS {
            let what = format!("it would need more than {MAX_PARTS} parts: raise the part size (s3.part.size), or end files earlier");
            return Err(object.error(StoreErrorKind::BadConfig, &what));
        }
        while parts.tasks.len() >= object.sink.tuning.parts_in_flight {
            parts.join(object).await?;
        }
        let held = cut(&mut self.waiting, length);
        self.waiting_bytes -= length;
        parts.tasks.spawn(Parts::upload(Arc::clone(object), parts.started.clone(), parts.count, held));
        parts.count += 1;
        Ok(())
    }

    async fn take(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.still("open")?;
        if chunk.bytes.is_empty() {
            return Ok(());
        }
        self.waiting_bytes += chunk.bytes.len();
        self.waiting.push_back(Held { bytes: chunk.bytes, permit: Arc::new(chunk.permit) });
        let part_size = self.object.sink.tuning.part_size;
        while self.waiting_bytes >= part_size {
            self.send(part_size).await?;
        }
        Ok(())
    }

    async fn store_all(&mut self) -> Result<(), StoreError> {
        self.still("open")?;
        // A folder stages its small objects too: under names of its own, where nobody else's rename meets them.
        let is_staged = self.parts.is_none() && self.object.sink.place.flavor == Flavor::Folder;
        if is_staged || (self.parts.is_some() && self.waiting_bytes > 0) {
            self.send(self.waiting_bytes).await?;
        }
        if let Some(parts) = &mut self.parts {
            while !parts.tasks.is_empty() {
                parts.join(&self.object).await?;
            }
            parts.done.sort_unstable_by_key(|(index, _)| *index);
        }
        Ok(())
    }

    async fn show(&self, condition: Condition) -> Result<Published, StoreError> {
        self.still("sealed")?;
        match &self.parts {
            _ if matches!(self.state, State::Published) => Ok(Published::Visible),
            Some(parts) => {
                let id = parts.started.clone().await?;
                let done: Vec<PartId> = parts.done.iter().map(|(_, part)| part.clone()).collect();
                self.object.complete(&id, &done, &self.attributes, condition).await
            }
            None => {
                let payload = self.waiting.iter().map(|held| held.bytes.clone()).collect();
                self.object.put(payload, &self.attributes, condition).await
            }
        }
    }
}

#[async_trait]
impl Upload for ObjectUpload {
    async fn write(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        let result = self.take(chunk).await;
        self.note(result)
    }

    async fn seal(&mut self, attributes: Vec<(&'static str, String)>) -> Result<(), StoreError> {
        self.attributes = attributes;
        let result = self.store_all().await;
        self.note(result)?;
        self.state = State::Sealed;
        Ok(())
    }

    async fn publish(&mut self, condition: Condition) -> Result<Published, StoreError> {
        let result = self.show(condition).await;
        let published = self.note(result)?;
        if published == Published::Visible {
            self.state = State::Published;
            self.waiting.clear();
        }
        Ok(published)
    }

    async fn tag(&mut self, tags: &[(String, String)]) -> Result<(), StoreError> {
        match self.state {
            State::Published => self.object.tag(tags).await, // what fails here takes nothing back
            _ => Err(self.object.error(StoreErrorKind::Vanished, "tagged before it was published")),
        }
    }

    async fn abort(&mut self) {
        if let Some(removal) = self.give_up() {
            // A store that is down must not hold up a rebalance: the removal goes on without us.
            drop(tokio::time::timeout(ABORT_WAIT, tokio::spawn(removal)).await);
        }
    }
}

impl ObjectUpload {
    /// Ends everything that goes on; what is left to do is removing the parts that the store has.
    fn give_up(&mut self) -> Option<impl Future<Output = ()> + Send + use<>> {
        if matches!(self.state, State::Published) {
            return None;
        }
        self.waiting.clear();
        self.waiting_bytes = 0;
        self.state = State::Failed(self.object.error(StoreErrorKind::Vanished, "it was aborted"));
        self.object.given_up.cancel();
        let mut parts = self.parts.take()?;
        let object = Arc::clone(&self.object);
        Some(async move {
            let drain = async { while parts.tasks.join_next().await.is_some() {} };
            let is_cut_off = tokio::time::timeout(PARTS_WAIT, drain).await.is_err();
            parts.tasks.shutdown().await;
            let Ok(id) = parts.started.await else { return };
            object.remove(&id).await;
            if is_cut_off {
                // A part that arrives after the abort can bring the upload back (S3's AbortMultipartUpload says so): abort again.
                tokio::time::sleep(PARTS_WAIT).await;
                object.remove(&id).await;
            }
        })
    }
}

impl Drop for ObjectUpload {
    fn drop(&mut self) {
        if let (Some(removal), Ok(runtime)) = (self.give_up(), tokio::runtime::Handle::try_current()) {
            drop(runtime.spawn(removal));
        }
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::{Error, MultipartId, ObjectStoreExt as _, PutMultipartOptions, Result};
    use proptest::prelude::*;

    use super::*;
    use crate::connect::Health;
    use crate::memory::Budget;
    use crate::store::ObjectSink as _;
    use crate::store::objects::{Objects, Place, Tuning};

    fn sink(store: &Arc<InMemory>, parts: Arc<dyn object_store::multipart::MultipartStore>, part_size: usize) -> Objects {
        let place = Place { flavor: Flavor::Memory, root: String::new(), prefix: "p/".to_owned(), endpoint: None };
        Objects::new(Arc::clone(store) as _, parts, place, "probe", Tuning { part_size, ..Tuning::default() }, Health::default())
    }

    async fn stored(store: &InMemory, key: &str) -> Option<Bytes> {
        store.get(&Path::from(key)).await.ok()?.bytes().await.ok()
    }

    fn chunk(budget: &Budget, bytes: &[u8]) -> Chunk {
        Chunk { bytes: Bytes::copy_from_slice(bytes), permit: budget.take(bytes.len() as u64) }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// However the bytes are cut into chunks and parts: nothing shows before publish, then exactly they do, and all memory is given back.
        #[test]
        fn chunks_become_the_object(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20), part_size in 1_usize..64) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(async {
                let (store, budget) = (Arc::new(InMemory::new()), Budget::new(1));
                let sink = sink(&store, Arc::clone(&store) as _, part_size);
                let mut upload = sink.open("k".to_owned(), "text/plain", Vec::new());
                for bytes in &chunks {
                    upload.write(chunk(&budget, bytes)).await.unwrap();
                }
                upload.seal(vec![]).await.unwrap();
                assert_eq!(stored(&store, "p/k").await, None);
                upload.publish(Condition::Overwrite).await.unwrap();
                assert_eq!(stored(&store, "p/k").await.unwrap(), chunks.concat());
                assert_eq!(budget.used(), 0);
            });
        }
    }

    /// Parts that are never stored, until told so.
    #[derive(Debug)]
    struct Stuck(Arc<InMemory>, tokio::sync::watch::Receiver<bool>);

    #[async_trait]
    impl object_store::multipart::MultipartStore for Stuck {
        async fn create_multipart(&self, path: &Path) -> Result<MultipartId> {
            self.0.create_multipart(path).await
        }
        async fn create_multipart_opts(&self, path: &Path, _opts: PutMultipartOptions) -> Result<MultipartId> {
            self.0.create_multipart(path).await
        }
        async fn put_part(&self, path: &Path, id: &MultipartId, index: usize, data: PutPayload) -> Result<PartId> {
            drop(self.1.clone().wait_for(|open| *open).await);
            self.0.put_part(path, id, index, data).await
        }
        async fn complete_multipart(&self, path: &Path, id: &MultipartId, parts: Vec<PartId>) -> Result<object_store::PutResult> {
            self.0.complete_multipart(path, id, parts).await
        }
        async fn abort_multipart(&self, _: &Path, _: &MultipartId) -> Result<()> {
            Err(Error::NotImplemented { operation: "abort".to_owned(), implementer: "Stuck".to_owned() })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_that_is_cancelled_while_the_window_is_full_has_handed_its_bytes_over() {
        let (store, budget, (open, is_open)) = (Arc::new(InMemory::new()), Budget::new(1), tokio::sync::watch::channel(false));
        let sink = sink(&store, Arc::new(Stuck(Arc::clone(&store), is_open)), 4);
        let mut upload = sink.open("k".to_owned(), "text/plain", Vec::new());
        for bytes in [b"0123", b"4567", b"89ab", b"cdef"] {
            upload.write(chunk(&budget, bytes)).await.unwrap();
        }
        let wait = Duration::from_secs(1);
        assert!(tokio::time::timeout(wait, upload.write(chunk(&budget, b"ghij"))).await.is_err(), "four parts are on their way: the fifth waits");
        assert_eq!(budget.used(), 20);
        open.send(true).unwrap();
        upload.write(chunk(&budget, b"klm")).await.unwrap();
        upload.seal(vec![]).await.unwrap();
        upload.publish(Condition::Overwrite).await.unwrap();
        assert_eq!(stored(&store, "p/k").await.unwrap(), "0123456789abcdefghijklm");
    }

    #[tokio::test(start_paused = true)]
    async fn an_abort_returns_also_when_the_store_does_not_answer() {
        let (store, budget, (_open, is_open)) = (Arc::new(InMemory::new()), Budget::new(1), tokio::sync::watch::channel(false));
        let sink = sink(&store, Arc::new(Stuck(Arc::clone(&store), is_open)), 4);
        let mut upload = sink.open("k".to_owned(), "text/plain", Vec::new());
        upload.write(chunk(&budget, b"012345")).await.unwrap();
        let began = tokio::time::Instant::now();
        upload.abort().await;
        assert!(began.elapsed() <= ABORT_WAIT);
        assert_eq!(budget.used(), 0);
        assert_eq!(upload.write(chunk(&budget, b"x")).await.unwrap_err().message, "upload of memory:///p/k: it was aborted");
    }

    #[tokio::test]
    async fn the_calls_come_in_their_order() {
        let (store, budget) = (Arc::new(InMemory::new()), Budget::new(1));
        let mut upload = sink(&store, Arc::clone(&store) as _, 4).open("k".to_owned(), "text/plain", Vec::new());
        assert_eq!(upload.publish(Condition::Overwrite).await.unwrap_err().message, "upload of memory:///p/k: used when it was not sealed");
        assert!(upload.write(chunk(&budget, b"x")).await.is_err(), "only abort may follow an error");
        upload.abort().await;
    }
}
