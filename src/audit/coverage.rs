//! Whether files hold each offset once, by what they say: pure.
//!
//! Files whose spans overlap form a cluster; each cluster is judged for itself. Its counts and digests, added up, either are those of the whole range, and then
//! each offset of it is in one row, or are not, and then the offsets of its files, where they are known, are laid side by side to name what is missing and
//! what is there twice.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use super::inventory::{File, Source, width};
use crate::batch::OffsetRange;
use crate::offsets::{Digest, OffsetSet, Runs};

/// Ranges of doubled offsets of one cluster that are named; the others are counted.
const MOST_NAMED: usize = 1000;

/// Files whose spans overlap, and what is between them and the cluster before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cluster {
    /// From the first offset of any of its files to the last of any.
    pub(super) span: OffsetRange,
    /// Which of the sorted files.
    pub(super) files: Range<usize>,
    pub(super) rows: u64,
    /// The sum of its files' digests, if all are known.
    pub(super) digest: Option<Digest>,
    pub(super) is_assumed: bool,
    /// One of its files says what cannot be.
    pub(super) is_broken: bool,
}

/// What counts and digests say of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sum {
    /// Each offset is there once.
    Whole,
    /// The count is right, and nothing tells of which offsets.
    Unproven,
    /// The count is right, and some offsets are there twice in place of others.
    Mixed,
    /// So many rows are missing at least.
    Short(u64),
    /// So many rows are there at least that should not.
    Excess(u64),
}

impl Cluster {
    pub(super) fn sum(&self) -> Sum {
        let whole = width(self.span);
        match self.digest {
            _ if self.rows < whole => Sum::Short(whole - self.rows),
            _ if self.rows > whole => Sum::Excess(self.rows - whole),
            Some(digest) if digest == Digest::of_range(self.span.start, self.span.end) => Sum::Whole,
            Some(_) => Sum::Mixed,
            None => Sum::Unproven,
        }
    }
}

/// Puts files, sorted by their spans, into clusters.
pub(super) fn clusters(files: &[File]) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for (index, file) in files.iter().enumerate() {
        let is_assumed = file.source == Source::Count;
        match clusters.last_mut().filter(|cluster| file.span.start < cluster.span.end) {
            Some(cluster) => {
                cluster.span.end = cluster.span.end.max(file.span.end);
                cluster.files.end = index + 1;
                cluster.rows = cluster.rows.saturating_add(file.rows);
                cluster.digest = cluster.digest.zip(file.known_digest()).map(|(a, b)| a + b);
                cluster.is_assumed |= is_assumed;
                cluster.is_broken |= file.is_broken;
            }
            None => {
                let (span, rows, digest) = (file.span, file.rows, file.known_digest());
                clusters.push(Cluster { span, files: index..index + 1, rows, digest, is_assumed, is_broken: file.is_broken });
            }
        }
    }
    clusters
}

/// Offsets that are in several rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Doubled {
    pub(super) range: OffsetRange,
    /// Indexes of the files that hold them; one that holds them twice is there twice.
    pub(super) files: Vec<usize>,
}

/// What laying files side by side brings to light.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Faults {
    /// Offsets that are in no file, ascending.
    pub(super) missing: OffsetSet,
    /// Offsets that are in several, ascending; the first of them if there are many.
    pub(super) named: Vec<Doubled>,
    /// How many there are of these.
    pub(super) doubled: u64,
}

/// Lays the offsets of files side by side. Only the offsets of files whose spans overlap are held at once.
#[derive(Debug)]
pub(super) struct Sweep {
    span: OffsetRange,
    /// Everything below is settled.
    at: i64,
    /// The next run of each file: start, end, and which of the files.
    next: BinaryHeap<Reverse<(i64, i64, usize)>>,
    /// What comes after that run, with the file's index; `None` when it is over.
    files: Vec<(usize, Option<Runs<Vec<u8>>>)>,
    /// What reaches beyond `at`: end, and which of the files.
    reaching: Vec<(i64, usize)>,
    /// Bytes of the files that are not over.
    held: usize,
    faults: Faults,
}

