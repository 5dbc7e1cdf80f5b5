//! The rules of the config topic, each as the records that need it and what is known after them.

use std::time::Instant;

use proptest::prelude::*;

use super::records::{self, TaskRecords};
use super::*;
use crate::cluster::{Record, Work};

/// Records as `key value`, from offset 0 on; the value `-` is a tombstone.
fn replay(lines: &[&str]) -> (Replay, Vec<Change>) {
    let mut replay = Replay::new();
    let changes = lines.iter().zip(0..).filter_map(|(line, offset)| {
        let (key, value) = line.split_once(' ').expect("a key and a value");
        replay.apply(offset, Some(key.as_bytes()), (value != "-").then_some(value.as_bytes()))
    });
    let changes = changes.collect();
    (replay, changes)
}

fn state(lines: &[&str]) -> Snapshot {
    replay(lines).0.snapshot()
}

fn config(text: &str) -> RawConfig {
    text.split_whitespace().filter_map(|word| word.split_once('=')).map(|(key, value)| (key.to_owned(), Some(value.to_owned()))).collect()
}

fn lines(records: &[Record]) -> Vec<String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    records.iter().map(|record| format!("{} {}", text(&record.key), record.value.as_deref().map_or("-".into(), text))).collect()
}

fn assert_lines(records: &[Record], expected: &[&str]) {
    assert_eq!(lines(records), expected);
}

/// The reason of the only record that is ignored among these.
fn ignored(lines: &[&str]) -> String {
    let changes = replay(lines).1;
    let mut reasons = changes.iter().filter_map(|change| if let Change::Ignored(ignored) = change { Some(ignored.why.clone()) } else { None });
    let reason = reasons.next().expect("an ignored record");
    assert_eq!(reasons.next(), None);
    reason
}

const A: &str = r#"connector-a {"properties":{"x":"1"}}"#;
const T0: &str = r#"task-a-0 {"properties":{"t":"0"}}"#;
const T1: &str = r#"task-a-1 {"properties":{"t":"1"}}"#;

fn commit(count: u32) -> String {
    format!("commit-a {{\"tasks\":{count}}}")
}

