//! Texts that say something of values, schemas, times and names.

use std::hint::black_box;

use lakehead::calendar::pattern::Pattern;
use lakehead::calendar::{Zone, iso};
use lakehead::runtime::errors::folder::names::FileName;
use lakehead::store::names;
use lakehead::transform::path::{FieldPath, Syntax};
use lakehead_formats::column::Column;
use lakehead_formats::dates::DateFormat;
use lakehead_formats::schema::avro::inline;
use lakehead_formats::schema::compatibility::{Compatibility, is_alike, project, unite, verdict};
use lakehead_formats::schema::{Conflict, from_connect_json};
use lakehead_formats::{headers, payload};

use super::split;

fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// SimpleHeaderConverter: the text of a value reads as a value with a text; a second time nothing is changed by that. As upstream's it reads `1.5E16` as an integer, and does not
/// take back the `\\` that it puts before quotes in arrays.
pub(crate) fn simple_header(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let Some(once) = rendered(&read(text)) else { return };
    let twice = rendered(&read(&once)).expect("its own text");
    let again = rendered(&read(&twice)).expect("its own text");
    assert!(again == twice || twice.contains('\\'), "{again:?} is not {twice:?}, from {text:?}");
}

fn read(text: &str) -> Column {
    let column = headers::literal_column(text);
    assert_eq!(column.len(), 1);
    column.array.to_data().validate_full().expect("a sound array");
    column
}

fn rendered(column: &Column) -> Option<String> {
    let writer = payload::find_for_headers("SimpleHeaderConverter").expect("the converter");
    let mut writer = (writer.build)(&payload::Options::from([("converter.type".to_owned(), "header".to_owned())])).expect("settings that it takes");
    let written = writer.write(column);
    let is_there = written.rejects.is_empty() && arrow::array::Array::is_valid(&written.payloads, 0);
    is_there.then(|| String::from_utf8_lossy(written.payloads.value(0)).into_owned())
}

/// Connect's schemas as JSON, two of them: their union takes both, and `schema.compatibility` has an answer that holds.
pub(crate) fn connect_schema(data: &[u8]) {
    let (first, second) = split(data);
    let (Ok(first), Ok(second)) = (from_connect_json("value", first), from_connect_json("value", second)) else { return };
    match unite(&first, &second) {
        Ok(both) => {
            for version in [&first, &second] {
                assert_eq!(&unite(&both, version).expect("it has it"), &both, "{version:?} once more");
                assert!(is_alike(&both, &unite(&both, version).expect("it has it")));
            }
            unite(&second, &first).expect("the other way round");
        }
        Err(Conflict { .. }) => assert!(unite(&second, &first).is_err(), "{first:?} and {second:?}"),
    }
    for mode in Compatibility::ALL {
        if verdict(mode, &first, &second) == Ok(lakehead_formats::schema::compatibility::Verdict::Project) {
            let rows = arrow::array::new_empty_array(first.data_type());
            project(&rows, &first, &second).expect("what can be projected is");
        }
    }
}

/// Avro schemas that refer to each other, made one: which refers to nothing.
pub(crate) fn avro_inline(data: &[u8]) {
    let (first, second) = split(data);
    let (Some(first), Some(second)) = (text(first), text(second)) else { return };
    if let Ok(whole) = inline(first, &[second]) {
        assert_eq!(inline(&whole, &[]).as_deref(), Ok(whole.as_str()), "from {first:?} with {second:?}");
    }
}

/// Time zones, patterns of dates and dates: a pattern, a zero byte, a text.
pub(crate) fn dates(data: &[u8]) {
    const INSTANTS: [i64; 6] = [0, -1, 1_700_000_000_000, 951_782_400_000, -62_135_596_800_000, 253_402_300_799_999];
    let (pattern, rest) = split(data);
    let (Some(pattern), Some(rest)) = (text(pattern), text(rest)) else { return };
    let zone = Zone::parse(rest).ok();
    if let Some(zone) = zone {
        assert_eq!(Zone::parse(&zone.id()).map(|again| again.offset_ms(0)), Ok(zone.offset_ms(0)), "{rest:?}");
        for ms in INSTANTS {
            let (start, next) = (zone.start_of_day(ms), zone.next_day(ms));
            assert!(start <= ms && ms < next, "{rest:?}: {start} {ms} {next}");
        }
    }
    let zone = zone.or_else(|| Zone::parse("UTC").ok()).expect("there is UTC");
    for made in [Pattern::joda(pattern, "en"), Pattern::joda(pattern, rest), Pattern::java(pattern)].into_iter().flatten() {
        assert!(made.granularity_ms() > 0, "{pattern:?}");
        for ms in INSTANTS {
            let mut out = String::new();
            assert!(made.push(ms, zone, &mut out).is_some() || ms.abs() > 1_800_000_000_000, "{pattern:?} {ms}");
        }
    }
    if let Ok(Some(format)) = DateFormat::compile(pattern, 1_700_000_000_000) {
        black_box(format.parse(rest));
    }
    for text in [pattern, rest] {
        black_box(iso::parse_date_time(text));
        if let Some((ms, length)) = iso::parse_offset(text.as_bytes()) {
            assert!(ms.abs() <= 24 * 3_600_000 && length <= text.len(), "{text:?}");
        }
    }
}

/// Paths to fields: names in backticks are these names.
pub(crate) fn field_path(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let as_it_is = FieldPath::parse(text, Syntax::V1).expect("any text");
    assert_eq!(as_it_is.steps(), [text]);
    let Ok(path) = FieldPath::parse(text, Syntax::V2) else { return };
    if path.steps().iter().all(|step| !step.contains(['`', '\\'])) {
        let quoted: Vec<String> = path.steps().iter().map(|step| format!("`{step}`")).collect();
        let again = FieldPath::parse(&quoted.join("."), Syntax::V2);
        assert_eq!(again.as_ref(), Ok(&path), "{text:?}");
    }
}

/// Names of objects and of dead letters' files.
pub(crate) fn object_key(data: &[u8]) {
    let (key, delimiter) = split(data);
    let (Some(key), Some(delimiter)) = (text(key), text(delimiter)) else { return };
    for delimiter in ["+", delimiter] {
        if let Some(named) = names::parse(key, delimiter) {
            let names::Named { source, partition, start, extension } = named;
            assert!(partition >= 0 && start >= 0);
            let again = format!("a/{source}{delimiter}{partition}{delimiter}{start}{extension}");
            assert_eq!(names::parse(&again, delimiter), Some(named), "{key:?}");
        }
    }
    if let Some(name) = FileName::parse(key) {
        assert_eq!(FileName::parse(&name.to_string()), Some(name), "{key:?}");
    }
}
