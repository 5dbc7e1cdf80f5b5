//! Which files a group's commit says are visible, or about to be, past the committed offset.

use crate::batch::OffsetRange;
use crate::commit::Intent;

/// What the metadata of a commit names.
#[derive(Debug, Default)]
pub(super) struct Plan {
    lanes: Vec<Lane>,
}

/// Files that end together: those of one path, or all of a topic partition.
#[derive(Debug)]
struct Lane {
    /// The path; empty = any.
    path: String,
    /// Everything of the lane below is visible.
    ahead: Option<i64>,
    /// From the first offset of each group of files to its end.
    spans: Vec<OffsetRange>,
}

impl Plan {
    /// Reads the metadata that was committed with this offset. Texts of other programs name nothing.
    ///
    /// # Errors
    /// A text of ours that cannot be read.
    pub(super) fn read(metadata: &str, offset: i64) -> Result<Self, String> {
        if !metadata.starts_with("LH") {
            return Ok(Self::default());
        }
        let intent = Intent::parse(metadata, offset).map_err(|error| error.to_string())?;
        let lanes = intent.lanes.into_iter().map(|(name, lane)| Lane { path: path_of(&name).to_owned(), ahead: lane.ahead, spans: lane.files });
        Ok(Self { lanes: lanes.collect() })
    }

    /// True when a file with these offsets is visible as planned.
    pub(super) fn names(&self, key: &str, span: OffsetRange) -> bool {
        let of_file = self.lanes.iter().filter(|lane| has_path(key, &lane.path));
        of_file.into_iter().any(|lane| {
            lane.ahead.is_some_and(|ahead| span.end <= ahead) || lane.spans.iter().any(|planned| planned.start <= span.start && span.end <= planned.end)
        })
    }
}

/// The path of a lane's name; empty for that of all paths. Behind the path a name tells the topics of a renaming transform apart, and tombstones.
fn path_of(lane: &str) -> &str {
    let path = lane.strip_prefix('/').unwrap_or(lane);
    path.split('\u{1}').next().unwrap_or(path)
}

/// True when a path is in an object's name, and does not end in the middle of a word: `hour=1` is not in `hour=12`.
fn has_path(key: &str, path: &str) -> bool {
    let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
    let is_whole = |at: usize| {
        let (before, after) = (key.get(..at), key.get(at + path.len()..));
        !is_word(before.and_then(|text| text.chars().next_back())) && !is_word(after.and_then(|text| text.chars().next()))
    };
    path.is_empty() || key.match_indices(path).any(|(at, _)| is_whole(at))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::commit::LaneIntent;

    fn plan(lanes: &[(&str, Option<i64>, &[(i64, i64)])]) -> Plan {
        let span = |(start, end): &(i64, i64)| OffsetRange { start: *start, end: *end };
        let lane = |(name, ahead, files): &(&str, Option<i64>, &[(i64, i64)])| {
            (Arc::from(*name), LaneIntent { ahead: *ahead, files: files.iter().map(span).collect() })
        };
        let intent = Intent { configuration: 7, lanes: lanes.iter().map(lane).collect(), clock: vec![] };
        Plan::read(&intent.text(100), 100).unwrap()
    }

    #[test]
    fn a_commit_names_the_files_of_its_lanes() {
        let file = |start, end| OffsetRange { start, end };
        let key = "topics/t/hour=07/t+0+0000000110.parquet";
        type Lane<'a> = (&'a str, Option<i64>, &'a [(i64, i64)]);
        let cases: [(&[Lane<'_>], OffsetRange, bool); 11] = [
            (&[], file(110, 120), false),
            (&[("", Some(120), &[])], file(110, 120), true),
            (&[("", Some(119), &[])], file(110, 120), false),
            (&[("", None, &[(100, 130)])], file(110, 120), true),
            (&[("", None, &[(111, 130)])], file(110, 120), false),
            (&[("/hour=07", Some(200), &[])], file(110, 120), true),
            (&[("/hour=07\u{1}\u{1}", Some(200), &[])], file(110, 120), true),
            (&[("/hour=0", Some(200), &[])], file(110, 120), false),
            (&[("/hour=08", Some(200), &[])], file(110, 120), false),
            (&[("/hour=07", Some(105), &[(110, 120), (120, 130)])], file(110, 120), true),
            (&[("/hour=07", Some(105), &[(110, 120), (120, 130)])], file(110, 125), false),
        ];
        for (lanes, span, is_named) in cases {
            assert_eq!(plan(lanes).names(key, span), is_named, "{lanes:?} {span}");
        }
    }

    #[test]
    fn texts_of_others_name_nothing_and_damaged_ones_are_told() {
        assert!(!Plan::read("", 5).unwrap().names("k", OffsetRange { start: 0, end: 1 }));
        assert!(Plan::read("some note", 5).is_ok());
        assert!(Plan::read("LH1.AAAA", 5).unwrap_err().contains("cannot be read"));
    }
}