impl Sweep {
    /// Over a range that holds all files that will be added.
    pub(super) fn over(span: OffsetRange) -> Self {
        Self { span, at: span.start, next: BinaryHeap::new(), files: Vec::new(), reaching: Vec::new(), held: 0, faults: Faults::default() }
    }

    /// Adds a file with its index; its runs ascend, and begin no earlier than those of the files before. Returns the bytes that are held.
    pub(super) fn add(&mut self, index: usize, set: OffsetSet) -> usize {
        self.take_below(set.first().unwrap_or(self.at));
        self.held += set.memory_bytes();
        self.files.push((index, Some(set.into_runs())));
        self.expect_next_of(self.files.len() - 1);
        self.held
    }

    /// Everything that was found.
    pub(super) fn end(mut self) -> Faults {
        self.take_below(i64::MAX);
        self.settle(self.span.end);
        self.faults
    }

    fn expect_next_of(&mut self, which: usize) {
        let Some((_, Some(runs))) = self.files.get_mut(which) else { return };
        match runs.next() {
            Some(run) => self.next.push(Reverse((run.start, run.end, which))),
            None => {
                let over = self.files.get_mut(which).and_then(|(_, runs)| runs.take());
                self.held = self.held.saturating_sub(over.map_or(0, |runs| runs.memory_bytes()));
            }
        }
    }

    /// Takes the runs that start below an offset.
    fn take_below(&mut self, offset: i64) {
        while let Some(Reverse((start, end, which))) = self.next.peek().copied().filter(|Reverse((start, ..))| *start < offset) {
            self.next.pop();
            self.settle(start);
            self.reaching.push((end, which));
            self.expect_next_of(which);
        }
    }

    /// Settles the offsets below `until`: no run begins before.
    fn settle(&mut self, until: i64) {
        while self.at < until {
            let at = self.at;
            self.reaching.retain(|(end, _)| *end > at);
            let end = self.reaching.iter().map(|(end, _)| *end).min().unwrap_or(until).min(until);
            match self.reaching.len() {
                0 => self.faults.missing.extend_range(at, end),
                1 => {}
                _ => {
                    let mut holders: Vec<usize> = self.reaching.iter().filter_map(|(_, which)| self.files.get(*which)).map(|(index, _)| *index).collect();
                    holders.sort_unstable();
                    self.faults.add(OffsetRange { start: at, end }, holders);
                }
            }
            self.at = end;
        }
    }
}

impl Faults {
    fn add(&mut self, range: OffsetRange, files: Vec<usize>) {
        self.doubled += width(range);
        if let Some(last) = self.named.last_mut().filter(|last| last.range.end == range.start && last.files == files) {
            last.range.end = range.end;
        } else if self.named.len() < MOST_NAMED {
            self.named.push(Doubled { range, files });
        }
    }
}

/// The offsets of an ascending set that are in another ascending set too.
pub(super) fn in_both(one: &OffsetSet, other: &OffsetSet) -> OffsetSet {
    let mut both = OffsetSet::new();
    let (mut ones, mut others) = (one.runs(), other.runs());
    let (mut a, mut b) = (ones.next(), others.next());
    while let (Some(one), Some(other)) = (a, b) {
        both.extend_range(one.start.max(other.start), one.end.min(other.end));
        if one.end <= other.end {
            a = ones.next();
        } else {
            b = others.next();
        }
    }
    both
}

