//! What is in a bucket: every object, put to the topic partition that it says it is of.
//!
//! Where objects have metadata one request for each tells all; a Parquet file without (in a folder, or uploaded in parts) is asked for its footer. Requests go
//! out side by side, and nothing of an object is kept but its name and what is in [`File`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::stream::StreamExt as _;

use super::contents::{self, Format};
use super::{AuditError, Scope};
use crate::batch::{OffsetRange, TopicPartition};
use crate::offsets::{Digest, OffsetSet};
use crate::store::names;
use crate::store::read::{Listed, ObjectReader, Seen};

/// Names of objects that are of no topic partition, as many as are kept.
const MOST_FOREIGN: usize = 1000;

/// Where a file's span and rows are known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// It says so itself.
    Labels,
    /// Its name has the first offset and its rows were counted; that there is no gap between them is assumed.
    Count,
}

/// One object with rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) key: Box<str>,
    pub(super) size: u64,
    /// First offset, and last one plus one.
    pub(super) span: OffsetRange,
    pub(super) rows: u64,
    pub(super) digest: Option<Digest>,
    pub(super) source: Source,
    /// What it says of its rows cannot be.
    pub(super) is_broken: bool,
}

impl File {
    /// Offsets from the first to the last.
    pub(super) fn width(&self) -> u64 {
        width(self.span)
    }

    /// True when no offset is left out between the first and the last: their count says so.
    pub(super) fn is_dense(&self) -> bool {
        self.rows == self.width()
    }

    /// True when these offsets are what it says of its rows.
    pub(super) fn is_of(&self, set: &OffsetSet) -> bool {
        let span = set.first().zip(set.end()).map(|(start, end)| OffsetRange { start, end });
        span == Some(self.span) && set.count() == self.rows && self.digest.is_none_or(|digest| digest == set.digest())
    }

    /// The digest that it says, or that follows from its span.
    pub(super) fn known_digest(&self) -> Option<Digest> {
        self.digest.or_else(|| self.is_dense().then(|| Digest::of_range(self.span.start, self.span.end)))
    }
}

/// Offsets in a range.
pub(super) fn width(range: OffsetRange) -> u64 {
    range.end.abs_diff(range.start)
}

/// A file whose rows are not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unread {
    pub(super) key: Box<str>,
    /// The first offset, as its name says.
    pub(super) start: i64,
}

/// The files of a topic partition that one connector wrote.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    /// Those that stand for their rows.
    pub(super) values: Vec<File>,
    /// Keys and headers beside them.
    pub(super) companions: Vec<File>,
    /// Those of which only the name says something.
    pub(super) unread: Vec<Unread>,
    /// How many more keys and headers there are that say nothing of themselves.
    pub(super) mute_companions: u64,
    /// Files that contradict themselves, and how.
    pub(super) contradictions: Vec<(Box<str>, String)>,
}

impl Files {
    fn append(&mut self, mut other: Self) {
        self.values.append(&mut other.values);
        self.companions.append(&mut other.companions);
        self.unread.append(&mut other.unread);
        self.mute_companions += other.mute_companions;
        self.contradictions.append(&mut other.contradictions);
    }
}

/// Whose files.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin {
    /// The connector that wrote them; empty where they do not say.
    pub(super) connector: Arc<str>,
    pub(super) from: TopicPartition,
}

/// Everything below a place.
#[derive(Debug, Default)]
pub(super) struct Inventory {
    pub(super) files: BTreeMap<Origin, Files>,
    /// Objects that are of no topic partition: how many, and the first of their names.
    pub(super) foreign: (u64, Vec<String>),
    /// Objects that are not looked at, because they are of another topic or connector.
    pub(super) out_of_scope: u64,
    pub(super) objects: u64,
    pub(super) bytes: u64,
}

/// What came of one object.
pub(super) enum Found {
    File(Origin, Kind, File, Option<String>),
    Unread(Origin, Unread),
    /// Keys or headers that say nothing of themselves: there is nothing to compare them by.
    MuteCompanion(Origin),
    Contradiction(Origin, Box<str>, String),
    Foreign(String),
    OutOfScope,
    Gone,
}

/// What an object's rows stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Values,
    Companion,
}

