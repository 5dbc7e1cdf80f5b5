//! An owner of the topic partition as the model has it: the writer's rules over the product's own [`Protocol`] and [`Replay`].
//!
//! Records are routed as the sink task routes them: what the replay says first, then the scope. When files of free lanes end is left to the model: by size, time, schema or
//! lack of memory, it may be at any moment.

use std::collections::{BTreeMap, BTreeSet};

use lakehead::batch::Committed;
use lakehead::commit::{Crowded, Fate, Foreign, GroupId, Lane, Protocol, Replay, TOGETHER};

use crate::world::{Fault, Object, Rows, World, bit};

/// Whoever consumes the topic partition, or believes that they do.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Owner {
    pub(crate) protocol: Protocol,
    pub(crate) replay: Replay,
    /// The configuration that it was started with.
    pub(crate) configuration: u8,
    /// All files end together: upstream's way, or for a while because too many ended at once.
    pub(crate) is_together: bool,
    /// Next record to take.
    pub(crate) position: i64,
    /// By lane and path, the rows of open files.
    pub(crate) open: BTreeMap<Lane, BTreeMap<u8, Rows>>,
    /// Files that ended, until they are known to be visible; and whether all their bytes are stored.
    pub(crate) groups: BTreeMap<GroupId, (bool, Vec<Object>)>,
    /// A commit that the coordinator took, and whose answer is on its way.
    pub(crate) answer: Option<Committed>,
    /// Nothing more is taken until what is committed beside the offset is short again.
    pub(crate) is_crowded: bool,
    /// The reading of the clock with which the last paths were made.
    clock: Option<i64>,
}

impl Owner {
    /// Begins with what the coordinator holds. `is_together` after too many files ended at once.
    pub(crate) fn start(world: &World, committed: Option<&Committed>, configuration: u8, is_together: bool) -> Result<Self, Foreign> {
        let told = if world.fault == Some(Fault::AnyConfiguration) { 0 } else { u64::from(configuration) };
        let (protocol, replay) = Protocol::recover(committed.cloned(), told, world.limit)?;
        let mut owner = Self {
            protocol,
            replay,
            configuration,
            is_together: world.is_together || is_together,
            position: committed.map_or(0, |committed| committed.offset),
            open: BTreeMap::new(),
            groups: BTreeMap::new(),
            answer: None,
            is_crowded: false,
            clock: None,
        };
        owner.end_planned(world);
        Ok(owner)
    }

    /// Whether it takes another record.
    pub(crate) fn has_room(&self, world: &World) -> bool {
        self.position < world.end() && !self.is_crowded && self.groups.len() < world.groups
    }

    /// Takes the next record.
    pub(crate) fn take(&mut self, world: &World, now: i64) {
        let offset = self.position;
        self.position += 1;
        let reading = self.reading(world, offset, now);
        if let Some(path) = world.path(offset, self.configuration, reading)
            && let Some(lane) = self.lane(world, path, offset)
        {
            *self.open.entry(Lane::clone(&lane)).or_default().entry(path).or_default() |= bit(offset);
            self.protocol.open(&lane, offset);
        }
        self.protocol.pass(self.position);
        self.end_planned(world);
    }

    /// The reading of the clock that the record's path is made with: a former owner's, or ours, which is told.
    fn reading(&mut self, world: &World, offset: i64, now: i64) -> i64 {
        if !world.is_clocked {
            return 0;
        }
        if let Some(former) = self.replay.clock(offset).filter(|_| world.fault != Some(Fault::OwnClock)) {
            self.clock = Some(former);
            return former;
        }
        if self.clock != Some(now) {
            self.clock = Some(now);
            self.protocol.clock(offset, now);
        }
        now
    }

    /// The lane of a record; `None` when it is visible already.
    fn lane(&self, world: &World, path: u8, offset: i64) -> Option<Lane> {
        let own = world.lane(path);
        match self.replay.fate(&own, offset) {
            Fate::Visible if world.fault != Some(Fault::AheadIgnored) => None,
            Fate::Planned => Some(own),
            Fate::PlannedTogether => Some(TOGETHER.into()),
            Fate::Free | Fate::Visible => Some(if self.is_together { TOGETHER.into() } else { own }),
        }
    }

    /// Ends what the intent ends now that everything below the position was taken.
    fn end_planned(&mut self, world: &World) {
        while let Some((lane, end)) = self.replay.next_end(self.position) {
            if world.fault != Some(Fault::EndsForgotten) {
                self.end(&lane, Some(end));
            }
        }
    }

