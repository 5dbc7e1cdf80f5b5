//! What a chain does with a batch is what it does with each of its rows, whichever records its transforms are for.

use arrow::array::{Array, AsArray};
use proptest::prelude::*;

use super::super::side::tests::json_batch;
use super::*;

fn chain(settings: &[(&str, &str)]) -> Chain {
    Chain::from_props(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).unwrap()
}

/// Offset, topic, key and value of each record.
type Rows = Vec<(i64, String, Option<String>, Option<String>)>;

/// What comes out, and what was rejected; checks that spans are consecutive.
fn apply(chain: &mut Chain, batch: Batch) -> (Rows, Vec<Untransformed>, usize) {
    let (mut next, end) = (batch.span.start, batch.span.end);
    let mut out = Vec::new();
    let rejects = chain.apply(batch, &mut out);
    let mut rows = Vec::new();
    for batch in &out {
        assert_eq!(batch.span.start, next);
        next = batch.span.end;
        let text = |column: &lakehead_formats::column::Column, row: usize| {
            let texts = column.array.as_string::<i32>();
            texts.is_valid(row).then(|| texts.value(row).to_owned())
        };
        for row in 0..batch.len() {
            let offset = batch.offsets.value(row);
            assert!(batch.span.start <= offset && offset < batch.span.end);
            rows.push((offset, batch.topic.to_string(), text(&batch.key, row), text(&batch.value, row)));
        }
    }
    assert_eq!(next, end);
    (rows, rejects, out.len())
}

const TOMBSTONES: [(&str, &str); 2] = [("predicates", "gone"), ("predicates.gone.type", "RecordIsTombstone")];

fn with_tombstones(settings: &[(&'static str, &'static str)]) -> Chain {
    chain(&TOMBSTONES.iter().chain(settings).copied().collect::<Vec<_>>())
}

