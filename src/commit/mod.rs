//! The commit protocol: when files may become visible, what is committed with the offsets, and what the next owner does with it.
//!
//! The consumer group is the log. For one topic partition, [`Protocol`] turns "these files ended", "their bytes are stored", "they are visible" into commits of an
//! offset and a text ([`Intent`]), and says which files may be made visible:
//!
//! 1. seal: every byte of a group of files is stored, and nothing is visible;
//! 2. plan: an offset and the intent are committed; only the current owner of the partition can do that;
//! 3. publish: the files become visible, under names that are a function of the configuration, the topic partition, the path and the first offset;
//! 4. commit: the offset goes on to the first one that is not visible, and the intent says what is visible beyond it.
//!
//! Whoever owns the partition next reads from the committed offset; [`Replay`] says what the intent means for each record that comes: it is visible already, it belongs
//! to a file that ends where the intent says, or it is free. Publishing a planned file again puts the same records under the same name, at whatever time a former
//! owner does the same.
//!
//! Pure: no I/O, no clock. `docs/exactly-once.md` says what is assumed of Kafka and of the store; `tests/model` checks every interleaving of a small world.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::batch::{Committed, OffsetRange};

mod intent;
mod replay;

pub use intent::{Foreign, Intent, LaneIntent};
pub use replay::{Fate, Replay};

/// Which files end together: all of a topic partition ([`TOGETHER`]), or those of one path.
pub type Lane = Arc<str>;

/// The lane of files that end together whatever their path.
pub const TOGETHER: &str = "";

/// Bytes of text that a broker takes unless `offset.metadata.max.bytes` says otherwise.
pub const TEXT_LIMIT: usize = 4096;

/// Bytes of text that are kept for what has to be told when nothing else fits: that everything ends at an offset, and some more readings of the clock. What is visible beyond
/// the offset is told until that passes, so that a plan that leads to it is made only if the broker takes so many bytes more, which is tried out.
const RESERVE: usize = 64;

/// Bytes of text that a reading of the clock takes at most, and what comes with it.
const READING: usize = 20;

/// Bytes of text that every broker is taken to take.
const SHORTEST: usize = 128;

/// Files of one lane that ended together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId {
    lane: Lane,
    start: i64,
}

/// Whether the coordinator holds an intent that has a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Planned {
    No,
    /// By its own span.
    Told,
    /// As a part of everything below an offset.
    WithAll,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Group {
    /// First offset of its first row, and the offset after its last.
    span: OffsetRange,
    /// Whether its rows were taken by this owner: one that a former owner planned is not built at first.
    is_built: bool,
    is_sealed: bool,
    planned: Planned,
    is_published: bool,
}

impl Group {
    fn new(span: OffsetRange, is_former: bool) -> Self {
        let planned = if is_former { Planned::Told } else { Planned::No };
        Self { span, is_built: !is_former, is_sealed: false, planned, is_published: false }
    }
}

/// The files of one lane, in order.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
struct Progress {
    /// Everything of the lane below is visible; needed only while the committed offset is not past it.
    ahead: Option<i64>,
    /// Groups that ended and are not known to be visible.
    groups: VecDeque<Group>,
    /// First offset of what is open.
    open: Option<i64>,
}

impl Progress {
    /// The first offset that is not visible, if any is held.
    fn start(&self) -> Option<i64> {
        self.groups.front().map(|group| group.span.start).or(self.open)
    }

    fn unplanned(&self) -> impl Iterator<Item = &Group> {
        self.groups.iter().filter(|group| group.planned == Planned::No)
    }
}

/// A commit that was asked for, and what it allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Proposal {
    commit: Committed,
    groups: BTreeSet<GroupId>,
    /// End of an intent that covers everything below it.
    all: Option<i64>,
}

/// The state of one topic partition at its owner.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Protocol {
    configuration: u64,
    limit: usize,
    lanes: BTreeMap<Lane, Progress>,
    /// Everything below was taken, or was visible.
    position: Option<i64>,
    /// Offsets from which on paths were made with these readings of the clock, in ms.
    clock: Vec<(i64, i64)>,
    /// Everything below ends at this offset, whatever its lane: an intent too long to be told lane by lane.
    all: Option<i64>,
    known: Option<Committed>,
    /// Where records began to come, while nothing was committed.
    begin: Option<i64>,
    proposal: Option<Proposal>,
}

/// Files that cannot be planned, because telling where they end takes more text than the broker holds: they have to be read again, and end together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowded;

