//! The protocol as a story: files end, commits are asked for, files become visible, somebody else goes on.

use proptest::prelude::*;

use super::*;

const CONFIGURATION: u64 = 7;

fn lane(name: &str) -> Lane {
    name.into()
}

fn span(start: i64, end: i64) -> OffsetRange {
    OffsetRange { start, end }
}

fn new(at: i64) -> Protocol {
    Protocol::recover(Some(Committed::at(at)), CONFIGURATION, TEXT_LIMIT).unwrap().0
}

fn read(commit: &Committed) -> Intent {
    Intent::read(commit, CONFIGURATION).unwrap()
}

/// The lanes of a text: ahead, and spans.
fn lanes(commit: &Committed) -> Vec<(String, Option<i64>, Vec<(i64, i64)>)> {
    let spans = |files: &[OffsetRange]| files.iter().map(|span| (span.start, span.end)).collect();
    read(commit).lanes.iter().map(|(lane, of)| (lane.to_string(), of.ahead, spans(&of.files))).collect()
}

#[test]
fn a_group_is_planned_when_it_is_stored_published_when_it_is_planned_and_passed_when_it_is_visible() {
    let mut p = new(100);
    let all = lane(TOGETHER);
    p.open(&all, 100);
    p.pass(130);
    assert_eq!(p.propose(), None, "nothing ended");
    let id = p.end(&all, 120).unwrap();
    p.open(&all, 120);
    assert_eq!(p.propose(), None, "nothing is stored");
    p.sealed(&id);
    assert!(!p.may_publish(&id), "nothing is planned");
    let plan = p.propose().unwrap();
    assert_eq!((plan.offset, lanes(&plan)), (100, vec![(String::new(), None, vec![(100, 120)])]));
    assert!(!p.may_publish(&id), "the coordinator has not answered");
    assert_eq!(p.accepted(&plan), BTreeSet::from([id.clone()]));
    assert!(p.may_publish(&id));
    assert_eq!(p.propose(), None, "it holds that already");
    p.published(&id);
    assert_eq!(p.propose(), Some(Committed::at(120)), "the open file holds the offset, and there is nothing to say");
}

