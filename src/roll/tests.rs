//! Rolling as a specification: tables, and the law against a record-by-record reading of upstream's rules.

use proptest::prelude::*;

use super::*;
use crate::calendar::iso::parse_date_time;

const X: u32 = Paths::REJECTED;

fn policy() -> Policy {
    Policy {
        flush_size: NonZeroU64::new(1000).unwrap(),
        rotate_interval_ms: None,
        on_path_change: true,
        schedule: None,
        max_file_bytes: None,
        max_file_rows: None,
        max_age_ms: None,
    }
}

fn paths(rows: &[(u32, i64)]) -> Paths {
    let reject = |row| lakehead_formats::column::Reject { row, reason: String::new() };
    Paths {
        codes: rows.iter().map(|row| row.0).collect(),
        distinct: ["a", "b", "c"].map(Arc::from).to_vec(),
        timestamps: rows.iter().map(|row| row.1).collect(),
        rejects: (0..rows.len()).filter(|row| rows[*row].0 == X).map(reject).collect(),
        tombstones: None,
    }
}

/// Writes batches as a writer does; (first row, last row, why) of each group that ended, rows numbered across batches.
fn groups(policy: &Policy, batches: &[Paths], now_ms: i64) -> Vec<(usize, usize, Reason)> {
    let (mut group, mut ended) = (Group::default(), Vec::new());
    let (mut first, mut last, mut before) = (None, 0, 0);
    for batch in batches {
        let mut at = 0;
        while at < batch.codes.len() {
            let fit = group.fit(policy, batch, at..batch.codes.len(), now_ms);
            assert!(fit.rows > 0 || group.rows() > 0, "a new group takes a row");
            group.record(policy, batch, at..at + fit.rows, now_ms);
            for row in (at..at + fit.rows).filter(|row| batch.codes[*row] != X) {
                first = first.or(Some(before + row));
                last = before + row;
            }
            at += fit.rows;
            if let Some(reason) = fit.then {
                ended.push((first.take().unwrap(), last, reason));
                group = Group::default();
            } else {
                assert_eq!(at, batch.codes.len());
            }
        }
        before += batch.codes.len();
    }
    ended
}

/// Upstream's `TopicPartitionWriter`, a record at a time (reference: executeState, checkRotationOrAppend, rotateOnTime, rotateOnSize).
fn reference(policy: &Policy, rows: &[(u32, i64)]) -> Vec<(usize, usize, Reason)> {
    let (mut count, mut base, mut last_path, mut first, mut last) = (0, None, None, 0, 0);
    let mut ended = Vec::new();
    for (row, (path, time)) in rows.iter().copied().enumerate() {
        if path == X {
            base = base.or(Some(time)); // its time was read before it turned out to be bad
            continue;
        }
        if count > 0
            && let Some(interval) = policy.rotate_interval_ms
        {
            let by_path = policy.on_path_change && last_path != Some(path);
            let by_time = time - base.unwrap_or(time) >= interval;
            if by_path || by_time {
                ended.push((first, last, if by_path { Reason::PathChange } else { Reason::RotateInterval }));
                (count, base) = (0, None);
            }
        }
        base = base.or(Some(time));
        if count == 0 {
            first = row;
        }
        (count, last, last_path) = (count + 1, row, Some(path));
        if count >= policy.flush_size.get() {
            ended.push((first, last, Reason::FlushSize));
            (count, base) = (0, None);
        }
    }
    ended
}

#[test]
fn boundaries() {
    use Reason::{FileRows, FlushSize, PathChange, RotateInterval};
    let flush_3 = Policy { flush_size: NonZeroU64::new(3).unwrap(), ..policy() };
    let file_2 = Policy { max_file_rows: NonZeroU64::new(2), ..policy() };
    let minute = Policy { rotate_interval_ms: Some(60_000), ..policy() };
    let any_path = Policy { on_path_change: false, ..minute.clone() };
    for (name, policy, rows, wanted) in [
        ("every third row", &flush_3, vec![(0, 0); 7], vec![(0, 2, FlushSize), (3, 5, FlushSize)]),
        ("all paths together", &flush_3, vec![(0, 0), (1, 0), (2, 0), (0, 0)], vec![(0, 2, FlushSize)]),
        ("rejected rows do not count", &flush_3, vec![(0, 0), (X, 0), (0, 0), (X, 0), (0, 0), (X, 0), (0, 0)], vec![(0, 4, FlushSize)]),
        ("the longest file ends all", &file_2, vec![(0, 0), (1, 0), (X, 0), (0, 0), (1, 0), (1, 0)], vec![(0, 3, FileRows), (4, 5, FileRows)]),
        ("the row at the interval is the next group's", &minute, vec![(0, 0), (0, 59_999), (0, 60_000)], vec![(0, 1, RotateInterval)]),
        ("late rows never end a group", &any_path, vec![(0, 90_000), (1, 0), (0, 100_000)], vec![]),
        ("a rejected row ends nothing", &any_path, vec![(0, 0), (X, 90_000), (0, 1)], vec![]),
        ("each change of path", &minute, vec![(0, 0), (1, 1), (0, 2), (0, 3)], vec![(0, 0, PathChange), (1, 1, PathChange)]),
        ("paths may change without an interval", &flush_3, vec![(0, 0), (1, 1)], vec![]),
        (
            "the base is the group's first row",
            &any_path,
            vec![(0, 0), (0, 60_000), (0, 119_999), (0, 120_000)],
            vec![(0, 0, RotateInterval), (1, 2, RotateInterval)],
        ),
    ] {
        assert_eq!(groups(policy, &[paths(&rows)], 0), wanted, "{name}");
    }
}

