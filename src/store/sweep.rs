//! Uploads that nobody will finish: found in the store's own list of what is unfinished, and removed.
//!
//! A process that dies leaves its multipart uploads behind, whose parts cost money and show in no listing of objects. S3 and Google Cloud Storage list
//! them ([`BucketUploads`]), a folder has them as staged files. Azure drops uncommitted blocks by itself after a week, and lists none.
//! Which of them are orphans is decided by three things: the caller knows by the key what belongs to him alone; the age is measured by the store's
//! clock on both sides; and what the sink itself is running is known, from before the store is asked to start it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures::future::join_all;
use object_store::aws::AmazonS3;
use object_store::client::{HttpRequest, HttpRequestBody};
use object_store::path::Path;
use object_store::signer::Signer as _;
use object_store::{Error, MultipartId, Result};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use super::Swept;
use super::errors::{Action, Class, Failure};
use super::headers::Dress;
use super::objects::Inner;
use super::retry::Failed;

/// How often a page of the list is asked for.
const ATTEMPTS: u32 = 4;

/// How far HTTP's `Date` is behind at most: it tells whole seconds, and common servers renew it once a second. So whoever takes over at once finds what was
/// begun a moment before. An owner that comes after him begins nothing so soon: no session is shorter, and who gives a partition up ends its removals.
const BEHIND: TimeDelta = TimeDelta::seconds(2);

/// How many uploads are removed at once.
const REMOVALS: usize = 4;

/// An upload that is neither finished nor removed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfinished {
    pub(super) key: String,
    pub(super) id: MultipartId,
    /// By the store's clock.
    pub(super) begun: Option<DateTime<Utc>>,
    pub(super) bytes: Option<u64>,
}

/// Some of the unfinished uploads.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) uploads: Vec<Unfinished>,
    /// The store's clock when it answered, never earlier.
    pub(super) now: Option<DateTime<Utc>>,
    /// Where the next page begins.
    pub(super) next: Option<Marker>,
}

/// The last upload of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    key: String,
    id: String,
}

/// A store's list of unfinished uploads.
#[async_trait]
pub(super) trait ListUnfinished: fmt::Debug + Send + Sync {
    /// Those whose keys begin with `below`, from `after` on; one request.
    async fn page(&self, below: &str, after: Option<&Marker>) -> Result<Page>;
}

/// The uploads that a sink is running.
#[derive(Debug, Default)]
pub(super) struct Running(Mutex<Runs>);

#[derive(Debug, Default)]
struct Runs {
    /// Keys of uploads that the store was asked to start and has not yet given a number.
    starting: HashMap<String, usize>,
    numbered: HashSet<MultipartId>,
}

impl Running {
    fn runs(&self) -> MutexGuard<'_, Runs> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that an upload to `key` is about to be started, until it has a number or what is returned is dropped.
    pub(super) fn start<'a>(&'a self, key: &'a str) -> Starting<'a> {
        *self.runs().starting.entry(key.to_owned()).or_default() += 1;
        Starting { running: self, key }
    }

    /// The upload is published or removed.
    pub(super) fn end(&self, id: &MultipartId) {
        self.runs().numbered.remove(id);
    }

    fn has(&self, upload: &Unfinished) -> bool {
        let runs = self.runs();
        runs.starting.contains_key(&upload.key) || runs.numbered.contains(&upload.id)
    }
}

/// An upload without a number yet.
pub(super) struct Starting<'a> {
    running: &'a Running,
    key: &'a str,
}

impl Starting<'_> {
    pub(super) fn numbered(self, id: &MultipartId) {
        self.running.runs().numbered.insert(id.clone());
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        let mut runs = self.running.runs();
        if let Some(count) = runs.starting.get_mut(self.key) {
            *count -= 1;
            if *count == 0 {
                runs.starting.remove(self.key);
            }
        }
    }
}

