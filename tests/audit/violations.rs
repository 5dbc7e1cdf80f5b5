//! What is right is proven; what is planted is found and named.

use crate::world::{Spec, World, file, verify};

/// Files of one path, one after the other.
fn in_a_row(partition: i32) -> Vec<Spec> {
    [0..100, 100..200, 200..300].map(|offsets| file(&format!("partition={partition}"), partition, offsets, ".snappy.parquet")).into()
}

/// Files of two paths whose rows take turns, a third of them in one.
fn taking_turns(partition: i32) -> Vec<Spec> {
    let mut files = Vec::new();
    for start in [0, 300, 600] {
        let (a, b): (Vec<i64>, Vec<i64>) = (start..start + 300).partition(|offset| offset % 3 == 0);
        files.push(file("kind=a", partition, a, ".parquet"));
        files.push(file("kind=b", partition, b, ".parquet"));
    }
    files
}

#[tokio::test]
async fn files_that_hold_each_offset_once_are_proven() {
    for world in World::all() {
        world.put(&[in_a_row(0), taking_turns(1)].concat()).await;
        let said = world.verify(&[]).await;
        said.assert(0, &["sink\n", "t-0", "proven", "3 files", "300 rows  0..300", "t-1", "proven", "6 files", "900 rows  0..900", "9 objects"]);
        assert!(said.text.contains("2 of 2 topic partitions hold each offset exactly once"), "{}", said.text);
        world.verify(&["--deep"]).await.assert(0, &["proven", "proven"]);
    }
}

#[tokio::test]
async fn a_file_that_was_removed_is_missing() {
    for world in World::all() {
        let files = in_a_row(0);
        world.put(&files).await;
        world.remove(&files[1]).await;
        let (before, after) = (world.name(&files[0]), world.name(&files[2]));
        world.verify(&[]).await.assert(1, &["t-0", "VIOLATED", "missing   100 offsets (100..200)", &before, &after, "violated 1"]);
        world.verify(&["--allow-left-out"]).await.assert(0, &["proven", "left out  100 offsets (100..200)"]);
    }
}

#[tokio::test]
async fn of_files_that_take_turns_the_removed_ones_offsets_are_named() {
    for world in World::all() {
        let files = taking_turns(0);
        world.put(&files).await;
        world.remove(&files[2]).await; // 300, 303, ..., 597
        world.verify(&[]).await.assert(1, &["VIOLATED", "missing   1 offset (300..301)", "missing   99 offsets (303..304, 306..307,"]);
    }
}

#[tokio::test]
async fn a_copy_under_another_name_is_doubled() {
    for world in World::all() {
        let files = in_a_row(0);
        let copy = files[1].clone().named("topics/t/partition=0/t+0+0000000150.snappy.parquet");
        world.put(&files).await;
        world.put(std::slice::from_ref(&copy)).await;
        let (name, named) = (world.name(&files[1]), world.name(&copy));
        let said = world.verify(&[]).await;
        said.assert(1, &["VIOLATED", "doubled   100 offsets (100..200): in each of these", &name, &named]);
        said.assert(1, &["broken", "its name says that it starts at 150, and its rows are 100..200", &named]);
    }
}

#[tokio::test]
async fn rows_that_are_in_two_files_are_named_with_both() {
    for world in World::all() {
        let mut files = taking_turns(0);
        files[1].offsets.insert(0, 0); // 0 is in the file of the other path too
        files[1] = file("kind=b", 0, files[1].offsets.clone(), ".parquet");
        world.put(&files).await;
        let names = [world.name(&files[0]), world.name(&files[1])];
        world.verify(&[]).await.assert(1, &["doubled   1 offset (0..1)", &names[0], &names[1]]);
    }
}

/// A lost row and a doubled one: the counts are right.
#[tokio::test]
async fn a_row_in_place_of_another_is_found() {
    for world in World::all() {
        let mut files = taking_turns(0);
        let at = files[1].offsets.iter().position(|offset| *offset == 100).unwrap();
        files[1].offsets[at] = 99;
        world.put(&files).await;
        let said = world.verify(&[]).await;
        said.assert(1, &["missing   1 offset (100..101)"]);
        said.assert(1, &["doubled   1 offset (99..100)", &world.name(&files[0]), &world.name(&files[1])]);
        // Without the footers' offsets, it is known that something is wrong, and not what.
        for file in &mut files {
            file.changed.push(("lakehead-offset-set", String::new()));
        }
        world.put(&files).await;
        world.verify(&[]).await.assert(1, &["doubled   (0..300) some are there twice in place of others"]);
    }
}

#[tokio::test]
async fn a_span_that_was_cut_is_found() {
    for world in World::all() {
        let mut files = in_a_row(0);
        files[1] = files[1].clone().with("lakehead-offsets", "100..150");
        world.put(&files).await;
        let name = world.name(&files[1]);
        world.verify(&[]).await.assert(1, &["broken", "it says that it has 100 rows of the 50 offsets 100..150", &name]);
    }
}