#[test]
fn what_a_former_owner_left_open_holds_the_offset_until_it_was_read_again() {
    let mut p = new(0);
    let (late, new) = (lane("/hour=1"), lane("/hour=2"));
    p.open(&late, 0);
    p.open(&new, 1);
    p.pass(50);
    let id = p.end(&new, 40).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    p.accepted(&plan);
    // Its successor knows of a file from 1 on, and has not seen the record at 0 yet.
    let (mut other, _) = Protocol::recover(Some(plan), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!((other.offset(), other.propose()), (Some(0), None));
}

#[test]
fn files_of_one_lane_pass_those_of_another_and_the_text_says_so() {
    let mut p = new(0);
    let (late, new) = (lane("/hour=1"), lane("/hour=2"));
    p.open(&late, 0);
    p.open(&new, 1);
    p.pass(50);
    let id = p.end(&new, 40).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    assert_eq!((plan.offset, lanes(&plan)), (0, vec![("/hour=2".to_owned(), None, vec![(1, 40)])]));
    p.accepted(&plan);
    p.published(&id);
    let done = p.propose().unwrap();
    assert_eq!((done.offset, lanes(&done)), (0, vec![("/hour=2".to_owned(), Some(40), vec![])]));
    p.accepted(&done);
    // Another owner: what is visible is left out, the rest is free.
    let (mut other, replay) = Protocol::recover(Some(done), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!([replay.fate("/hour=2", 39), replay.fate("/hour=2", 40), replay.fate("/hour=1", 0)], [Fate::Visible, Fate::Free, Fate::Free]);
    other.open(&late, 0);
    other.pass(50);
    let id = other.end(&late, 50).unwrap();
    other.sealed(&id);
    let plan = other.propose().unwrap();
    other.accepted(&plan);
    other.published(&id);
    assert_eq!(other.propose(), Some(Committed::at(50)));
}

#[test]
fn a_next_owner_ends_planned_files_where_the_intent_says_and_publishes_them_without_another_plan() {
    let mut p = new(0);
    let all = lane(TOGETHER);
    for end in [10, 20] {
        p.open(&all, end - 10);
        p.pass(end);
        let id = p.end(&all, end).unwrap();
        p.sealed(&id);
    }
    let plan = p.propose().unwrap();
    let (mut other, mut replay) = Protocol::recover(Some(plan), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!((replay.boundary(0), replay.boundary(10), replay.boundary(20)), (Some(10), Some(20), None));
    assert!(replay.holds(TOGETHER));
    assert_eq!(replay.fate("/a", 5), Fate::PlannedTogether);
    other.open(&all, 0);
    other.pass(10);
    assert_eq!(replay.next_end(10), Some((lane(TOGETHER), 10)));
    assert_eq!(replay.next_end(10), None);
    let id = other.end(&all, 10).unwrap();
    assert!(!other.may_publish(&id), "it is not stored yet");
    other.sealed(&id);
    assert!(other.may_publish(&id));
    other.published(&id);
    let rest = other.propose().unwrap();
    assert_eq!((rest.offset, lanes(&rest)), (10, vec![(String::new(), None, vec![(10, 20)])]), "what is planned stays planned");
}

#[test]
fn more_lanes_than_a_text_can_tell_end_together() {
    let mut p = short_of_text(0, 128);
    let lanes: Vec<Lane> = (0..100).map(|i| lane(&format!("/a rather long name of a directory={i}"))).collect();
    let mut ids = Vec::new();
    for (i, lane) in (0..).zip(&lanes) {
        p.open(lane, i);
    }
    p.pass(100);
    assert_eq!(p.crowding(), Ok(false));
    for (i, lane) in (0..).zip(&lanes) {
        ids.extend(p.end(lane, i + 1));
        if i < 99 {
            p.sealed(&ids[ids.len() - 1]);
        }
    }
    assert_eq!(p.crowding(), Ok(true), "nothing more is taken");
    assert_eq!(p.propose(), None, "one is not stored yet");
    p.sealed(&ids[99]);
    let plan = p.propose().unwrap();
    assert_eq!((plan.offset, tests::lanes(&plan)), (0, vec![(String::new(), None, vec![(0, 100)])]));
    assert_eq!(p.accepted(&plan).len(), 100);
    assert_eq!(p.crowding(), Ok(true), "until all of it is visible");
    ids[1..].iter().rev().for_each(|id| p.published(id));
    assert_eq!(p.propose(), None, "what of it is visible is not told: that would take the text that there is not");
    p.published(&ids[0]);
    assert_eq!((p.propose(), p.crowding()), (Some(Committed::at(100)), Ok(false)));
}

/// A small world in which text is short: `RESERVE` and room for that many bytes.
fn short_of_text(at: i64, room: usize) -> Protocol {
    Protocol::recover(Some(Committed::at(at)), CONFIGURATION, RESERVE + room).unwrap().0
}

/// Opens and ends files, and stores them.
fn stored(p: &mut Protocol, name: &str, start: i64, end: i64) -> GroupId {
    p.open(&lane(name), start);
    p.pass(end);
    let id = p.end(&lane(name), end).unwrap();
    p.sealed(&id);
    id
}

/// Asks a broker that takes so much text until there is nothing to ask, and has published what may be; the longest text that it took.
fn ask(p: &mut Protocol, takes: usize) -> usize {
    let mut longest = 0;
    while let Some(commit) = p.propose() {
        let length = commit.metadata.len();
        if length > takes {
            p.shorten(length).unwrap();
            continue;
        }
        longest = longest.max(length);
        p.accepted(&commit).iter().for_each(|id| p.published(id));
    }
    longest
}

#[test]
fn what_is_visible_beyond_the_offset_leaves_room_for_what_holds_it_back_however_little_text_the_broker_takes() {
    for takes in 128..400 {
        let (mut p, late) = (new(0), lane("/late"));
        p.open(&late, 0);
        let (mut at, mut longest) = (1, 0);
        while p.crowding() == Ok(false) {
            stored(&mut p, &format!("/a={:x<width$}", at % 7 * 10 + at, width = usize::try_from(at % 4).unwrap() * 9), at, at + 1);
            longest = longest.max(ask(&mut p, takes));
            at += 1;
        }
        assert_eq!((p.crowding(), p.offset()), (Ok(true), Some(0)), "{takes}");
        let mut told = p.clone();
        told.lanes.retain(|_, progress| progress.ahead.is_some());
        assert!(told.intent(0, |_, _| false).text(0).len() + RESERVE <= takes.max(longest) + 1, "{takes}");
        // Its successor can finish it, too.
        let (mut other, replay) = Protocol::recover(p.known.clone(), CONFIGURATION, TEXT_LIMIT).unwrap();
        let id = p.end(&late, 1).unwrap();
        p.sealed(&id);
        ask(&mut p, takes);
        assert!(p.is_clear() && p.crowding() == Ok(false), "{takes}");
        assert_eq!((p.offset(), p.propose()), (Some(at), None), "{takes}");
        assert_eq!(replay.fate(&late, 0), Fate::Free);
        for end in 1..=at {
            stored(&mut other, TOGETHER, end - 1, end);
        }
        ask(&mut other, takes);
        assert!(other.is_clear() && other.offset() == Some(at), "{takes}");
    }
}

#[test]
fn a_text_is_made_longer_where_more_has_to_be_told_beside_it() {
    let mut p = new(0);
    p.open(&lane("/late"), 0);
    let id = stored(&mut p, "/a name of a directory that is not that short", 1, 2);
    let plan = p.propose().unwrap();
    let text = read(&plan).text(0);
    assert!((text.len() + RESERVE - 1..=text.len() + RESERVE).contains(&plan.metadata.len()), "{}", plan.metadata.len());
    p.accepted(&plan);
    assert_eq!(p.propose(), None, "it holds that already");
    let (mut other, _) = Protocol::recover(Some(plan), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!(other.propose(), None);
    p.published(&id);
    let done = p.propose().unwrap();
    assert_eq!(done.metadata, read(&done).text(0), "what is visible was tried out");
    // Files of all paths pass.
    let mut p = new(0);
    (1..60).for_each(|at| drop(stored(&mut p, TOGETHER, at - 1, at)));
    let plan = p.propose().unwrap();
    assert!(plan.metadata.len() > SHORTEST && plan.metadata == read(&plan).text(0));
}

#[test]
fn files_that_have_seen_more_readings_of_the_clock_than_the_broker_turns_out_to_take_are_read_again() {
    let mut p = new(0);
    let all = lane(TOGETHER);
    p.open(&all, 0);
    for at in 0..40 {
        p.clock(at, 1_700_000_000_000 + at * 60_000);
        p.pass(at + 1);
    }
    let id = p.end(&all, 40).unwrap();
    p.sealed(&id);
    p.open(&all, 40);
    p.pass(41);
    assert_eq!((ask(&mut p, 150), p.crowding()), (0, Err(Crowded)));
    // Read again, they are made with one, and end before there are too many.
    let limit = p.limit();
    let (mut again, _) = Protocol::recover(Some(Committed::at(0)), CONFIGURATION, limit).unwrap();
    again.clock(0, 1_700_003_600_000);
    stored(&mut again, TOGETHER, 0, 40);
    assert!(ask(&mut again, 150) > 0 && again.offset() == Some(40));
    again.open(&all, 40);
    let seen = (40..100).find(|at| {
        again.clock(*at, 1_700_003_600_000 + at * 60_000);
        again.pass(at + 1);
        again.crowding() == Ok(true)
    });
    let id = again.end(&all, seen.unwrap() + 1).unwrap();
    again.sealed(&id);
    assert!(ask(&mut again, 150) > 0 && again.is_clear());
}

#[test]
fn a_common_end_takes_no_more_text_as_the_offset_goes_on() {
    let mut p = short_of_text(0, 128);
    p.clock(0, 1_700_000_000_000);
    let slow = [stored(&mut p, "/slow", 0, 1), stored(&mut p, "/slower", 1, 90_000)];
    ask_only(&mut p);
    let ids: Vec<_> = (0..90).map(|i| stored(&mut p, &format!("/{i}"), 90_000 + i, 90_001 + i)).collect();
    let lengths = [None, Some(&slow[0]), Some(&slow[1])].map(|id| {
        id.into_iter().for_each(|id| p.published(id));
        ask_only(&mut p)
    });
    assert!(lengths[0] > 0 && lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
    ids.iter().for_each(|id| p.published(id));
    assert_eq!(p.propose(), Some(Committed::at(90_090)));
}

/// Has the coordinator take what is asked, and publishes nothing; the length of the text.
fn ask_only(p: &mut Protocol) -> usize {
    let commit = p.propose().unwrap();
    p.accepted(&commit);
    commit.metadata.len()
}

#[test]
fn a_broker_that_does_not_take_what_it_took_before_fails_the_task() {
    let mut p = new(0);
    p.open(&lane("/late"), 0);
    for i in 1..9 {
        stored(&mut p, &format!("/{i:x<20}"), i, i + 1);
    }
    ask(&mut p, 4096);
    let id = p.end(&lane("/late"), 1).unwrap();
    p.sealed(&id);
    // What another partition asked for was refused, until what is told here is more than what is left.
    (0..5).for_each(|_| p.shorten(200).unwrap());
    let least = p.propose().unwrap().metadata.len();
    assert!(least > p.limit());
    assert_eq!(p.shorten(least), Err(least), "nothing shorter can be said");
}

#[test]
fn the_answer_to_an_older_commit_does_not_bring_back_what_passed_since() {
    let mut p = short_of_text(0, 40);
    let first = stored(&mut p, "/a", 0, 1);
    let plan = p.propose().unwrap();
    p.accepted(&plan);
    let rest = [stored(&mut p, "/b", 1, 2), stored(&mut p, "/c", 2, 3)];
    let together = p.propose().unwrap();
    assert_eq!(lanes(&together), [(String::new(), None, vec![(0, 3)]), ("/a".to_owned(), None, vec![(0, 1)])]);
    assert_eq!(p.accepted(&together), BTreeSet::from(rest.clone()));
    p.published(&first);
    let asked = p.propose().unwrap();
    rest.iter().for_each(|id| p.published(id));
    p.accepted(&asked);
    assert_eq!(p.propose(), Some(Committed::at(3)));
}

#[test]
fn what_ends_together_waits_for_what_was_planned_before_it() {
    let mut p = short_of_text(0, 64);
    let slow = stored(&mut p, "/slow", 0, 1);
    let plan = p.propose().unwrap();
    p.accepted(&plan);
    let ids: Vec<_> = (1..50).map(|i| stored(&mut p, &format!("/{i}"), i, i + 1)).collect();
    let together = p.propose().unwrap();
    assert_eq!(p.accepted(&together).len(), ids.len());
    ids.iter().for_each(|id| p.published(id));
    assert_eq!(p.propose(), None, "to tell that 49 paths are visible beyond the one that is not would take too much text");
    assert_eq!(p.crowding(), Ok(true));
    p.published(&slow);
    assert_eq!((p.propose(), p.crowding()), (Some(Committed::at(50)), Ok(false)));
}

#[test]
fn whoever_goes_on_may_pass_over_what_is_visible_beyond_the_offset_and_reads_what_is_planned() {
    let files = |ahead, files: &[OffsetRange]| LaneIntent { ahead, files: files.to_vec() };
    for (lanes, expected) in [(vec![], 5), (vec![files(None, &[span(5, 39)])], 5), (vec![files(Some(20), &[]), files(Some(30), &[span(30, 39)])], 30)] {
        let lanes = lanes.into_iter().enumerate().map(|(number, of)| (lane(&format!("/{number}")), of)).collect();
        assert_eq!(Intent { configuration: CONFIGURATION, lanes, clock: Vec::new() }.reach(5), expected);
    }
}

/// A next owner may write files beyond a common end before all that is to end there is visible; whoever comes after that has to read both.
#[test]
fn what_is_visible_beyond_a_common_end_hides_nothing_below_it() {
    let a = lane("/a");
    let files = LaneIntent { ahead: None, files: vec![span(5, 39)] };
    let intent = Intent { configuration: CONFIGURATION, lanes: BTreeMap::from([(TOGETHER.into(), files)]), clock: Vec::new() };
    let (mut p, _) = Protocol::recover(Some(Committed { offset: 5, metadata: intent.text(5) }), CONFIGURATION, TEXT_LIMIT).unwrap();
    p.open(&lane(TOGETHER), 5);
    let first = p.end(&lane(TOGETHER), 39).unwrap();
    p.open(&a, 39);
    p.pass(40);
    let beyond = p.end(&a, 40).unwrap();
    p.sealed(&beyond);
    let plan = p.propose().unwrap();
    p.accepted(&plan);
    p.published(&beyond);
    assert_eq!(p.propose(), None, "the text says what it said: {:?}", lanes(&plan));
    let (_, replay) = Protocol::recover(Some(plan), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!([26, 39, 40].map(|offset| replay.fate("/a", offset)), [Fate::PlannedTogether, Fate::Planned, Fate::Free]);
    p.sealed(&first);
    p.published(&first);
    assert_eq!(p.propose(), Some(Committed::at(40)), "all of it is visible");
}

#[test]
fn what_was_planned_is_read_again_however_little_text_is_left() {
    let mut p = short_of_text(0, 36);
    p.open(&lane("/a"), 0);
    stored(&mut p, "/b", 1, 3);
    let plan = p.propose().unwrap();
    let recover = || Protocol::recover(Some(plan.clone()), CONFIGURATION, RESERVE + 36).unwrap().0;
    // Files of another path have no room beside the plan, and cannot end with what is still to be read: that is read again with one lane for all that is free.
    let mut apart = recover();
    stored(&mut apart, "/a", 0, 1);
    assert_eq!(apart.crowding(), Err(Crowded));
    // Files of all paths have: it is kept for them.
    let mut together = recover();
    stored(&mut together, TOGETHER, 0, 1);
    assert_eq!(together.crowding(), Ok(false), "reading goes on");
    let both = together.propose().unwrap();
    assert_eq!(lanes(&both), [(String::new(), None, vec![(0, 1)]), ("/b".to_owned(), None, vec![(1, 3)])]);
    assert!(both.metadata.len() > 36);
}

#[test]
fn a_path_too_long_to_be_told_ends_with_all() {
    let mut p = short_of_text(0, 64);
    let long = format!("/{}", "a".repeat(200));
    p.open(&lane(&long), 0);
    p.pass(5);
    assert_eq!(p.crowding(), Ok(true));
    let id = p.end(&lane(&long), 5).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    assert_eq!(lanes(&plan), [(String::new(), None, vec![(0, 5)])]);
    assert_eq!(p.accepted(&plan), BTreeSet::from([id]));
}

#[test]
fn files_end_before_they_have_seen_more_readings_of_the_clock_than_can_be_told() {
    let mut p = short_of_text(0, 128);
    let all = lane(TOGETHER);
    p.open(&all, 0);
    let seen = (0..1000).find(|at| {
        p.clock(*at, 1_700_000_000_000 + at * 60_000);
        p.pass(at + 1);
        p.crowding() == Ok(true)
    });
    let seen = seen.unwrap();
    assert!(seen > 5, "{seen}");
    let id = p.end(&all, seen + 1).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    assert!(p.accepted(&plan).contains(&id) && plan.metadata.len() <= RESERVE + 128);
    assert_eq!(read(&plan).clock.len(), usize::try_from(seen).unwrap() + 1);
}

#[test]
fn what_a_former_owner_planned_is_finished_however_crowded_it_is() {
    let known = {
        let mut p = new(0);
        let (late, lanes) = (lane("/late"), (0..20).map(|i| lane(&format!("/a rather long name of a directory={i}"))));
        p.open(&late, 0);
        for lane in lanes {
            p.open(&lane, 1);
            let id = p.end(&lane, 30).unwrap();
            p.sealed(&id);
        }
        p.pass(50);
        p.propose().unwrap()
    };
    // The text is as long as may be: with what is open besides, it would be too long.
    let told = read(&known).text(0).len();
    let recover = || Protocol::recover(Some(known.clone()), CONFIGURATION, told + RESERVE).unwrap().0;
    let mut apart = recover();
    for another in ["/late", "/another"] {
        stored(&mut apart, another, 0, 2);
    }
    assert_eq!(apart.crowding(), Err(Crowded), "these would wait for the planned files, and nothing is taken while too many wait");
    let mut together = recover();
    stored(&mut together, TOGETHER, 0, 2);
    assert_eq!(together.crowding(), Ok(false), "the planned files end only when their records were taken");
    let text = together.propose().unwrap().metadata;
    assert!(text.len() > told && text.len() <= told + RESERVE, "and there is room for these");
    let mut again = recover();
    again.open(&lane("/late"), 0);
    again.pass(30);
    for i in 0..20 {
        let planned = lane(&format!("/a rather long name of a directory={i}"));
        again.open(&planned, 1);
        again.end(&planned, 30).unwrap();
    }
    again.end(&lane("/late"), 1);
    assert_eq!(again.crowding(), Ok(true));
}

#[test]
fn a_lane_with_groups_that_cannot_be_told_apart_is_crowded() {
    let mut p = Protocol::recover(Some(Committed::at(0)), CONFIGURATION, 64).unwrap().0;
    let lanes: Vec<Lane> = (0..20).map(|i| lane(&format!("/a rather long name of a directory={i}"))).collect();
    for (i, lane) in (0..).zip(&lanes) {
        p.open(lane, i);
        p.end(lane, i + 1);
    }
    p.open(&lanes[0], 20);
    assert_eq!(p.crowding(), Err(Crowded));
}

/// As when everything ends at once, because the log has lost what was read.
#[test]
fn groups_that_ended_earlier_than_others_of_their_lane_are_told_before_all_ends_together() {
    let mut p = Protocol::recover(Some(Committed::at(0)), CONFIGURATION, 256).unwrap().0;
    let twice = lane("/twice");
    let first = stored(&mut p, "/twice", 0, 2);
    p.open(&twice, 2);
    for i in 0..50 {
        p.open(&lane(&format!("/a rather long name of a directory={i}")), 3 + i);
    }
    p.pass(60);
    assert_eq!((p.crowding(), p.can_end_all()), (Ok(false), true));
    let mut rest: Vec<GroupId> = (0..50).map(|i| p.end(&lane(&format!("/a rather long name of a directory={i}")), 60).unwrap()).collect();
    rest.extend(p.end(&twice, 60));
    rest.iter().for_each(|id| p.sealed(id));
    assert_eq!(p.crowding(), Ok(true));
    let plan = p.propose().unwrap();
    assert_eq!(lanes(&plan), [("/twice".to_owned(), None, vec![(0, 2)])]);
    assert_eq!(p.accepted(&plan), BTreeSet::from([first.clone()]));
    let all = p.propose().unwrap();
    assert_eq!(p.accepted(&all), rest.iter().cloned().collect());
    // Whoever reads them again makes the same files.
    let replay = Protocol::recover(Some(all.clone()), CONFIGURATION, 256).unwrap().1;
    assert_eq!([0, 2, 59].map(|at| replay.fate("/twice", at)), [Fate::Planned, Fate::PlannedTogether, Fate::PlannedTogether]);
    rest.iter().chain([&first]).for_each(|id| p.published(id));
    assert_eq!((p.propose(), p.crowding()), (Some(Committed::at(60)), Ok(false)));
}

#[test]
fn a_configuration_does_not_carry_out_the_intent_of_another() {
    let mut p = new(0);
    p.open(&lane("/a"), 0);
    p.pass(5);
    let id = p.end(&lane("/a"), 5).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    assert_eq!(Protocol::recover(Some(plan.clone()), CONFIGURATION + 1, TEXT_LIMIT).unwrap_err(), Foreign::Configuration(vec![lane("/a")]));
    for (metadata, is_ours) in
        [("", false), ("somebody's note", false), ("LH9.abc", true), ("LH1.abc", true), (&plan.metadata[..plan.metadata.len() - 3], true)]
    {
        let committed = Committed { offset: 0, metadata: metadata.to_owned() };
        assert_eq!(Protocol::recover(Some(committed), CONFIGURATION, TEXT_LIMIT).is_err(), is_ours, "{metadata}");
    }
}

#[test]
fn the_clock_of_paths_is_told_with_the_files_that_it_made() {
    let mut p = new(0);
    let all = lane(TOGETHER);
    p.open(&all, 0);
    for (offset, ms) in [(0, 1_700_000_000_000), (4, 1_700_000_000_000), (8, 1_700_003_600_000)] {
        p.clock(offset, ms);
    }
    p.pass(10);
    let id = p.end(&all, 10).unwrap();
    p.sealed(&id);
    let plan = p.propose().unwrap();
    assert_eq!(read(&plan).clock, [(0, 1_700_000_000_000), (8, 1_700_003_600_000)]);
    let (_, replay) = Protocol::recover(Some(plan), CONFIGURATION, TEXT_LIMIT).unwrap();
    assert_eq!(
        [0, 7, 8, 9, 10].map(|offset| replay.clock(offset).map(|ms| ms / 3_600_000)),
        [Some(472_222), Some(472_222), Some(472_223), Some(472_223), None]
    );
    assert_eq!(replay.boundary(0), Some(8), "records before and after it are taken apart");
}

#[test]
fn a_next_owner_tells_its_own_clock_where_the_former_one_planned_nothing() {
    let mut p = new(0);
    let all = lane(TOGETHER);
    let (first, later) = (1_700_000_000_000, 1_700_003_600_000);
    p.open(&all, 0);
    p.clock(0, first);
    let id = p.end(&all, 10).unwrap();
    p.sealed(&id);
    p.open(&all, 10);
    p.clock(10, later);
    p.pass(20);
    let plan = p.propose().unwrap();
    assert_eq!(read(&plan).clock, [(0, first)], "nothing is planned that the other made");
    // It goes on with the first reading, or has one of its own later.
    for (own, told) in [(None, vec![(0, first)]), (Some((15, later + 1)), vec![(0, first), (15, later + 1)])] {
        let (mut other, _) = Protocol::recover(Some(plan.clone()), CONFIGURATION, TEXT_LIMIT).unwrap();
        other.open(&all, 0);
        other.pass(10);
        other.end(&all, 10).unwrap();
        other.open(&all, 10);
        own.into_iter().for_each(|(offset, ms)| other.clock(offset, ms));
        other.pass(20);
        let id = other.end(&all, 20).unwrap();
        other.sealed(&id);
        assert_eq!(read(&other.propose().unwrap()).clock, told);
    }
    // An earlier reading that turns out to be wrong is replaced, with what comes after it.
    let mut p = new(0);
    [(0, first), (10, later), (5, later)].into_iter().for_each(|(offset, ms)| p.clock(offset, ms));
    assert_eq!(p.clock, [(0, first), (5, later)]);
}

fn intents() -> impl Strategy<Value = Intent> {
    let spans = prop::collection::vec((0..1000_i64, 1..1000_i64), 0..4).prop_map(|pairs| {
        let mut at = 0;
        let next = |(gap, length)| {
            let start = at + gap;
            at = start + length;
            OffsetRange { start, end: at }
        };
        pairs.into_iter().map(next).collect::<Vec<_>>()
    });
    let of = (prop::option::of(1..5000_i64), spans).prop_map(|(ahead, files)| LaneIntent { ahead, files });
    let lanes = prop::collection::btree_map("[/a-c=é]{0,8}", of, 1..6).prop_map(|lanes| lanes.into_iter().map(|(lane, of)| (lane.into(), of)).collect());
    let clock = prop::collection::vec((0..5000_i64, 0..i64::MAX / 2), 0..4);
    (any::<u64>(), lanes, clock).prop_map(|(configuration, lanes, clock)| Intent { configuration, lanes, clock })
}

proptest! {
    #[test]
    fn an_intent_is_read_as_it_was_told(mut intent in intents(), base in 0..i64::MAX / 4) {
        for of in intent.lanes.values_mut() {
            of.ahead = of.ahead.map(|ahead| ahead + base);
            of.files.iter_mut().for_each(|span| *span = tests::span(span.start + base, span.end + base));
        }
        intent.clock.iter_mut().for_each(|(from, _)| *from += base);
        prop_assert_eq!(Intent::parse(&intent.text(base), base), Ok(intent));
    }

    #[test]
    fn an_intent_that_is_told_in_more_bytes_is_the_same(intent in intents(), more in 0..=RESERVE) {
        let text = intent.text(0);
        let longer = intent.text_of(0, text.len() + more);
        prop_assert!((text.len() + more).saturating_sub(1) <= longer.len() && longer.len() <= text.len() + more, "{} {}", text.len(), longer.len());
        prop_assert_eq!(Intent::parse(&longer, 0), Ok(intent));
    }

    #[test]
    fn no_text_is_too_odd_to_be_read_or_refused(text in "(LH1\\.)?[A-Za-z0-9_-]{0,80}", offset in any::<i64>()) {
        drop(Intent::parse(&text, offset));
    }

    #[test]
    fn no_body_is_too_odd_to_be_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..60), offset in any::<i64>()) {
        drop(Intent::parse(&intent::framed(body), offset));
    }
}