impl Protocol {
    fn new(configuration: u64, limit: usize) -> Self {
        Self { configuration, limit, lanes: BTreeMap::new(), position: None, clock: Vec::new(), all: None, known: None, begin: None, proposal: None }
    }

    /// Begins where the coordinator says. `configuration` stands for whatever rows, paths and names depend on.
    ///
    /// # Errors
    /// [`Foreign`] when files are on their way that only another configuration, or another version, can finish.
    pub fn recover(known: Option<Committed>, configuration: u64, limit: usize) -> Result<(Self, Replay), Foreign> {
        let intent = known.as_ref().map(|known| Intent::read(known, configuration)).transpose()?.unwrap_or_default();
        let mut protocol = Self { position: known.as_ref().map(|known| known.offset), known, ..Self::new(configuration, limit) };
        for (lane, LaneIntent { ahead, files }) in &intent.lanes {
            let groups = files.iter().map(|span| Group::new(*span, true)).collect();
            protocol.lanes.insert(Arc::clone(lane), Progress { ahead: *ahead, groups, open: None });
        }
        let from = protocol.position.unwrap_or(i64::MIN);
        let replay = Replay::new(intent, from);
        protocol.clock = replay.readings().to_vec();
        Ok((protocol, replay))
    }

    /// Paths of records from `offset` on were made with this reading of the clock, in ms.
    pub fn clock(&mut self, offset: i64, ms: i64) {
        self.clock.truncate(self.clock.partition_point(|(known, _)| *known < offset));
        if self.clock.last().is_none_or(|(_, at)| *at != ms) {
            self.clock.push((offset, ms));
        }
    }

    /// The same where the coordinator may hold something else, which is given up.
    #[must_use]
    pub fn begin_at(offset: i64, configuration: u64, limit: usize) -> (Self, Replay) {
        let protocol = Self { position: Some(offset), ..Self::new(configuration, limit) };
        (protocol, Replay::new(Intent::default(), offset))
    }

    /// Files were opened in a lane that had none; the offset of their first record.
    pub fn open(&mut self, lane: &Lane, start: i64) {
        if self.position.is_none() {
            self.begin.get_or_insert(start);
        }
        let position = self.position;
        let progress = self.lanes.entry(Arc::clone(lane)).or_default();
        // As upstream, files that end together begin where those before them ended: what lies between was left out.
        let before = progress.groups.back().map(|group| group.span.end).max(progress.ahead).max(position);
        let start = before.filter(|before| lane.is_empty() && *before < start).unwrap_or(start);
        progress.open.get_or_insert(start);
    }

    /// What was open in a lane ended; `end` is the offset after its last record, or where the intent says that it ends. `None` when there is nothing to publish.
    pub fn end(&mut self, lane: &Lane, end: i64) -> Option<GroupId> {
        let id = |start| GroupId { lane: Arc::clone(lane), start };
        let progress = self.lanes.entry(Arc::clone(lane)).or_default();
        let start = progress.open.take();
        if let Some(former) = progress.groups.iter_mut().find(|group| !group.is_built && group.span.end == end) {
            former.is_built = true;
            let id = id(former.span.start);
            // Its records may be gone from the log since.
            former.is_published = start.is_none();
            self.settle(lane);
            return start.map(|_| id);
        }
        let start = start?;
        progress.groups.push_back(Group::new(OffsetRange { start, end }, false));
        Some(id(start))
    }

    /// Every byte of the group is stored.
    pub fn sealed(&mut self, id: &GroupId) {
        if let Some(group) = self.find(id) {
            group.is_sealed = true;
        }
    }

    /// Whether the group's files may become visible: the coordinator holds an intent that has them, and every byte is stored.
    #[must_use]
    pub fn may_publish(&self, id: &GroupId) -> bool {
        let groups = self.lanes.get(&id.lane).map(|progress| &progress.groups);
        groups.into_iter().flatten().any(|group| group.span.start == id.start && group.planned != Planned::No && group.is_sealed)
    }

    /// Whether the coordinator holds an intent that has the group.
    #[must_use]
    pub fn is_planned(&self, id: &GroupId) -> bool {
        let groups = self.lanes.get(&id.lane).map(|progress| &progress.groups);
        groups.into_iter().flatten().any(|group| group.span.start == id.start && group.planned != Planned::No)
    }

    /// True when nothing is open or on its way, and nothing visible lies past the offset.
    #[must_use]
    pub fn is_clear(&self) -> bool {
        let offset = self.offset();
        self.lanes.values().all(|lane| lane.start().is_none() && lane.ahead <= offset)
    }