#[test]
fn a_group_ends_at_its_age_whether_or_not_rows_come() {
    let policy = Policy { max_age_ms: Some(1000), ..policy() };
    let batch = paths(&[(0, 0); 2]);
    let mut group = Group::default();
    assert_eq!(group.due(&policy, 5000), None, "nothing is open");
    group.record(&policy, &batch, 0..2, 5000);
    assert_eq!((group.due(&policy, 5999), group.due(&policy, 6000)), (None, Some(Reason::Age)));
}

#[test]
fn a_schedule_ends_groups_that_have_rows() {
    let at = |text| parse_date_time(text).unwrap();
    let schedule = Schedule { period_ms: 600_000, zone: Zone::UTC };
    let policy = Policy { schedule: Some(schedule), ..policy() };
    let batch = paths(&[(0, 0); 2]);
    let mut group = Group::default();
    assert_eq!(group.due(&policy, at("2025-06-01T12:10Z")), None, "nothing is open");
    assert_eq!(group.fit(&policy, &batch, 0..2, at("2025-06-01T12:03Z")), Fit { rows: 2, then: None });
    group.record(&policy, &batch, 0..2, at("2025-06-01T12:03Z"));
    assert_eq!(group.due(&policy, at("2025-06-01T12:09:59.999Z")), None);
    assert_eq!(group.due(&policy, at("2025-06-01T12:10Z")), Some(Reason::Schedule));
    assert_eq!(group.fit(&policy, &batch, 0..2, at("2025-06-01T12:14Z")), Fit { rows: 0, then: Some(Reason::Schedule) }, "before a new row");
}

#[test]
fn an_interval_does_not_pass_while_no_records_come() {
    let policy = Policy { rotate_interval_ms: Some(1), ..policy() };
    let mut group = Group::default();
    group.record(&policy, &paths(&[(0, 0)]), 0..1, 0);
    assert_eq!(group.due(&policy, i64::MAX), None);
}

#[test]
fn instants_of_schedules() {
    for (now, period_ms, zone, next) in [
        ("2025-06-01T00:00:00Z", 3_600_000, "UTC", "2025-06-01T01:00:00Z"),
        ("2025-05-31T23:59:59Z", 3_600_000, "UTC", "2025-06-01T00:00:00Z"),
        ("2025-06-01T01:00:00Z", 3_600_000, "UTC", "2025-06-01T02:00:00Z"),
        ("2025-06-01T21:00:00Z", 25_200_000, "UTC", "2025-06-02T00:00:00Z"),
        ("2025-05-31T16:59:59Z", 25_200_000, "UTC", "2025-05-31T21:00:00Z"),
        ("2019-11-04T07:00:00Z", 3_600_000, "America/Los_Angeles", "2019-11-04T08:00:00Z"), // the last hour of 25
        ("2019-03-10T20:00:00Z", 86_400_000, "America/Los_Angeles", "2019-03-11T07:00:00Z"), // a day of 23 hours
        ("2025-06-01T12:00:00Z", 259_200_000, "UTC", "2025-06-02T00:00:00Z"),
        ("2025-06-01T12:03:00Z", 600_000, "Asia/Kolkata", "2025-06-01T12:10:00Z"),
        ("2025-06-01T12:00:00Z", 3_600_000, "Asia/Kolkata", "2025-06-01T12:30:00Z"),
        ("2025-06-01T12:00:00Z", 3_600_000, "+05:45", "2025-06-01T12:15:00Z"),
    ] {
        let schedule = Schedule { period_ms, zone: Zone::parse(zone).unwrap() };
        assert_eq!(schedule.next_after(parse_date_time(now).unwrap()), parse_date_time(next).unwrap(), "{now} {period_ms} {zone}");
    }
}

#[test]
fn sizes_of_files() {
    let limited = Policy { max_file_bytes: NonZeroU64::new(100), ..policy() };
    assert_eq!((limited.full(99), limited.full(100), policy().full(u64::MAX)), (None, Some(Reason::FileSize), None));
}

