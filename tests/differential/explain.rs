//! Where we are not as Java, and why: each reason with the differences that it is about.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::judge::Difference;

/// A reason, and which differences it explains.
pub(crate) struct Reason {
    pub(crate) text: &'static str,
    pub(crate) is_about: fn(&Value, &Difference) -> bool,
}

const fn reason(text: &'static str, is_about: fn(&Value, &Difference) -> bool) -> Reason {
    Reason { text, is_about }
}

/// Every reason; the first that holds is counted.
pub(crate) static REASONS: &[Reason] = &[
    // Of configurations.
    reason(
        "RegexRouter: a replacement that no match can fill in is refused with the configuration; Java fails at the first topic that matches",
        is_of_replacement,
    ),
    reason("an expression that cannot be read is refused in the words of the engine that reads it", |_, found| {
        found.what == "text of refusal" && found.java.to_string().contains("Invalid regex")
    }),
    reason("lists with an empty entry are taken: Java takes them up to 4.1", |_, found| {
        found.what.contains("refusal") && said(&found.java).contains("values must not be empty")
    }),
    reason("of several settings that are wrong, which one is told first", |case, found| found.what == "text of refusal" && kind(case) == "chain"),
    reason("schema.content acts without schemas.enable too: Java then ignores it", |case, found| {
        kind(case) == "to_connect" && case["config"]["schema.content"].is_string() && case["config"]["schemas.enable"] == "false" && is_outcome(found)
    }),
    reason("a converter's refusal of a setting is in our words", |case, found| found.what == "text of refusal" && kind(case) != "chain"),
    // Of nulls.
    reason("a null has no schema of its own: it goes on where the schema of its neighbours cannot be rewritten", |case, found| {
        matches!(found.what, "failure" | "failing transform" | "text of error") && meets_null(case, found.at) && has_any(case, SCHEMA_READERS)
    }),
    reason("HoistField: a null beside values with a schema is hoisted under theirs, Java's into a map without one", |case, found| {
        is_outcome(found) && has_any(case, &["HoistField"]) && (0..records(case).len()).any(|at| meets_null(case, at))
    }),
    // Of values.
    reason("SetSchemaMetadata names schemas other than structs too; Java fails", |_, found| {
        found.what == "failure" && said(&found.java) == "Cannot list fields on non-struct type"
    }),
    reason("a decimal has the scale of its schema; Java's MaskField and reader of JSON numbers leave others, which no converter writes", |case, found| {
        (has_any(case, &["MaskField"]) || kind(case) == "to_connect") && is_outcome(found) && found.ours.to_string().contains("\"decimal\"")
    }),
    reason("Cast: the whole of a logical type keeps its name, of which Java then takes no value in a field", |case, found| {
        has_any(case, &["Cast"])
            && found.what == "failure"
            && (said(&found.java).starts_with("Invalid Java object for schema \"org.apache.kafka.connect.data.")
                || said(&found.java) == "Invalid default value")
    }),
    reason("Cast: Java before 19 prints some floats with a digit too many (JDK-4511638)", |case, found| {
        let number = |text: &str| text.parse::<f64>().ok().map(|number| (number as f32).to_bits());
        let texts =
            |value: &Value| value.to_string().split('"').map(|part| number(part).map_or_else(|| part.to_owned(), |bits| bits.to_string())).collect::<Vec<_>>();
        let sorted = |value: &Value| {
            let mut texts = texts(&super::tagged::normal(value));
            texts.sort();
            texts
        };
        has_any(case, &["Cast"]) && is_outcome(found) && sorted(&found.java) == sorted(&found.ours)
    }),
    reason("a field may have an empty name", |_, found| said(&found.java).contains("fieldName cannot be null")),
    reason("Flatten: of two fields that get one name, Java's hash table decides which is left", |case, found| {
        has_any(case, &["Flatten"])
            && is_outcome(found)
            && (case["records"].to_string().contains("\"string\":\"\"") || case["records"].to_string().contains("a.b"))
    }),
    reason("TimestampConverter: what is printed is in UTC; in Java in the last zone that was read", |case, found| {
        let has_zone = |pattern: &str| pattern.contains(['Z', 'X', 'z']);
        let formats = case["props"].as_object().into_iter().flatten().filter(|(key, _)| key.ends_with(".format")).filter_map(|(_, format)| format.as_str());
        has_any(case, &["TimestampConverter"]) && is_outcome(found) && formats.into_iter().any(has_zone)
    }),
    reason("ReplaceField: of two fields that get one name, Java's hash table decides which is left", |case, found| {
        has_any(case, &["ReplaceField"]) && has_ambiguous_renames(case) && (is_outcome(found) || found.what == "failure")
    }),
    reason("InsertField: a record without a required timestamp is bad at once; Java's converter finds that later", |case, found| {
        found.what == "failure" && has_any(case, &["InsertField"]) && said(&found.ours).contains("null used for required field")
    }),
    reason("TimestampConverter reads no patterns with weeks", |_, found| said(&found.ours).contains("has weeks, which are printed only")),
    reason("days beyond 32 bits are bad records: Date has no more", |_, found| said(&found.ours).contains("out of range for a Date")),
    reason("a header of a list or map whose elements have no common schema has none of ours: its text is the same", |case, found| {
        found.what == "headers"
            && has_any(case, &["InsertHeader"])
            && ["\"items\":null", "\"keys\":null", "\"values\":null"].iter().any(|none| found.java.to_string().contains(none))
    }),
    // Of JSON.
    reason("-0.0 keeps its sign in JSON: Java reads it as 0.0", |case, found| {
        kind(case) == "to_connect" && is_outcome(found) && found.ours.to_string().contains("-0.0") && !found.java.to_string().contains("-0.0")
    }),
    reason("JSON is that of RFC 8259: no leading zeros, nothing after the value; Java's reader lets some pass", |case, found| {
        kind(case) == "to_connect" && found.what == "failure" && said(&found.ours).contains("malformed json")
    }),
    reason("a value of another type than its schema says is a bad record; Java makes up a value, or a null", |case, found| {
        kind(case) == "to_connect" && found.what == "failure" && found.java.get("error").is_none() && is_of_another_type(said(&found.ours))
    }),
    reason("characters beyond 16 bits are written as they are; Java's writer escapes them in two halves", |case, found| {
        found.what == "bytes"
            && payload(&found.java).to_lowercase().contains("\\ud")
            && case["class"].as_str().is_some_and(|class| class.ends_with("JsonConverter"))
    }),
    reason("StringConverter: bytes within others have no text; Java prints where they are in its memory", |case, found| {
        case["schema"].to_string().contains("\"bytes\"")
            && (payload(&found.java).replace('\0', "").contains("[B@") || said(&found.ours).contains("bytes have no text"))
    }),
    reason("a number that is whole is one of days or ms also when it is written with a point; Java takes digits alone", |case, found| {
        kind(case) == "to_connect" && found.what == "failure" && said(&found.java).contains("underlying representation should be integer but was NUMBER")
    }),
    reason("JsonConverter: a schema's default that is a decimal is written in base64 also where decimal.format=NUMERIC", |case, found| {
        found.what == "bytes"
            && case["config"]["decimal.format"].as_str().is_some_and(|format| format.eq_ignore_ascii_case("NUMERIC"))
            && case["schema"].to_string().contains("data.Decimal")
    }),
    reason("MaskField: a replacement that no decimal of the schema's scale can be is refused", |case, found| {
        found.what == "failure" && has_any(case, &["MaskField"]) && said(&found.ours).contains("does not fit into")
    }),
    reason("half a surrogate pair and what is no UTF-16 are replaced, or refused, in other places than Java's", |case, found| {
        let is_half = found.ours.to_string().contains("\"?\"") || said(&found.ours).contains("surrogate pair");
        let is_utf16 = case["config"]["converter.encoding"] == "UTF-16" && found.java.to_string().contains('\u{fffd}');
        kind(case) == "to_connect" && (is_half || is_utf16)
    }),
    reason("JSON numbers beyond all exponents are infinite; Java's reader refuses those with ten digits of them", |case, found| {
        kind(case) == "to_connect" && found.what == "failure" && found.ours.to_string().contains("Infinity")
    }),
    reason("InsertField: a required timestamp is optional in a batch where a null has none", |case, found| {
        has_any(case, &["InsertField"]) && is_outcome(found) && records(case).iter().any(|record| record["timestamp"].is_null())
    }),
    reason("instants beyond what a calendar of 64 bits reaches are bad records", |case, found| {
        found.what == "failure" && has_any(case, &["TimestampConverter"]) && said(&found.ours).ends_with("ms is out of range")
    }),
    reason("control characters around a setting are part of it; Java trims them as blanks", |case, found| {
        found.what == "headers"
            && case["props"]
                .as_object()
                .into_iter()
                .flatten()
                .any(|(key, value)| key.ends_with(".value.literal") && value.as_str().is_some_and(|text| text.trim_matches(char::is_control) != text))
    }),
    reason("TimestampConverter: numbers in a text that 64 bits do not hold are another instant", |case, found| {
        has_any(case, &["TimestampConverter"])
            && is_outcome(found)
            && ["99999999999999999999", "9223372036854775808"].iter().any(|text| case["records"].to_string().contains(text))
    }),
    reason("ByteArrayConverter: beside values that it does not write, nulls without a schema are not written either", |case, found| {
        found.what == "failure" && kind(case) == "from_connect" && said(&found.ours).starts_with("ByteArrayConverter writes bytes only")
    }),
    reason("base64 with blanks in it is read; Java takes it for another text", |_, found| said(&found.java) == "Invalid bytes for Decimal field"),
    reason("StringConverter: Java prints days before 1582 by the Julian calendar", |case, found| {
        found.what == "bytes"
            && case["class"].as_str().is_some_and(|class| class.ends_with("StringConverter"))
            && payload(&found.java).replace('\0', "").contains(" UTC ")
    }),
    reason("weeks of 1582, which lacks ten days in Java's calendar, and of years before Christ", |case, found| {
        let in_1582 = |at: &Value| at.as_i64().is_some_and(|ms| (-12_219_292_800_000..-12_212_553_600_000).contains(&ms) || ms < -62_135_596_800_000);
        is_outcome(found) && records(case).get(found.at).is_some_and(|record| in_1582(&record["timestamp"]) || record.to_string().contains("-12219292800000"))
    }),
    reason(
        "HeaderFrom: without a schema, dates within lists and maps, BigDecimals and BigIntegers, which no converter makes, are numbers of JSON",
        |case, found| {
            found.what == "headers"
                && has_any(case, &["HeaderFrom"])
                && ["\"bigint\"", "\"date\"", "\"decimal\""].iter().any(|tag| found.java.to_string().contains(tag))
        },
    ),
    // Of texts: Java's words are in ours where someone may look for them.
    reason("Java's message is about its own code; ours is about the field", |_, found| {
        found.what == "text of error"
            && ["Cannot invoke \"", "Cannot list fields", "Cannot look up fields"].iter().any(|start| said(&found.java).starts_with(start))
    }),
    reason("a record without timestamp is told by topic, partition and offset; Java prints it whole", |_, found| {
        found.what == "text of error" && said(&found.java).starts_with("Timestamp missing on record")
    }),
    reason("what a converter cannot take is told in our words", |case, found| found.what == "text of error" && kind(case) != "chain"),
    reason("of several faults of a record, which one is told first", |case, found| {
        matches!(found.what, "text of error" | "failing transform") && kind(case) == "chain"
    }),
];

