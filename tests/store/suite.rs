//! What every store must do: one function per behaviour, run on each [`World`].

use std::time::Duration;

use bytes::Bytes;
use lakehead::connect::Health;
use lakehead::store::urls::StoreKind;
use lakehead::store::{Chunk, Condition, Conditions, ObjectSink, Origin, Published, StoreErrorKind, Upload};
use object_store::path::Path;
use object_store::{Attribute, ObjectStoreExt as _};

use crate::proxy::Fault;
use crate::servers::World;

/// Bytes that are the same nowhere near each other.
pub(crate) fn bytes(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let words = (0..length.div_ceil(4)).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    });
    words.take(length).collect()
}

const LARGE: usize = 20 * 1024 * 1024 + 12_345; // four parts of 5 MiB and a rest
const PARQUET: &str = "application/vnd.apache.parquet";

/// Starts an object and hands over all its bytes, in chunks that are no divisor of a part.
pub(crate) async fn written(world: &World, sink: &dyn ObjectSink, key: &str, content: &[u8]) -> Box<dyn Upload> {
    let mut upload = sink.open(key.to_owned(), PARQUET, vec![("lakehead-start", "0".to_owned()), ("lakehead-connector", "größe".to_owned())]);
    for chunk in content.chunks(777_777) {
        upload.write(Chunk { bytes: Bytes::copy_from_slice(chunk), permit: world.budget.take(chunk.len() as u64) }).await.unwrap();
    }
    upload
}

async fn publish(world: &World, sink: &dyn ObjectSink, key: &str, content: &[u8]) {
    let mut upload = written(world, sink, key, content).await;
    upload.seal(vec![("lakehead-offsets", "0-9".to_owned())]).await.unwrap();
    upload.publish(Condition::Overwrite).await.unwrap();
}

pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..600 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("after 30 s still not: {what}");
}

/// Removals may go on in the background: `abort` does not wait for ever, and removes again what a part that was under way has brought back.
async fn until_nothing_is_unfinished(world: &World) {
    until("no upload is unfinished", || async { world.unfinished().await.is_empty() }).await;
}

async fn until_trouble(health: &Health, text: &str) {
    until(text, || async { health.trouble().is_some_and(|trouble| trouble.contains(text)) }).await;
}

pub(crate) async fn a_store_that_can_be_written_to_passes_the_check_and_keeps_nothing_of_it(world: &World) {
    let (sink, health) = world.sink();
    sink.check().await.unwrap();
    assert_eq!(health.trouble(), None);
    until_nothing_is_unfinished(world).await;
    assert_eq!(world.list("topics").await, Vec::<String>::new());
}

pub(crate) async fn nothing_is_visible_before_publish(world: &World) {
    let (sink, _) = world.sink();
    for (key, length) in [("before/small.parquet", 1000), ("before/large.parquet", LARGE)] {
        let content = bytes(length, 1);
        let mut upload = written(world, &*sink, key, &content).await;
        upload.seal(vec![]).await.unwrap();
        assert_eq!(world.list("before").await, Vec::<String>::new());
        assert_eq!(world.read(key).await, None);
        upload.publish(Condition::Overwrite).await.unwrap();
        assert_eq!(world.list("before").await, [key]);
        assert!(world.read(key).await == Some(content), "{key} differs");
        world.reader.delete(&Path::parse(key).unwrap()).await.unwrap();
    }
}

pub(crate) async fn objects_of_every_size_arrive_whole_and_give_their_memory_back(world: &World) {
    let (sink, _) = world.sink();
    let part = 5 * 1024 * 1024;
    for length in [0, 1, part - 1, part, part + 1, 2 * part, LARGE] {
        let (key, content) = (format!("sizes/{length}"), bytes(length, 2));
        let mut upload = written(world, &*sink, &key, &content).await;
        upload.seal(vec![]).await.unwrap();
        let held = world.budget.used();
        let waits = length < part && world.keeps_attributes(); // a folder has it already
        assert_eq!(held, if waits { length as u64 } else { 0 }, "after seal only an object below one part waits in memory");
        upload.publish(Condition::Overwrite).await.unwrap();
        assert_eq!(world.budget.used(), 0);
        assert!(world.read(&key).await == Some(content), "{key} differs");
    }
}

pub(crate) async fn memory_in_the_window_is_bounded(world: &World) {
    let (sink, _) = world.sink();
    let chunk = vec![0_u8; 1 << 20];
    let mut upload = sink.open("window/o".to_owned(), PARQUET, Vec::new());
    let mut most = 0;
    for _ in 0..60 {
        upload.write(Chunk { bytes: Bytes::copy_from_slice(&chunk), permit: world.budget.take(chunk.len() as u64) }).await.unwrap();
        most = most.max(world.budget.used());
    }
    assert!(most <= 27 << 20, "{most} bytes held: more than four parts on their way, one that waits and what overlaps");
    upload.abort().await;
    assert_eq!(world.budget.used(), 0);
}