/// Lists and looks at everything. `progress` counts the objects that were looked at.
pub(super) async fn take(reader: &dyn ObjectReader, scope: &Scope, progress: &AtomicU64) -> Result<Inventory, AuditError> {
    let mut inventory = Inventory::default();
    let (objects, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
    let looks = reader.list().map(|listed| {
        let (objects, bytes) = (&objects, &bytes);
        async move {
            let listed = listed?;
            objects.fetch_add(1, Ordering::Relaxed);
            bytes.fetch_add(listed.size, Ordering::Relaxed);
            look(reader, listed, scope).await
        }
    });
    let mut looks = looks.buffer_unordered(scope.requests);
    while let Some(found) = looks.next().await {
        inventory.add(found?);
        progress.fetch_add(1, Ordering::Relaxed);
    }
    drop(looks);
    (inventory.objects, inventory.bytes) = (objects.into_inner(), bytes.into_inner());
    inventory.give_names_to_their_connectors();
    for files in inventory.files.values_mut() {
        files.values.sort_unstable_by(|a, b| (a.span.start, a.span.end, &a.key).cmp(&(b.span.start, b.span.end, &b.key)));
    }
    Ok(inventory)
}

impl Inventory {
    fn add(&mut self, found: Found) {
        match found {
            Found::File(origin, kind, file, contradiction) => {
                let files = self.files.entry(origin).or_default();
                files.contradictions.extend(contradiction.map(|why| (file.key.clone(), why)));
                match kind {
                    Kind::Values => files.values.push(file),
                    Kind::Companion => files.companions.push(file),
                }
            }
            Found::Unread(origin, unread) => self.files.entry(origin).or_default().unread.push(unread),
            Found::MuteCompanion(origin) => self.files.entry(origin).or_default().mute_companions += 1,
            Found::Contradiction(origin, key, why) => self.files.entry(origin).or_default().contradictions.push((key, why)),
            Found::Foreign(key) => {
                self.foreign.0 += 1;
                if self.foreign.1.len() < MOST_FOREIGN {
                    self.foreign.1.push(key);
                }
            }
            Found::OutOfScope => self.out_of_scope += 1,
            Found::Gone => {}
        }
    }

    /// Files that do not say whose they are belong to the one connector that wrote the others of their topic partition, if there is one.
    fn give_names_to_their_connectors(&mut self) {
        let nameless: Vec<Origin> = self.files.keys().filter(|origin| origin.connector.is_empty()).cloned().collect();
        for origin in nameless {
            let others: BTreeSet<&Arc<str>> =
                self.files.keys().filter(|other| other.from == origin.from && !other.connector.is_empty()).map(|other| &other.connector).collect();
            let [connector] = others.into_iter().collect::<Vec<_>>()[..] else { continue };
            let owner = Origin { connector: Arc::clone(connector), from: origin.from.clone() };
            if let (Some(files), true) = (self.files.remove(&origin), self.files.contains_key(&owner)) {
                self.files.entry(owner).or_default().append(files);
            }
        }
    }
}

/// The labels that matter.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Labels<'a> {
    pub(super) connector: Option<&'a str>,
    pub(super) topic: Option<&'a str>,
    partition: Option<&'a str>,
    offsets: Option<&'a str>,
    rows: Option<&'a str>,
    digest: Option<&'a str>,
    pub(super) offset_set: Option<&'a str>,
}

impl<'a> Labels<'a> {
    pub(super) fn of(pairs: &'a [(String, String)]) -> Self {
        let mut labels = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "lakehead-connector" => labels.connector = Some(value),
                "lakehead-topic" => labels.topic = Some(value),
                "lakehead-partition" => labels.partition = Some(value),
                "lakehead-offsets" => labels.offsets = Some(value),
                "lakehead-rows" => labels.rows = Some(value),
                "lakehead-digest" => labels.digest = Some(value),
                "lakehead-offset-set" => labels.offset_set = Some(value),
                _ => {}
            }
        }
        labels
    }

    fn are_whole(&self) -> bool {
        self.topic.is_some() && self.partition.is_some() && self.offsets.is_some() && self.rows.is_some()
    }

    /// Whose file it is, if it says.
    pub(super) fn origin(&self) -> Option<Origin> {
        let from = TopicPartition::new(self.topic?, self.partition?.parse().ok()?);
        Some(Origin { connector: self.connector.unwrap_or_default().into(), from })
    }

    /// What it says of its rows.
    fn file(&self, listed: &Listed) -> Result<File, String> {
        let (offsets, rows) = (self.offsets.unwrap_or_default(), self.rows.unwrap_or_default());
        let span = offsets.split_once("..").and_then(|(start, end)| Some(OffsetRange { start: start.parse().ok()?, end: end.parse().ok()? }));
        let span = span.filter(|span| 0 <= span.start && span.start < span.end).ok_or_else(|| format!("lakehead-offsets is '{offsets}', which is no range"))?;
        let rows = rows.parse().map_err(|_| format!("lakehead-rows is '{rows}', which is no number"))?;
        let digest =
            self.digest.map(str::parse).transpose().map_err(|_| format!("lakehead-digest is '{}', which is no digest", self.digest.unwrap_or_default()))?;
        Ok(File { key: listed.key.as_str().into(), size: listed.size, span, rows, digest, source: Source::Labels, is_broken: false })
    }
}

