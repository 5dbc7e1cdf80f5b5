//! A store that remembers everything that is done to it, and fails as a vector says.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use lakehead::connect::{Health, Props};
use lakehead::store::urls::StoreKind;
use lakehead::store::{Chunk, Condition, ObjectSink, Origin, Published, StoreError, StoreErrorKind, Stores, Upload};

/// A visible object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) tags: BTreeMap<String, String>,
    /// Published on the condition that no object of that name was there.
    pub(crate) conditional: bool,
    /// There before the connector was.
    pub(crate) foreign: bool,
}

/// The request that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    Create,
    Part,
    Complete,
    HeadObject,
    HeadBucket,
    Tag,
}

/// A failure as vectors describe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) request: Request,
    /// HTTP status, as far as the text says; 0 = it does not.
    pub(crate) status: u16,
    /// Trying again heals it.
    pub(crate) is_transient: bool,
    /// Only keys that contain this.
    pub(crate) of: Option<String>,
}

impl Fault {
    /// Reads the words of a vector.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        let request = if has(&["tagging"]) {
            Request::Tag
        } else if has(&["head bucket", "headbucket", "bucket missing", "bucket does not exist", "nosuchbucket"]) {
            Request::HeadBucket
        } else if has(&["head"]) && !has(&["complete", "412"]) {
            Request::HeadObject
        } else if has(&["createmultipart", "create multipart", "initiate", "create"]) {
            Request::Create
        } else if has(&["uploadpart", "upload part", "part upload", "a part "]) {
            Request::Part
        } else if has(&["complete", "upload", "commit", "put", "412", "precondition"]) {
            Request::Complete
        } else {
            return Err(format!("fault {text:?}: which request fails?"));
        };
        let digits = lower.split(|c: char| !c.is_ascii_digit()).filter(|word| word.len() == 3);
        let status = digits.filter_map(|word| word.parse().ok()).find(|code| (300..600).contains(code)).unwrap_or(0);
        let said = has(&["retriab", "retryab", "reset", "timeout", "timed out", "throttl", "slowdown", "slow down", "unavailable"]);
        let not = has(&["non-retriab", "unretriab", "not retriab", "non-retryab"]);
        let of = text.split_whitespace().find(|word| word.contains(['=', '+', '/'])).map(str::to_owned);
        Ok(Self { request, status, is_transient: !not && (said || status == 429 || status == 408 || status >= 500), of })
    }

    fn error(&self, key: &str) -> StoreError {
        let kind = match self.status {
            400 | 404 | 405 | 409 | 411..=499 => StoreErrorKind::BadConfig,
            _ => StoreErrorKind::Denied,
        };
        StoreError { kind, message: format!("the store refuses {:?} of {key} (status {})", self.request, self.status) }
    }
}

#[derive(Debug, Default)]
struct State {
    objects: BTreeMap<String, Object>,
    faults: Vec<Fault>,
    /// Calls so far: whoever waits sees that something goes on.
    calls: u64,
}

impl State {
    fn fault(&self, request: Request, key: &str) -> Option<&Fault> {
        self.faults.iter().find(|fault| fault.request == request && fault.of.as_ref().is_none_or(|part| key.contains(part)))
    }
}

/// The recording store; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

impl Recorder {
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.calls += 1;
        state
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().faults.push(fault);
    }

    pub(crate) fn put_foreign(&self, key: &str) {
        self.state().objects.insert(key.to_owned(), Object { foreign: true, ..Object::default() });
    }

    pub(crate) fn objects(&self) -> BTreeMap<String, Object> {
        self.state().objects.clone()
    }

    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).calls
    }
}

impl Stores for Recorder {
    fn open(&self, _: StoreKind, _: &Props, _: Health) -> Result<Arc<dyn ObjectSink>, StoreError> {
        Ok(Arc::new(self.clone()))
    }
}

impl fmt::Display for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the recording store")
    }
}

