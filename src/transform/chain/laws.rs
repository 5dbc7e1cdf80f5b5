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
        tombstones(&[
            ("transforms", "f,t,x"),
            ("transforms.f.type", "io.confluent.connect.transforms.Filter$Value"),
            ("transforms.f.filter.condition", "$[?(@.a == 1 || @.c || @['a.b'] > 1)]"),
            ("transforms.f.filter.type", "include"),
            ("transforms.f.missing.or.null.behavior", "exclude"),
            ("transforms.t.type", "ExtractTopic$Value"),
            ("transforms.t.field", "c"),
            ("transforms.t.skip.missing.or.null", "true"),
            ("transforms.x.type", "TombstoneHandler"),
            ("transforms.x.behavior", "fail"),
        ]),
        tombstones(&[
            ("transforms", "f,d,r"),
            ("transforms.f.type", "JsonPathFilter$Value"),
            ("transforms.f.filter.condition", "$.a.b[?(@ == 1)]"),
            ("transforms.f.filter.type", "exclude"),
            ("transforms.f.missing.or.null.behavior", "include"),
            ("transforms.d.type", "Drop$Key"),
            ("transforms.d.predicate", "gone"),
            ("transforms.r.type", "MessageTimestampRouter"),
            ("transforms.r.message.timestamp.keys", "a,c"),
            ("transforms.r.predicate", "gone"),
            ("transforms.r.negate", "true"),
        ]),
        tombstones(&[
            ("transforms", "e"),
            ("transforms.e.type", "io.debezium.transforms.ExtractNewRecordState"),
            ("transforms.e.delete.tombstone.handling.mode", "rewrite-with-tombstone"),
            ("transforms.e.add.headers", "op"),
        ]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_batch_is_its_rows(rows in prop::collection::vec(prop::sample::select(vec![
        "null", "1", r#"{"a":1}"#, r#"{"a":{"b":[1]},"c":"x"}"#, r#"{"b":null}"#, "[]", r#"{"a":null,"a.b":2}"#, "{}", r#"{"c":{"a":{"b":true}}}"#,
        r#"{"c":"86400000"}"#, r#"{"c":"2023-11-14"}"#, r#"{"a":1.5,"b":"x","c":7}"#,
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
            prop_assert_eq!(whole, single);
            prop_assert_eq!(rejects, single_rejects);
        }
    }

    #[test]
    fn columns_are_inferred_of_what_the_transforms_leave(rows in prop::collection::vec(prop::sample::select(vec![
        "null", "1", r#"{"a":1}"#, r#"{"c":"x","a":{"b":[1]}}"#, r#"{"b":null}"#, r#"{"a":null,"a.b":2}"#, "{}", r#"{"c":{"a":{"b":true}}}"#,
        r#"{"b":"x","a":1.5,"c":7}"#, r#"{"c":7,"b":"y","a":2}"#, r#"{"b":{"d":1}}"#,
    ]), 1..12), cuts in prop::collection::vec(0..12_usize, 0..4)) {
        let batch = json_batch(&rows);
        for (mut whole, (mut in_parts, mut as_json)) in chains().into_iter().zip(chains().into_iter().zip(chains())) {
            (whole, in_parts) = (whole.inferring(), in_parts.inferring().within(1));
            let mut bounds: Vec<usize> = cuts.iter().copied().filter(|cut| *cut < rows.len()).chain([0, rows.len()]).collect();
            bounds.sort_unstable();
            let parts = bounds.windows(2).map(|pair| rows::between(&batch, pair[0], pair[1])).filter(|part| !part.is_empty());
            let expected = typed(&mut whole, [batch.clone()]);
            prop_assert_eq!(typed(&mut in_parts, parts), expected.clone());
            // The same as what the texts become that the chain leaves otherwise.
            let mut texts = Vec::new();
            as_json.apply(batch.clone(), &mut texts);
            let mut read = chain(&[("transforms", "d"), ("transforms.d.type", "DropHeaders"), ("transforms.d.headers", "none")]).inferring();
            prop_assert_eq!(typed(&mut read, texts), expected);
        }
    }
}

/// The values of each topic as columns: the last schema, and each offset with its row under it.
type Typed = std::collections::BTreeMap<String, (arrow::datatypes::FieldRef, Vec<(i64, String)>)>;

/// What comes out of batches that follow each other.
fn typed(chain: &mut Chain, batches: impl IntoIterator<Item = Batch>) -> Typed {
    use arrow::util::display::{ArrayFormatter, FormatOptions};
    let mut out = Vec::new();
    batches.into_iter().for_each(|batch| drop(chain.apply(batch, &mut out)));
    let mut topics: std::collections::BTreeMap<String, Vec<Batch>> = std::collections::BTreeMap::new();
    out.into_iter().filter(|batch| !batch.is_empty()).for_each(|batch| topics.entry(batch.topic.to_string()).or_default().push(batch));
    let rows = |batches: Vec<Batch>| {
        let field = Arc::clone(&batches.last().unwrap().value.field);
        let mut rows = Vec::new();
        for batch in batches {
            assert!(lakehead_formats::schema::is_inferred(&batch.value.field));
            let array = lakehead_formats::schema::adapt(&batch.value.array, &batch.value.field, &field).unwrap();
            let shown = ArrayFormatter::try_new(&array, &FormatOptions::new().with_null("null")).unwrap();
            rows.extend((0..batch.len()).map(|row| (batch.offsets.value(row), shown.value(row).to_string())));
        }
        (field, rows)
    };
    topics.into_iter().map(|(topic, batches)| (topic, rows(batches))).collect()
}

#[test]
fn what_has_no_type_in_common_with_what_came_before_is_the_converters_fault() {
    let hoist = [("transforms", "h"), ("transforms.h.type", "HoistField$Value"), ("transforms.h.field", "v")];
    let mut out = Vec::new();
    let rejects = chain(&hoist).inferring().apply(json_batch(&["1", "2", "\"x\"", "null"]), &mut out);
    let found: Vec<_> = rejects.iter().map(|reject| (reject.row, reject.is_of_converter, reject.reason.as_str())).collect();
    assert_eq!(found, [(2, true, "field \"v\": \"x\" is string, but the records before it have int64")]);
    assert_eq!((out.len(), out[0].offsets.values().to_vec(), out[0].value.array.null_count()), (1, vec![100, 101, 103], 0));
}

#[test]
fn a_date_is_a_column_of_timestamps() {
    let settings =
        [("transforms", "t"), ("transforms.t.type", "TimestampConverter$Value"), ("transforms.t.field", "at"), ("transforms.t.target.type", "Timestamp")];
    let mut out = Vec::new();
    assert!(chain(&settings).inferring().apply(json_batch(&[r#"{"at":1000,"b":1}"#, r#"{"b":2}"#]), &mut out).is_empty());
    let column = out[0].value.array.as_struct().column(0);
    assert!(matches!(column.data_type(), arrow::datatypes::DataType::Timestamp(..)) && (column.len(), column.null_count()) == (2, 1), "{column:?}");
}

#[test]
fn schemas_of_records_do_not_depend_on_their_neighbours() {
    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field};
    use lakehead_formats::column::Column;
    let given: Vec<Option<i32>> = vec![Some(1), None, Some(2), Some(3), None, None, Some(4)];
    let mut batch = json_batch(&vec!["1"; given.len()]);
    batch.value = Column { field: Arc::new(Field::new("value", DataType::Int32, false)), array: Arc::new(Int32Array::from(given.clone())) };
    let hoist = [("transforms", "h"), ("transforms.h.type", "HoistField$Value"), ("transforms.h.field", "v")];
    let schemas = |parts: Vec<Batch>| {
        let mut out = Vec::new();
        let mut chain = chain(&hoist);
        parts.into_iter().for_each(|part| assert_eq!(chain.apply(part, &mut out), []));
        out.iter()
            .flat_map(|batch| batch.offsets.values().iter().map(|offset| (*offset, Arc::clone(&batch.value.field))).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let whole = schemas(vec![batch.clone()]);
    assert_eq!(whole.len(), given.len());
    assert_eq!(schemas((0..given.len()).map(|row| rows::between(&batch, row, row + 1)).collect()), whole);
    assert!(whole.iter().zip(&given).all(|((_, field), value)| lakehead_formats::schema::is_json_text(field) == value.is_none()));
}

#[test]
fn a_batch_goes_through_in_parts_that_are_small() {
    let rows: Vec<String> = (0..300).map(|row| format!("{{\"n\":{row},\"k{row}\":1}}")).collect();
    let settings = [("transforms", "i"), ("transforms.i.type", "InsertField$Value"), ("transforms.i.offset.field", "o")];
    let batch = json_batch(&rows.iter().map(String::as_str).collect::<Vec<_>>());
    let mut expected: Rows = Vec::new();
    for room in [u64::MAX, 20_000, 1] {
        let mut chain = chain(&settings).within(room);
        assert_eq!(chain.working_bytes(), room.min(ROOM as u64));
        let (found, rejects, batches) = apply(&mut chain, batch.clone());
        assert_eq!((found.len(), rejects, batches), (300, vec![], 1));
        assert_eq!(found[299].3.as_deref(), Some(r#"{"n":299,"k299":1,"o":399}"#));
        if expected.is_empty() {
            expected = found;
        } else {
            assert_eq!(found, expected);
        }
    }
}

#[test]
fn a_row_that_cannot_be_taken_apart_is_rejected_by_who_reads_it() {
    let deep = format!("{{\"a\":{}1{}}}", "[".repeat(120), "]".repeat(120));
    let rows = [r#"{"a":1}"#, &deep, "null", r#"{"a":2}"#];
    let hoist = [("transforms", "h"), ("transforms.h.type", "HoistField$Value"), ("transforms.h.field", "v")];
    let (found, rejects, _) = apply(&mut chain(&hoist), json_batch(&rows));
    assert_eq!((found.iter().map(|row| row.0).collect::<Vec<_>>(), rejects.len(), rejects[0].row), (vec![100, 102, 103], 1, 1));
    // A transform that is not for it leaves it alone.
    let mut settings = hoist.to_vec();
    settings.push(("transforms.h.predicate", "gone"));
    let (found, rejects, _) = apply(&mut with_tombstones(&settings), json_batch(&rows));
    assert_eq!((found.len(), found[1].3.as_deref(), rejects), (4, Some(deep.as_str()), vec![]));
}

#[test]
fn maps_of_very_many_keys_go_through() {
    let member = |key: usize| format!("\"k{key}\":{{\"n\":{key}}}");
    let (up, down): (Vec<String>, Vec<String>) = ((0..10_000).map(member).collect(), (0..10_000).rev().map(member).collect());
    let rows = [format!("{{{}}}", up.join(",")), format!("{{{}}}", down.join(","))];
    let mut chain = chain(&[
        ("transforms", "f,r,i"),
        ("transforms.f.type", "Flatten$Value"),
        ("transforms.r.type", "ReplaceField$Value"),
        ("transforms.r.renames", "k7.n:seven"),
        ("transforms.i.type", "InsertField$Value"),
        ("transforms.i.offset.field", "k9.n"),
    ]);
    let (found, rejects, _) = apply(&mut chain, json_batch(&rows.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((found.len(), rejects), (2, vec![]));
    let value =
        |key: usize, offset: i64| if key == 7 { "\"seven\":7".to_owned() } else { format!("\"k{key}.n\":{}", if key == 9 { offset } else { key as i64 }) };
    let expected = [(0..10_000).map(|key| value(key, 100)).collect::<Vec<_>>(), (0..10_000).rev().map(|key| value(key, 101)).collect()];
    for ((.., text), members) in found.iter().zip(expected) {
        assert_eq!(text.as_deref(), Some(format!("{{{}}}", members.join(",")).as_str()));
    }
}