impl Inner {
    /// What [`ObjectSink::sweep`](super::ObjectSink::sweep) does.
    pub(super) async fn sweep(&self, below: &str, is_ours: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync), begun_ago: Duration) -> Swept {
        let mut swept = Swept::default();
        let Some(list) = &self.extras.unfinished else { return swept };
        let began = Instant::now();
        let below = format!("{}{below}", self.place.prefix);
        let mut after = None;
        loop {
            let page = match self.page(&**list, &below, after.as_ref()).await {
                Ok(page) => page,
                Err(why) => return self.incomplete(swept, why),
            };
            let Some(latest) = page.now.and_then(|now| now.checked_sub_signed(TimeDelta::from_std(begun_ago + began.elapsed()).ok()?)) else {
                return self.incomplete(swept, "the store does not tell its time, and so not how old they are".to_owned());
            };
            let is_orphan = |upload: &Unfinished| {
                upload.begun.is_some_and(|begun| begun < latest)
                    && upload.key.strip_prefix(&self.place.prefix).is_some_and(is_ours)
                    && !self.running.has(upload)
            };
            let orphans: Vec<_> = page.uploads.into_iter().filter(|upload| is_orphan(upload)).collect();
            for some in orphans.chunks(REMOVALS) {
                for (orphan, is_removed) in some.iter().zip(join_all(some.iter().map(|orphan| self.remove_orphan(orphan))).await) {
                    if is_removed {
                        swept.uploads += 1;
                        swept.bytes = orphan.bytes.map(|bytes| bytes + swept.bytes.unwrap_or(0)).or(swept.bytes);
                    } else {
                        swept.incomplete = Some(format!("{} could not be removed", self.place.object(&orphan.key)));
                    }
                }
            }
            match page.next {
                Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                _ => return swept,
            }
        }
    }

    async fn remove_orphan(&self, orphan: &Unfinished) -> bool {
        let Ok(path) = Path::parse(&orphan.key) else { return false };
        let is_removed = self.remove(&path, &orphan.id).await;
        if is_removed {
            let object = self.place.object(&orphan.key);
            info!(%object, upload = %orphan.id, begun = ?orphan.begun, "removed an unfinished upload of a process that ended");
        }
        is_removed
    }

    /// One page, or why there is none.
    async fn page(&self, list: &dyn ListUnfinished, below: &str, after: Option<&Marker>) -> Result<Page, String> {
        let mut attempt = 1;
        loop {
            let listed = {
                let _slot = self.slot().await;
                list.page(below, after).await
            };
            let failure = match listed {
                Ok(page) => return Ok(page),
                Err(error) => Failure::of(self.place.flavor, &error),
            };
            if attempt >= ATTEMPTS || !matches!(failure.class, Class::Transient | Class::NoHost | Class::NoCredentials) {
                return Err(match self.place.judge(Action::Unfinished, below, attempt, failure) {
                    Failed::ForNow(text) => text,
                    Failed::ForGood(error) => error.message,
                });
            }
            tokio::time::sleep(self.tuning.backoff.wait(0, attempt)).await;
            attempt += 1;
        }
    }

    /// Says why uploads may be left, once for each reason.
    fn incomplete(&self, swept: Swept, why: String) -> Swept {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.as_ref() != Some(&why) {
            let place = &self.place;
            warn!(%place, %why, "unfinished uploads of processes that ended cannot be found; the bucket's lifecycle rule should remove them");
            *told = Some(why.clone());
        }
        Swept { incomplete: Some(why), ..swept }
    }
}

/// Where a bucket is.
#[derive(Debug)]
pub(super) enum Bucket {
    /// The store knows.
    S3(Arc<AmazonS3>),
    /// Its URL, without a slash at its end.
    At(String),
}

/// The list of a bucket's multipart uploads: S3's, which Google's XML API has too.
#[derive(Debug)]
pub(super) struct BucketUploads {
    pub(super) bucket: Bucket,
    /// Signs and sends.
    pub(super) dress: Dress,
}

impl BucketUploads {
    async fn url(&self, below: &str, after: Option<&Marker>) -> Result<Url> {
        let mut url = match &self.bucket {
            // The store's own way to a URL; its signature is not used.
            Bucket::S3(store) => store.signed_url(reqwest::Method::GET, &Path::ROOT, Duration::from_secs(60)).await?,
            Bucket::At(url) => Url::parse(url).map_err(|error| failed(error.to_string()))?,
        };
        let marker = after.map(|Marker { key, id }| [("key-marker", key.as_str()), ("upload-id-marker", id.as_str())]);
        let query = [("prefix", below), ("uploads", "")]
            .into_iter()
            .chain(marker.into_iter().flatten())
            .filter(|(name, value)| *name == "uploads" || !value.is_empty());
        // Spaces as %20: in the query a signature is made of, a plus sign is one.
        let query: Vec<_> = query.map(|(name, value)| format!("{name}={}", percent_encoded(value))).collect();
        url.set_query(Some(&query.join("&")));
        Ok(url)
    }
}

#[async_trait]
impl ListUnfinished for BucketUploads {
    async fn page(&self, below: &str, after: Option<&Marker>) -> Result<Page> {
        let url = self.url(below, after).await?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = url.as_str().parse().map_err(|error| failed(format!("{error}")))?;
        let answer = self.dress.send(request).await.map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?;
        let (head, body) = answer.into_parts();
        let body = body.bytes().await.map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?;
        if !head.status.is_success() {
            return Err(failed(format!("Server returned non-2xx status code: {}: {}", head.status, String::from_utf8_lossy(&body))));
        }
        let date = head.headers.get("date").and_then(|value| DateTime::parse_from_rfc2822(value.to_str().ok()?).ok());
        page_of(&body, date.map(|date| date.to_utc() + BEHIND))
    }
}