#[tokio::test]
async fn labels_that_cannot_be_are_found() {
    let whole = |offsets: &str, rows: &str, digest: &str| {
        file("partition=0", 0, 0..100, ".parquet").with("lakehead-offsets", offsets).with("lakehead-rows", rows).with("lakehead-digest", digest)
    };
    let digest = "28a64c865326ec8d7c533c1deaa8c3f7"; // of offset 0
    for world in World::all() {
        for (file, why) in [
            (whole("0..100", "99", ""), if world.keeps_metadata() { "missing   1 offset (0..100)" } else { "it says that it has 99 rows, and has 100" }),
            (whole("100..0", "100", ""), "lakehead-offsets is '100..0', which is no range"),
            (whole("0..100", "many", ""), "lakehead-rows is 'many', which is no number"),
            (whole("0..100", "100", "x"), "lakehead-digest is 'x', which is no digest"),
            (whole("0..100", "100", digest), "it says that it has all of 0..100, and its digest is of other offsets"),
        ] {
            world.put(std::slice::from_ref(&file)).await;
            world.verify(&[]).await.assert(1, &[why]);
        }
        world.put(&[whole("0..100", "99", "")]).await;
        world.verify(&["--deep"]).await.assert(1, &["it says that it has 99 rows, and has 100"]);
    }
}

#[tokio::test]
async fn what_is_of_no_topic_partition_is_listed() {
    for world in World::all() {
        world.put(&in_a_row(0)).await;
        world.put_bytes("topics/t/partition=0/readme.txt", b"x".to_vec(), &[]).await;
        world.put_bytes("t.parquet", b"no footer".to_vec(), &[]).await;
        world.put_bytes("topics/t/partition=0/t+0+0000000300.parquet", b"no footer".to_vec(), &[]).await;
        let said = world.verify(&[]).await;
        said.assert(1, &["broken", "its Parquet footer cannot be read", "t+0+0000000300.parquet", "2 objects are of no topic partition:"]);
        for key in ["t.parquet", "topics/t/partition=0/readme.txt"] {
            said.assert(1, &["of no topic partition", &format!("{}/{key}", world.root)]);
        }
    }
}

#[tokio::test]
async fn keys_and_headers_are_no_rows_and_belong_to_some() {
    for world in World::all() {
        let files = in_a_row(0);
        let keys: Vec<Spec> = files.iter().map(|file| file.clone().named(&file.key.replace(".snappy", ".keys.snappy"))).collect();
        // A tombstone has a key and nothing else, and stands for its record.
        let tombstone = file("tombstone", 0, 300..301, ".keys.parquet");
        world.put(&[files.clone(), keys.clone(), vec![tombstone]].concat()).await;
        world.verify(&[]).await.assert(0, &["4 files", "301 rows  0..301"]);
        world.remove(&files[0]).await;
        world.verify(&["--allow-left-out"]).await.assert(1, &["alone", "keys or headers without the file", &world.name(&keys[0])]);
    }
}

#[tokio::test]
async fn topics_and_connectors_that_were_not_asked_for_are_left_out() {
    for world in World::all() {
        let other = file("partition=1", 1, 0..10, ".parquet").with("lakehead-connector", "other");
        world.put(&[in_a_row(0), vec![other]].concat()).await;
        world.verify(&[]).await.assert(0, &["other\n", "t-1", "sink\n", "t-0"]);
        world.verify(&["--connector", "sink"]).await.assert(0, &["t-0", "1 objects of other topics or connectors were left out"]);
        world.verify(&["--topic", "u"]).await.assert(2, &["4 objects of other topics", "there is no file of a topic partition"]);
    }
}

#[tokio::test]
async fn programs_read_json() {
    let world = World::folder();
    let files = in_a_row(0);
    world.put(&files).await;
    world.remove(&files[1]).await;
    let said = world.verify(&["--json"]).await;
    let (json, _) = said.text.rsplit_once("\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(report["verdict"], "violated");
    let partition = &report["partitions"][0];
    assert_eq!((&partition["topic"], &partition["partition"], &partition["rows"]), (&"t".into(), &0.into(), &200.into()));
    assert_eq!(partition["problems"][0]["ranges"], serde_json::json!([[100, 200]]));
    assert_eq!((said.code, &partition["problems"][0]["kind"]), (1, &"missing".into()));
}

#[tokio::test]
async fn what_cannot_be_reached_is_no_answer() {
    let world = World::folder();
    let gone = format!("{}/gone", world.root);
    let said = verify([gone.as_str()].into_iter()).await;
    said.assert(3, &["folder '", "/gone' is not there"]);
    assert!(!std::path::Path::new(&gone).try_exists().unwrap(), "looking makes nothing");
}