    /// True when the lane's files may end at any moment.
    pub(crate) fn may_end(&self, world: &World, lane: &str) -> bool {
        world.fault == Some(Fault::EndsForgotten) || !self.replay.holds(lane)
    }

    /// Ends what is open in a lane.
    pub(crate) fn end(&mut self, lane: &Lane, planned: Option<i64>) {
        let files = self.open.remove(lane).unwrap_or_default();
        let last = files.values().map(|rows| i64::from(Rows::BITS - rows.leading_zeros())).max();
        let Some(end) = planned.or(last) else { return };
        if let Some(id) = self.protocol.end(lane, end) {
            let objects = files.into_iter().map(|(path, rows)| Object { path, start: i64::from(rows.trailing_zeros()), rows });
            self.groups.insert(id, (false, objects.collect()));
        }
    }

    /// Ends everything that no intent holds.
    pub(crate) fn end_all(&mut self, world: &World) {
        let lanes: Vec<Lane> = self.open.keys().filter(|lane| self.may_end(world, lane)).cloned().collect();
        lanes.iter().for_each(|lane| self.end(lane, None));
    }

    /// Every byte of the group is stored.
    pub(crate) fn seal(&mut self, id: &GroupId) {
        if let Some((is_sealed, _)) = self.groups.get_mut(id) {
            *is_sealed = true;
        }
        self.protocol.sealed(id);
    }

    /// Groups whose files may become visible.
    pub(crate) fn publishable(&self, world: &World) -> BTreeSet<GroupId> {
        let is_early = matches!(world.fault, Some(Fault::NeverPlanned | Fault::PlannedLate));
        let may = |(id, (is_sealed, _)): &(&GroupId, &(bool, Vec<Object>))| if is_early { *is_sealed } else { self.protocol.may_publish(id) };
        self.groups.iter().filter(may).map(|(id, _)| id.clone()).collect()
    }

    /// Every file of the group is visible.
    pub(crate) fn published(&mut self, id: &GroupId) {
        self.groups.remove(id);
        self.protocol.published(id);
    }

    /// Looks whether what is committed with the offset grows too long, as the task does after each batch.
    pub(crate) fn watch(&mut self, world: &World) -> Result<(), Crowded> {
        if self.protocol.crowding()? {
            self.is_crowded = true;
            self.end_all(world);
        } else if let Some(lane) = self.protocol.straggler().filter(|lane| self.may_end(world, lane)) {
            self.end(&lane, None);
        }
        Ok(())
    }

    /// What the coordinator is to be asked to hold, as the task asks before each commit.
    pub(crate) fn propose(&mut self, world: &World) -> Option<Committed> {
        if self.is_crowded {
            self.is_crowded = self.protocol.crowding() != Ok(false);
        }
        let commit = self.protocol.propose();
        let may_part = self.open.is_empty() && self.protocol.is_clear() || world.fault == Some(Fault::ParksOpen);
        if self.is_together && !world.is_together && may_part {
            self.is_together = false;
        }
        commit
    }

    /// The coordinator does not take a text that long.
    pub(crate) fn refused(&mut self, commit: &Committed) -> Result<(), usize> {
        self.is_crowded = true;
        self.protocol.shorten(commit.metadata.len())
    }

    /// The coordinator has taken its commit.
    pub(crate) fn answered(&mut self, world: &World) -> Option<()> {
        let commit = self.answer.take()?;
        let allowed = self.protocol.accepted(&commit);
        if world.fault == Some(Fault::PassedEarly) {
            allowed.iter().for_each(|id| self.protocol.published(id));
        }
        Some(())
    }

    /// Does all that it can still do now that the partition is somebody else's, and its commits are refused: hears the last answer, reads what is planned, and stores it.
    pub(crate) fn go_on_alone(&mut self, world: &World) {
        self.answered(world);
        while self.position < world.end() && !self.replay.is_over(self.position) {
            self.take(world, 0);
        }
        let ended: Vec<GroupId> = self.groups.keys().cloned().collect();
        ended.iter().for_each(|id| self.seal(id));
    }

    /// True when it can do nothing any more that others could notice, now that the partition is somebody else's: its commits are refused, and what it may publish is on
    /// the wire.
    pub(crate) fn is_harmless(&self) -> bool {
        let is_waiting = self.groups.iter().any(|(id, (is_sealed, _))| !is_sealed && self.protocol.is_planned(id));
        self.answer.is_none() && !is_waiting && self.replay.is_over(self.position)
    }
}
