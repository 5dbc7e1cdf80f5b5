//! What becomes of an object when its store fails: in virtual time, on an S3 in memory.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use object_store::memory::InMemory;
use proptest::prelude::*;
use tokio::time::Instant;

use super::failing::{Ask, Failing, Fate};
use super::objects::{Flavor, Objects, Place, Tuning};
use super::urls::{self, StoreKind};
use super::{Chunk, Condition, Conditions, ObjectSink, Published, StoreError, StoreErrorKind};
use crate::connect::{Health, Props};
use crate::memory::Budget;

/// One part or less, and several.
const CONTENTS: [&str; 2] = ["abc", "0123456789abcdefghijklmnopqrstuvwxyz"];

/// Writes and publishes one object.
async fn publish(sink: &dyn ObjectSink, key: &str, content: &str, condition: Condition) -> Result<Published, StoreError> {
    publish_of(sink, key, content, condition, "0..9").await
}

async fn publish_of(sink: &dyn ObjectSink, key: &str, content: &str, condition: Condition, offsets: &str) -> Result<Published, StoreError> {
    let budget = Budget::new(1);
    let known = [("lakehead-connector", "c"), ("lakehead-topic", "t"), ("lakehead-partition", "0"), ("lakehead-offsets", offsets)];
    let mut upload = sink.open(key.to_owned(), "text/plain", known.map(|(name, value)| (name, value.to_owned())).into());
    let done = async {
        for chunk in content.as_bytes().chunks(5) {
            upload.write(Chunk { bytes: chunk.to_vec().into(), permit: budget.take(chunk.len() as u64) }).await?;
        }
        upload.seal(Vec::new()).await?;
        upload.publish(condition).await
    };
    let done = done.await;
    if !matches!(done, Ok(Published::Visible)) {
        upload.abort().await;
    }
    drop(upload);
    assert_eq!(budget.used(), 0);
    done
}

