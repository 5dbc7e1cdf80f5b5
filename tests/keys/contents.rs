//! Keys that decide what is in an object and what goes with it, and what is done when its name is taken.

use bytes::Bytes;
use lakehead::connect::ErrorKind;
use parquet::file::reader::{FileReader as _, SerializedFileReader};

use crate::played::{AVRO, BYTES, PARQUET, Put, Settings, objects, put};
use crate::store::{Fault, Recorder};

/// True when the bytes contain those of the text.
fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The one object's bytes say it with the key set, and do not without, or the other way round.
#[test]
fn what_files_hold() {
    let gzip = ("s3.compression.type", "gzip");
    let cases: &[(&str, &str, &[(&str, &str)], Put, &str, bool)] = &[
        ("avro.codec", "deflate", &[("format.class", AVRO)], Put::Orders, "avro.codec\u{e}deflate", true),
        ("avro.codec", "snappy", &[("format.class", AVRO)], Put::Orders, "avro.codec\u{c}snappy", true),
        ("avro.codec", "bzip2", &[("format.class", AVRO)], Put::Orders, "avro.codec\nbzip2", true),
        ("connect.meta.data", "false", &[("format.class", AVRO)], Put::Types, "\"connect.version\":3", false),
        ("enhanced.avro.schema.support", "false", &[("format.class", AVRO)], Put::Types, "\"type\":\"enum\"", false),
        ("allow.optional.map.keys", "true", &[("format.class", AVRO)], Put::Types, "MapEntry", false),
        ("json.decimal.format", "numeric", &[], Put::Types, "\"d\":12.34", true),
        ("format.bytearray.separator", "||", &[("format.class", BYTES)], Put::Bytes, "value0||value1||", true),
        ("format.bytearray.separator", "", &[("format.class", BYTES)], Put::Bytes, "value0value1", true),
        ("s3.compression.level", "0", &[gzip], Put::Orders, "{\"country\":\"a\",\"n\":0", true),
    ];
    let only = |settings: &[(&str, &str)], put| {
        let found = objects(put, settings);
        assert_eq!(found.len(), 1, "{settings:?}: {:?}", found.keys());
        found.into_values().next().expect("one object").bytes
    };
    for (key, value, with, records, text, when_set) in cases {
        let set: Vec<_> = with.iter().copied().chain([(*key, *value)]).collect();
        let (before, after) = (only(with, *records), only(&set, *records));
        assert_ne!(before, after, "{key}={value} changes nothing");
        assert_eq!((contains(&before, text), contains(&after, text)), (!when_set, *when_set), "{key}={value}");
    }
}

/// `parquet.codec`, as the footer has it.
#[test]
fn codecs_of_parquet_files() {
    let level = |codec: &str| codec.split('(').next().unwrap_or_default().to_owned();
    for (codec, expected) in
        [("none", "UNCOMPRESSED"), ("snappy", "SNAPPY"), ("gzip", "GZIP"), ("brotli", "BROTLI"), ("lz4", "LZ4"), ("zstd", "ZSTD"), ("lz4_raw", "LZ4_RAW")]
    {
        for (key, object) in objects(Put::Orders, &[("format.class", PARQUET), ("parquet.codec", codec)]) {
            let reader = SerializedFileReader::new(Bytes::from(object.bytes)).expect("a Parquet file");
            assert_eq!(level(&format!("{:?}", reader.metadata().row_group(0).column(0).compression())), expected, "{key}");
        }
    }
}

/// `s3.object.tagging`, `s3.object.tagging.key.value.pairs` and `s3.object.behavior.on.tagging.error`.
#[test]
fn tags_of_objects() {
    let tagging = ("s3.object.tagging", "true");
    let own = [("endOffset", "3"), ("recordCount", "4"), ("startOffset", "0")];
    let cases: [(&[(&str, &str)], Vec<(&str, &str)>); 3] = [
        (&[("s3.object.tagging.key.value.pairs", "team:data")], vec![]),
        (&[tagging], own.to_vec()),
        (&[tagging, ("s3.object.tagging.key.value.pairs", "team:data,env:prod")], own.into_iter().chain([("env", "prod"), ("team", "data")]).collect()),
    ];
    for (settings, mut expected) in cases {
        expected.sort_unstable();
        for object in objects(Put::Orders, settings).values() {
            let tags: Vec<(&str, &str)> = object.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            assert_eq!(tags, expected, "{settings:?}");
        }
    }
    for (on_error, fails) in [("ignore", false), ("fail", true)] {
        let store = Recorder::default();
        store.fail(Fault::parse("PutObjectTagging returns 403").expect("a fault"));
        let (played, found) = put(Put::Orders, &[tagging, ("s3.object.behavior.on.tagging.error", on_error)], false, &store);
        assert_eq!((played.error.is_some(), found.len()), (fails, 1), "{on_error}: {:?}", played.error);
    }
}

/// `enable.conditional.writes` and `max.files.scan.limit`: what becomes of a name that is taken, and where reading is to go on.
#[test]
fn names_that_are_taken() {
    const BASE: Settings = &[("rotate.schedule.interval.ms", "3600000"), ("timezone", "UTC")];
    let cases: [(&[(&str, &str)], Option<i64>); 3] =
        [(&[], Some(2)), (&[("enable.conditional.writes", "false")], None), (&[("max.files.scan.limit", "1")], Some(1))];
    for (settings, goes_on_at) in cases {
        let store = Recorder::default();
        let taken: Vec<String> = (0..2).map(|offset| format!("topics/t/partition=0/t+0+{offset:010}.json")).collect();
        taken.iter().for_each(|key| store.put_foreign(key));
        let settings: Vec<_> = BASE.iter().chain(settings).copied().collect();
        let (played, found) = put(Put::Orders, &settings, false, &store);
        let asked = played.error.map(|error| (error.kind, error.rewind.get("t-0").copied()));
        assert_eq!(asked, goes_on_at.map(|offset| (ErrorKind::Rewind, Some(offset))), "{settings:?}");
        assert_eq!(found[&taken[0]].foreign, goes_on_at.is_some(), "{settings:?}");
    }
}