/// Looks at one object: at its metadata, at its footer where that says nothing, and at all of it where rows are counted.
pub(super) async fn look(reader: &dyn ObjectReader, listed: Listed, scope: &Scope) -> Result<Found, AuditError> {
    let named = names::parse(&listed.key, &scope.file_delim);
    if named.is_some_and(|named| !scope.has_topic(named.source)) {
        return Ok(Found::OutOfScope);
    }
    let is_parquet = Format::of(&listed.key) == Format::Parquet;
    let mut seen = if reader.keeps_metadata() {
        let Some(seen) = reader.head(&listed.key).await? else { return Ok(Found::Gone) };
        seen
    } else {
        Seen { size: listed.size, ..Seen::default() }
    };
    let mut counted = None;
    if is_parquet && (scope.deep || !Labels::of(&seen.metadata).are_whole()) {
        match contents::footer(reader, &listed.key, seen.size).await {
            Ok(None) => return Ok(Found::Gone),
            Ok(Some(footer)) => {
                counted = Some(footer.rows());
                if !Labels::of(&seen.metadata).are_whole() {
                    seen.metadata = footer.labels;
                }
            }
            // What has no topic partition by its name or metadata is not ours to judge.
            Err(AuditError::Object { key, why }) => {
                let Some(origin) = Labels::of(&seen.metadata).origin().or_else(|| named.map(origin_of_name)) else { return Ok(Found::Foreign(key)) };
                return Ok(Found::Contradiction(origin, listed.key.as_str().into(), why));
            }
            Err(error) => return Err(error),
        }
    }
    let labels = Labels::of(&seen.metadata);
    let origin = match (labels.origin(), named) {
        (Some(origin), _) => origin,
        (None, Some(named)) => origin_of_name(named),
        (None, None) => return Ok(Found::Foreign(reader.name(&listed.key))),
    };
    if !scope.has(&origin) {
        return Ok(Found::OutOfScope);
    }
    if scope.deep && !is_parquet {
        match contents::count(reader, &listed.key, seen.size).await {
            Ok(rows) => counted = rows,
            Err(AuditError::Object { why, .. }) => return Ok(Found::Contradiction(origin, listed.key.as_str().into(), why)),
            Err(error) => return Err(error),
        }
    }
    Ok(judge(origin, &labels, named, counted, &listed, scope))
}

/// The object, when everything that is asked of it is known.
fn judge(origin: Origin, labels: &Labels<'_>, named: Option<names::Named<'_>>, counted: Option<u64>, listed: &Listed, scope: &Scope) -> Found {
    let key = || Box::from(listed.key.as_str());
    let kind = if scope.is_companion(&listed.key) { Kind::Companion } else { Kind::Values };
    if labels.are_whole() {
        return match labels.file(listed) {
            Ok(mut file) => {
                let broken = contradiction(&file, counted);
                file.is_broken = broken.is_some();
                let start = file.span.start;
                let misnamed = named
                    .filter(|named| named.start != start)
                    .map(|named| format!("its name says that it starts at {}, and its rows are {}", named.start, file.span));
                Found::File(origin, kind, file, broken.or(misnamed))
            }
            Err(why) => Found::Contradiction(origin, key(), why),
        };
    }
    if kind == Kind::Companion {
        return Found::MuteCompanion(origin);
    }
    // Whose file it is comes from its labels or its name; without a name it has a label for the topic and none for the offsets.
    let Some(start) = named.map(|named| named.start) else { return Found::Contradiction(origin, key(), "some of its labels are missing".to_owned()) };
    match counted.and_then(|rows| Some((rows, start.checked_add(i64::try_from(rows).ok()?)?))) {
        Some((rows, end)) if rows > 0 => {
            let file = File { key: key(), size: listed.size, span: OffsetRange { start, end }, rows, digest: None, source: Source::Count, is_broken: false };
            Found::File(origin, kind, file, None)
        }
        _ => Found::Unread(origin, Unread { start, key: key() }),
    }
}

/// What a file says of its rows that cannot be.
fn contradiction(file: &File, counted: Option<u64>) -> Option<String> {
    let File { span, rows, .. } = file;
    match counted {
        Some(counted) if counted != *rows => Some(format!("it says that it has {rows} rows, and has {counted}")),
        _ if *rows == 0 || *rows > file.width() => Some(format!("it says that it has {rows} rows of the {} offsets {span}", file.width())),
        _ if file.is_dense() && file.digest.is_some_and(|digest| digest != Digest::of_range(span.start, span.end)) => {
            Some(format!("it says that it has all of {span}, and its digest is of other offsets"))
        }
        _ => None,
    }
}

fn origin_of_name(named: names::Named<'_>) -> Origin {
    Origin { connector: "".into(), from: TopicPartition::new(named.source, named.partition) }
}