/// As captured from upstream's 4.3.1.
#[test]
fn records_have_upstreams_bytes() {
    let key = SessionKey::new("HmacSHA256", BASE64("tzd8f9suo4k1b71fseUXd4tYSwks8/e69BxhcpbJq38="), 1_795_387_708_390);
    let restart = RestartRequest { connector: "fs".into(), include_tasks: true, only_failed: false };
    let TaskRecords { tasks, commit } = records::tasks("fs", &[config("b=2 a=1"), config("")]);
    assert_lines(&tasks, &[r#"task-fs-0 {"properties":{"a":"1","b":"2"}}"#, r#"task-fs-1 {"properties":{}}"#]);
    assert_lines(
        &[commit, records::tasks("fs", &[]).commit, records::session_key(&key), records::restart(&restart), records::task_count("e1", 1)],
        &[
            r#"commit-fs {"tasks":2}"#,
            r#"commit-fs {"tasks":0}"#,
            r#"session-key {"key":"tzd8f9suo4k1b71fseUXd4tYSwks8/e69BxhcpbJq38=","algorithm":"HmacSHA256","creation-timestamp":1795387708390}"#,
            r#"restart-connector-fs {"include-tasks":true,"only-failed":false}"#,
            r#"tasks-fencing-e1 {"task-count":1}"#,
        ],
    );
    assert_lines(
        &[
            records::target_state("fs", TargetState::Started),
            records::target_state("fs", TargetState::Paused),
            records::target_state("fs", TargetState::Stopped),
            records::logger_level("org.apache", "DEBUG"),
        ],
        &[
            r#"target-state-fs {"state":"STARTED","state.v2":"STARTED"}"#,
            r#"target-state-fs {"state":"PAUSED","state.v2":"PAUSED"}"#,
            r#"target-state-fs {"state":"PAUSED","state.v2":"STOPPED"}"#,
            r#"logger-cluster-org.apache {"level":"DEBUG"}"#,
        ],
    );
    let with_null: RawConfig = [("file".to_owned(), Some("/é \"x\"".to_owned())), ("none".to_owned(), None)].into();
    assert_lines(&records::connector("fs", &with_null, None), &[r#"connector-fs {"properties":{"file":"/é \"x\"","none":null}}"#]);
    assert_lines(
        &records::connector("fs", &config("a=1"), Some(TargetState::Stopped)),
        &[r#"target-state-fs {"state":"PAUSED","state.v2":"STOPPED"}"#, r#"connector-fs {"properties":{"a":"1"}}"#],
    );
    assert_lines(&records::removal("fs"), &["connector-fs -", "target-state-fs -"]);
}

#[expect(non_snake_case, reason = "reads as the name of the encoding")]
fn BASE64(text: &str) -> Vec<u8> {
    crate::cluster::session::BASE64.decode(text).expect("base64")
}

#[test]
fn the_offset_is_that_of_the_last_record_that_could_be_read_plus_one() {
    for (case, lines, expected) in [
        ("nothing read", &[][..], -1),
        ("a record", &[A], 1),
        ("a tombstone", &[A, "connector-a -"], 2),
        ("no JSON", &[A, "connector-a {"], 1),
        ("no JSON at first", &["connector-a {"], -1),
        ("a key that nobody knows", &[A, "foo 1"], 2),
        ("a value of the wrong form", &[A, "connector-a 1"], 2),
        ("empty values are null", &[A, "connector-a "], 2),
    ] {
        assert_eq!(state(lines).offset(), expected, "{case}");
    }
    let mut replay = Replay::new();
    replay.apply(41, Some(b"foo"), None);
    assert_eq!(replay.snapshot().offset(), 42, "offsets have gaps, for compaction and for transactions");
    assert!(matches!(replay.apply(42, None, Some(b"{}")), Some(Change::Ignored(_))));
    assert_eq!(replay.snapshot().offset(), 43, "a record without a key counts");
}

#[test]
fn a_connector_comes_changes_and_goes() {
    let (replay, changes) = replay(&[A, A, r#"connector-b {"properties":{"x":"2","n":null,"i":3}}"#, "connector-a -", "connector-a -"]);
    let name = |name: &str| Arc::<str>::from(name);
    let expected =
        [Change::ConnectorAdded(name("a")), Change::ConnectorUpdated(name("a")), Change::ConnectorAdded(name("b")), Change::ConnectorRemoved(name("a"))];
    assert_eq!(changes, expected);
    let now = replay.snapshot();
    assert_eq!(now.connectors().map(AsRef::as_ref).collect::<Vec<&str>>(), ["b"]);
    let read: RawConfig = [("x", Some("2")), ("n", None), ("i", Some("3"))].map(|(key, value)| (key.into(), value.map(str::to_owned))).into();
    assert_eq!(now.config("b").map(|config| (**config).clone()), Some(read));
    assert!(now.contains("b") && !now.contains("a") && now.config("a").is_none());
}

#[test]
fn connectors_are_started_unless_a_target_state_says_otherwise() {
    const PAUSED: &str = r#"target-state-a {"state":"PAUSED"}"#;
    const STOPPED: &str = r#"target-state-a {"state":"PAUSED","state.v2":"STOPPED"}"#;
    for (case, lines, expected, changes) in [
        ("none", &[A][..], Some(TargetState::Started), 1),
        ("by an old worker", &[A, PAUSED], Some(TargetState::Paused), 2),
        ("the newer field counts", &[A, STOPPED], Some(TargetState::Stopped), 2),
        ("the newer field is of no use", &[A, r#"target-state-a {"state":"PAUSED","state.v2":7}"#], Some(TargetState::Paused), 2),
        ("before the connector: nobody needs to know", &[STOPPED, A], Some(TargetState::Stopped), 1),
        ("the same again changes nothing", &[A, PAUSED, PAUSED], Some(TargetState::Paused), 2),
        ("a tombstone starts a connector, silently", &[A, PAUSED, "target-state-a -"], Some(TargetState::Started), 2),
        ("deleted", &[A, PAUSED, "connector-a -", "target-state-a -"], None, 3),
        ("a state that is not known", &[A, r#"target-state-a {"state":"HALTED"}"#], Some(TargetState::Started), 2),
    ] {
        let (replay, seen) = replay(lines);
        assert_eq!((replay.snapshot().target_state("a"), seen.len()), (expected, changes), "{case}: {seen:?}");
    }
    assert_eq!(ignored(&[A, r#"target-state-a {"state":"HALTED"}"#]), "the target state \"HALTED\" is not known");
}

#[test]
fn tasks_wait_for_their_commit() {
    let c2 = commit(2);
    let (mut replay, changes) = replay(&[A, T0, T1]);
    let before = replay.snapshot();
    assert_eq!((changes.len(), before.task_count("a"), before.tasks("a").count()), (1, 0, 0));
    let change = replay.apply(3, Some(b"commit-a"), c2.strip_prefix("commit-a ").map(str::as_bytes));
    let ids = vec![TaskId::new("a", 0), TaskId::new("a", 1)];
    assert_eq!(change, Some(Change::TasksCommitted { connector: "a".into(), tasks: ids.clone() }));
    let now = replay.snapshot();
    assert_eq!(now.tasks("a").collect::<Vec<_>>(), ids);
    assert_eq!(now.task_config(&ids[1]).map(|config| (**config).clone()), Some(config("t=1")));
    assert_eq!(now.work(), Work::of("a a-0 a-1"));
    assert_eq!(now.applied_config("a"), now.config("a"));
    assert_eq!(before.task_count("a"), 0, "a snapshot stays as it is");
}

#[test]
fn commits_apply_only_where_all_tasks_are_there() {
    let (c0, c1, c2) = (commit(0), commit(1), commit(2));
    let (c0, c1, c2) = (c0.as_str(), c1.as_str(), c2.as_str());
    // (records, number of tasks, tasks that are shown, inconsistent, generation)
    for (case, lines, count, shown, inconsistent, generation) in [
        ("complete", &[A, T0, T1, c2][..], 2, 2, false, Some(0)),
        ("one was compacted away", &[A, T1, c2], 2, 0, true, None),
        ("published again", &[A, T1, c2, T0, T1, c2], 2, 2, false, Some(0)),
        ("what was incomplete does not wait for the next commit", &[A, T1, c2, T0, c2], 2, 0, true, None),
        ("fewer tasks, with a leftover of before", &[A, T1, T0, c1], 1, 1, false, Some(0)),
        ("no tasks, and there never were any", &[A, c0], 0, 0, false, None),
        ("stopped", &[A, T0, c1, c0], 0, 0, false, Some(1)),
        ("stopped and resumed", &[A, T0, c1, c0, T0, c1], 1, 1, false, Some(2)),
        ("twice", &[A, T0, c1, T0, c1], 1, 1, false, Some(1)),
        ("a commit without records after one with: they are not there any more", &[A, T0, c1, c1], 1, 0, true, Some(0)),
        ("numbers as some converters write them", &[A, T0, r#"commit-a {"tasks":1,"more":true}"#], 1, 1, false, Some(0)),
        ("of a connector that is gone", &[T0, c1], 0, 0, false, None),
        ("of a connector that comes later: its records are gone", &[T0, c1, A, c1], 1, 0, true, None),
    ] {
        let now = state(lines);
        let seen = (now.task_count("a"), now.tasks("a").count(), now.is_inconsistent("a"), now.task_generation("a"));
        assert_eq!(seen, (count, shown, inconsistent, generation), "{case}");
    }
    for (value, why) in [
        (r#"{"tasks":-1}"#, "the field \"tasks\" is -1 and no number of tasks"),
        (r#"{"tasks":"1"}"#, "the field \"tasks\" is a string and no whole number"),
        (r#"{"tasks":1.5}"#, "the field \"tasks\" is a number and no whole number"),
        (r#"[]"#, "its value is an array and no object"),
    ] {
        assert_eq!(ignored(&[A, &format!("commit-a {value}")]), why);
    }
}

#[test]
fn a_deleted_connector_leaves_only_what_fencing_needs() {
    let now = state(&[A, T0, &commit(1), r#"tasks-fencing-a {"task-count":1}"#, T1, "connector-a -", "target-state-a -"]);
    assert_eq!((now.task_count("a"), now.tasks("a").count(), now.target_state("a"), now.applied_config("a")), (0, 0, None, None));
    assert_eq!((now.task_count_record("a"), now.task_generation("a")), (Some(1), Some(0)));
    let again = state(&[A, T0, "connector-a -", A, &commit(1)]);
    assert!(again.is_inconsistent("a"), "records of the tasks before the deletion do not count");
    assert_eq!(state(&[A, "connector-a -", "target-state-a -"]), state(&["foo 1", "foo 1", "foo 1"]), "nothing is left of one that had no tasks");
}

#[test]
fn fencing_is_pending_from_a_commit_to_the_next_task_count() {
    const COUNT: &str = r#"tasks-fencing-a {"task-count":3}"#;
    let c1 = commit(1);
    for (case, lines, pending, record) in [
        ("nothing", &[A][..], false, None),
        ("commit", &[A, T0, &c1], true, None),
        ("commit and count", &[A, T0, &c1, COUNT], false, Some(3)),
        ("commit, count, commit", &[A, T0, &c1, COUNT, T0, &c1], true, Some(3)),
        ("an incomplete commit, too", &[A, COUNT, &c1], true, Some(3)),
    ] {
        let now = state(lines);
        assert_eq!((now.pending_fencing("a"), now.task_count_record("a")), (pending, record), "{case}");
    }
}

#[test]
fn keys_are_told_by_prefixes_in_upstreams_order() {
    for (key, number) in [("task-a-b-0", Some(("a-b", 0))), ("task-a-12", Some(("a", 12))), ("task--1", Some(("", 1))), ("task-a--1", Some(("a-", 1)))] {
        assert_eq!(task_id(&key["task-".len()..]), number.map(|(connector, task)| TaskId::new(connector, task)), "{key}");
    }
    assert_eq!(task_id("a-1-"), Some(TaskId::new("a", 1)), "dashes at the end are none");
    for key in ["task-a", "task-a-x", "task-", "task-1", "task-a-1.5", "task-a-99999999999"] {
        assert_eq!(ignored(&[&format!("{key} {{\"properties\":{{}}}}")]), "no connector and task number after \"task-\"");
    }
    let now = state(&[r#"connector-connector-x {"properties":{}}"#, r#"connector-session-key {"properties":{}}"#]);
    assert_eq!(now.connectors().map(AsRef::as_ref).collect::<Vec<&str>>(), ["connector-x", "session-key"]);
    assert_eq!(ignored(&["session-key2 {}"]), "no key of this form is known");
    assert_eq!(ignored(&["task-count-record-a {\"task-count\":1}"]), "no connector and task number after \"task-\"");
}

#[test]
fn values_of_the_wrong_form_are_told_and_change_nothing() {
    for (line, why) in [
        ("connector-a [1]", "its value is an array and no object"),
        ("connector-a {}", "the field \"properties\" is nothing and no object"),
        (r#"connector-a {"properties":7}"#, "the field \"properties\" is null and no object"),
        ("task-a-0 -", "its value is null and no object"),
        ("session-key -", "its value is null and no object"),
        (r#"session-key {"key":"?","algorithm":"HmacSHA256","creation-timestamp":1}"#, "the field \"key\" is not base64"),
        (r#"session-key {"key":"YQ==","algorithm":"HmacSHA256","creation-timestamp":"1"}"#, "the field \"creation-timestamp\" is not a whole number"),
        (r#"session-key {"key":"YQ==","creation-timestamp":1}"#, "the field \"algorithm\" is nothing and no string"),
        ("logger-cluster-x {\"level\":null}", "the field \"level\" is null and no string"),
        ("tasks-fencing-a -", "its value is null and no object"),
        ("restart-connector-a -", "its value is null and no object"),
        ("foo {}", "no key of this form is known"),
    ] {
        assert_eq!(ignored(&[A, line]), why, "{line}");
        assert_eq!(state(&[A, line]), state(&[A, "foo 1"]), "{line}");
    }
    let told = replay(&["connector-a {"]).1;
    assert!(
        matches!(&told[..], [Change::Ignored(ignored)] if ignored.to_string().starts_with("the record with the key \"connector-a\" at offset 0 of the config topic is ignored: its value is not JSON: EOF")),
        "{told:?}"
    );
}

#[test]
fn requests_for_all_members_are_told_as_they_are() {
    let restart = |value: &str| match replay(&[&format!("restart-connector-a {value}")]).1.as_slice() {
        [Change::Restart(request)] => (request.include_tasks, request.only_failed, request.impact()),
        other => panic!("{other:?}"),
    };
    assert_eq!(restart(r#"{"include-tasks":false,"only-failed":true}"#), (false, true, 0));
    assert_eq!(restart(r#"{"include-tasks":true,"only-failed":true}"#), (true, true, 1));
    assert_eq!(restart(r#"{"include-tasks":"true","only-failed":null}"#), (false, false, 2));
    assert_eq!(restart(r#"{"include-tasks":true}"#), (true, false, 3));
    let level = replay(&[r#"logger-cluster-a.b {"level":"DEBUG"}"#]).1;
    assert_eq!(level, [Change::LoggerLevel { namespace: "a.b".into(), level: "DEBUG".into() }]);
    let key = r#"session-key {"key":"YQ==","algorithm":"HmacSHA1","creation-timestamp":17}"#;
    let expected = SessionKey::new("HmacSHA1", &b"a"[..], 17);
    assert_eq!(replay(&[key]).1, [Change::SessionKey(expected.clone())]);
    assert_eq!(state(&[key]).session_key(), Some(&expected));
}

#[test]
fn tasks_are_published_only_when_something_is_different() {
    let c1 = commit(1);
    let published = [A, T0, &c1];
    for (case, more, tasks, expected) in [
        ("the same", None, vec![config("t=0")], false),
        ("another configuration", None, vec![config("t=9")], true),
        ("one more", None, vec![config("t=0"), config("t=1")], true),
        ("one less", None, vec![], true),
        ("the connector has another configuration, which makes the same tasks", Some(r#"connector-a {"properties":{"x":"2"}}"#), vec![config("t=0")], true),
        ("the connector was written again as it was", Some(A), vec![config("t=0")], false),
        ("it is inconsistent", Some(c1.as_str()), vec![config("t=0")], true),
    ] {
        let lines: Vec<&str> = published.into_iter().chain(more).collect();
        assert_eq!(state(&lines).must_publish("a", &tasks), expected, "{case}");
    }
    assert!(state(&[A]).must_publish("a", &[]), "the first commit of a connector without tasks");
    assert!(!state(&[A, &commit(0)]).must_publish("a", &[]));
}

#[test]
fn a_thousand_connectors_are_replayed_well_within_a_second() {
    let config: RawConfig = (0..30).map(|key| (format!("some.configuration.key.{key}"), Some(format!("value {key} of a usual length")))).collect();
    let mut records = Vec::new();
    for number in 0..1000 {
        let name = format!("connector-{number}");
        let TaskRecords { tasks, commit } = records::tasks(&name, &[config.clone(), config.clone()]);
        records.extend(records::connector(&name, &config, Some(TargetState::Started)));
        records.extend(tasks);
        records.push(commit);
    }
    let replay = || {
        let start = Instant::now();
        assert_eq!(replayed((0..).zip(&records)).work().tasks.len(), 2000);
        start.elapsed()
    };
    let took = [replay(), replay(), replay()];
    assert!(took.iter().any(|took| took.as_millis() < 900), "{took:?} for {} records", records.len());
}

/// Something that a cluster does, as records in the topic's order.
fn action() -> impl Strategy<Value = Vec<Record>> {
    let name = prop_oneof![Just("a"), Just("b"), Just("a-1")];
    let tasks = 0..4_u32;
    (name, 0..7_u8, tasks).prop_map(|(name, what, tasks)| match what {
        0 | 1 => records::connector(name, &config(&format!("v={tasks}")), (tasks == 3).then_some(TargetState::Paused)),
        2 => records::removal(name),
        3 | 4 => {
            let configs: Vec<_> = (0..tasks).map(|task| config(&format!("t={task}"))).collect();
            let TaskRecords { mut tasks, commit } = records::tasks(name, &configs);
            tasks.push(commit);
            tasks
        }
        5 => vec![records::target_state(name, TargetState::Stopped)],
        _ => vec![records::task_count(name, tasks)],
    })
}

fn replayed<'a>(records: impl IntoIterator<Item = (i64, &'a Record)>) -> Snapshot {
    let mut replay = Replay::new();
    for (offset, record) in records {
        let change = replay.apply(offset, Some(&record.key), record.value.as_deref());
        assert!(!matches!(change, Some(Change::Ignored(_))), "{change:?}");
    }
    replay.snapshot()
}

proptest! {
    #[test]
    fn no_record_makes_it_panic(records in proptest::collection::vec(("(connector-|task-|commit-|target-state-|session-key|tasks-fencing-|logger-cluster-|restart-connector-)?[a-c0-9-]{0,6}", "(\\{\"(tasks|properties|state|task-count)\":(-?[0-9]{1,20}|\\{\\}|null|\"PAUSED\"|\\[)\\}?)?|\\PC{0,9}"), 0..30)) {
        let mut replay = Replay::new();
        for ((key, value), offset) in records.iter().zip(0..) {
            replay.apply(offset, Some(key.as_bytes()), Some(value.as_bytes()));
            prop_assert!(replay.snapshot().work().connectors.len() <= records.len());
        }
    }

    #[test]
    fn a_configuration_is_read_the_same_without_the_detour(members in proptest::collection::vec((".{0,4}", proptest::option::of(".{0,4}")), 0..5), more: bool) {
        let config: Map<String, Value> = members.into_iter().map(|(key, value)| (key, value.into())).collect();
        let value = if more { serde_json::json!({ "x": 1, "properties": config }) } else { serde_json::json!({ "properties": config }) };
        let Some(Said::Properties(read)) = Said::properties(Some(&json::to_bytes(&value))) else { return Err(TestCaseError::fail("the usual form")) };
        prop_assert_eq!(Ok(read), properties(value));
    }

    /// Compaction keeps the last record of each key, at its offset: nobody may come to other connectors, states or fencing records by it.
    #[test]
    fn compaction_changes_no_connector_and_hides_tasks_at_most(actions in proptest::collection::vec(action(), 0..20)) {
        let records: Vec<Record> = actions.into_iter().flatten().collect();
        let is_last = |at: usize| !records[at + 1..].iter().any(|later| later.key == records[at].key);
        let whole = replayed((0..).zip(&records));
        let compacted = replayed((0..).zip(&records).filter(|(offset, _)| is_last(usize::try_from(*offset).expect("small"))));
        prop_assert_eq!(whole.offset(), compacted.offset());
        prop_assert_eq!(whole.work().connectors, compacted.work().connectors);
        for connector in whole.connectors() {
            prop_assert_eq!(whole.config(connector), compacted.config(connector));
            prop_assert_eq!(whole.target_state(connector), compacted.target_state(connector));
            prop_assert_eq!(whole.task_count_record(connector), compacted.task_count_record(connector));
            if !compacted.is_inconsistent(connector) && compacted.tasks(connector).next().is_some() {
                prop_assert!(compacted.tasks(connector).all(|task| compacted.task_config(&task).is_some()));
            }
        }
    }
}
