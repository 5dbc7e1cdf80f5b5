//! Two Java workers and one of ours in one group whose sources deliver exactly once: whoever leads, is killed, or is stopped and goes on, each line comes once.
//!
//! Both kinds lead, and have to fence the other's tasks: a new round of tasks is asked for through each of the three, and each is killed and stopped in turn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Group, Kind, LONG, Member, file_sink, file_source, mock_sink, path};
use crate::broker::Topic;
use crate::world::worker::{await_some, signal};

const SOURCES: [&str; 4] = ["source-a", "source-b", "source-c", "source-d"];
/// Connectors and tasks: of each source one, of `sink` two, of `mock` one.
const PARTS: usize = 2 * SOURCES.len() + 3 + 2;
/// Between two lines of a file.
const PACE: Duration = Duration::from_millis(10);

/// Waits until everything runs, all of these say so, and nobody else has any of it.
#[track_caller]
fn await_shared(members: &[&Member]) {
    let expected: BTreeSet<&str> = members.iter().map(|member| member.id.as_str()).collect();
    let shared = || {
        let told: Vec<BTreeMap<String, String>> = members.iter().map(|member| member.owners()).collect::<Option<_>>()?;
        let is_shared = |owners: &BTreeMap<String, String>| owners.len() == PARTS && owners.values().map(String::as_str).collect::<BTreeSet<_>>() == expected;
        (told.iter().all(is_shared) && told.windows(2).all(|two| two[0] == two[1])).then_some(())
    };
    let explain = || {
        let told: Vec<_> = members.iter().map(|member| (member.kind, member.get("/connectors?expand=status"))).collect();
        format!("not shared out among {expected:?}: {told:#?}")
    };
    await_some(LONG, shared, explain)
}

/// A source, where its lines come from and where they go to.
struct Line {
    name: &'static str,
    file: String,
    topic: Topic,
}

impl Line {
    fn new(name: &'static str) -> Self {
        Self { name, file: path(&format!("exact-mixed-{name}")), topic: Topic::create(&format!("exact-mixed-{name}"), 1) }
    }
}

/// Appends numbers to the files until it is told to stop; returns how many lines each has.
fn write(lines: &[Line], is_over: &AtomicBool) -> u64 {
    let mut files: Vec<File> = lines.iter().map(|line| File::options().create(true).append(true).open(&line.file).expect("a file of ours")).collect();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        files.iter_mut().for_each(|file| file.write_all(format!("{number}\n").as_bytes()).expect("a line more"));
        number += 1;
        std::thread::sleep(PACE);
    }
    number
}

/// Asks each member for a new round of every source's tasks, whose former ones the leader has to fence.
fn renew(members: &[&Member], round: &str) {
    for (number, member) in members.iter().enumerate() {
        for name in SOURCES {
            let mark = format!("{round}-{number}");
            member.ask("PATCH", &format!("/connectors/{name}/config"), Some(&json!({"mark": mark})), 200);
            let is_new = || (members[0].get(&format!("/connectors/{name}/tasks"))[0]["config"]["mark"] == mark.as_str()).then_some(());
            await_some(LONG, is_new, || format!("{name} has no new task: {}", members[0].get(&format!("/connectors/{name}/tasks"))));
        }
        await_shared(members);
    }
}

/// What all members say of the connectors, but for who runs what.
fn told(member: &Member) -> Value {
    let mut all = member.get("/connectors?expand=info");
    for name in SOURCES {
        all[name]["offsets"] = member.get(&format!("/connectors/{name}/offsets"));
        all[name]["tasks"] = member.get(&format!("/connectors/{name}/tasks"));
    }
    all
}

/// Those of a kind are killed; when the others have their work, as many come back. Returns the members, those that came back last.
fn kill_all(group: &Group, members: Vec<Member>, kind: Kind) -> (Vec<Member>, String) {
    let (killed, mut members): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.kind == kind);
    let (count, had_leader, since) = (killed.len(), killed.iter().any(Member::leads), Instant::now());
    killed.into_iter().for_each(Member::kill);
    await_shared(&members.iter().collect::<Vec<_>>());
    let time = format!("{count} of {kind:?} killed, the leader among them: {had_leader}; the others have all after {:?}", since.elapsed());
    members.extend((0..count).map(|_| group.start(kind)));
    await_shared(&members.iter().collect::<Vec<_>>());
    (members, time)
}

