//! A small world: a log of a few records, a group coordinator, an object store, an owner, and former owners who do not know yet that they are.
//!
//! What may happen at any moment: a crash, a pause of any length, a takeover, a late or a lost answer, a publish that arrives long after its sender is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use lakehead::batch::Committed;
use lakehead::commit::{GroupId, Lane, Protocol};

use crate::laws;
use crate::owner::Owner;
use stateright::{Model, Property};

/// Offsets of the log that are in a file, as bits.
pub(crate) type Rows = u32;

/// The bit of an offset.
pub(crate) fn bit(offset: i64) -> Rows {
    1 << offset
}

/// A step of the protocol that is left out, to see that the laws need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Files become visible without a plan, and nothing but offsets is committed: what others do.
    NeverPlanned,
    /// Files become visible as soon as they are stored; the plan is committed all the same.
    PlannedLate,
    /// The offset passes files that are planned, and not visible yet.
    PassedEarly,
    /// Who reads again writes again what is visible beyond the committed offset.
    AheadIgnored,
    /// Who reads again ends files when it likes.
    EndsForgotten,
    /// Who reads again makes paths by its own clock.
    OwnClock,
    /// Who reads again carries out the plans of another configuration.
    AnyConfiguration,
    /// The coordinator takes the commit of a member that lost the partition: as Kafka's does, once the member has rejoined, when its writer outlived the acknowledgement.
    Unfenced,
    /// Files end apart again while others are open together.
    ParksOpen,
}

/// What is checked: how much of which world.
#[derive(Debug)]
pub(crate) struct World {
    /// The path of each record; `None` for one that is left out on purpose.
    pub(crate) records: Vec<Option<u8>>,
    /// The lanes of paths: long ones fill the text sooner.
    pub(crate) lanes: Vec<Lane>,
    /// All files end together: upstream's way.
    pub(crate) is_together: bool,
    /// Bytes of text that an owner is told that the coordinator takes.
    pub(crate) limit: usize,
    /// Bytes of text that it takes.
    pub(crate) takes: usize,
    /// Groups that ended and are not visible at which an owner takes no more.
    pub(crate) groups: usize,
    /// Former owners go on step by step, this many at once, and every file becomes visible by itself. Otherwise former owners do at once all that they could still do,
    /// which is only to put planned files on the wire; the laws hold for what is on the wire as for what is visible, so that nothing else can come of any later moment.
    pub(crate) formers: usize,
    /// How often the partition is taken over, with [`formers`](Self::formers); without, there is no limit.
    pub(crate) takeovers: u8,
    /// Paths are made of the clock's reading, and how often it goes on.
    pub(crate) is_clocked: bool,
    pub(crate) ticks: i64,
    /// How often the configuration changes: to another, and back.
    pub(crate) changes: u8,
    /// How often somebody sets the group's offset.
    pub(crate) resets: u8,
    pub(crate) fault: Option<Fault>,
    /// Futures that were found to end well, by what decides them.
    pub(crate) good: Mutex<std::collections::HashSet<u64>>,
}

/// A file, as the store sees it: its name is its path and first offset.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Object {
    pub(crate) path: u8,
    pub(crate) start: i64,
    pub(crate) rows: Rows,
}

/// The world at a moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// What the coordinator holds.
    pub(crate) committed: Option<Committed>,
    /// What is visible: by path and first offset.
    pub(crate) store: BTreeMap<(u8, i64), Rows>,
    /// Files that may become visible at any moment, whoever is gone by then.
    pub(crate) wire: BTreeSet<Object>,
    pub(crate) owner: Option<Owner>,
    /// Those who lost the partition and go on with what they were at.
    pub(crate) formers: Vec<Owner>,
    pub(crate) takeovers: u8,
    pub(crate) now: i64,
    pub(crate) configuration: u8,
    pub(crate) changes: u8,
    pub(crate) resets: u8,
    /// From here on, somebody's setting of the offset may have led to anything.
    pub(crate) unsure: i64,
    /// An owner's commit went back.
    pub(crate) went_back: bool,
    /// An owner asked for more text than it was told that the coordinator takes.
    pub(crate) was_too_long: bool,
}

/// Who acts: the owner, or a former one.
pub(crate) type Who = Option<usize>;

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Somebody else owns the partition from now on, and reads what is committed. The one before has crashed, is frozen, or has not noticed: it does what it still can, or
    /// nothing.
    TakeOver,
    Take(Who),
    End(Lane),
    Seal(Who, GroupId),
    /// A commit reaches the coordinator.
    Commit(Who),
    Answer(Who),
    AnswerLost,
    /// The owner makes all files of a group visible.
    Publish(GroupId),
    /// A file becomes visible, and nobody knows.
    Arrive(Object),
    /// The owner looks whether the text grows too long.
    Watch,
    Tick,
    Reconfigure,
    Reset(i64),
}

