//! `SimpleDateFormat.parse`, as tests: pattern | text → instant.

use chrono::{DateTime, NaiveDateTime};
use proptest::prelude::*;

use super::*;

/// 2026-06-15T00:00Z.
const MADE_MS: i64 = 1_781_481_600_000;

fn format(pattern: &str) -> DateFormat {
    DateFormat::compile(pattern, MADE_MS).expect(pattern).expect("no weeks")
}

fn parsed(pattern: &str, text: &str) -> Option<String> {
    let ms = format(pattern).parse(text)?;
    Some(DateTime::from_timestamp_millis(ms).expect("a near instant").format("%FT%T%.3fZ").to_string())
}

#[test]
fn texts_are_read_by_their_pattern() {
    for (pattern, text, expected) in [
        ("yyyy-MM-dd", "2019-08-23", "2019-08-23T00:00:00.000Z"),
        ("yyyy MM dd HH mm ss SSS z", "1970 01 02 00 00 01 234 UTC", "1970-01-02T00:00:01.234Z"),
        ("yyyyMMdd", "20190823", "2019-08-23T00:00:00.000Z"),
        ("yyyyMMddHHmmssSSS", "20190823143454346", "2019-08-23T14:34:54.346Z"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSS'Z'", "2019-08-23T14:34:54.346Z", "2019-08-23T14:34:54.346Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "2019-08-23T14:34:54+02:00", "2019-08-23T12:34:54.000Z"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "2019-08-23T14:34:54Z", "2019-08-23T14:34:54.000Z"),
        ("yyyy-MM-dd HH:mmX", "2019-08-23 14:34-08", "2019-08-23T22:34:00.000Z"),
        ("yyyy-MM-dd HH:mmXX", "2019-08-23 14:34+0130", "2019-08-23T13:04:00.000Z"),
        ("yyyy-MM-dd HH:mm:ss Z", "2019-08-23 14:34:54 -0700", "2019-08-23T21:34:54.000Z"),
        ("yyyy-MM-dd HH:mm z", "2019-08-23 14:34 GMT+2:00", "2019-08-23T12:34:00.000Z"),
        ("yyyy-MM-dd HH:mm z", "2019-08-23 14:34 gmt", "2019-08-23T14:34:00.000Z"),
        ("yyyy-MM-dd HH:mm z", "2019-08-23 14:34 PST", "2019-08-23T22:34:00.000Z"),
        ("EEE, d MMM yyyy HH:mm:ss Z", "Fri, 23 Aug 2019 14:34:54 +0000", "2019-08-23T14:34:54.000Z"),
        ("MMMM d, yyyy", "august 3, 2019", "2019-08-03T00:00:00.000Z"),
        ("MMM d, yyyy", "August 3, 2019", "2019-08-03T00:00:00.000Z"),
        ("hh:mm a", "12:05 AM", "1970-01-01T00:05:00.000Z"),
        ("hh:mm a", "12:05 pm", "1970-01-01T12:05:00.000Z"),
        ("KK:mm a", "11:05 PM", "1970-01-01T23:05:00.000Z"),
        ("kk:mm", "24:05", "1970-01-01T00:05:00.000Z"),
        ("yyyy-DDD", "2020-060", "2020-02-29T00:00:00.000Z"),
        ("yy-MM-dd", "19-08-23", "2019-08-23T00:00:00.000Z"),
        ("yy-MM-dd", "99-08-23", "1999-08-23T00:00:00.000Z"),
        ("yy-MM-dd", "46-06-14", "2046-06-14T00:00:00.000Z"),
        ("yy-MM-dd", "46-06-16", "1946-06-16T00:00:00.000Z"),
        ("yy-MM-dd", "2019-08-23", "2019-08-23T00:00:00.000Z"),
        ("''yyyy''", "'2019'", "2019-01-01T00:00:00.000Z"),
        ("yyyy", "1", "0000-12-30T00:00:00.000Z"), // 1 January of year 1 in the Julian calendar
    ] {
        assert_eq!(parsed(pattern, text).as_deref(), Some(expected), "{pattern} of {text:?}");
    }
}

#[test]
fn reading_is_lenient_as_upstream_is() {
    for (pattern, text, expected) in [
        ("yyyy-MM-dd", "2019-13-45", Some("2020-02-14T00:00:00.000Z")),
        ("yyyy-MM-dd", "2019-8-3 and more", Some("2019-08-03T00:00:00.000Z")),
        ("yyyy-MM-dd", "  2019- 8-3", Some("2019-08-03T00:00:00.000Z")),
        ("HH:mm:ss.SSS", "14:34:54.5", Some("1970-01-01T14:34:54.005Z")),
        ("HH:mm:ss.SSS", "14:34:54.123456", Some("1970-01-01T14:36:57.456Z")),
        ("HH:mm", "25:70", Some("1970-01-02T02:10:00.000Z")),
        ("HH:mm", "-1:30", Some("1969-12-31T23:30:00.000Z")),
        ("yyyy-MM-dd", "2019-08", None),
        ("yyyy-MM-dd", "2019/08/23", None),
        ("yyyyMMdd", "2019082", Some("2019-08-02T00:00:00.000Z")),
        ("yyyyMMdd", "201", None),
        ("yyyyMMdd", " 20190823", Some("0210-09-01T00:00:00.000Z")), // year 201, month 90, day 823
        ("MMM", "Smarch", None),
        ("Z", "+0560", None),
        ("Z", "+2400", None),
        ("X", "2", None),
        ("XXX", "+0200", None),
        ("z", "Nowhere", None),
        ("yyyy", "", None),
        ("yyyy", "+2019", None),
        ("", "anything", Some("1970-01-01T00:00:00.000Z")),
    ] {
        assert_eq!(parsed(pattern, text).as_deref(), expected, "{pattern} of {text:?}");
    }
}

#[test]
fn patterns_are_checked_as_in_java() {
    for (pattern, message) in [
        ("bad-format", "Illegal pattern character 'b'"),
        ("yyyy'x", "Unterminated quote"),
        ("XXXX", "invalid ISO 8601 format: length=4"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSn", "Illegal pattern character 'n'"),
    ] {
        assert_eq!(DateFormat::compile(pattern, MADE_MS).expect_err(pattern), message);
    }
    assert!(DateFormat::compile("YYYY-'W'ww", MADE_MS).expect("a pattern").is_none(), "weeks are not read");
}

proptest! {
    #[test]
    fn what_a_clock_prints_is_read_again(ms in -12_000_000_000_000_i64..200_000_000_000_000) {
        let local: NaiveDateTime = DateTime::from_timestamp_millis(ms).expect("an instant").naive_utc();
        for (pattern, chrono) in [("yyyy-MM-dd HH:mm:ss.SSS", "%Y-%m-%d %H:%M:%S%.3f"), ("D yyyy h:m:s.SSS a", "%j %Y %I:%M:%S%.3f %p"), ("EEEE dd MMMM yyyy kk:mm:ss.SSS", "%A %d %B %Y %H:%M:%S%.3f")] {
            prop_assert_eq!(format(pattern).parse(&local.format(chrono).to_string()), Some(ms), "{}", pattern);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(pattern in "[GyMdDEuaHkKhmsSzZX:' -]{0,12}", text: String, digits in "[0-9: +-]{0,40}") {
        if let Ok(Some(format)) = DateFormat::compile(&pattern, MADE_MS) {
            prop_assert_eq!(format.parse(&text).is_some(), format.parse(&format!("{text} and more")).is_some() && format.parse(&text).is_some());
            prop_assert!(format.parse(&digits).is_none_or(|ms| ms != i64::MIN));
        }
    }
}
