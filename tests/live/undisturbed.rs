//! What is done to one connector is no matter to the others: while it is created, changed, paused, restarted, stopped and deleted, their tasks neither stop nor
//! start, and their records come without a gap.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};

use crate::broker::{Encoding, Topic};
use crate::bucket::Bucket;
use crate::worker::{Connector, SOON, Worker, await_some};

/// The longest time without a record of a task that has fifty in a second: some hundred milliseconds on a machine that has nothing else to do. What is stopped and
/// started again for a shorter time shows in the log.
const GAP: Duration = Duration::from_secs(3);

/// How many tasks each connector has: an even number for each of two workers, so that nobody's share changes with what comes and goes.
const TASKS: usize = 2;

/// What the workers' logs say of a connector's tasks: lines about their starts, ends and partitions, and when each task had records.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    changes: Vec<String>,
    records: BTreeMap<String, Vec<i64>>,
    assignments: usize,
}

fn seen(workers: &[Worker], connectors: &[&Connector]) -> Seen {
    let mut seen = Seen::default();
    for line in workers.iter().flat_map(|worker| worker.whole_log().lines().map(str::to_owned).collect::<Vec<_>>()) {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue }; // the last one may be half written
        let message = line["message"].as_str().unwrap_or_default();
        seen.assignments += usize::from(message == "assigned" && line["generation"].is_i64());
        let is_theirs = |name: &str| line[name].as_str().is_some_and(|name| connectors.iter().any(|connector| connector.name == name));
        if is_theirs("connector") && ["task started", "task stopped", "task failed", "assigned", "revoked"].iter().any(|part| message.starts_with(part)) {
            seen.changes.push(format!("{message} {} {}", line["connector"], line["task"]));
        }
        // A sink's line has the offset, and the number of its task elsewhere.
        if let (true, Some(at), None) = (is_theirs("name"), line["time_ms"].as_i64(), line["flushed"].as_bool().or(line["committed"].as_bool())) {
            let task = line.get("sinkTask").unwrap_or(&line["task"]);
            seen.records.entry(format!("{}-{task}", line["name"])).or_default().push(at);
        }
    }
    seen.changes.sort();
    seen
}

/// The longest time between two records of each task, from the last that it had before.
fn gaps<'a>(before: &Seen, after: &'a Seen) -> BTreeMap<&'a str, i64> {
    let longest = |(task, times): (&'a String, &Vec<i64>)| {
        let known = before.records[task].iter().max().copied().unwrap_or_default();
        let mut times: Vec<i64> = times.iter().copied().filter(|at| *at >= known).collect();
        times.sort_unstable();
        (task.as_str(), times.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(i64::MAX))
    };
    after.records.iter().map(longest).collect()
}

/// How many partitions the sink's task on each worker has, as their logs say.
fn shares(workers: &[Worker], sink: &Connector) -> Vec<usize> {
    let share = |worker: &Worker| {
        let mut owned = BTreeSet::new();
        for line in worker.whole_log().lines().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| line["connector"] == *sink.name) {
            // Members keep what they have: these are more, or less.
            let partitions = || line["partitions"].as_str().unwrap_or_default().split(',').filter(|partition| !partition.is_empty()).map(str::to_owned);
            match line["message"].as_str() {
                Some("assigned") => owned.extend(partitions()),
                Some("revoked") => owned.retain(|partition| !partitions().any(|revoked| revoked == *partition)),
                _ => {}
            }
        }
        owned.len()
    };
    workers.iter().map(share).collect()
}

/// Waits until both workers show so many tasks in that state.
#[track_caller]
fn await_tasks(workers: &[Worker], connector: &Connector, state: &str, count: usize) {
    let there = || {
        let mut shown = workers.iter().map(|worker| worker.status(connector));
        let is_so = |status: Value| {
            let tasks = status["tasks"].as_array().cloned().unwrap_or_default();
            status["connector"]["state"] == state && tasks.len() == count && tasks.iter().all(|task| task["state"] == state)
        };
        shown.all(is_so).then_some(())
    };
    await_some(SOON, there, || format!("{count} tasks {state}: {}", workers[0].status(connector)));
}