const STORE: &str = "bucket";

fn failed(why: String) -> Error {
    Error::Generic { store: STORE, source: why.into() }
}

fn percent_encoded(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::with_capacity(text.len()), |mut out, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            _ => drop(write!(out, "%{byte:02X}")), // writing to a String does not fail
        }
        out
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListMultipartUploadsResult {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_upload_id_marker: Option<String>,
    #[serde(default, rename = "Upload")]
    uploads: Vec<ListedUpload>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListedUpload {
    key: String,
    upload_id: String,
    initiated: Option<String>,
}

fn page_of(body: &[u8], now: Option<DateTime<Utc>>) -> Result<Page> {
    let listed: ListMultipartUploadsResult = quick_xml::de::from_reader(body).map_err(|error| Error::Generic { store: STORE, source: Box::new(error) })?;
    let uploads = listed.uploads.into_iter().map(|upload| Unfinished {
        key: upload.key,
        id: upload.upload_id,
        begun: upload.initiated.and_then(|text| Some(DateTime::parse_from_rfc3339(&text).ok()?.to_utc())),
        bytes: None,
    });
    let next = listed.next_key_marker.filter(|_| listed.is_truncated);
    let next = next.map(|key| Marker { key, id: listed.next_upload_id_marker.unwrap_or_default() });
    Ok(Page { uploads: uploads.collect(), now, next })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?>
            <ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Bucket>b</Bucket><KeyMarker/><UploadIdMarker/>
            <NextKeyMarker>t/two words &amp; more</NextKeyMarker><NextUploadIdMarker>u2</NextUploadIdMarker><MaxUploads>2</MaxUploads>
            <IsTruncated>true</IsTruncated>
            <Upload><Key>t/a</Key><UploadId>u1</UploadId><Initiator><ID>x</ID></Initiator><Initiated>2026-11-23T08:00:00.500Z</Initiated></Upload>
            <Upload><Key>t/two words &amp; more</Key><UploadId>u2</UploadId><Initiated>soon</Initiated></Upload></ListMultipartUploadsResult>"#;
        let page = page_of(xml.as_bytes(), None).unwrap();
        let upload = |key: &str, id: &str, begun: Option<&str>| Unfinished {
            key: key.to_owned(),
            id: id.to_owned(),
            begun: begun.map(|text| DateTime::parse_from_rfc3339(text).unwrap().to_utc()),
            bytes: None,
        };
        assert_eq!(page.uploads, [upload("t/a", "u1", Some("2026-11-23T08:00:00.5Z")), upload("t/two words & more", "u2", None)]);
        assert_eq!(page.next, Some(Marker { key: "t/two words & more".to_owned(), id: "u2".to_owned() }));
        let last = page_of(b"<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><NextKeyMarker>k</NextKeyMarker></ListMultipartUploadsResult>", None);
        assert_eq!((last.as_ref().unwrap().uploads.len(), &last.unwrap().next), (0, &None));
        assert!(page_of(b"<html>", None).is_err());
    }

    #[test]
    fn what_runs_is_known_from_before_it_has_a_number() {
        let running = Running::default();
        let upload = |id: &str| Unfinished { key: "k".to_owned(), id: id.to_owned(), begun: None, bytes: None };
        let (one, two) = (running.start("k"), running.start("k"));
        assert!(running.has(&upload("anything")));
        one.numbered(&"1".to_owned());
        assert!(running.has(&upload("another")), "the second is being started");
        drop(two); // given up
        assert_eq!([running.has(&upload("1")), running.has(&upload("another"))], [true, false]);
        running.end(&"1".to_owned());
        assert!(!running.has(&upload("1")));
    }

    #[tokio::test]
    async fn queries_are_encoded_as_signatures_want_them() {
        let uploads = BucketUploads { bucket: Bucket::At("http://h/b".to_owned()), dress: Dress::new(super::super::headers::Always::default()) };
        let marker = Marker { key: "t/ü+1".to_owned(), id: "u=".to_owned() };
        assert_eq!(
            uploads.url("t/a b", Some(&marker)).await.unwrap().as_str(),
            "http://h/b?prefix=t%2Fa%20b&uploads=&key-marker=t%2F%C3%BC%2B1&upload-id-marker=u%3D"
        );
        assert_eq!(uploads.url("", None).await.unwrap().as_str(), "http://h/b?uploads=");
    }
}