    /// Every file of the group is visible.
    pub fn published(&mut self, id: &GroupId) {
        if let Some(group) = self.find(id) {
            group.is_published = true;
            self.settle(&id.lane);
            self.settle_all();
        }
    }

    /// What ends together for lack of text passes together too, with what was told before: telling what of it is visible would take the text that there is not.
    fn settle_all(&mut self) {
        let Some(end) = self.all else { return };
        let mut groups = self.lanes.values().flat_map(|progress| &progress.groups).filter(|group| group.span.start < end);
        if groups.all(|group| group.is_published) {
            self.all = None;
            let lanes: Vec<Lane> = self.lanes.keys().cloned().collect();
            lanes.iter().for_each(|lane| self.settle(lane));
        }
    }

    /// Every record below was taken, or was visible already.
    pub fn pass(&mut self, position: i64) {
        self.position = self.position.max(Some(position));
    }

    fn find(&mut self, id: &GroupId) -> Option<&mut Group> {
        self.lanes.get_mut(&id.lane)?.groups.iter_mut().find(|group| group.span.start == id.start)
    }

    /// Counts what is visible from a lane's beginning on. What ends together has records of any lane: until it is visible, no lane is visible past where it begins.
    fn settle(&mut self, lane: &Lane) {
        let others: Vec<Lane> = if lane.is_empty() { self.lanes.keys().filter(|other| !other.is_empty()).cloned().collect() } else { Vec::new() };
        for lane in std::iter::once(lane).chain(&others) {
            self.settle_one(lane);
        }
    }

    fn settle_one(&mut self, lane: &Lane) {
        let together = self.lanes.get(TOGETHER).filter(|_| !lane.is_empty()).and_then(|progress| progress.groups.front()).map(|group| group.span.start);
        let Some(progress) = self.lanes.get_mut(lane) else { return };
        let is_waiting = |group: &Group| {
            let is_with_all = self.all.is_some() && group.planned == Planned::WithAll;
            is_with_all || together.is_some_and(|start| start < group.span.end)
        };
        while let Some(group) = progress.groups.pop_front_if(|group| group.is_published && !is_waiting(group)) {
            progress.ahead = progress.ahead.max(Some(group.span.end));
        }
    }

    /// The first offset that is not known to be visible: what is to be committed. `None` until a record was seen.
    #[must_use]
    pub fn offset(&self) -> Option<i64> {
        // What a former owner planned may begin past what was taken so far.
        self.lanes.values().filter_map(Progress::start).chain(self.position).min()
    }

    /// What the coordinator is to be asked to hold now; the same until something happens. `None` when it holds it.
    pub fn propose(&mut self) -> Option<Committed> {
        let offset = self.offset()?;
        self.forget(offset);
        let (mut intent, mut groups) = (self.intent(offset, |_, _| false), BTreeSet::new());
        let mut all = self.all;
        let wanted = self.unplanned(|progress| progress.unplanned().take_while(|group| group.is_sealed).collect());
        if let Some(end) = all {
            self.tell_all(&mut intent, offset, end);
        } else if !wanted.is_empty() {
            let is_of_one_lane = self.lanes.len() == 1 || wanted.iter().all(|id| id.lane.is_empty());
            let full = self.intent_with(offset, &wanted);
            if full.text(offset).len() <= self.room() {
                (intent, groups) = (full, wanted);
            } else if let Some(some) = self.as_many_as_fit(offset, &wanted).filter(|_| is_of_one_lane) {
                (intent, groups) = some;
            } else if let Some((told, end)) = self.end_of_all().and_then(|end| Some((self.told_with_all(&intent, offset, end)?, end))) {
                all = Some(end);
                intent = told;
                groups = self.unplanned(|progress| progress.unplanned().collect());
            } else if let Some((some, told)) = self.told_first(offset, &wanted) {
                (intent, groups) = (told, some);
            }
        }
        let length = if all.is_some() { 0 } else { self.tried_out(&intent, offset) };
        let commit = Committed { offset, metadata: intent.text_of(offset, length) };
        let nothing = self.begin.filter(|_| self.known.is_none()).map(Committed::at);
        if self.known.as_ref().or(nothing.as_ref()) == Some(&commit) {
            self.proposal = None;
            return None;
        }
        self.proposal = Some(Proposal { commit: commit.clone(), groups, all });
        Some(commit)
    }

