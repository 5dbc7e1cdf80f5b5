//! What has to hold at every moment of the [world](crate::world), and what has to be possible from there.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::world::{Action, Fault, Rows, State, World, bit, is_foreign};
use stateright::Property;

/// No record is in two files, and no file has two contents, among those that are visible or may become it.
pub(crate) const ONCE: &str = "no record is visible twice";
/// Every record below the committed offset is visible.
pub(crate) const KEPT: &str = "no record is lost";
/// An owner's commits go on.
pub(crate) const ONWARD: &str = "no owner commits a lower offset";
/// The text beside the offset is never longer than an owner was told that it may be.
pub(crate) const SHORT: &str = "no text is too long";
/// From every moment on, everything becomes visible and committed, once faults stop.
pub(crate) const ENDS: &str = "everything can be finished";
/// Somebody begins while planned files are not visible yet.
pub(crate) const REPLAYS: &str = "sometimes somebody finishes what another planned";
/// Somebody is gone, and what it planned becomes visible later.
pub(crate) const LATE: &str = "sometimes a file becomes visible after its owner is gone";
/// The text says more than where files end.
pub(crate) const AHEAD: &str = "sometimes files are visible beyond the committed offset";
/// All ends together, because it cannot be told apart.
pub(crate) const CROWDED: &str = "sometimes all ends together for lack of text";
/// Nobody goes on, because the plans are another configuration's.
pub(crate) const HALTED: &str = "sometimes another configuration's plans are refused";

pub(crate) fn properties(world: &World) -> Vec<Property<World>> {
    let mut properties = vec![
        Property::always(ONCE, once),
        Property::always(KEPT, kept),
        Property::always(ONWARD, |_, state: &State| !state.went_back),
        Property::always(SHORT, |_, state: &State| !state.was_too_long),
        Property::always(ENDS, ends),
    ];
    if world.fault.is_none() {
        properties.push(Property::sometimes(REPLAYS, |_, state: &State| {
            state.owner.as_ref().is_some_and(|owner| owner.groups.iter().any(|(id, (is_sealed, _))| !is_sealed && owner.protocol.is_planned(id)))
        }));
        properties.push(Property::sometimes(LATE, |_, state: &State| {
            let owned = |object| state.owner.iter().flat_map(|owner| owner.groups.values()).any(|(_, objects)| objects.contains(object));
            state.formers.is_empty() && state.wire.iter().any(|object| !owned(object))
        }));
        if !world.is_together {
            properties.push(Property::sometimes(AHEAD, |_, state: &State| {
                let committed = state.committed.as_ref().map_or(0, |held| held.offset);
                state.store.values().any(|rows| *rows >= bit(committed)) && state.wire.is_empty()
            }));
        }
        if world.is_short_of_text() {
            properties.push(Property::sometimes(CROWDED, |_, state: &State| state.owner.as_ref().is_some_and(|owner| owner.is_together || owner.is_crowded)));
        }
        if world.changes > 0 {
            properties.push(Property::sometimes(HALTED, |world: &World, state: &State| is_foreign(state, world.limit)));
        }
    }
    properties
}

fn once(_: &World, state: &State) -> bool {
    let sure = if state.unsure < 32 { bit(state.unsure) - 1 } else { Rows::MAX };
    let visible = state.store.iter().map(|((path, start), rows)| ((*path, *start), *rows));
    let coming = state.wire.iter().map(|object| ((object.path, object.start), object.rows));
    let all: Vec<_> = visible.chain(coming).map(|(name, rows)| (name, rows & sure)).collect();
    all.iter().enumerate().all(|(i, (name, rows))| all[..i].iter().all(|(other, others)| if name == other { rows == others } else { rows & others == 0 }))
}

fn kept(world: &World, state: &State) -> bool {
    let committed = state.committed.as_ref().map_or(0, |held| held.offset).min(state.unsure);
    world.below(committed) & !visible(state) == 0
}

fn visible(state: &State) -> Rows {
    state.store.values().fold(0, |all, rows| all | rows)
}

/// How somebody works on when nothing goes wrong any more.
#[derive(Debug, Clone, Copy)]
enum Pace {
    /// Takes all that it can, then sees to the rest.
    Eager,
    /// Finishes each thing before the next.
    Careful,
}

/// Whoever is the owner can finish, and so can whoever comes after.
fn ends(world: &World, state: &State) -> bool {
    if world.fault == Some(Fault::Unfenced) {
        return true;
    }
    let mut heir = state.clone();
    while !world.take_over(&mut heir, false) {
        // The configuration that made the plans is put back.
        if heir.configuration != state.configuration {
            return false;
        }
        heir.configuration = 1 - heir.configuration;
    }
    heir.formers.clear();
    [state, &heir].into_iter().filter(|state| state.owner.is_some()).all(|state| {
        let mut hasher = DefaultHasher::new();
        (&state.owner, &state.committed, &state.store, state.now, state.unsure).hash(&mut hasher);
        let key = hasher.finish();
        let is_known = world.good.lock().expect("no panic").contains(&key);
        let is_good = is_known || [Pace::Eager, Pace::Careful].into_iter().all(|pace| finish(world, state.clone(), pace));
        if is_good {
            world.good.lock().expect("no panic").insert(key);
        }
        is_good
    })
}

/// True when the owner makes everything visible and committed, and nothing twice.
fn finish(world: &World, mut state: State, pace: Pace) -> bool {
    state.formers.clear();
    for _ in 0..100 * world.records.len() {
        let Some(action) = next(world, &state, pace) else { break };
        if world.step(&mut state, &action).is_none() || !once(world, &state) {
            return false;
        }
    }
    let held = state.committed.as_ref().map_or((0, ""), |held| (held.offset, &*held.metadata));
    held == (world.end(), "") && world.below(world.end().min(state.unsure)) & !visible(&state) == 0
}

/// What an owner does next; `None` when there is nothing left to do.
fn next(world: &World, state: &State, pace: Pace) -> Option<Action> {
    let owner = state.owner.as_ref()?;
    let take = || owner.has_room(world).then_some(Action::Take(None));
    let watch = || {
        let mut after = owner.clone();
        let is_new = after.watch(world).is_err() || after != *owner;
        is_new.then_some(Action::Watch)
    };
    let finish = || {
        let publish = || owner.publishable(world).into_iter().next().map(Action::Publish);
        let seal = || owner.groups.iter().find(|(_, (is_sealed, _))| !is_sealed).map(|(id, _)| Action::Seal(None, id.clone()));
        let mut after = owner.clone();
        let commit = (after.propose(world).is_some() || after != *owner).then_some(Action::Commit(None));
        owner.answer.is_some().then_some(Action::Answer(None)).or_else(publish).or_else(seal).or(commit)
    };
    let end = || owner.open.keys().find(|lane| owner.may_end(world, lane)).cloned().map(Action::End);
    match pace {
        Pace::Eager => watch().or_else(take).or_else(finish).or_else(end),
        Pace::Careful => watch().or_else(finish).or_else(take).or_else(end),
    }
}
