//! What an intent means for the records that come after the committed offset.

use std::collections::VecDeque;
use std::sync::Arc;

use super::{Intent, Lane, TOGETHER};
use crate::batch::OffsetRange;

/// Where a record belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is in a visible file.
    Visible,
    /// It belongs to a file of its own lane that ends where the intent says.
    Planned,
    /// It belongs to files that end together where the intent says.
    PlannedTogether,
    /// No intent speaks of it.
    Free,
}

/// An intent, while records that it speaks of are read again.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Replay {
    intent: Intent,
    /// Ends that are still to come, ascending.
    ends: VecDeque<(i64, Lane)>,
    /// Everything below is visible: the committed offset, where records from before it come all the same.
    from: i64,
    /// Everything from here on is free.
    until: i64,
}

impl Replay {
    pub(super) fn new(mut intent: Intent, from: i64) -> Self {
        let mut ends: Vec<(i64, Lane)> = intent.lanes.iter().flat_map(|(lane, of)| of.files.iter().map(|span| (span.end, Arc::clone(lane)))).collect();
        ends.sort();
        let ahead = intent.lanes.values().filter_map(|of| of.ahead).max();
        let until = ahead.into_iter().chain(ends.last().map(|(end, _)| *end)).max().unwrap_or(from);
        // What the former owner read beyond that, it neither planned nor published: another reading of the clock does as well.
        intent.clock.retain(|(from, _)| *from < until);
        Self { intent, ends: ends.into(), from, until }
    }

    /// The readings of the clock, in ms, with which paths were made, and from where on.
    pub(super) fn readings(&self) -> &[(i64, i64)] {
        &self.intent.clock
    }

    /// True when records from this offset on are free, and every planned end was reported.
    #[must_use]
    pub fn is_over(&self, position: i64) -> bool {
        position >= self.until && self.ends.is_empty()
    }

    /// The next offset at which what the intent says changes; records are taken up to it at most.
    #[must_use]
    pub fn boundary(&self, after: i64) -> Option<i64> {
        let ends = self.intent.lanes.values().flat_map(|of| of.ahead.into_iter().chain(of.files.iter().flat_map(|span| [span.start, span.end])));
        ends.chain(self.intent.clock.iter().map(|(from, _)| *from)).chain([self.from]).filter(|offset| *offset > after && *offset <= self.until).min()
    }

    /// Where a record of that lane (of its path, if files end together) belongs.
    #[must_use]
    pub fn fate(&self, lane: &str, offset: i64) -> Fate {
        let of = |lane: &str| self.intent.lanes.get(lane);
        let is_planned = |lane: &str| of(lane).is_some_and(|of| of.files.iter().any(|span: &OffsetRange| (span.start..span.end).contains(&offset)));
        let is_visible = |lane: &str| of(lane).and_then(|of| of.ahead).is_some_and(|ahead| offset < ahead);
        match lane {
            _ if offset < self.from => Fate::Visible,
            _ if offset >= self.until => Fate::Free,
            TOGETHER => self.fate_together(is_planned(TOGETHER), is_visible(TOGETHER)),
            _ if is_planned(lane) => Fate::Planned,
            _ if is_visible(lane) => Fate::Visible,
            _ => self.fate_together(is_planned(TOGETHER), is_visible(TOGETHER)),
        }
    }

    fn fate_together(&self, is_planned: bool, is_visible: bool) -> Fate {
        if is_planned {
            Fate::PlannedTogether
        } else if is_visible {
            Fate::Visible
        } else {
            Fate::Free
        }
    }

    /// The reading of the clock, in ms, with which paths of records at this offset were made.
    #[must_use]
    pub fn clock(&self, offset: i64) -> Option<i64> {
        let known = self.intent.clock.iter().take_while(|(from, _)| *from <= offset).last();
        known.filter(|_| offset < self.until).map(|(_, ms)| *ms)
    }

    /// The next planned end that is reached when everything below `position` was taken.
    pub fn next_end(&mut self, position: i64) -> Option<(Lane, i64)> {
        self.ends.pop_front_if(|(end, _)| *end <= position).map(|(end, lane)| (lane, end))
    }

    /// The files of a lane that a former owner has planned to end there.
    #[must_use]
    pub fn planned(&self, lane: &str, end: i64) -> Option<OffsetRange> {
        self.intent.lanes.get(lane)?.files.iter().find(|span| span.end == end).copied()
    }

    /// True for a lane that has planned ends to come: nothing else ends its files until then.
    #[must_use]
    pub fn holds(&self, lane: &str) -> bool {
        self.ends.iter().any(|(_, held)| &**held == lane)
    }
}
