//! The requests of one object: how it is started, put, completed, found again and tagged.
//!
//! Where the name must not be taken, the store itself is asked to see to it (`If-None-Match: *`, a generation of 0, a second link): two writers cannot
//! both succeed. An answer that says "taken" may be about our own object, whose answer was lost: every object carries a mark of the upload that made it
//! (metadata `lakehead-upload`), and the mark tells. Completing a multipart upload on Google Cloud Storage knows no condition, and stores turn up that
//! know none at all: there it is looked first and written then, which leaves a moment between the two.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::future::{BoxFuture, FutureExt as _, Shared};
use md5::{Digest as _, Md5};
use object_store::multipart::PartId;
use object_store::path::Path;
use object_store::{Attribute, Attributes, Error, GetOptions, MultipartId, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::errors::{Action, Class, Failure, Flavor, Taken, knows_no_condition, taken};
use super::headers::{CompletedAs, Intent, sent_with};
use super::objects::Inner;
use super::retry::Failed;
use super::{Condition, Origin, Published, StoreError, StoreErrorKind};

/// Metadata that names the upload that an object came from.
const MARK: &str = "lakehead-upload";

/// The number of a multipart upload, once it has one.
pub(super) type Started = Shared<BoxFuture<'static, Result<MultipartId, StoreError>>>;

/// What an upload and its tasks share.
pub(super) struct Object {
    pub(super) sink: Arc<Inner>,
    pub(super) key: String,
    path: Path,
    content_type: &'static str,
    /// What was known when it was opened.
    known: Vec<(&'static str, String)>,
    mark: String,
    pub(super) given_up: CancellationToken,
}

/// What is visible under an object's name.
enum Found {
    Nothing,
    Ours,
    Another(Origin),
    /// The store does not let us look.
    Hidden(Error),
}

impl Object {
    pub(super) fn new(sink: Arc<Inner>, key: String, path: Path, content_type: &'static str, known: Vec<(&'static str, String)>) -> Self {
        Self { sink, key, path, content_type, known, mark: Self::random_mark(), given_up: CancellationToken::new() }
    }

    /// A text that nobody else comes up with.
    pub(super) fn random_mark() -> String {
        let random = || RandomState::new().build_hasher().finish(); // the state of a new hasher is random
        format!("{:016x}{:016x}", random(), random())
    }

    async fn request<T, F>(&self, action: Action, request: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = object_store::Result<T>>,
    {
        self.sink.request(action, &self.key, &self.given_up, request).await
    }

    pub(super) fn error(&self, kind: StoreErrorKind, what: &str) -> StoreError {
        StoreError { kind, message: format!("upload of {}: {what}", self.sink.place.object(&self.key)) }
    }

    /// Starts the multipart upload, in a task of its own: it is not cut off half-way, so that its number is known to whoever has to remove it.
    pub(super) fn start(self: &Arc<Self>) -> Started {
        let object = Arc::clone(self);
        let started = tokio::spawn(async move {
            let attributes = match object.sink.place.flavor {
                Flavor::S3 | Flavor::Gcs | Flavor::Memory => object.attributes(&[]),
                Flavor::AzureBlob | Flavor::Folder => Attributes::new(), // Azure takes them at the end, a folder never
            };
            let options = PutMultipartOptions { attributes, ..PutMultipartOptions::default() };
            let starting = object.sink.running.start(&object.key);
            let id = object.request(Action::Create, || object.sink.parts.create_multipart_opts(&object.path, options.clone())).await?;
            starting.numbered(&id);
            Ok(id)
        });
        let object = Arc::clone(self);
        started.map(move |joined| joined.unwrap_or_else(|_| Err(object.error(StoreErrorKind::Vanished, "its task ended")))).boxed().shared()
    }

    pub(super) async fn put_part(&self, id: &MultipartId, index: usize, payload: PutPayload) -> Result<PartId, StoreError> {
        let intent = Intent { md5: self.md5(&payload), ..Intent::default() };
        self.request(Action::Part(index), || sent_with(intent.clone(), self.sink.parts.put_part(&self.path, id, index, payload.clone()))).await
    }

    pub(super) async fn put(&self, payload: PutPayload, given: &[(&'static str, String)], condition: Condition) -> Result<Published, StoreError> {
        let (attributes, md5) = (self.attributes(given), self.md5(&payload));
        let attempt = || async {
            let is_conditional = match self.precondition(condition, false).await? {
                Ok(is_conditional) => is_conditional,
                Err(published) => return Ok(published),
            };
            let mode = if is_conditional { PutMode::Create } else { PutMode::Overwrite };
            let options = PutOptions { mode, attributes: attributes.clone(), ..PutOptions::default() };
            let intent = Intent { md5: md5.clone(), if_absent: is_conditional, ..Intent::default() };
            let done = sent_with(intent, self.sink.objects.put_opts(&self.path, payload.clone(), options)).await;
            self.settle(done, is_conditional).await
        };
        self.request(Action::Put, attempt).await
    }

    /// Makes the parts one visible object. When the upload is not there any more, an earlier completion may have succeeded whose answer was lost, or
    /// another owner of the partition has published the same records.
    pub(super) async fn complete(
        &self,
        id: &MultipartId,
        parts: &[PartId],
        given: &[(&'static str, String)],
        condition: Condition,
    ) -> Result<Published, StoreError> {
        let completed_as = (self.sink.place.flavor == Flavor::AzureBlob).then(|| self.completed_as(given));
        let attempt = || async {
            let is_conditional = match self.precondition(condition, true).await? {
                Ok(is_conditional) => is_conditional,
                Err(published) => return Ok(published),
            };
            let intent = Intent { if_absent: is_conditional, completed_as: completed_as.clone(), md5: None };
            let done = sent_with(intent, self.sink.parts.complete_multipart(&self.path, id, parts.to_vec())).await;
            self.settle(done, is_conditional).await
        };
        let gone = match self.request(Action::Complete, attempt).await {
            Err(error) if error.kind == StoreErrorKind::Vanished => error,
            Ok(Published::Visible) => {
                self.sink.running.end(id);
                return Ok(Published::Visible);
            }
            other => return other,
        };
        self.sink.running.end(id);
        match self.request(Action::Head, || self.found()).await {
            Ok(Found::Ours) => Ok(Published::Visible),
            Ok(Found::Another(origin)) if condition == Condition::IfAbsent => Ok(Published::Exists(origin)),
            Ok(Found::Another(origin)) if origin.is_same_records(&self.origin(given)) => Ok(Published::Visible),
            Ok(_) => Err(gone), // what cannot be seen may be nothing: the rows are read again
            Err(error) => Err(StoreError { kind: StoreErrorKind::Vanished, message: format!("{}; {}", gone.message, error.message) }),
        }
    }

    /// Whether the request itself carries the condition (`Ok`), or how publishing ended already.
    async fn precondition(&self, condition: Condition, is_multipart: bool) -> object_store::Result<Result<bool, Published>> {
        if condition == Condition::Overwrite {
            return Ok(Ok(false));
        }
        let looks_first = match self.sink.place.flavor {
            Flavor::Folder => return Ok(Ok(true)), // it looks by itself where links are not known
            Flavor::Gcs | Flavor::Memory => is_multipart,
            Flavor::S3 | Flavor::AzureBlob => is_multipart && self.sink.completes_after_look.load(Ordering::Relaxed),
        };
        if !looks_first && !self.sink.looks_first.load(Ordering::Relaxed) {
            return Ok(Ok(true));
        }
        match self.found().await? {
            Found::Nothing => Ok(Ok(false)),
            Found::Ours => Ok(Err(Published::Visible)),
            Found::Another(origin) => Ok(Err(Published::Exists(origin))),
            Found::Hidden(error) => Err(self.unseen(&error)),
        }
    }

    /// Nothing can be published without a look, and looking is denied: what is missing is the permission to look, whatever was asked for.
    fn unseen(&self, error: &Error) -> Error {
        let failure = Failure::of(self.sink.place.flavor, error);
        match self.sink.place.judge(Action::Head, &self.key, 1, failure) {
            Failed::ForGood(error) => Error::Generic { store: "look-up", source: Box::new(error) },
            Failed::ForNow(text) => Error::Generic { store: "look-up", source: text.into() },
        }
    }

    /// What an answer means for a request that may have carried a condition.
    async fn settle(&self, done: object_store::Result<PutResult>, is_conditional: bool) -> object_store::Result<Published> {
        let again = |why: &str| Err(Error::Generic { store: "conditional write", source: why.into() });
        match done {
            Ok(_) => Ok(Published::Visible),
            Err(error) if is_conditional && knows_no_condition(&error) => {
                let place = &self.sink.place;
                warn!(%place, %error, "the store knows no conditional writes: names are looked up before they are written");
                self.sink.looks_first.store(true, Ordering::Relaxed);
                again("the store knows no conditional writes; looking first from now on")
            }
            Err(error) => match taken(self.sink.place.flavor, &error).filter(|_| is_conditional) {
                None => Err(error),
                Some(taken) => match (taken, self.found().await?) {
                    (_, Found::Ours) => Ok(Published::Visible),
                    (_, Found::Another(origin)) => Ok(Published::Exists(origin)),
                    // Where we may not look, upstream takes the store's word for it; a conflict is no word.
                    (Taken::Surely, Found::Hidden(_)) => Ok(Published::Exists(Origin::default())),
                    (Taken::Surely, Found::Nothing) => again("the store says that the name is taken, and shows no object of it"),
                    (Taken::Perhaps, _) => again("somebody else is writing under this name"),
                },
            },
        }
    }

    /// What is under our name.
    async fn found(&self) -> object_store::Result<Found> {
        match self.sink.objects.get_opts(&self.path, GetOptions::new().with_head(true)).await {
            Ok(found) => {
                let value = |name: &'static str| found.attributes.get(&Attribute::Metadata(self.metadata_name(name)));
                let is_ours = value(MARK).is_some_and(|mark| mark.as_ref() == self.mark);
                Ok(if is_ours { Found::Ours } else { Found::Another(Origin::read(|name| value(name).map(|text| text_of_header(text)))) })
            }
            Err(Error::NotFound { .. }) => Ok(Found::Nothing),
            Err(error @ Error::PermissionDenied { .. }) => Ok(Found::Hidden(error)),
            Err(error) => Err(error),
        }
    }

    /// Sets the tags of the published object. It is tried a few times, and then given back: an object without tags is whole all the same.
    pub(super) async fn tag(&self, tags: &[(String, String)]) -> Result<(), StoreError> {
        let Some(tagger) = &self.sink.extras.tagger else {
            return Err(self.error(StoreErrorKind::BadConfig, "the store knows no tags"));
        };
        let mut attempt = 1;
        loop {
            let done = {
                let _slot = self.sink.slot().await;
                tagger.put(&self.path, tags).await
            };
            let Err(error) = done else { return Ok(()) };
            let failure = Failure::of(self.sink.place.flavor, &error);
            if attempt >= tagger.attempts || !matches!(failure.class, Class::Transient | Class::NoHost | Class::NoCredentials) {
                return Err(self.sink.place.untagged(&self.key, &failure));
            }
            tokio::time::sleep(self.sink.tuning.backoff.wait(0, attempt)).await;
            attempt += 1;
        }
    }

    /// Removes what a multipart upload has stored.
    pub(super) async fn remove(&self, id: &MultipartId) {
        self.sink.remove(&self.path, id).await;
        self.sink.running.end(id); // what could not be removed is an orphan now
    }

    fn md5(&self, payload: &PutPayload) -> Option<String> {
        let digest = |payload: &PutPayload| payload.iter().fold(Md5::new(), |md5, bytes| md5.chain_update(bytes)).finalize();
        self.sink.extras.sends_md5.then(|| BASE64_STANDARD.encode(digest(payload)))
    }

    /// Azure's metadata names are identifiers.
    fn metadata_name(&self, name: &'static str) -> std::borrow::Cow<'static, str> {
        if self.sink.place.flavor == Flavor::AzureBlob { name.replace('-', "_").into() } else { name.into() }
    }

    fn attributes(&self, given: &[(&'static str, String)]) -> Attributes {
        if self.sink.place.flavor == Flavor::Folder {
            return Attributes::new();
        }
        let metadata = self.metadata(given).into_iter().map(|(name, value)| (Attribute::Metadata(self.metadata_name(name)), value));
        let mut attributes: Attributes = metadata.collect();
        attributes.insert(Attribute::ContentType, self.content_type.into());
        if let Some(class) = &self.sink.extras.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    fn completed_as(&self, given: &[(&'static str, String)]) -> CompletedAs {
        let metadata = self.metadata(given).into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        CompletedAs { content_type: self.content_type, metadata }
    }

    /// What was known at the start and what is given at the end.
    fn told<'a>(&'a self, given: &'a [(&'static str, String)]) -> impl Iterator<Item = &'a (&'static str, String)> {
        self.known.iter().filter(|(name, _)| given.iter().all(|(other, _)| other != name)).chain(given)
    }

    fn metadata(&self, given: &[(&'static str, String)]) -> Vec<(&'static str, String)> {
        self.told(given).map(|(name, value)| (*name, header_text(value))).chain([(MARK, self.mark.clone())]).collect()
    }

    fn origin(&self, given: &[(&'static str, String)]) -> Origin {
        Origin::read(|wanted| self.told(given).find(|(name, _)| *name == wanted).map(|(_, value)| value.clone()))
    }
}

/// A text as it may stand in a header: printable ASCII; everything else, and `%`, percent-encoded.
fn header_text(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'%' | 0..=0x1f | 0x7f.. => drop(write!(out, "%{byte:02X}")), // writing to a String does not fail
            _ => out.push(char::from(byte)),
        }
        out
    })
}

/// The text that was made a header.
fn text_of_header(header: &str) -> String {
    let mut bytes = Vec::with_capacity(header.len());
    let mut rest = header.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let coded = after.split_at_checked(2).filter(|(digits, _)| *first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let coded = coded.and_then(|(digits, after)| Some((u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()?, after)));
        let (byte, after) = coded.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connect::Health;
    use crate::memory::Budget;
    use crate::store::Chunk;
    use crate::store::answering::{Server, answer, refusal};
    use crate::store::urls::{StoreKind, open};

    #[test]
    fn texts_become_headers() {
        for (text, header) in [("0-99", "0-99"), ("a b", "a b"), ("größe", "gr%C3%B6%C3%9Fe"), ("100%\n", "100%25%0A")] {
            assert_eq!(header_text(text), header);
            assert_eq!(text_of_header(header), text);
        }
        for odd in ["%", "%4", "%zz", "%+1"] {
            assert_eq!(text_of_header(odd), odd);
        }
    }

    async fn published(kind: StoreKind, server: &Server, size: usize, condition: Condition) -> Option<Result<Published, StoreErrorKind>> {
        let json = format!(r#"{{"private_key":"k","private_key_id":"i","client_email":"e","gcs_base_url":"{}","disable_oauth":true}}"#, server.url);
        let given = [
            ("s3.bucket.name", "b"),
            ("aws.access.key.id", "id"),
            ("aws.secret.access.key", "s"),
            ("s3.part.size", "5242880"),
            ("gcs.bucket.name", "b"),
            ("gcs.credentials.json", &json),
            ("gcs.part.size", "5242880"),
            ("store.url", &server.url),
        ];
        let props = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut upload = open(kind, &props, Health::default()).unwrap().open("k".to_owned(), "text/plain", Vec::new());
        let permit = Budget::new(1 << 30).take(size as u64);
        upload.write(Chunk { bytes: vec![7; size].into(), permit }).await.unwrap();
        upload.seal(vec![]).await.unwrap();
        let done = tokio::time::timeout(Duration::from_secs(2), upload.publish(condition)).await;
        Some(done.ok()?.map_err(|error| error.kind))
    }

    /// A store whose look-ups are denied, and that answers `done` to what would make an object visible.
    async fn blind(done: impl Fn() -> String + Send + Sync + 'static) -> Server {
        Server::start(move |head| match head {
            _ if head.starts_with("HEAD") => answer("403 Forbidden", ""),
            _ if head.contains("uploads") => answer("200 OK", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"),
            _ if head.contains("partNumber") || head.starts_with("DELETE") => answer("200 OK", ""),
            _ => done(),
        })
        .await
    }

    #[tokio::test]
    async fn a_name_that_cannot_be_looked_at_is_taken_only_when_the_store_said_so() {
        use StoreKind::{Gcs, S3};
        let (small, large) = (10, 6 << 20);
        let cases = [
            (S3, small, refusal("412 Precondition Failed", "PreconditionFailed"), Some(Ok(Published::Exists(Origin::default())))),
            (S3, small, refusal("501 Not Implemented", "NotImplemented"), Some(Err(StoreErrorKind::Denied))),
            (S3, small, refusal("409 Conflict", "ConditionalRequestConflict"), None),
            (S3, small, refusal("409 Conflict", "OperationAborted"), None),
            (S3, large, refusal("404 Not Found", "NoSuchUpload"), Some(Err(StoreErrorKind::Vanished))),
            (Gcs, large, answer("200 OK", ""), Some(Err(StoreErrorKind::Denied))),
        ];
        for (kind, size, done, expected) in cases {
            let said = done.clone();
            let server = blind(move || done.clone()).await;
            let found = published(kind, &server, size, Condition::IfAbsent).await;
            assert_eq!(found, expected, "{kind:?} {said}\n{:#?}", server.heads());
        }
    }

    #[tokio::test]
    async fn an_older_object_of_the_same_size_is_not_ours() {
        let server = Server::start(|head| match head {
            _ if head.starts_with("HEAD") => {
                "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nLast-Modified: Mon, 23 Nov 2026 06:22:10 GMT\r\nContent-Length: 6291456\r\nConnection: close\r\n\r\n"
                    .to_owned()
            }
            _ if head.contains("uploads") => answer("200 OK", "<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>"),
            _ if head.contains("partNumber") => answer("200 OK", ""),
            _ => refusal("404 Not Found", "NoSuchUpload"),
        })
        .await;
        for (condition, expected) in [(Condition::Overwrite, Err(StoreErrorKind::Vanished)), (Condition::IfAbsent, Ok(Published::Exists(Origin::default())))] {
            assert_eq!(published(StoreKind::S3, &server, 6 << 20, condition).await, Some(expected));
        }
    }
}