#[async_trait]
impl ObjectSink for Recorder {
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn open(&self, key: String, content_type: &'static str, attributes: Vec<(&'static str, String)>) -> Box<dyn Upload> {
        let attributes = attributes.into_iter().chain([("content-type", content_type.to_owned())]);
        let object = Object { attributes: attributes.map(|(name, value)| (name.to_owned(), value)).collect(), ..Object::default() };
        Box::new(Recording { store: self.clone(), key, object, is_visible: false })
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        let state = self.state();
        // What cannot be looked at is not known to be there.
        Ok(state.fault(Request::HeadObject, key).is_none() && state.objects.contains_key(key))
    }

    async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
        let is_between = |key: &&String| (first..=last).contains(&key.as_str());
        Ok(self.state().objects.keys().filter(is_between).map(|key| (key.clone(), Origin::default())).collect())
    }

    async fn names(&self, beginning: &str) -> Result<Vec<String>, StoreError> {
        Ok(self.state().objects.keys().filter(|key| key.starts_with(beginning)).cloned().collect())
    }

    async fn read(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.state().objects.get(key).map(|object| Bytes::copy_from_slice(&object.bytes)))
    }
}

struct Recording {
    store: Recorder,
    key: String,
    object: Object,
    is_visible: bool,
}

impl Recording {
    /// What trying again does not heal. Transient failures never come up here: a store's sink tries them again by itself.
    fn refused(&self, request: Request) -> Result<(), StoreError> {
        let state = self.store.state();
        state.fault(request, &self.key).filter(|fault| !fault.is_transient && fault.status != 412).map_or(Ok(()), |fault| Err(fault.error(&self.key)))
    }
}

#[async_trait]
impl Upload for Recording {
    async fn write(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.refused(Request::Create)?;
        self.object.bytes.extend_from_slice(&chunk.bytes);
        Ok(())
    }

    async fn seal(&mut self, attributes: Vec<(&'static str, String)>) -> Result<(), StoreError> {
        self.refused(Request::Create)?;
        self.refused(Request::Part)?;
        self.object.attributes.extend(attributes.into_iter().map(|(name, value)| (name.to_owned(), value)));
        Ok(())
    }

    async fn publish(&mut self, condition: Condition) -> Result<Published, StoreError> {
        self.refused(Request::Complete)?;
        let mut state = self.store.state();
        // The hardest that a transient failure can do to a group of files: the upload is gone when others of the group are visible already.
        let breaks = |fault: &Fault| fault.request == Request::Complete && fault.is_transient && fault.of.as_ref().is_some_and(|part| self.key.contains(part));
        if let Some(at) = state.faults.iter().position(breaks) {
            state.faults.remove(at);
            return Err(StoreError { kind: StoreErrorKind::Vanished, message: format!("the upload of {} is gone", self.key) });
        }
        self.object.conditional = condition == Condition::IfAbsent;
        let says_so = state.fault(Request::Complete, &self.key).is_some_and(|fault| fault.status == 412);
        if self.object.conditional && !self.is_visible && (says_so || state.objects.contains_key(&self.key)) {
            let there = state.objects.get(&self.key);
            return Ok(Published::Exists(Origin::read(|name| there?.attributes.get(name).cloned())));
        }
        self.is_visible = true;
        state.objects.insert(self.key.clone(), self.object.clone());
        Ok(Published::Visible)
    }

    async fn tag(&mut self, tags: &[(String, String)]) -> Result<(), StoreError> {
        let mut state = self.store.state();
        if let Some(fault) = state.fault(Request::Tag, &self.key) {
            return Err(fault.error(&self.key));
        }
        if let Some(object) = state.objects.get_mut(&self.key) {
            object.tags = tags.iter().cloned().collect();
        }
        Ok(())
    }

    async fn abort(&mut self) {
        drop(self.store.state());
    }
}

pub(crate) fn faults_are_read_from_their_words() {
    let fault = |request, status, is_transient, of: Option<&str>| Fault { request, status, is_transient, of: of.map(str::to_owned) };
    for (text, expected) in [
        ("CreateMultipartUpload returns 403 AccessDenied", fault(Request::Create, 403, false, None)),
        ("CreateMultipartUpload returns 503 SlowDown once", fault(Request::Create, 503, true, None)),
        ("UploadPart fails with connection reset", fault(Request::Part, 0, true, None)),
        ("upload of country=b fails retriably after country=a completed", fault(Request::Complete, 0, true, Some("country=b"))),
        ("CompleteMultipartUpload returns 412, HEAD says it exists", fault(Request::Complete, 412, false, None)),
        ("HEAD bucket 403", fault(Request::HeadBucket, 403, false, None)),
        ("HEAD of objects returns 403", fault(Request::HeadObject, 403, false, None)),
        ("PutObjectTagging fails", fault(Request::Tag, 0, false, None)),
    ] {
        assert_eq!(Fault::parse(text), Ok(expected), "{text}");
    }
    assert!(Fault::parse("the moon is full").is_err());
}