#[test]
fn records_of_a_predicate_are_transformed_and_the_others_pass_in_order() {
    let hoist = [("transforms", "h"), ("transforms.h.type", "HoistField$Value"), ("transforms.h.field", "v"), ("transforms.h.predicate", "gone")];
    for (negate, expected) in
        [("false", [Some("1"), Some(r#"{"v":null}"#), Some("2"), Some(r#"{"v":null}"#)]), ("true", [Some(r#"{"v":1}"#), None, Some(r#"{"v":2}"#), None])]
    {
        let mut settings = hoist.to_vec();
        settings.push(("transforms.h.negate", negate));
        let (rows, rejects, batches) = apply(&mut with_tombstones(&settings), json_batch(&["1", "null", "2", "null"]));
        assert_eq!(rows.iter().map(|row| row.3.as_deref()).collect::<Vec<_>>(), expected, "negate={negate}");
        assert_eq!((rows.iter().map(|row| row.0).collect::<Vec<_>>(), rejects, batches), (vec![100, 101, 102, 103], vec![], 1));
    }
}

#[test]
fn a_thousand_alternations_are_one_batch() {
    let rows: Vec<&str> = (0..1000).map(|row| if row % 2 == 0 { "null" } else { r#"{"a":{"b":1}}"# }).collect();
    let settings = [("transforms", "f"), ("transforms.f.type", "Flatten$Value"), ("transforms.f.predicate", "gone"), ("transforms.f.negate", "true")];
    let (found, _, batches) = apply(&mut with_tombstones(&settings), json_batch(&rows));
    assert_eq!((found.len(), batches, found[1].3.as_deref(), found[2].3.as_deref()), (1000, 1, Some(r#"{"a.b":1}"#), None));
}

#[test]
fn filters_drop_what_a_predicate_takes() {
    let settings = [("transforms", "f"), ("transforms.f.type", "Filter"), ("transforms.f.predicate", "gone")];
    let (rows, _, batches) = apply(&mut with_tombstones(&settings), json_batch(&["null", "1", "null", "2"]));
    assert_eq!((rows.iter().map(|row| row.0).collect::<Vec<_>>(), batches), (vec![101, 103], 1));
    let (rows, _, batches) = apply(&mut with_tombstones(&settings), json_batch(&["null", "null"]));
    assert_eq!((rows.len(), batches), (0, 1));
}

#[test]
fn records_that_go_to_other_topics_are_cut_apart() {
    let route = [
        ("transforms", "r"),
        ("transforms.r.type", "RegexRouter"),
        ("transforms.r.regex", ".*"),
        ("transforms.r.replacement", "graves"),
        ("transforms.r.predicate", "gone"),
    ];
    let (rows, _, batches) = apply(&mut with_tombstones(&route), json_batch(&["1", "null", "null", "2", "3"]));
    assert_eq!(rows.iter().map(|row| row.1.as_str()).collect::<Vec<_>>(), ["orders", "graves", "graves", "orders", "orders"]);
    assert_eq!(batches, 3);
}

/// Chains of everything, with conditions and without.
fn chains() -> Vec<Chain> {
    let tombstones = |settings: &[(&'static str, &'static str)]| with_tombstones(settings);
    vec![
        tombstones(&[
            ("transforms", "f,i"),
            ("transforms.f.type", "Flatten$Value"),
            ("transforms.i.type", "InsertField$Value"),
            ("transforms.i.offset.field", "a.b"),
        ]),
        tombstones(&[
            ("transforms", "k,x,h"),
            ("transforms.k.type", "ValueToKey"),
            ("transforms.k.fields", "a,c"),
            ("transforms.k.predicate", "gone"),
            ("transforms.k.negate", "true"),
            ("transforms.x.type", "ExtractField$Key"),
            ("transforms.x.field", "a"),
            ("transforms.h.type", "HoistField$Value"),
            ("transforms.h.field", "v"),
            ("transforms.h.predicate", "gone"),
        ]),
        tombstones(&[
            ("transforms", "t,r,d"),
            ("transforms.t.type", "ReplaceField$Value"),
            ("transforms.t.renames", "a:z,b:a"),
            ("transforms.r.type", "TimestampRouter"),
            ("transforms.r.predicate", "gone"),
            ("transforms.r.timestamp.format", "ss"),
            ("transforms.d.type", "Filter"),
            ("transforms.d.predicate", "gone"),
        ]),
        tombstones(&[
            ("transforms", "c,m,t"),
            ("transforms.c.type", "Cast$Value"),
            ("transforms.c.spec", "a:string,c:int64"),
            ("transforms.m.type", "MaskField$Value"),
            ("transforms.m.fields", "a,b"),
            ("transforms.m.predicate", "gone"),
            ("transforms.m.negate", "true"),
            ("transforms.t.type", "TimestampConverter$Value"),
            ("transforms.t.field", "c"),
            ("transforms.t.target.type", "string"),
            ("transforms.t.format", "yyyy-MM-dd"),
        ]),
        tombstones(&[
            ("transforms", "h,d"),
            ("transforms.h.type", "HeaderFrom$Value"),
            ("transforms.h.fields", "a"),
            ("transforms.h.headers", "was"),
            ("transforms.h.operation", "move"),
            ("transforms.d.type", "InsertHeader"),
            ("transforms.d.header", "by"),
            ("transforms.d.value.literal", "7"),
            ("transforms.d.predicate", "gone"),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_batch_is_its_rows(rows in prop::collection::vec(prop::sample::select(vec![
        "null", "1", r#"{"a":1}"#, r#"{"a":{"b":[1]},"c":"x"}"#, r#"{"b":null}"#, "[]", r#"{"a":null,"a.b":2}"#, "{}", r#"{"c":{"a":{"b":true}}}"#,
        r#"{"c":"86400000"}"#, r#"{"a":1.5,"b":"x","c":7}"#,
    ]), 1..12)) {
        let batch = json_batch(&rows);
        for mut chain in chains() {
            let (whole, rejects, _) = apply(&mut chain, batch.clone());
            let (mut single, mut single_rejects) = (Vec::new(), Vec::new());
            for row in 0..batch.len() {
                let (found, bad, _) = apply(&mut chain, rows::between(&batch, row, row + 1));
                single.extend(found);
                single_rejects.extend(bad.into_iter().map(|reject| Untransformed { row, ..reject }));
            }
            // A schemaless null stands beside its neighbours as JSON's null or as none at all: both are null texts. Members are in another order at most.
            let sorted = |rows: Rows| rows.into_iter().map(|(offset, topic, key, value)| {
                let parse = |text: Option<String>| text.map(|text| serde_json::from_str::<serde_json::Value>(&text).unwrap());
                (offset, topic, parse(key), parse(value))
            }).collect::<Vec<_>>();
            prop_assert_eq!(sorted(whole), sorted(single));
            prop_assert_eq!(rejects, single_rejects);
        }
    }
}