/// The number of the reason of a difference.
pub(crate) fn reason_of(case: &Value, difference: &Difference) -> Option<usize> {
    REASONS.iter().position(|reason| (reason.is_about)(case, difference))
}

/// Transforms that read the schema before they look at the value.
const SCHEMA_READERS: &[&str] = &["ExtractField", "TimestampConverter", "SetSchemaMetadata", "HoistField", "MaskField", "HeaderFrom", "ValueToKey"];

fn kind(case: &Value) -> &str {
    case["kind"].as_str().unwrap_or_default()
}

fn records(case: &Value) -> &[Value] {
    case["records"].as_array().map_or(&[], Vec::as_slice)
}

/// A difference in what came out, where something did.
fn is_outcome(found: &Difference) -> bool {
    !matches!(found.what, "failure" | "refusal" | "answer" | "number of outcomes") && !found.what.starts_with("text")
}

fn has_any(case: &Value, names: &[&str]) -> bool {
    let classes = case["props"].as_object().into_iter().flatten().filter(|(key, _)| key.ends_with(".type")).filter_map(|(_, class)| class.as_str());
    classes.map(|class| class.rsplit('.').next().unwrap_or_default()).any(|class| names.iter().any(|name| class.split('$').next() == Some(name)))
}

/// What a message says, of an outcome or by itself.
fn said(value: &Value) -> &str {
    let inner = value.get("error").or_else(|| value.get("refused")).map_or(value, |inner| &inner["message"]);
    inner.as_str().unwrap_or_default()
}