/// Tells the writer to stop, also when a test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What happens while lines are written: both kinds lead, everybody is killed, and stopped for too long. Returns the members that are left.
fn live(group: &Group, mut members: Vec<Member>, lines: &[Line]) -> (Vec<Member>, Vec<String>) {
    let (incoming, output) = (Topic::create("exact-mixed-in", 2), path("exact-mixed-output"));
    for (line, member) in lines.iter().zip(members.iter().cycle()) {
        let config = [&file_source(&line.topic.name, &line.file)[..], &[("exactly.once.support", "required")]].concat();
        member.create(line.name, &config, None);
    }
    members[1].create("sink", &file_sink(&incoming.name, &output, "2"), None);
    members[2].create("mock", &mock_sink(&incoming.name), None);
    await_shared(&members.iter().collect::<Vec<_>>());
    let mut times = Vec::new();
    for leads in [Kind::Java, Kind::Lakehead] {
        assert!(members.iter().any(|member| member.kind == leads && member.leads()), "{leads:?} leads");
        renew(&members.iter().collect::<Vec<_>>(), &format!("{leads:?}"));
        let (left, time) = kill_all(group, members, leads);
        times.push(time);
        members = left;
    }
    stop_and_continue(&members);
    (members, times)
}

#[test]
fn two_java_workers_and_ours_deliver_each_line_once_whoever_leads_or_is_killed() {
    let group = Group::exact("exact-mixed");
    let (lines, is_over) = (SOURCES.map(Line::new), AtomicBool::new(false));
    let members: Vec<Member> = [Kind::Java, Kind::Lakehead, Kind::Java].map(|kind| group.start(kind)).into();
    let ((members, times), written) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| write(&lines, &is_over));
        let over = Over(&is_over);
        let lived = live(&group, members, &lines);
        drop(over);
        (lived, writer.join().expect("lines are written"))
    });
    for Line { name, file, topic } in &lines {
        let all = || (topic.committed_numbers().len() as u64 >= written).then_some(());
        await_some(LONG, all, || format!("{name}: {} of {written} lines", topic.committed_numbers().len()));
        assert!(topic.committed_numbers().into_iter().eq(0..written), "{name}: lines are missing, doubled or out of order");
        let expected = json!({"offsets": [{"partition": {"filename": file}, "offset": {"position": std::fs::metadata(file).expect("the file").len()}}]});
        let is_there = || (members[0].get(&format!("/connectors/{name}/offsets")) == expected).then_some(());
        await_some(LONG, is_there, || format!("{name}: {} and not {expected}", members[0].get(&format!("/connectors/{name}/offsets"))));
    }
    println!("{}\n{written} lines in each of {} files came once", times.join("\n"), lines.len());
    let answers: Vec<Value> = members.iter().map(told).collect();
    assert!(answers.windows(2).all(|two| two[0] == two[1]), "{answers:#?}");
    // Whoever led, it wrote down in the same bytes how many producers there are to be fenced.
    let fencing: BTreeSet<_> = group.records("configs").into_iter().filter(|(key, _)| key.starts_with("tasks-fencing-")).collect();
    let expected = SOURCES.iter().map(|name| (format!("tasks-fencing-{name}"), Some(r#"{"task-count":1}"#.to_owned())));
    assert_eq!(fencing, expected.collect());
    members.into_iter().for_each(Member::stop);
}

/// Each worker in turn is stopped for longer than its session; the others take its work, and what it does when it goes on is fenced.
fn stop_and_continue(members: &[Member]) {
    for (number, stopped) in members.iter().enumerate() {
        signal(&stopped.pid(), "STOP");
        let others: Vec<&Member> = members.iter().enumerate().filter(|(other, _)| *other != number).map(|(_, member)| member).collect();
        await_shared(&others);
        signal(&stopped.pid(), "CONT");
        await_shared(&members.iter().collect::<Vec<_>>());
    }
}