fn minutes(n: u64) -> Duration {
    Duration::from_secs(n * 60)
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_any_length_it_goes_on_within_10_s() {
    let outage = [Fate::Refused, Fate::Answer(503, "SlowDown"), Fate::Answer(500, "InternalError"), Fate::Answer(400, "RequestTimeout")];
    for (fate, length) in outage.into_iter().flat_map(|fate| [3, 60].map(|n| (fate, minutes(n)))) {
        let back = Instant::now() + length;
        let store = Failing::new(move |_| if Instant::now() < back { fate } else { Fate::Done });
        let health = Health::default();
        let sink = store.sink(health.clone());
        let small = publish(&sink, "small", CONTENTS[0], Condition::Overwrite);
        let large = publish(&sink, "large", CONTENTS[1], Condition::IfAbsent);
        let (small, large) = tokio::join!(small, large);
        assert_eq!((small.unwrap(), large.unwrap()), (Published::Visible, Published::Visible));
        // The upload of the large one begins within 10 s; nothing fails after that.
        assert!(back.elapsed() <= Duration::from_secs(10), "{fate:?} for {length:?}: {:?} after its end", back.elapsed());
        assert_eq!(health.trouble(), None);
        let tries = u32::try_from(store.state().asked.len()).unwrap();
        assert!(tries < 6 * 3600 * u32::try_from(length.as_secs().div_ceil(3600)).unwrap(), "{tries} requests: a store that is down is not flooded");
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_of_a_store_that_takes_30_s_for_each_is_made_twice() {
    let store = Failing::new(|_| Fate::Slow(Duration::from_secs(30)));
    let sink = store.sink(Health::default());
    assert_eq!(publish(&sink, "k", CONTENTS[1], Condition::Overwrite).await.unwrap(), Published::Visible);
    let asked = std::mem::take(&mut store.state().asked);
    let count = |ask: Ask| asked.iter().filter(|found| **found == ask).count();
    assert_eq!([Ask::Create, Ask::Part, Ask::Complete].map(count), [1, 9, 1], "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_takes_10_minutes_for_each_request_is_served() {
    let store = Failing::new(|_| Fate::Slow(minutes(10)));
    let sink = store.sink(Health::default());
    for content in CONTENTS {
        assert_eq!(publish(&sink, content, content, Condition::Overwrite).await.unwrap(), Published::Visible);
        assert_eq!(store.object(content).as_deref(), Some(content.as_bytes()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_made_again_whatever_it_asks() {
    for fate in [Fate::Hangs, Fate::DoneAndHangs] {
        for ask in [Ask::Put, Ask::Create, Ask::Part, Ask::Complete, Ask::Head] {
            for condition in [Condition::Overwrite, Condition::IfAbsent] {
                let mut left = 2;
                let store = Failing::new(move |found| {
                    left -= i32::from(found == ask);
                    if found == ask && left >= 0 { fate } else { Fate::Done }
                });
                let (sink, health, began) = (store.sink(Health::default()), Health::default(), Instant::now());
                for content in CONTENTS {
                    assert_eq!(publish(&sink, content, content, condition).await.unwrap(), Published::Visible, "{fate:?} {ask:?} {condition:?}");
                    assert_eq!(store.object(content).as_deref(), Some(content.as_bytes()));
                }
                assert!(began.elapsed() < Duration::from_secs(40 + 80 + 20), "{fate:?} {ask:?} {condition:?}: {:?}", began.elapsed());
                assert_eq!(health.trouble(), None);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_under_200_on_completion_is_that_error() {
    for (code, condition, expected) in [
        ("InternalError", Condition::Overwrite, Ok(Published::Visible)),
        ("SlowDown", Condition::Overwrite, Ok(Published::Visible)),
        ("SomethingNew", Condition::Overwrite, Ok(Published::Visible)),
        ("ConditionalRequestConflict", Condition::IfAbsent, Ok(Published::Visible)),
        ("NoSuchUpload", Condition::Overwrite, Err(StoreErrorKind::Vanished)),
        ("InvalidPart", Condition::Overwrite, Err(StoreErrorKind::Vanished)),
        ("AccessDenied", Condition::Overwrite, Err(StoreErrorKind::Denied)),
        ("NoSuchBucket", Condition::Overwrite, Err(StoreErrorKind::BadConfig)),
        ("EntityTooSmall", Condition::Overwrite, Err(StoreErrorKind::BadConfig)),
    ] {
        let mut left = 7; // more than the client tries by itself
        let store = Failing::new(move |ask| {
            left -= i32::from(ask == Ask::Complete);
            if ask == Ask::Complete && left >= 0 { Fate::Answer(200, code) } else { Fate::Done }
        });
        let sink = store.sink(Health::default());
        let found = publish(&sink, "k", CONTENTS[1], condition).await;
        assert_eq!(found.map_err(|error| error.kind), expected, "{code}");
        let is_visible = store.object("k").is_some();
        assert_eq!(is_visible, expected.is_ok(), "{code}");
        assert!(store.state().uploads.is_empty(), "{code}: nothing stays behind");
    }
}

#[tokio::test(start_paused = true)]
async fn what_vanished_is_told_unless_the_same_records_are_there() {
    // Where the upload goes, what is under the name, whether it is told.
    for (vanishes_at, there, expected) in [
        (Ask::Part, None, Err(StoreErrorKind::Vanished)),
        (Ask::Complete, None, Err(StoreErrorKind::Vanished)),
        (Ask::Complete, Some("0..9"), Ok(Published::Visible)),
        (Ask::Complete, Some("0..8"), Err(StoreErrorKind::Vanished)),
    ] {
        let store = Failing::new(move |ask| if ask == vanishes_at { Fate::Answer(404, "NoSuchUpload") } else { Fate::Done });
        if let Some(offsets) = there {
            publish_of(&store.sink(Health::default()), "k", CONTENTS[0], Condition::Overwrite, offsets).await.unwrap();
        }
        let found = publish(&store.sink(Health::default()), "k", CONTENTS[1], Condition::Overwrite).await;
        assert_eq!(found.map_err(|error| error.kind), expected, "{vanishes_at:?} {there:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_is_taken_says_by_whom() {
    let store = Failing::default();
    let sink = store.sink(Health::default());
    publish_of(&sink, "k", CONTENTS[0], Condition::IfAbsent, "3..7").await.unwrap();
    for content in CONTENTS {
        let Ok(Published::Exists(origin)) = publish(&sink, "k", content, Condition::IfAbsent).await else { panic!("{content}") };
        assert_eq!((origin.connector.as_deref(), origin.offsets.as_deref()), (Some("c"), Some("3..7")));
    }
    assert_eq!(store.object("k").unwrap(), CONTENTS[0].as_bytes());
}

#[tokio::test(start_paused = true)]
async fn whether_conditions_are_heeded_is_found_out_once_and_leaves_nothing() {
    let heeded = Failing::default();
    let ignored = Failing::default();
    ignored.state().ignores_conditions = true;
    let is_conditional = |ask: Ask| matches!(ask, Ask::Put | Ask::Complete);
    let mut count = 0;
    let unknown = Failing::new(move |ask| {
        count += u32::from(is_conditional(ask));
        // Four writers, whose client tries three times.
        if is_conditional(ask) && count <= 12 { Fate::Answer(501, "NotImplemented") } else { Fate::Done }
    });
    for (store, on_put, on_complete) in [(&heeded, true, true), (&ignored, false, false), (&unknown, false, false)] {
        let sink = store.sink(Health::default());
        assert_eq!(sink.honours_conditions().await.unwrap(), Conditions { on_put, on_complete });
        let asked = store.state().asked.len();
        sink.honours_conditions().await.unwrap();
        assert_eq!(store.state().asked.len(), asked, "asked once");
        assert!(store.state().objects.is_empty() && store.state().uploads.is_empty());
    }
    // A store that does not heed them is looked at first from then on.
    let sink = ignored.sink(Health::default());
    sink.honours_conditions().await.unwrap();
    for (content, is_free) in [(CONTENTS[1], true), (CONTENTS[0], false), (CONTENTS[1], false)] {
        assert_eq!(publish(&sink, "k", content, Condition::IfAbsent).await.unwrap() == Published::Visible, is_free, "{content}");
    }
}

/// Starts an upload that nobody ends, as a process does that dies.
async fn orphan(store: &Failing, key: &str) {
    let sink = store.sink(Health::default());
    let mut upload = sink.open(key.to_owned(), "text/plain", Vec::new());
    let budget = Budget::new(1);
    upload.write(Chunk { bytes: vec![0; 9].into(), permit: budget.take(9) }).await.unwrap();
    upload.seal(Vec::new()).await.unwrap();
    std::mem::forget(upload);
}

fn unfinished(store: &Failing) -> BTreeSet<String> {
    store.state().uploads.values().map(|(key, ..)| key.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_sweep_takes_what_is_ours_and_old_and_not_running() {
    let store = Failing::default();
    for n in 0..5 {
        orphan(&store, &format!("t/p=0/{n}.json")).await;
    }
    for other in ["t/p=0/another", "t/p=1/0.json"] {
        orphan(&store, other).await;
    }
    let sink = store.sink(Health::default());
    let mut running = sink.open("t/p=0/running.json".to_owned(), "text/plain", Vec::new());
    let budget = Budget::new(1);
    running.write(Chunk { bytes: vec![0; 9].into(), permit: budget.take(9) }).await.unwrap();
    running.seal(Vec::new()).await.unwrap();
    let is_ours = |key: &str| key.ends_with(".json");
    // They were begun two hours ago.
    let swept = sink.sweep("t/p=0/", &is_ours, minutes(121)).await;
    assert_eq!((swept.uploads, swept.incomplete), (0, None));
    let swept = sink.sweep("t/p=0/", &is_ours, minutes(119)).await;
    assert_eq!((swept.uploads, swept.incomplete), (5, None));
    assert_eq!(unfinished(&store), ["t/p=0/another", "t/p=0/running.json", "t/p=1/0.json"].map(str::to_owned).into());
    running.publish(Condition::Overwrite).await.unwrap();
    assert_eq!(sink.sweep("t/p=0/", &is_ours, Duration::ZERO).await.uploads, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_tells_what_it_may_not_and_does_not_wait_for_ever() {
    for (fate, text) in [
        (Fate::Answer(403, "AccessDenied"), "s3:ListBucketMultipartUploads on arn:aws:s3:::b is denied: grant it"),
        (Fate::Answer(501, "NotImplemented"), "the store does not take this request"),
        (Fate::Answer(503, "SlowDown"), "503 SlowDown"),
        (Fate::Hangs, "no answer within"),
    ] {
        let store = Failing::new(move |ask| if ask == Ask::List { fate } else { Fate::Done });
        orphan(&store, "t/0").await;
        let health = Health::default();
        let swept = store.sink(health.clone()).sweep("t/", &|_: &str| true, Duration::ZERO).await;
        assert!(swept.uploads == 0 && swept.incomplete.as_ref().is_some_and(|why| why.contains(text)), "{swept:?}");
        assert_eq!(health.trouble(), None, "records are delivered all the same");
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_is_being_started_is_no_orphan() {
    let (store, is_slow) = (Failing::default(), Arc::new(AtomicBool::new(false)));
    let seen = Arc::clone(&is_slow);
    let slow = Failing::new(move |ask| if ask == Ask::Create && !seen.swap(true, Ordering::Relaxed) { Fate::DoneAndHangs } else { Fate::Done });
    drop(store);
    let sink = Arc::new(slow.sink(Health::default()));
    let writer = {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { publish(&*sink, "t/0", CONTENTS[1], Condition::Overwrite).await })
    };
    while !is_slow.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(sink.sweep("t/", &|_: &str| true, Duration::ZERO).await.uploads, 0);
    assert_eq!(writer.await.unwrap().unwrap(), Published::Visible);
    assert_eq!(unfinished(&slow), ["t/0".to_owned()].into(), "that whose answer was lost");
    assert_eq!(sink.sweep("t/", &|_: &str| true, Duration::ZERO).await.uploads, 1);
    assert!(unfinished(&slow).is_empty());
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::Done),
        1 => Just(Fate::Slow(Duration::from_secs(30))),
        1 => Just(Fate::Refused),
        1 => Just(Fate::Answer(500, "InternalError")),
        1 => Just(Fate::Answer(503, "SlowDown")),
        1 => Just(Fate::Answer(200, "InternalError")),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Hangs),
        1 => Just(Fate::DoneAndHangs),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    /// Whatever becomes of each request, as long as the store comes back: the object is there, whole, and published once it says so.
    #[test]
    fn whatever_fails_the_object_arrives_whole(script in prop::collection::vec(fates(), 1..60), large: bool, if_absent: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let content = CONTENTS[usize::from(large)];
        let condition = if if_absent { Condition::IfAbsent } else { Condition::Overwrite };
        let at = AtomicU32::new(0);
        let fates = script.clone();
        let store = Failing::new(move |ask| {
            let fate = fates.get(at.fetch_add(1, Ordering::Relaxed) as usize).copied().unwrap_or(Fate::Done);
            // Only a completion can be an error under 200.
            if matches!(fate, Fate::Answer(200, _)) && ask != Ask::Complete { Fate::Done } else { fate }
        });
        let health = Health::default();
        let found = runtime.block_on(publish(&store.sink(health.clone()), "k", content, condition));
        prop_assert_eq!(found.unwrap(), Published::Visible);
        let stored = store.object("k");
        prop_assert_eq!(stored.as_deref(), Some(content.as_bytes()));
        prop_assert_eq!(health.trouble(), None);
    }
}

#[tokio::test]
async fn objects_between_two_names_come_with_what_they_say_of_themselves() {
    let place = Place { flavor: Flavor::Memory, root: String::new(), prefix: "below/".to_owned(), endpoint: None };
    let store = Arc::new(InMemory::new());
    let memory = Objects::new(Arc::clone(&store) as _, store as _, place, "probe", Tuning::default(), Health::default());
    let folder = tempfile::tempdir().unwrap();
    let props = Props::from([("lakehead.store.url".to_owned(), folder.path().display().to_string())]);
    let in_folder = urls::open(StoreKind::Url, &props, Health::default()).unwrap();
    for (sink, tells) in [(&memory as &dyn ObjectSink, true), (&*in_folder, false)] {
        assert_eq!(sink.between("a/t+0+04.x", "a/t+0+07.x").await.unwrap(), []);
        for key in ["a/t+0+03.x", "a/t+0+04.x", "a/t+0+05.y", "a/t+0+07.x", "a/t+0+08.x", "a/t+1+05.x", "b/t+0+05.x"] {
            publish_of(sink, key, "abc", Condition::Overwrite, &format!("of {key}")).await.unwrap();
        }
        let found = sink.between("a/t+0+04.x", "a/t+0+07.x").await.unwrap();
        let mut told: Vec<(&str, Option<&str>)> = found.iter().map(|(key, origin)| (&**key, origin.offsets.as_deref())).collect();
        told.sort_unstable();
        let expected = [("a/t+0+04.x", "of a/t+0+04.x"), ("a/t+0+05.y", "of a/t+0+05.y"), ("a/t+0+07.x", "of a/t+0+07.x")];
        assert_eq!(told, expected.map(|(key, offsets)| (key, Some(offsets).filter(|_| tells))));
    }
}