pub(crate) async fn attributes_are_stored_where_the_store_has_such(world: &World) {
    let (sink, _) = world.sink();
    let offsets = [("lakehead-offsets", "0-9".to_owned())];
    let mut small = written(world, &*sink, "attributes/small.parquet", b"x").await;
    small.seal(offsets.to_vec()).await.unwrap();
    small.publish(Condition::Overwrite).await.unwrap();
    publish(world, &*sink, "attributes/large.parquet", &bytes(LARGE, 3)).await;
    if !world.keeps_attributes() {
        return;
    }
    for key in ["attributes/small.parquet", "attributes/large.parquet"] {
        let found = world.reader.get(&Path::parse(key).unwrap()).await.unwrap().attributes;
        assert_eq!(found.get(&Attribute::ContentType).map(AsRef::as_ref), Some(PARQUET), "{key}");
        let value = |name: &str| {
            let name = if world.kind == StoreKind::AzureBlob { name.replace('-', "_") } else { name.to_owned() };
            found.get(&Attribute::Metadata(name.into())).map(AsRef::as_ref)
        };
        assert_eq!(value("lakehead-start"), Some("0"), "{key}");
        assert_eq!(value("lakehead-connector"), Some("gr%C3%B6%C3%9Fe"), "{key}");
        let is_told_at_the_end = key.ends_with("small.parquet") || world.kind == StoreKind::AzureBlob;
        assert_eq!(value("lakehead-offsets"), is_told_at_the_end.then_some("0-9"), "{key}");
    }
}

pub(crate) async fn publishing_twice_is_publishing_once(world: &World) {
    let (sink, _) = world.sink();
    for (key, length) in [("twice/small", 10), ("twice/large", LARGE)] {
        let content = bytes(length, 4);
        let mut upload = written(world, &*sink, key, &content).await;
        upload.seal(vec![]).await.unwrap();
        upload.publish(Condition::Overwrite).await.unwrap();
        upload.publish(Condition::Overwrite).await.unwrap();
        upload.abort().await; // too late: it changes nothing
        publish(world, &*sink, key, &content).await; // as another owner of the partition would
        assert!(world.read(key).await == Some(content), "{key} differs");
    }
    until_nothing_is_unfinished(world).await;
}

pub(crate) async fn publishing_again_replaces_what_is_there(world: &World) {
    let (sink, _) = world.sink();
    for length in [10, LARGE, 11] {
        publish(world, &*sink, "again/o", &bytes(length, 5)).await;
        assert!(world.read("again/o").await == Some(bytes(length, 5)));
    }
}

pub(crate) async fn aborted_and_dropped_uploads_leave_nothing(world: &World) {
    let (sink, _) = world.sink();
    let content = bytes(LARGE, 6);
    written(world, &*sink, "abort/at-once", &content).await.abort().await;
    let mut sealed = written(world, &*sink, "abort/sealed", &content).await;
    sealed.seal(vec![]).await.unwrap();
    sealed.abort().await;
    sealed.abort().await;
    assert_eq!(sealed.publish(Condition::Overwrite).await.unwrap_err().kind, StoreErrorKind::Vanished);
    until_nothing_is_unfinished(world).await;
    let dropped = written(world, &*sink, "abort/dropped", &content).await;
    if world.kind != StoreKind::AzureBlob {
        until("the upload has begun", || async { !world.unfinished().await.is_empty() }).await;
    }
    drop(dropped);
    until_nothing_is_unfinished(world).await;
    assert_eq!(world.list("abort").await, Vec::<String>::new());
    assert_eq!(world.budget.used(), 0);
}

pub(crate) async fn odd_names_are_kept_to_the_letter(world: &World) {
    let (sink, _) = world.sink();
    let odd = [
        "t+0+0000000000.json",
        "two words/a b.json",
        "grüße/データ.json",
        "y=2024/m=01/x=.json",
        "a%2Fb/100%.json",
        "10:30:00/t.json",
        "q?a&b#c=1/d?e&f#g.json",
        "'quoted' (x), [y] {z}!*~$@;/,.json",
    ];
    for name in odd {
        for content in [&b"small"[..], &bytes(LARGE / 2, 7)] {
            let key = format!("odd/{name}");
            publish(world, &*sink, &key, content).await;
            assert!(world.read(&key).await.as_deref() == Some(content), "{key} differs");
        }
    }
    let mut expected: Vec<_> = odd.iter().map(|name| format!("odd/{name}")).collect();
    let mut found = world.list("odd").await;
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
}