/// Whether a transform sees a null in the place of a record's key or value: it is one, or a field that takes its place may be.
fn meets_null(case: &Value, at: usize) -> bool {
    records(case).get(at).is_some_and(|record| record["key"].is_null() || record["value"].is_null()) || has_any(case, &["ExtractField"])
}

fn is_of_replacement(_: &Value, found: &Difference) -> bool {
    let said = said(&found.ours);
    found.what == "refusal"
        && said.contains("replacement")
        && ["No group", "Illegal group reference", "character to be escaped"].iter().any(|words| said.contains(words))
}

/// Whether one name is given to two fields, or to one that may be there.
fn has_ambiguous_renames(case: &Value) -> bool {
    let renames = case["props"].as_object().into_iter().flatten().filter(|(key, _)| key.ends_with(".renames")).filter_map(|(_, list)| list.as_str());
    renames.into_iter().any(|list| {
        let new: Vec<&str> = list.split(',').filter_map(|pair| pair.split(':').nth(1)).collect();
        let text = case["records"].to_string();
        new.iter().enumerate().any(|(at, name)| new[..at].contains(name) || text.contains(&format!("\"{name}\"")))
    })
}

fn is_of_another_type(said: &str) -> bool {
    [
        "is a number, not",
        "is a string, not",
        "is a boolean, not",
        "is an array, not",
        "is an object, not",
        "does not fit",
        "cannot be used",
        "is missing",
        "base64",
    ]
    .iter()
    .any(|words| said.contains(words))
}

fn payload(bytes: &Value) -> String {
    let bytes = bytes.as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