impl World {
    /// Records with these paths (`-` for one that is left out), with room for any text.
    pub(crate) fn new(records: &str) -> Self {
        let path = |c: char| c.is_ascii_lowercase().then(|| u8::try_from(c).expect("a letter") - b'a');
        Self {
            records: records.chars().map(path).collect(),
            lanes: ["/a", "/b", "/c"].map(Lane::from).to_vec(),
            is_together: false,
            limit: 4096,
            takes: 4096,
            groups: 64,
            formers: 0,
            takeovers: 2,
            is_clocked: false,
            ticks: 0,
            changes: 0,
            resets: 0,
            fault: None,
            good: Mutex::default(),
        }
    }

    /// The path of a record, under a configuration and a reading of the clock.
    pub(crate) fn path(&self, offset: i64, configuration: u8, reading: i64) -> Option<u8> {
        let path = (*self.records.get(usize::try_from(offset).ok()?)?)?;
        let shift = configuration + u8::try_from(reading).unwrap_or_default();
        Some((path + shift) % u8::try_from(self.lanes.len()).expect("few lanes"))
    }

    pub(crate) fn lane(&self, path: u8) -> Lane {
        Lane::clone(&self.lanes[usize::from(path)])
    }

    /// Whether there may be more to tell than fits.
    pub(crate) fn is_short_of_text(&self) -> bool {
        self.limit.min(self.takes) < 1000
    }

    /// The end of the log.
    pub(crate) fn end(&self) -> i64 {
        i64::try_from(self.records.len()).expect("few records")
    }

    /// The offsets below one that have to be in a file.
    pub(crate) fn below(&self, end: i64) -> Rows {
        (0..end).filter(|offset| self.path(*offset, 0, 0).is_some()).map(bit).sum()
    }

    /// Hands the partition to somebody new. False when what is committed is another configuration's: then nobody goes on.
    pub(crate) fn take_over(&self, state: &mut State, is_together: bool) -> bool {
        if let Some(mut former) = state.owner.take() {
            if self.formers == 0 {
                former.go_on_alone(self);
                self.put_on_the_wire(&former, &mut state.wire);
            } else {
                state.formers.push(former);
                if state.formers.len() > self.formers {
                    state.formers.remove(0); // it does nothing any more
                }
            }
        }
        state.owner = Owner::start(self, state.committed.as_ref(), state.configuration, is_together).ok();
        state.owner.is_some()
    }

    fn put_on_the_wire(&self, actor: &Owner, wire: &mut BTreeSet<Object>) {
        for id in actor.publishable(self) {
            wire.extend(actor.groups[&id].1.iter().cloned());
        }
    }

    /// The coordinator takes a commit.
    fn commit(&self, state: &mut State, who: Who) -> Option<()> {
        let actor = match who {
            None => state.owner.as_mut()?,
            Some(former) => state.formers.get_mut(former)?,
        };
        let Some(mut commit) = actor.propose(self) else { return Some(()) };
        if commit.metadata.len() > self.limit {
            state.was_too_long = true;
            return Some(());
        }
        if commit.metadata.len() > self.takes {
            state.was_too_long |= actor.refused(&commit).is_err();
            return Some(());
        }
        actor.answer = Some(commit.clone());
        if self.fault == Some(Fault::NeverPlanned) {
            commit.metadata.clear();
        }
        state.went_back |= state.committed.as_ref().is_some_and(|held| held.offset > commit.offset);
        state.committed = Some(commit);
        Some(())
    }

    /// The owner looks, and begins again if its files cannot be told apart.
    pub(crate) fn watch(&self, state: &mut State) -> Option<()> {
        if state.owner.as_mut()?.watch(self).is_err() {
            state.owner = Owner::start(self, state.committed.as_ref(), state.configuration, true).ok();
        }
        Some(())
    }

    /// Puts on the wire what may be published, and drops former owners that cannot do anything any more.
    fn settle(&self, state: &mut State) {
        let State { owner, formers, wire, .. } = state;
        owner.iter().chain(&*formers).for_each(|actor| self.put_on_the_wire(actor, wire));
        state.wire.retain(|object| state.store.get(&(object.path, object.start)) != Some(&object.rows));
        state.formers.retain(|former| self.fault == Some(Fault::Unfenced) || !former.is_harmless());
    }

