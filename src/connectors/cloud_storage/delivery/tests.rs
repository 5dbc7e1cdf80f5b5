//! Deliveries against a store in memory: what they hold, what waits on disk, and what becomes of rows that the disk lost.

use arrow::array::{ArrayRef, BinaryArray};
use arrow::datatypes::{DataType, Field};
use lakehead_formats::column::Column;
use lakehead_formats::file;
use object_store::ObjectStoreExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;

use super::super::staging::Run;
use super::*;
use crate::connect::Health;
use crate::spill::Spill;
use crate::store::objects::{Flavor, Objects, Place as StorePlace, Tuning};

const MIB: u64 = 1 << 20;

struct World {
    store: Arc<InMemory>,
    workshop: Workshop,
    folder: tempfile::TempDir,
}

/// A workshop with that budget, whose row groups have 256 KiB.
fn world(budget: u64) -> World {
    let (store, folder) = (Arc::new(InMemory::new()), tempfile::tempdir().unwrap());
    let place = StorePlace { flavor: Flavor::Memory, root: String::new(), prefix: String::new(), endpoint: None };
    let sink = Objects::new(Arc::clone(&store) as _, Arc::clone(&store) as _, place, "probe", Tuning::default(), Health::default());
    let memory = Budget::new(budget).spilling_to(Spill::below(folder.path()));
    let workshop = Workshop::new("c".into(), Arc::new(sink), Compute::pool(2), memory, Arc::new(Ratio::new(1, 1)), 256 << 10);
    World { store, workshop, folder }
}

fn form(number: usize) -> Form {
    let format = (file::find("bytes").unwrap().build)(&file::Options::new()).unwrap();
    Form { key: number.to_string(), format: Arc::from(format), field: Arc::new(Field::new("value", DataType::Binary, true)), known: Vec::new() }
}

/// A row that says whose it is, so many times, 1 KiB each.
fn pieces(number: usize, rows: usize, memory: &Budget) -> Vec<Piece> {
    let texts: ArrayRef = Arc::new(BinaryArray::from_iter_values(vec![format!("{number:01023}"); rows]));
    vec![Piece::of(Column::new(form(0).field, texts), memory)]
}

fn text(number: usize, rows: usize) -> Vec<u8> {
    format!("{number:01023}\n").repeat(rows).into_bytes()
}

async fn stored(world: &World, key: &str) -> Option<Vec<u8>> {
    Some(world.store.get(&Path::from(key)).await.ok()?.bytes().await.ok()?.to_vec())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_files_end_at_once_deliveries_hold_no_more_than_their_part_of_the_memory() {
    const FILES: usize = 60;
    let world = world(8 * MIB);
    let on_disk = |number: usize| {
        let (run, mut waiting) = (Run::new(), pieces(number, 1024, &world.workshop.memory));
        assert!(run.gather(&mut waiting) > MIB);
        run.spill(world.workshop.memory.spill());
        waiting
    };
    let waiting: Vec<Vec<Piece>> = (0..FILES).map(on_disk).collect();
    assert_eq!(world.workshop.memory.used(), 0);
    let begun: Vec<_> = waiting.into_iter().enumerate().map(|(number, pieces)| whole(&world.workshop, form(number), pieces, Labels::default())).collect();
    let mut ready = Vec::new();
    for delivery in begun {
        ready.push(delivery.await.unwrap().unwrap());
    }
    // Before objects go to disk a quarter of the memory is used; then there is what is being encoded.
    let peak = world.workshop.memory.peak();
    assert!(peak < 8 * MIB, "sixty objects of a MiB held {peak} bytes");
    assert!(!world.workshop.is_busy());
    for (number, mut ready) in ready.into_iter().enumerate() {
        assert_eq!(ready.upload.publish(Condition::Overwrite).await.unwrap(), Published::Visible);
        assert_eq!(stored(&world, &number.to_string()).await.unwrap(), text(number, 1024));
        assert_eq!((ready.stats.rows, ready.stats.bytes), (1024, MIB));
    }
    assert_eq!(world.workshop.memory.used(), 0);
}

#[tokio::test]
async fn a_small_object_waits_on_disk_only_when_memory_is_short() {
    for (others, on_disk) in [(0, 0), (3 * MIB, 10 << 10)] {
        let world = world(8 * MIB);
        let _held = world.workshop.memory.take(others);
        let labels = Labels { shown: vec![("lakehead-rows", "10".to_owned())], offsets: None };
        let mut ready = whole(&world.workshop, form(7), pieces(7, 10, &world.workshop.memory), labels).await.unwrap().unwrap();
        assert_eq!((world.workshop.memory.spill().written_bytes(), world.workshop.deliveries.used()), (on_disk, (10 << 10) - on_disk));
        assert_eq!(stored(&world, "7").await, None);
        for _ in 0..2 {
            assert_eq!(ready.upload.publish(Condition::Overwrite).await.unwrap(), Published::Visible);
            assert_eq!(stored(&world, "7").await.unwrap(), text(7, 10));
        }
        let attributes = world.store.get(&Path::from("7")).await.unwrap().attributes;
        assert_eq!(attributes.get(&object_store::Attribute::Metadata("lakehead-rows".into())).map(|v| v.as_ref()), Some("10"));
    }
}

#[tokio::test]
async fn a_file_whose_rows_come_in_turns_is_uploaded_as_they_are_encoded() {
    let world = world(64 * MIB);
    let mut delivery = Delivery::start(&world.workshop, form(1));
    for _ in 0..12 {
        delivery.encode(&world.workshop, pieces(1, 1024, &world.workshop.memory), form(1).field);
    }
    assert_eq!(delivery.raw_bytes, 12 * 1024 * (1023 + 4));
    let mut ready = delivery.finish(&world.workshop, pieces(1, 5, &world.workshop.memory), form(1).field, Labels::default()).await.unwrap().unwrap();
    assert!(world.workshop.memory.used() < 5 * MIB, "one part of eight MiB has left");
    ready.upload.publish(Condition::Overwrite).await.unwrap();
    assert_eq!(stored(&world, "1").await.unwrap(), text(1, 12 * 1024 + 5));
}

#[tokio::test]
async fn rows_that_the_disk_lost_are_read_again_and_nothing_is_published() {
    let world = world(8 * MIB);
    let mut lost = pieces(1, 10, &world.workshop.memory);
    let run = Run::new();
    run.gather(&mut lost);
    run.spill(world.workshop.memory.spill());
    let own = std::fs::read_dir(world.folder.path()).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(own).unwrap();
    let error = whole(&world.workshop, form(1), lost, Labels::default()).await.unwrap().err().unwrap();
    assert_eq!(error.kind, ErrorKind::Rewind);
    assert!(error.to_string().contains("spilled rows cannot be read"), "{error}");
}