fn props(settings: &[(&str, &str)]) -> Props {
    settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn policies_from_settings() {
    let read = |settings: &[(&str, &str)], time_based| Policy::from_props(&props(settings), time_based).unwrap();
    let one = NonZeroU64::MIN;
    let plain = Policy { flush_size: one, ..policy() };
    for (settings, time_based, wanted) in [
        (vec![("flush.size", "1000")], false, policy()),
        (vec![("flush.size", "0")], false, plain.clone()),
        (vec![("flush.size", "-1")], false, plain.clone()),
        (vec![("flush.size", "1"), ("rotate.interval.ms", "5")], true, Policy { rotate_interval_ms: Some(5), ..plain.clone() }),
        (vec![("flush.size", "1"), ("rotate.interval.ms", "5")], false, plain.clone()),
        (vec![("flush.size", "1"), ("rotate.interval.ms", "0")], true, plain.clone()),
        (vec![("flush.size", "1"), ("rotate.file.on.partition.change", "FALSE")], true, Policy { on_path_change: false, ..plain.clone() }),
        (vec![("flush.size", "1"), ("rotate.file.size.bytes", "7")], true, Policy { max_file_bytes: NonZeroU64::new(7), ..plain.clone() }),
        (
            vec![("flush.size", "1"), ("rotate.schedule.interval.ms", "7"), ("timezone", "UTC")],
            false,
            Policy { schedule: Some(Schedule { period_ms: 7, zone: Zone::UTC }), ..plain.clone() },
        ),
    ] {
        assert_eq!(read(&settings, time_based), wanted, "{settings:?}");
    }
    for (settings, key, part) in [
        (vec![], "flush.size", "Missing required configuration \"flush.size\""),
        (vec![("flush.size", "many")], "flush.size", "Invalid value many for configuration flush.size: Not a number of type INT"),
        (
            vec![("flush.size", "1"), ("rotate.schedule.interval.ms", "7")],
            "timezone",
            "timezone configuration must be set when using rotate.schedule.interval.ms",
        ),
        (vec![("flush.size", "1"), ("rotate.schedule.interval.ms", "7"), ("timezone", "Nowhere")], "timezone", "'Nowhere' is not recognised"),
    ] {
        let errors = Policy::from_props(&props(&settings), true).unwrap_err();
        assert!(errors.len() == 1 && errors[0].key == key && errors[0].message.contains(part), "{errors:?}");
    }
}

#[test]
fn what_is_ignored_is_said() {
    let settings = props(&[("rotate.interval.ms", "60000")]);
    assert!(ignored_setting(&settings, false).is_some_and(|text| text.contains("60000")));
    assert_eq!((ignored_setting(&settings, true), ignored_setting(&props(&[("rotate.interval.ms", "-1")]), false)), (None, None));
}

proptest! {
    #[test]
    fn boundaries_are_upstreams_however_rows_are_cut_into_batches(
        rows in prop::collection::vec((prop_oneof![4 => 0_u32..3, 1 => Just(X)], -20_i64..100), 0..60),
        cuts in prop::collection::vec(1_usize..9, 60),
        flush_size in 1_u64..12,
        interval in prop::option::of(1_i64..60),
        on_path_change in any::<bool>(),
        scheduled in any::<bool>(),
    ) {
        let policy = Policy {
            flush_size: NonZeroU64::new(flush_size).unwrap(),
            rotate_interval_ms: interval,
            on_path_change,
            schedule: scheduled.then_some(Schedule { period_ms: 5, zone: Zone::UTC }),
            max_file_bytes: None,
            max_file_rows: None,
            max_age_ms: None,
        };
        let wanted = reference(&policy, &rows);
        prop_assert_eq!(groups(&policy, &[paths(&rows)], 12), wanted.clone());
        let mut rest = rows.as_slice();
        let mut batches = Vec::new();
        for cut in cuts {
            let (head, tail) = rest.split_at(cut.min(rest.len()));
            let mut batch = paths(head);
            // codes of a batch are its own: the same paths under other numbers
            batch.codes.iter_mut().filter(|code| **code != X).for_each(|code| *code = (*code + u32::try_from(cut).unwrap()) % 3);
            batch.distinct.rotate_right(cut % 3);
            batches.push(batch);
            rest = tail;
        }
        batches.push(paths(rest));
        prop_assert_eq!(groups(&policy, &batches, 12), wanted);
    }

    #[test]
    fn the_next_instant_is_the_same_until_it_has_come(now in 1_500_000_000_000_i64..1_800_000_000_000, later in 0_i64..100_000_000, period in 1_i64..200_000_000) {
        for zone in ["UTC", "America/Los_Angeles", "Asia/Kolkata"] {
            let schedule = Schedule { period_ms: period, zone: Zone::parse(zone).unwrap() };
            let next = schedule.next_after(now);
            prop_assert!(next > now);
            prop_assert!(now + later >= next || schedule.next_after(now + later) == next);
        }
    }
}