/// Everything that can be done to a connector, each time until it is so, half of it through each of the workers.
fn use_everything(workers: &[Worker], connector: &Connector) {
    let [one, two] = workers else { panic!("two workers") };
    let path = |rest: &str| format!("/connectors/{}{rest}", connector.name);
    let ask = |worker: &Worker, method: &str, rest: &str, body: Option<Value>, expected: u16| {
        let mut last = (0, Value::Null);
        let taken = || {
            last = worker.rest(method, &path(rest), body.as_ref());
            (last.0 != 409).then_some(()) // a rebalance is under way
        };
        await_some(SOON, taken, || format!("{method} {rest} comes too early"));
        assert_eq!(last.0, expected, "{method} {rest}: {}", last.1);
    };
    one.run(connector);
    await_tasks(workers, connector, "RUNNING", TASKS);
    ask(two, "PATCH", "/config", Some(json!({"throughput": "20"})), 200);
    let is_new = || (one.rest("GET", &path("/tasks"), None).1[0]["config"]["throughput"] == "20").then_some(());
    await_some(SOON, is_new, || "the tasks have their old configuration".to_owned());
    await_tasks(workers, connector, "RUNNING", TASKS);
    ask(one, "PATCH", "/config", Some(json!({"tasks.max": (2 * TASKS).to_string()})), 200);
    await_tasks(workers, connector, "RUNNING", 2 * TASKS);
    ask(two, "PUT", "/pause", None, 202);
    await_tasks(workers, connector, "PAUSED", 2 * TASKS);
    ask(one, "PUT", "/resume", None, 202);
    await_tasks(workers, connector, "RUNNING", 2 * TASKS);
    ask(two, "POST", "/restart?includeTasks=true", None, 202);
    await_tasks(workers, connector, "RUNNING", 2 * TASKS);
    ask(one, "POST", "/tasks/1/restart", None, 204);
    ask(two, "PUT", "/stop", None, 204);
    await_tasks(workers, connector, "STOPPED", 0);
    ask(one, "DELETE", "/offsets", None, 200);
    ask(two, "PUT", "/resume", None, 202);
    await_tasks(workers, connector, "RUNNING", 2 * TASKS);
    ask(one, "DELETE", "", None, 204);
    let gone = || workers.iter().all(|worker| worker.rest("GET", &path(""), None).0 == 404).then_some(());
    await_some(SOON, gone, || "it is still there".to_owned());
}

#[test]
fn what_is_done_to_one_connector_stops_no_other() {
    let settings = [("lakehead.log.format", "json"), ("consumer.heartbeat.interval.ms", "300")];
    let workers = ["", ""].map(|_| Worker::join("undisturbed", &settings));
    let (numbers, orders, folder) = (Topic::create("undisturbed", 4), Topic::create("undisturbed-orders", 2), Bucket::create().folder);
    fs::create_dir_all(&folder).expect("a folder");
    let tool = |name: &str, class: &str| {
        let connector = Connector::of_class(name, &format!("org.apache.kafka.connect.tools.{class}Connector"));
        connector.with("tasks.max", &TASKS.to_string()).with("value.converter", "org.apache.kafka.connect.json.JsonConverter")
    };
    let source = |name: &str| tool(name, "VerifiableSource").with("topic", &numbers.name).with("throughput", "50");
    let sources = [source("steady"), source("steady-too")];
    let witness = tool("witness", "VerifiableSink").with("topics", &numbers.name);
    let lake = Connector::folder_sink(&orders, &folder, "json").with("tasks.max", &TASKS.to_string()).with("flush.size", "10");
    let others = [&sources[0], &sources[1], &witness, &lake];
    others.iter().for_each(|connector| workers[0].run(connector));
    others.iter().for_each(|connector| await_tasks(&workers, connector, "RUNNING", TASKS));
    orders.send_orders(0..20, Encoding::Json);
    let all_have_records = || (seen(&workers, &others).records.len() == 3 * TASKS).then_some(());
    await_some(SOON, all_have_records, || format!("{:?}", seen(&workers, &others).records.keys()));
    for (sink, each) in [(&witness, 2), (&lake, 1)] {
        await_some(SOON, || (shares(&workers, sink) == [each, each]).then_some(()), || format!("{}: {:?}", sink.name, shares(&workers, sink)));
    }
    let before = seen(&workers, &others);

    let moved = Topic::create("disturbed", 1);
    use_everything(&workers, &tool("disturbed", "VerifiableSource").with("topic", &moved.name).with("throughput", "10"));

    let enough = |task: &str| seen(&workers, &others).records[task].len() > before.records[task].len();
    await_some(SOON, || before.records.keys().all(|task| enough(task)).then_some(()), || "some have no records any more".to_owned());
    let after = seen(&workers, &others);
    assert_eq!(after.changes, before.changes, "tasks of others were stopped, started or given other partitions");
    assert!(after.assignments >= before.assignments + 6, "there were rebalances: {} and then {}", before.assignments, after.assignments);
    let late: Vec<_> = gaps(&before, &after).into_iter().filter(|(_, gap)| *gap > i64::try_from(GAP.as_millis()).expect("a second")).collect();
    assert!(late.is_empty(), "longer without a record than {GAP:?}: {late:?}");
    println!("longest gaps in ms: {:?}", gaps(&before, &after));
    let owned = |connector: &Connector| {
        workers[0].status(connector)["tasks"].as_array().into_iter().flatten().map(|task| task["worker_id"].clone()).collect::<Vec<_>>()
    };
    for connector in others {
        let on = owned(connector);
        assert_ne!(on[0], on[1], "{}: each worker has one of its tasks", connector.name);
    }
    workers.into_iter().for_each(Worker::terminate);
}