pub(crate) async fn impossible_names_are_refused_by_name(world: &World) {
    let (sink, _) = world.sink();
    let mut upload = sink.open("a//b".to_owned(), PARQUET, Vec::new());
    let error = upload.write(Chunk { bytes: Bytes::from_static(b"x"), permit: world.budget.take(1) }).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::BadConfig);
    assert!(error.message.starts_with("object name '") && error.message.contains("a//b' in "), "{error}");
    assert!(upload.seal(vec![]).await.is_err());
}

pub(crate) async fn a_store_that_is_down_is_waited_for(world: &mut World) {
    for (key, length) in [("down/small", 10), ("down/large", LARGE)] {
        let (sink, health) = world.sink();
        let content = bytes(length, 8);
        let proxy = world.proxy.as_mut().unwrap();
        proxy.refuse().await;
        let budget = world.budget.clone();
        let task = {
            let content = content.clone();
            tokio::spawn(async move {
                let mut upload = sink.open(key.to_owned(), PARQUET, Vec::new());
                for chunk in content.chunks(777_777) {
                    upload.write(Chunk { bytes: Bytes::copy_from_slice(chunk), permit: budget.take(chunk.len() as u64) }).await?;
                }
                upload.seal(vec![]).await?;
                upload.publish(Condition::Overwrite).await
            })
        };
        until_trouble(&health, "Connection refused").await;
        let trouble = health.trouble().unwrap();
        assert!(trouble.contains(key) && trouble.contains(crate::servers::BUCKET) && trouble.contains("retrying, "), "{trouble}");
        let slow_down = |line: &str| line.starts_with("PUT") || line.starts_with("POST");
        proxy.fail(slow_down, Fault::Answer(503, "SlowDown"), u32::MAX);
        proxy.accept().await;
        until_trouble(&health, "503 SlowDown").await;
        assert!(proxy.heal() >= 1);
        task.await.unwrap().unwrap();
        assert_eq!(health.trouble(), None);
        assert!(world.read(key).await == Some(content), "{key} differs");
    }
}

pub(crate) async fn a_lost_answer_does_not_matter(world: &World) {
    let (sink, health) = world.sink();
    let proxy = world.proxy.as_ref().unwrap();
    let completes = |line: &str| (line.starts_with("POST") && line.to_lowercase().contains("uploadid=")) || line.contains("comp=blocklist");
    let puts = |line: &str| line.starts_with("PUT") && !line.contains("partNumber") && !line.contains("comp=");
    for (key, length, is_hit) in [("lost/small", 10, puts as fn(&str) -> bool), ("lost/large", LARGE, completes)] {
        let content = bytes(length, 9);
        let mut upload = written(world, &*sink, key, &content).await;
        upload.seal(vec![]).await.unwrap();
        // More often than the client retries by itself.
        proxy.fail(is_hit, Fault::LoseAnswer, 4);
        upload.publish(Condition::Overwrite).await.unwrap();
        assert!(proxy.heal() >= 1, "{key}: the fault did not strike");
        assert_eq!(health.trouble(), None);
        assert!(world.read(key).await == Some(content), "{key} differs");
    }
    until_nothing_is_unfinished(world).await;
}

pub(crate) async fn an_upload_that_was_removed_is_told(world: &World) {
    let Some(uploads) = &world.uploads else { return };
    let (sink, _) = world.sink();
    let mut upload = written(world, &*sink, "gone/o", &bytes(LARGE, 10)).await;
    upload.seal(vec![]).await.unwrap();
    for (key, number) in world.unfinished().await {
        uploads.abort_multipart(&Path::parse(key).unwrap(), &number).await.unwrap();
    }
    let error = upload.publish(Condition::Overwrite).await.unwrap_err();
    assert_eq!(error.kind, StoreErrorKind::Vanished, "{error}");
    assert!(error.message.contains("gone/o: what was uploaded is gone"), "{error}");
}