/// The offsets of an ascending set that are in a range.
pub(super) fn within(set: &OffsetSet, range: OffsetRange) -> OffsetSet {
    let mut whole = OffsetSet::new();
    whole.extend_range(range.start, range.end);
    in_both(set, &whole)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A file of these offsets, with a digest or without.
    fn file(offsets: &[i64], has_digest: bool) -> File {
        let set = set(offsets);
        let span = OffsetRange { start: set.first().unwrap(), end: set.end().unwrap() };
        let digest = has_digest.then(|| set.digest());
        File { key: format!("{span}").into(), size: 1, span, rows: set.count(), digest, source: Source::Labels, is_broken: false }
    }

    fn set(offsets: &[i64]) -> OffsetSet {
        let mut set = OffsetSet::new();
        set.extend(offsets);
        set
    }

    fn sums(files: &[(&[i64], bool)]) -> Vec<(i64, i64, Sum)> {
        let mut files: Vec<File> = files.iter().map(|(offsets, has_digest)| file(offsets, *has_digest)).collect();
        files.sort_by_key(|file| (file.span.start, file.span.end));
        clusters(&files).iter().map(|cluster| (cluster.span.start, cluster.span.end, cluster.sum())).collect()
    }

    #[test]
    fn clusters_are_judged_by_counts_and_digests() {
        use Sum::{Excess, Mixed, Short, Unproven, Whole};
        type Case<'a> = (&'a [(&'a [i64], bool)], &'a [(i64, i64, Sum)]);
        let cases: [Case<'_>; 10] = [
            (&[], &[]),
            (&[(&[0, 1, 2], true), (&[3, 4], true)], &[(0, 3, Whole), (3, 5, Whole)]),
            // A dense span needs no digest.
            (&[(&[0, 1, 2], false), (&[5, 6], false)], &[(0, 3, Whole), (5, 7, Whole)]),
            // Two paths take turns.
            (&[(&[0, 2, 4], true), (&[1, 3, 5], true)], &[(0, 6, Whole)]),
            (&[(&[0, 2, 4], true), (&[1, 3, 5], false)], &[(0, 6, Unproven)]),
            (&[(&[0, 2, 4], true), (&[3, 5], true)], &[(0, 6, Short(1))]),
            (&[(&[0, 2, 4], true), (&[1, 3, 5], true), (&[3], true)], &[(0, 6, Excess(1))]),
            // 1 is lost, 4 is there twice: the count is right.
            (&[(&[0, 2, 4], true), (&[3, 4, 5], true)], &[(0, 6, Mixed)]),
            (&[(&[0, 1, 2], true), (&[0, 1, 2], true)], &[(0, 3, Excess(3))]),
            (&[(&[0, 5], true)], &[(0, 6, Short(4))]),
        ];
        for (files, expected) in cases {
            assert_eq!(sums(files), expected, "{files:?}");
        }
    }

    /// Lays files, given in the order of their first offsets, side by side.
    fn swept(span: OffsetRange, files: Vec<(usize, OffsetSet)>) -> Faults {
        let mut sweep = Sweep::over(span);
        for (index, set) in files {
            sweep.add(index, set);
        }
        sweep.end()
    }

    fn runs(set: &OffsetSet) -> Vec<(i64, i64)> {
        set.runs().map(|run| (run.start, run.end)).collect()
    }

    #[test]
    fn what_is_missing_or_doubled_is_named_with_its_files() {
        type Doubled<'a> = &'a [(i64, i64, &'a [usize])];
        type Case<'a> = (&'a [&'a [i64]], (i64, i64), &'a [(i64, i64)], Doubled<'a>);
        let cases: [Case<'_>; 8] = [
            (&[&[0, 1, 2], &[3, 4]], (0, 5), &[], &[]),
            (&[&[0, 2, 4], &[1, 3]], (0, 5), &[], &[]),
            (&[], (3, 5), &[(3, 5)], &[]),
            (&[&[0, 1], &[5, 6]], (0, 9), &[(2, 5), (7, 9)], &[]),
            (&[&[0, 1, 2, 3], &[2, 3, 4]], (0, 5), &[], &[(2, 4, &[10, 11])]),
            (&[&[0, 1, 2, 3, 4], &[1], &[1, 2, 3]], (0, 5), &[], &[(1, 2, &[10, 11, 12]), (2, 4, &[10, 12])]),
            // Twice in one file.
            (&[&[0, 1, 1, 2]], (0, 3), &[], &[(1, 2, &[10, 10])]),
            (&[&[0, 1, 5], &[0, 5]], (0, 6), &[(2, 5)], &[(0, 1, &[10, 11]), (5, 6, &[10, 11])]),
        ];
        for (offsets, (start, end), missing, doubled) in cases {
            let files = offsets.iter().enumerate().map(|(index, offsets)| (index + 10, set(offsets))).collect();
            let faults = swept(OffsetRange { start, end }, files);
            assert_eq!(runs(&faults.missing), missing, "{offsets:?}");
            let named: Vec<_> = faults.named.iter().map(|named| (named.range.start, named.range.end, named.files.as_slice())).collect();
            assert_eq!(named, doubled, "{offsets:?}");
            assert_eq!(faults.doubled, doubled.iter().map(|(start, end, _)| end.abs_diff(*start)).sum::<u64>());
        }
    }

    #[test]
    fn files_that_are_over_are_let_go() {
        let mut sweep = Sweep::over(OffsetRange { start: 0, end: 1_000_000 });
        for index in 0..100 {
            let first = i64::try_from(index).unwrap() * 10_000;
            let every_other: Vec<i64> = (first..first + 10_000).step_by(2).collect();
            let held = sweep.add(index, set(&every_other));
            assert!(held <= 3 * set(&every_other).memory_bytes(), "{held}");
        }
        assert_eq!(sweep.end().missing.count(), 500_000);
    }

    #[test]
    fn sets_are_intersected() {
        let (a, b) = (set(&[0, 1, 2, 5, 8, 9]), set(&[1, 2, 3, 4, 5, 9, 10]));
        assert_eq!(runs(&in_both(&a, &b)), [(1, 3), (5, 6), (9, 10)]);
        assert_eq!(in_both(&a, &b), in_both(&b, &a));
        assert_eq!(runs(&within(&a, OffsetRange { start: 2, end: 9 })), [(2, 3), (5, 6), (8, 9)]);
        assert_eq!(within(&a, OffsetRange { start: 3, end: 5 }), OffsetSet::new());
    }

    proptest! {
        /// Offsets that are dealt out to files are whole; with some lost and some copied, the faults are these, and the sums see them.
        #[test]
        fn faults_are_what_was_planted(
            start in 0_i64..1 << 40,
            fates in prop::collection::vec((0_usize..4, prop_oneof![8 => Just(1_usize), 1 => Just(0), 1 => Just(2)]), 2..120),
        ) {
            let (first, last) = (start, start + i64::try_from(fates.len()).unwrap());
            let mut files = vec![Vec::new(); 5];
            for (offset, (which, copies)) in (start..).zip(&fates) {
                for copy in 0..*copies {
                    files[which + copy].push(offset);
                }
            }
            let mut files: Vec<(usize, OffsetSet)> = files.iter().enumerate().map(|(index, offsets)| (index, set(offsets))).collect();
            files.sort_by_key(|(_, set)| set.first());
            let rows: u64 = files.iter().map(|(_, set)| set.count()).sum();
            let digest = files.iter().map(|(_, set)| set.digest()).sum::<Digest>();
            let planted = |wanted: usize| (start..).zip(&fates).filter(|(_, (_, copies))| *copies == wanted).map(|(offset, _)| offset).collect::<Vec<_>>();
            let faults = swept(OffsetRange { start: first, end: last }, files);
            prop_assert_eq!(&faults.missing, &set(&planted(0)));
            let named: Vec<i64> = faults.named.iter().flat_map(|named| named.range.start..named.range.end).collect();
            prop_assert_eq!(&named, &planted(2));
            prop_assert_eq!(faults.doubled, named.len() as u64);
            let cluster = Cluster { span: OffsetRange { start: first, end: last }, files: 0..5, rows, digest: Some(digest), is_assumed: false, is_broken: false };
            prop_assert_eq!(cluster.sum() == Sum::Whole, planted(0).is_empty() && planted(2).is_empty());
        }
    }
}
