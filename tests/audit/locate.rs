//! Records are found by their offsets.

use crate::world::{World, file};

#[tokio::test]
async fn a_record_is_found_with_its_row_group_and_row() {
    for world in World::all() {
        let (a, b): (Vec<i64>, Vec<i64>) = (1000..1900).partition(|offset| offset % 3 == 0);
        let turns = [file("kind=a", 0, a, ".parquet"), file("kind=b", 0, b, ".parquet")];
        let row = [file("kind=a", 0, 0..1000, ".parquet"), file("kind=a", 1, 0..50, ".json")];
        world.put(&turns).await;
        world.put(&row).await;
        world.locate("t/0@250", &[]).await.assert(0, &["t-0@250", &world.name(&row[0]), "row 250: row 50 of row group 2; it has 1,000 rows", "0..1000"]);
        // 1002 is the first that 3 divides: 1500 is row 166, and 1501 row 334 of the others.
        world.locate("t/0@1500", &[]).await.assert(0, &[&world.name(&turns[0]), "row 166: row 66 of row group 1"]);
        world.locate("t-0@1501", &["--all"]).await.assert(0, &[&world.name(&turns[1]), "row 334: row 34 of row group 3"]);
        world.locate("t/0@1900", &[]).await.assert(1, &["holds offset 1900 of t-0"]);
        world.locate("t/7@0", &[]).await.assert(1, &["holds offset 0 of t-7"]);
        // Lines of a file with labels are told apart by them; without, it may hold the record.
        let json = world.locate("t/1@20", &[]).await;
        let (code, text) = if world.keeps_metadata() { (0, "row 20") } else { (2, "may hold it") };
        json.assert(code, &[&world.name(&row[1]), text]);
    }
}

#[tokio::test]
async fn a_record_in_two_files_is_told_when_all_are_asked_for() {
    let world = World::folder();
    let files = [file("a", 0, 0..100, ".parquet"), file("b", 0, 50..60, ".parquet")];
    world.put(&files).await;
    world.locate("t/0@55", &["--all"]).await.assert(0, &[&world.name(&files[1]), "row 5", &world.name(&files[0]), "row 55"]);
    let json = world.locate("t/0@55", &["--json"]).await;
    let holders: serde_json::Value = serde_json::from_str(&json.text).unwrap();
    assert_eq!((&holders[0]["row"], &holders[0]["row_group"]), (&5.into(), &serde_json::json!([0, 5])));
}