    /// Groups that no intent has.
    fn unplanned(&self, which: impl for<'a> Fn(&'a Progress) -> Vec<&'a Group>) -> BTreeSet<GroupId> {
        let ids = |(lane, progress)| which(progress).into_iter().map(move |group| GroupId { lane: Arc::clone(lane), start: group.span.start });
        self.lanes.iter().flat_map(ids).collect()
    }

    /// Bytes of text for what is told lane by lane.
    fn room(&self) -> usize {
        self.limit.saturating_sub(RESERVE)
    }

    /// Bytes of text for what is told when nothing else fits. However short the text has to be since: what was told lane by lane was told when it had the reserve beside it.
    fn most(&self, offset: i64) -> usize {
        let told = self.intent(offset, |_, _| false).lane_by_lane().text(offset).len();
        self.limit.max(told + RESERVE - 1)
    }

    /// How long the text is made. Files that are about to become visible beyond the offset are told for as long as others hold it back; those have to be told besides.
    fn tried_out(&self, intent: &Intent, offset: i64) -> usize {
        let apart = intent.clone().lane_by_lane();
        if apart.lanes.values().all(|of| of.files.is_empty()) {
            return 0;
        }
        let length = apart.text(offset).len() + RESERVE;
        if (SHORTEST + 1..=self.limit).contains(&length) { length } else { 0 }
    }

    /// As many groups of one lane as fit, from its beginning on. Of the lane of all paths, one always does when none is told yet: the reserve is for it.
    fn as_many_as_fit(&self, offset: i64, wanted: &BTreeSet<GroupId>) -> Option<(Intent, BTreeSet<GroupId>)> {
        let wanted: Vec<&GroupId> = wanted.iter().collect();
        let build = |count: usize| {
            let some = wanted.iter().take(count).copied().cloned().collect();
            (self.intent_with(offset, &some), some)
        };
        let (mut low, mut high) = (0, wanted.len());
        while low < high {
            let middle = (low + high).div_ceil(2);
            if build(middle).0.text(offset).len() <= self.room() { low = middle } else { high = middle - 1 }
        }
        let told = self.lanes.get(TOGETHER).is_some_and(|progress| progress.groups.iter().any(|group| group.planned != Planned::No));
        if low == 0 && !told && wanted.first().is_some_and(|id| id.lane.is_empty() && build(1).0.text(offset).len() <= self.most(offset)) {
            low = 1;
        }
        (low > 0).then(|| build(low))
    }

    /// Groups that cannot end together with the others, because their lane has a later one: they are told apart, before.
    fn earlier(&self) -> BTreeSet<GroupId> {
        let mut earlier = self.unplanned(|progress| {
            let mut unplanned: Vec<&Group> = progress.unplanned().collect();
            if progress.open.is_none() {
                unplanned.pop();
            }
            unplanned
        });
        earlier.retain(|id| !id.lane.is_empty());
        earlier
    }

    /// Those of the wanted groups, and the intent that has them, if that fits.
    fn told_first(&self, offset: i64, wanted: &BTreeSet<GroupId>) -> Option<(BTreeSet<GroupId>, Intent)> {
        let some: BTreeSet<GroupId> = self.earlier().intersection(wanted).cloned().collect();
        let told = self.intent_with(offset, &some);
        (!some.is_empty() && told.text(offset).len() <= self.room()).then_some((some, told))
    }

    /// Whether all that is open could end now, and be told sooner or later.
    #[must_use]
    pub fn can_end_all(&self) -> bool {
        let mut ended = self.clone();
        for (lane, progress) in &self.lanes {
            if let Some(start) = progress.open.filter(|_| progress.groups.iter().all(|group| group.is_built)) {
                ended.end(lane, self.position.unwrap_or(start).max(start));
            }
        }
        ended.crowding().is_ok()
    }

    /// Where everything ends that is not planned: when nothing is open or to be read again, all is sealed, and no lane has more than one group to be told apart.
    fn end_of_all(&self) -> Option<i64> {
        let is_ready = |progress: &Progress| {
            let is_whole = progress.open.is_none() && progress.groups.iter().all(|group| group.is_built);
            is_whole && progress.unplanned().count() <= 1 && progress.unplanned().all(|group| group.is_sealed)
        };
        self.lanes.values().all(is_ready).then_some(self.position).flatten()
    }

    /// Says that everything ends at this offset, beginning where files of all paths ended before.
    fn tell_all(&self, intent: &mut Intent, offset: i64, end: i64) {
        let together = intent.lanes.entry(TOGETHER.into()).or_default();
        let before = together.files.iter().map(|span| span.end).chain(together.ahead).max();
        together.files.push(OffsetRange { start: before.unwrap_or(offset).max(offset), end });
        intent.clock.clone_from(&self.clock);
    }

    /// The intent that says so, if that fits; it does when what was told before is visible.
    fn told_with_all(&self, intent: &Intent, offset: i64, end: i64) -> Option<Intent> {
        let mut intent = intent.clone();
        self.tell_all(&mut intent, offset, end);
        (intent.text(offset).len() <= self.most(offset)).then_some(intent)
    }

    /// Forgets what the committed offset says by itself.
    fn forget(&mut self, offset: i64) {
        for progress in self.lanes.values_mut() {
            progress.ahead = progress.ahead.filter(|ahead| *ahead > offset);
        }
        self.lanes.retain(|_, progress| progress.ahead.is_some() || progress.open.is_some() || !progress.groups.is_empty());
        let current = self.clock.iter().rposition(|(from, _)| *from <= offset).unwrap_or(0);
        self.clock.drain(..current);
        // Told from there on, the reading in force takes no more text as the offset goes on.
        if let Some((from, _)) = self.clock.first_mut() {
            *from = offset.max(*from);
        }
    }

    /// The intent with these groups besides those that it has.
    fn intent_with(&self, offset: i64, more: &BTreeSet<GroupId>) -> Intent {
        self.intent(offset, |lane, group| more.contains(&GroupId { lane: Arc::clone(lane), start: group.span.start }))
    }

    fn intent(&self, offset: i64, has: impl Fn(&Lane, &Group) -> bool) -> Intent {
        let lane = |(lane, progress): (&Lane, &Progress)| {
            let is_told = |group: &&Group| group.planned == Planned::Told || (group.planned == Planned::No && has(lane, group));
            let files: Vec<OffsetRange> = progress.groups.iter().filter(is_told).map(|group| group.span).collect();
            let ahead = progress.ahead.filter(|ahead| *ahead > offset);
            (ahead.is_some() || !files.is_empty()).then(|| (Arc::clone(lane), LaneIntent { ahead, files }))
        };
        Intent { configuration: self.configuration, lanes: self.lanes.iter().filter_map(lane).collect(), clock: self.clock.clone() }.with_its_clock()
    }

    /// The coordinator holds this: what it allows may be published.
    pub fn accepted(&mut self, commit: &Committed) -> BTreeSet<GroupId> {
        let Some(proposal) = self.proposal.take_if(|proposal| proposal.commit == *commit) else { return BTreeSet::new() };
        self.known = Some(proposal.commit);
        // One without new groups may be older than the moment when all of that was visible.
        let all = proposal.all.filter(|_| !proposal.groups.is_empty());
        let planned = if all.is_some() { Planned::WithAll } else { Planned::Told };
        self.all = all.or(self.all);
        for id in &proposal.groups {
            if let Some(group) = self.find(id) {
                group.planned = planned;
            }
        }
        proposal.groups
    }

    /// The broker does not take a text of this length.
    ///
    /// # Errors
    /// The length, when nothing shorter can be said.
    pub fn shorten(&mut self, refused: usize) -> Result<(), usize> {
        let asked = self.proposal.as_ref().map_or(0, |proposal| proposal.commit.metadata.len());
        let is_least = asked == refused && asked > self.limit;
        if refused <= SHORTEST || is_least {
            return Err(refused);
        }
        self.limit = self.limit.min(refused / 2).max(SHORTEST);
        Ok(())
    }

    /// Bytes of text that the broker is taken to take.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Whether the intent would grow too long: nothing more should be taken, and everything that is open should end, until it is short again.
    ///
    /// # Errors
    /// [`Crowded`] when a lane has more groups than can be told, what is to be read again leaves no room, or files have seen more readings of the clock than can be told.
    pub fn crowding(&self) -> Result<bool, Crowded> {
        let Some(offset) = self.offset() else { return Ok(false) };
        if self.all.is_some() {
            return Ok(true);
        }
        if self.text_of_all_groups(offset) <= self.room() && self.fits_alone() {
            return Ok(false);
        }
        // What a former owner planned is told already, and takes records to be finished.
        let is_former = |progress: &Progress| progress.groups.iter().any(|group| !group.is_built);
        let is_open = |progress: &Progress| progress.open.is_some() && !is_former(progress);
        let is_free = |progress: &Progress| is_open(progress) || progress.unplanned().next().is_some();
        let together = self.lanes.get(TOGETHER);
        let apart = || self.lanes.iter().filter(|(lane, _)| !lane.is_empty()).map(|(_, progress)| progress);
        let is_on_its_way = |progress: &Progress| progress.groups.iter().any(|group| group.planned != Planned::No);
        if !apart().any(is_free) || (self.lanes.len() == 1 && self.fits_alone()) {
            // Groups of one lane are told a few at a time; what grows is the number of readings of the clock.
            let next = if self.lanes.len() == 1 { self.lanes.values().next() } else { together };
            if !self.next_fits(offset) && !next.is_some_and(is_on_its_way) {
                return Err(Crowded);
            }
            return Ok(together.is_some_and(is_open) && !(self.fits_alone() && self.fits_beside(offset)));
        }
        let earlier = self.earlier();
        let first = if earlier.is_empty() { Some(self.intent(offset, |_, _| false)) } else { self.told_first(offset, &earlier).map(|(_, told)| told) };
        // Where nothing is on its way that could make room, what ends together has to fit.
        let fits = |end| first.as_ref().is_some_and(|first| self.told_with_all(first, offset, end).is_some());
        let is_hopeful = self.lanes.values().any(is_on_its_way) || self.position.is_none_or(fits);
        if first.is_some() && !self.lanes.values().any(is_former) && is_hopeful { Ok(true) } else { Err(Crowded) }
    }

    /// Whether the next group of all paths, or of the only lane, can be told with the readings of the clock that it has seen.
    fn next_fits(&self, offset: i64) -> bool {
        let is_only = |lane: &Lane| lane.is_empty() || self.lanes.len() == 1;
        let Some((lane, progress)) = self.lanes.iter().find(|(lane, _)| is_only(lane)) else { return true };
        let Some(start) = progress.unplanned().next().map(|group| group.span.start) else { return true };
        let most = if lane.is_empty() { self.most(offset) } else { self.room() };
        self.intent_with(offset, &BTreeSet::from([GroupId { lane: Arc::clone(lane), start }])).text(offset).len() <= most
    }

    /// Whether what is open of all paths could be told beside what is told lane by lane, with one more reading of the clock.
    fn fits_beside(&self, offset: i64) -> bool {
        let mut intent = self.intent(offset, |_, _| false);
        let Some(start) = self.lanes.get(TOGETHER).and_then(|progress| progress.open).filter(|_| intent.lanes.keys().any(|lane| !lane.is_empty())) else {
            return true;
        };
        let end = self.position.unwrap_or(start).max(start);
        intent.lanes.entry(TOGETHER.into()).or_default().files.push(OffsetRange { start, end });
        intent.clock.clone_from(&self.clock);
        intent.text(offset).len() + READING <= self.most(offset)
    }

    /// Bytes that it takes to tell every group that ended, and every reading of the clock.
    fn text_of_all_groups(&self, offset: i64) -> usize {
        let mut intent = self.intent(offset, |_, _| true);
        intent.clock.clone_from(&self.clock);
        intent.text(offset).len()
    }

    /// Whether the earliest of what is open, or else not planned, could be told if everything before it were visible: with its name, and every reading of the clock since.
    fn fits_alone(&self) -> bool {
        let first = |progress: &Progress| progress.open.or_else(|| progress.unplanned().next().map(|group| group.span.start));
        let Some((start, lane)) = self.lanes.iter().filter_map(|(lane, progress)| Some((first(progress)?, lane))).min() else { return true };
        let current = self.clock.iter().rposition(|(from, _)| *from <= start).unwrap_or(0);
        let clock = self.clock.get(current..).unwrap_or_default().to_vec();
        let files = vec![OffsetRange { start, end: self.position.unwrap_or(start).max(start) }];
        let lanes = BTreeMap::from([(Arc::clone(lane), LaneIntent { ahead: None, files })]);
        Intent { configuration: self.configuration, lanes, clock }.text(start).len() <= self.room()
    }

    /// The lane whose open files hold the offset back, when the intent has grown long: it should end.
    #[must_use]
    pub fn straggler(&self) -> Option<Lane> {
        let offset = self.offset()?;
        let is_long = self.lanes.len() > 1 && self.intent(offset, |_, _| true).text(offset).len() > self.limit / 2;
        let open = self.lanes.iter().filter(|(_, progress)| progress.groups.is_empty()).filter_map(|(lane, progress)| Some((progress.open?, lane)));
        open.min().filter(|(start, _)| is_long && *start == offset).map(|(_, lane)| Arc::clone(lane))
    }
}

#[cfg(test)]
mod tests;
