//! Files that say nothing of their offsets: by their names, and by counting.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field};
use lakehead_formats::file::Options;

use crate::world::{Spec, World, file};

/// JSON lines, without labels: in a folder, or uploaded in parts.
fn mute(start: i64, end: i64) -> Spec {
    file("partition=0", 0, start..end, ".json").in_parts()
}

#[tokio::test]
async fn files_without_labels_are_not_provable_until_their_rows_are_counted() {
    for world in World::all() {
        world.put(&[mute(0, 100), mute(100, 150), mute(150, 300)]).await;
        world.verify(&[]).await.assert(2, &["NOT PROVABLE", "3 files that say nothing of their offsets", "--deep counts their rows"]);
        world.verify(&["--deep"]).await.assert(0, &["proven", "3 files", "300 rows  0..300", "3 files by name and count of rows"]);
        // 40 rows less, and nothing that tells whether they are lost or the log had no such records.
        world.put(&[Spec { offsets: (100..110).collect(), ..mute(100, 150) }]).await;
        world.verify(&["--deep"]).await.assert(2, &["unclear", "40 offsets (110..150)", "unless the rows of those before have gaps"]);
        world.put(&[mute(100, 160)]).await;
        world.verify(&["--deep"]).await.assert(2, &["unclear", "files overlap whose offsets are only assumed"]);
    }
}

#[tokio::test]
async fn the_same_connectors_labelled_files_lend_them_their_name() {
    let world = World::s3();
    world.put(&[mute(0, 100), file("partition=0", 0, 100..200, ".json")]).await;
    let said = world.verify(&["--deep"]).await;
    said.assert(0, &["sink\n", "t-0", "2 files", "200 rows  0..200", "1 files by name"]);
    assert!(!said.text.contains("unknown connector"), "{}", said.text);
}

#[tokio::test]
async fn parquet_of_others_is_counted_by_its_footer() {
    for world in World::all() {
        let strip = |spec: Spec| {
            let labels = ["lakehead-connector", "lakehead-topic", "lakehead-partition", "lakehead-offsets", "lakehead-rows", "lakehead-digest"];
            labels.into_iter().fold(spec, |spec, label| spec.with(label, ""))
        };
        world.put(&[strip(file("partition=0", 0, 0..100, ".parquet")), strip(file("partition=0", 0, 100..200, ".parquet"))]).await;
        world.verify(&[]).await.assert(0, &["of an unknown connector", "t-0", "proven", "200 rows", "2 files by name and count of rows"]);
    }
}

#[tokio::test]
async fn rows_are_counted_in_every_format_that_tells_them_apart() {
    use std::io::Write as _;
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let world = World::folder();
    let lines = "{}\n".repeat(10);
    // Two members, as an appended file has them; and a last line without its end.
    let gzipped = [gzip(&lines), gzip("{}\n{}")].concat();
    for (name, bytes) in [("t+0+0.json", lines.clone().into_bytes()), ("t+0+10.json.gz", gzipped), ("t+0+22.avro", avro(8)), ("t+1+0.bin", vec![1])] {
        world.put_bytes(name, bytes, &[]).await;
    }
    let said = world.verify(&["--deep"]).await;
    said.assert(2, &["t-0", "proven", "30 rows  0..30", "t-1", "NOT PROVABLE", "rows cannot be told apart"]);
    for (name, bytes, why) in [
        ("t+0+30.avro", avro(8)[..40].to_vec(), "ends in the middle of a block"),
        ("t+0+30.avro", b"no Avro".to_vec(), "it is no Avro file"),
        ("t+0+30.json.gz", gzip("{}\n")[..12].to_vec(), "its rows cannot be counted"),
    ] {
        world.put_bytes(name, bytes, &[]).await;
        world.verify(&["--deep"]).await.assert(1, &["broken", why]);
        world.remove(&file("", 0, 30..31, "").named(name)).await;
    }
}

/// An Avro file of numbers, three in a block, as the sink's encoder writes it.
fn avro(rows: i64) -> Vec<u8> {
    let field = Arc::new(Field::new("id", DataType::Int64, false));
    let mut encoder = (lakehead_formats::file::find("avro").unwrap().build)(&Options::new()).unwrap().encoder(&field).unwrap();
    for start in (0..rows).step_by(3) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(start..rows.min(start + 3)));
        encoder.write(&column).unwrap();
        encoder.flush().unwrap();
    }
    let mut bytes = encoder.take();
    bytes.extend(encoder.finish(&[]).unwrap().0);
    bytes.concat()
}