    /// What happens when something happens; `None` when nothing does.
    pub(crate) fn step(&self, state: &mut State, action: &Action) -> Option<()> {
        match action {
            Action::TakeOver => {
                state.takeovers += u8::from(self.formers > 0);
                self.take_over(state, false);
            }
            Action::Take(who) => {
                let now = state.now;
                actor(state, *who)?.take(self, now);
            }
            Action::End(lane) => state.owner.as_mut()?.end(lane, None),
            Action::Seal(who, id) => actor(state, *who)?.seal(id),
            Action::Commit(who) => self.commit(state, *who)?,
            Action::Answer(who) => actor(state, *who)?.answered(self)?,
            Action::AnswerLost => drop(state.owner.as_mut()?.answer.take()?),
            Action::Publish(id) => {
                let owner = state.owner.as_mut()?;
                for object in &owner.groups.get(id)?.1 {
                    state.store.insert((object.path, object.start), object.rows);
                }
                owner.published(id);
            }
            Action::Arrive(object) => drop(state.store.insert((object.path, object.start), object.rows)),
            Action::Watch => self.watch(state)?,
            Action::Tick => state.now += 1,
            Action::Reconfigure => {
                state.configuration = 1 - state.configuration;
                state.changes += 1;
            }
            Action::Reset(offset) => {
                let before = state.committed.as_ref().map_or(0, |held| held.offset);
                state.unsure = state.unsure.min(before).min(*offset);
                state.committed = Some(Committed::at(*offset));
                state.resets += 1;
                self.take_over(state, false);
            }
        }
        self.settle(state);
        Some(())
    }

    fn owners_actions(&self, owner: &Owner, actions: &mut Vec<Action>) {
        if owner.has_room(self) {
            actions.push(Action::Take(None));
        }
        actions.extend(owner.open.keys().filter(|lane| owner.may_end(self, lane)).cloned().map(Action::End));
        actions.extend(owner.groups.iter().filter(|(_, (is_sealed, _))| !is_sealed).map(|(id, _)| Action::Seal(None, id.clone())));
        actions.extend(owner.publishable(self).into_iter().map(Action::Publish));
        if owner.answer.is_some() {
            actions.extend([Action::Answer(None), Action::AnswerLost]);
        } else {
            actions.push(Action::Commit(None));
        }
        if self.is_short_of_text() {
            actions.push(Action::Watch);
        }
    }

    fn formers_actions(&self, which: usize, former: &Owner, actions: &mut Vec<Action>) {
        let who = Some(which);
        if former.position < self.end() && !former.replay.is_over(former.position) {
            actions.push(Action::Take(who));
        }
        actions.extend(former.groups.iter().filter(|(_, (is_sealed, _))| !is_sealed).map(|(id, _)| Action::Seal(who, id.clone())));
        if former.answer.is_some() {
            actions.push(Action::Answer(who));
        } else if self.fault == Some(Fault::Unfenced) {
            actions.push(Action::Commit(who));
        }
    }
}

fn actor(state: &mut State, who: Who) -> Option<&mut Owner> {
    match who {
        None => state.owner.as_mut(),
        Some(former) => state.formers.get_mut(former),
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nothing = State {
            committed: None,
            store: BTreeMap::new(),
            wire: BTreeSet::new(),
            owner: None,
            formers: Vec::new(),
            takeovers: 0,
            now: 0,
            configuration: 0,
            changes: 0,
            resets: 0,
            unsure: i64::MAX,
            went_back: false,
            was_too_long: false,
        };
        let mut state = nothing;
        self.take_over(&mut state, false);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if let Some(owner) = &state.owner {
            self.owners_actions(owner, actions);
        }
        for (which, former) in state.formers.iter().enumerate() {
            self.formers_actions(which, former, actions);
        }
        if self.formers > 0 {
            actions.extend(state.wire.iter().cloned().map(Action::Arrive));
        }
        if state.takeovers < self.takeovers {
            actions.push(Action::TakeOver);
        }
        if state.now < self.ticks {
            actions.push(Action::Tick);
        }
        if state.changes < self.changes {
            actions.push(Action::Reconfigure);
        }
        if state.resets < self.resets {
            actions.extend((0..=self.end()).map(Action::Reset));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        self.step(&mut state, &action)?;
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        laws::properties(self)
    }
}

/// Whether anybody could begin with what is committed, as things are configured.
pub(crate) fn is_foreign(state: &State, limit: usize) -> bool {
    Protocol::recover(state.committed.clone(), u64::from(state.configuration), limit).is_err()
}