/// Runs in a folder on a disk of 8 MiB.
pub(crate) async fn a_full_disk_shows_and_heals(world: &World) {
    for (key, length) in [("full/small.parquet", 4 << 20), ("full/large.parquet", 6 << 20)] {
        let (sink, health) = world.sink();
        let content = bytes(length, 11);
        let ballast = std::path::Path::new("ballast");
        std::fs::write(ballast, bytes(5 << 20, 12)).unwrap();
        let work = async {
            let mut upload = written(world, &*sink, key, &content).await;
            upload.seal(vec![]).await.unwrap();
            upload.publish(Condition::Overwrite).await.unwrap();
        };
        let mend = async {
            until_trouble(&health, "No space left on device").await;
            let trouble = health.trouble().unwrap();
            assert!(trouble.contains(key), "{trouble}");
            assert_eq!(world.read(key).await, None);
            std::fs::remove_file(ballast).unwrap();
        };
        tokio::join!(work, mend);
        assert_eq!(health.trouble(), None);
        assert!(world.read(key).await == Some(content), "{key} differs");
        until_nothing_is_unfinished(world).await;
        assert_eq!(world.list("full").await, [key]);
        world.reader.delete(&Path::parse(key).unwrap()).await.unwrap();
    }
}

/// What an object says of itself that [`publish_if_absent`] has made: S3 and Google Cloud Storage are told of one of many parts only what is known when
/// it begins, a folder nothing.
fn expected_origin(world: &World, length: usize) -> Origin {
    let origin = Origin { connector: Some("größe".to_owned()), start: Some("0".to_owned()), ..Origin::default() };
    match world.kind {
        _ if !world.keeps_attributes() => Origin::default(),
        StoreKind::AzureBlob => Origin { offsets: Some("0..9".to_owned()), ..origin },
        _ if length < LARGE / 2 => Origin { offsets: Some("0..9".to_owned()), ..origin },
        _ => origin,
    }
}

/// What publishing says, with the object's first byte to tell whose it is.
async fn publish_if_absent(world: &World, sink: &dyn ObjectSink, key: &str, length: usize, seed: u32) -> Published {
    let mut upload = written(world, sink, key, &bytes(length, seed)).await;
    upload.seal(vec![("lakehead-offsets", "0..9".to_owned())]).await.unwrap();
    let published = upload.publish(Condition::IfAbsent).await.unwrap();
    upload.abort().await; // after Exists nothing of it may stay
    published
}

pub(crate) async fn a_name_that_is_taken_stays_with_whoever_has_it(world: &World) {
    let (sink, health) = world.sink();
    for (key, length) in [("taken/small.json", 10), ("taken/large.json", LARGE)] {
        assert!(!sink.exists(key).await.unwrap());
        assert_eq!(publish_if_absent(world, &*sink, key, length, 31).await, Published::Visible);
        assert!(sink.exists(key).await.unwrap());
        for other in [10, LARGE] {
            let Published::Exists(origin) = publish_if_absent(world, &*sink, key, other, 33).await else { panic!("{key} {other}: it was taken") };
            assert_eq!(origin, expected_origin(world, length), "{key} {other}");
        }
        assert!(world.read(key).await == Some(bytes(length, 31)), "{key} differs");
    }
    until_nothing_is_unfinished(world).await;
    assert_eq!(world.budget.used(), 0);
    assert_eq!(health.trouble(), None);
}

/// Two writers at the same moment: exactly one of them has the name.
pub(crate) async fn of_two_writers_one_has_the_name(world: &World) {
    let (sink, _) = world.sink();
    for (key, length) in [("race/small.json", 1000), ("race/large.json", LARGE / 2)] {
        let (one, two) = tokio::join!(publish_if_absent(world, &*sink, key, length, 35), publish_if_absent(world, &*sink, key, length, 37));
        let winner = match (one, two) {
            (Published::Visible, Published::Exists(_)) => 35,
            (Published::Exists(_), Published::Visible) => 37,
            both => panic!("{key}: {both:?}"),
        };
        assert!(world.read(key).await == Some(bytes(length, winner)), "{key} differs");
    }
}

pub(crate) async fn a_lost_answer_to_a_condition_is_settled(world: &World) {
    let (sink, health) = world.sink();
    let proxy = world.proxy.as_ref().unwrap();
    let completes = |line: &str| (line.starts_with("POST") && line.to_lowercase().contains("uploadid=")) || line.contains("comp=blocklist");
    let puts = |line: &str| line.starts_with("PUT") && !line.contains("partNumber") && !line.contains("comp=");
    for (key, length, is_hit) in [("settled/small", 10, puts as fn(&str) -> bool), ("settled/large", LARGE, completes)] {
        // The store carries it out, and nobody hears of it: our own object is under the name when it is asked again.
        let mut upload = written(world, &*sink, key, &bytes(length, 39)).await;
        upload.seal(vec![("lakehead-offsets", "0..9".to_owned())]).await.unwrap();
        proxy.fail(is_hit, Fault::LoseAnswer, 1);
        assert_eq!(upload.publish(Condition::IfAbsent).await.unwrap(), Published::Visible, "{key}");
        assert_eq!(upload.publish(Condition::IfAbsent).await.unwrap(), Published::Visible, "{key}: published once more");
        assert_eq!(proxy.heal(), 1, "{key}: the fault did not strike");
        // The same, and the object is another's of the same size.
        assert_eq!(publish_if_absent(world, &*sink, key, length, 41).await, Published::Exists(expected_origin(world, length)), "{key}");
        assert!(world.read(key).await == Some(bytes(length, 39)), "{key} differs");
    }
    assert_eq!(health.trouble(), None);
}

pub(crate) async fn tags_are_set_or_refused(world: &World, has_tags: bool) {
    let (sink, _) = world.sink();
    let tags = [("startOffset".to_owned(), "0".to_owned()), ("team".to_owned(), "a b+c=d:/@".to_owned())];
    let key = "tagged/two words+0.json";
    let mut upload = written(world, &*sink, key, b"x").await;
    upload.seal(vec![]).await.unwrap();
    assert!(upload.tag(&tags).await.is_err(), "not published yet");
    upload.publish(Condition::Overwrite).await.unwrap();
    match upload.tag(&tags).await {
        Ok(()) => {
            assert!(has_tags);
            let found = world.tags("tagged/two%20words%2B0.json").await;
            for text in ["<Key>startOffset</Key><Value>0</Value>", "<Key>team</Key><Value>a b+c=d:/@</Value>"] {
                assert!(found.split_whitespace().collect::<String>().contains(&text.replace(' ', "")), "{found}");
            }
        }
        Err(error) => {
            assert!(!has_tags, "{error}");
            assert!(error.message.contains("the store knows no tags"), "{error}");
        }
    }
}

/// What another sink has left unfinished, as a process does that dies.
async fn orphan(world: &World, key: &str) {
    let (sink, _) = world.sink();
    let mut upload = written(world, &*sink, key, &bytes(LARGE / 2, 50)).await;
    upload.seal(vec![]).await.unwrap();
    std::mem::forget(upload); // dropping it would remove what it has stored
}

pub(crate) async fn orphans_of_ours_are_swept(world: &World) {
    let is_listed = world.kind != StoreKind::AzureBlob;
    for key in ["sweep/t/p=0/two words+ü.json", "sweep/t/p=0/b.json", "sweep/t/p=0/another", "sweep/t/p=1/a.json"] {
        orphan(world, key).await;
    }
    let (sink, health) = world.sink();
    let content = bytes(LARGE / 2, 51);
    let mut running = written(world, &*sink, "sweep/t/p=0/running.json", &content).await;
    running.seal(vec![]).await.unwrap();
    let is_ours = |key: &str| key.starts_with("sweep/t/p=0/") && key.ends_with(".json");
    // They are younger than a minute.
    let swept = sink.sweep("sweep/t/p=0/", &is_ours, Duration::from_secs(60)).await;
    assert_eq!((swept.uploads, swept.incomplete), (0, None));
    // Stores tell the time in seconds: it takes up to two until they are seen to be older than the question.
    let (mut uploads, mut removed) = (0, 0);
    for _ in 0..if is_listed { 20 } else { 1 } {
        let swept = sink.sweep("sweep/t/p=0/", &is_ours, Duration::ZERO).await;
        assert_eq!(swept.incomplete, None);
        (uploads, removed) = (uploads + swept.uploads, removed + swept.bytes.unwrap_or(0));
        if uploads == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let of_folder = !world.keeps_attributes();
    assert_eq!((uploads, removed), (if is_listed { 2 } else { 0 }, if of_folder { LARGE as u64 / 2 * 2 } else { 0 }));
    let mut left: Vec<_> =
        world.unfinished().await.into_iter().filter_map(|(key, _)| Some(key.split_once("sweep/t/")?.1.split('#').next()?.to_owned())).collect();
    left.sort();
    assert_eq!(left, if is_listed { vec!["p=0/another", "p=0/running.json", "p=1/a.json"] } else { vec![] });
    running.publish(Condition::Overwrite).await.unwrap();
    assert!(world.read("sweep/t/p=0/running.json").await == Some(content));
    assert_eq!(health.trouble(), None);
}

pub(crate) async fn conditions_are_tried_and_nothing_stays(world: &World, expected: Conditions) {
    let (sink, health) = world.sink();
    assert_eq!(sink.honours_conditions().await.unwrap(), expected);
    until_nothing_is_unfinished(world).await;
    assert_eq!(world.list("topics").await, Vec::<String>::new());
    assert_eq!(world.list("").await, Vec::<String>::new());
    assert_eq!(health.trouble(), None);
}
