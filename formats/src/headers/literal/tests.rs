//! What texts are, as a table: text → schema and value.

use proptest::prelude::*;

use super::*;

/// A value as `type:text`, and one without a value as `null`.
fn shown(text: &str) -> String {
    match parse(text) {
        None => "null".to_owned(),
        Some((kind, literal)) => format!("{}:{}", name(&kind), literal),
    }
}

fn name(kind: &Type) -> String {
    let inner = |kind: &Option<Box<Type>>| kind.as_ref().map_or("?".to_owned(), |kind| name(kind));
    match kind {
        Type::Array(item) => format!("array<{}>", inner(item)),
        Type::Map(key, value) => format!("map<{},{}>", inner(key), inner(value)),
        other => format!("{other:?}").to_lowercase(),
    }
}

#[test]
fn plain_texts() {
    for (text, expected) in [
        ("", "string:"),
        (" ", "string: "),
        ("simple", "string:simple"),
        (" null ", "null"),
        ("\tfalse\n", "boolean:false"),
        ("TRUE", "string:TRUE"),
        ("true}", "string:true}"),
        ("\"quoted\"", "string:\"quoted\""),
        ("three\"blind\\\"mice", "string:three\"blind\\\"mice"),
        ("127", "int8:127"),
        ("-129", "int16:-129"),
        ("32768", "int32:32768"),
        ("2147483648", "int64:2147483648"),
        ("9223372036854775808", "decimal(0):9223372036854775808"),
        ("1.0", "int8:1"),
        ("007", "int8:7"),
        ("+5", "int8:5"),
        ("1e3", "int16:1000"),
        ("1.5", "float32:1.5"),
        ("3.4e39", "float64:3.4E39"),
        ("1e400", "decimal(-400):1E+400"),
        ("0x10", "string:0x10"),
        ("NaN", "string:NaN"),
        ("5:6", "int8:5"), // what follows a value is not looked at
        ("é", "string:é"),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn dates_and_times() {
    for (text, expected) in [
        ("2019-08-23", "date:2019-08-23"),
        ("14:34:54.346Z", "time:14:34:54.346Z"),
        ("14\\:34\\:54.346Z", "time:14:34:54.346Z"),
        ("2019-08-23T14:34:54.346Z", "timestamp:2019-08-23T14:34:54.346Z"),
        ("2019-08-23T14\\:34\\:54.346Z", "timestamp:2019-08-23T14:34:54.346Z"),
        ("2019-8-231", "date:2020-03-18"),
        ("2019-08-2", "string:2019-08-2"),
        ("[2019-08-23]", "array<date>:[2019-08-23]"),
        ("[14:34:54.346Z]", "array<time>:[14:34:54.346Z]"),
        ("[\"2019-08-23T14:34:54.346Z\"]", "array<timestamp>:[2019-08-23T14:34:54.346Z]"),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn arrays_and_maps() {
    for (text, expected) in [
        ("[]", "array<?>:[]"),
        ("{}", "map<?,?>:{}"),
        ("[true, false]", "array<boolean>:[true,false]"),
        ("[1, 300]", "array<int16>:[1,300]"),
        ("[300, 1, 2.5]", "array<float32>:[300.0,1.0,2.5]"),
        ("[1,]", "array<int8>:[1]"),
        ("[1, 2, 3,,,]", "string:[1, 2, 3,,,]"),
        ("[1, 2, 3, \"four\"]", "array<?>:[1,2,3,\"four\"]"),
        ("[null]", "array<?>:[null]"),
        ("[1, null]", "string:[1, null]"), // a type of required items holds no null
        ("[0 1 2]", "string:[0 1 2]"),
        ("[foo]", "string:[foo]"),
        ("[[]]", "array<array<?>>:[[]]"),
        ("{\"a\":1}", "map<string,int8>:{\"a\":1}"),
        ("{ \"foo\" : \"123\", \n\"bar\" : \"baz\" } ", "map<string,string>:{\"foo\":\"123\",\"bar\":\"baz\"}"),
        ("{\"a\":1,\"a\":300}", "map<string,int16>:{\"a\":300}"),
        ("{1:2,300:4}", "map<int16,int8>:{1:2,300:4}"),
        ("{\"a\":null}", "map<string,?>:{\"a\":null}"),
        ("{true: false, false: true}", "map<boolean,boolean>:{true:false,false:true}"),
        ("{\"a\":{}}", "map<string,map<?,?>>:{\"a\":{}}"),
        ("{6:9 4:20}", "string:{6:9 4:20}"),
        ("{foo: 3}", "string:{foo: 3}"),
        ("{null: 3}", "string:{null: 3}"),
        ("[\"a\\\"b\"]", "array<string>:[\"a\\\\\\\"b\"]"),
        ("[1] and more", "array<int8>:[1]"),
    ] {
        assert_eq!(shown(text), expected, "{text:?}");
    }
}

#[test]
fn nesting_ends_before_the_stack_does() {
    for depth in [MAX_DEPTH, MAX_DEPTH + 1, 100_000] {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let is_array = matches!(parse(&text), Some((Type::Array(_), _)));
        assert_eq!(is_array, depth <= MAX_DEPTH, "{depth}");
    }
    assert_eq!(parse(&"{\"a\":".repeat(50_000)), Some((Type::String, Literal::String("{\"a\":".repeat(50_000)))));
}

proptest! {
    #[test]
    fn any_text_is_a_value(text: String, literal in "[\\[\\]{},:\"\\\\ 0-9a-z.+-]{0,40}", nested in "[\\[\\]{}:,1\" ]{0,60}") {
        for text in [&text, &literal, &nested] {
            if let Some((Type::String, Literal::String(found))) = parse(text) {
                // As upstream, blanks before an array that is none are all that is left of the text.
                prop_assert!(&found == text || (is_blank(&found) && text.starts_with(&found)), "{:?} of {:?}", found, text);
            }
        }
    }

    /// What is printed is read again as the same, where its strings need no escapes.
    #[test]
    fn what_is_printed_is_read_again(items in prop::collection::vec(any::<i64>(), 1..5), names in prop::collection::hash_set("[a-z]{1,6}", 0..4), float: f32) {
        let array = format!("[{}]", items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        let map = format!("{{{}}}", names.iter().map(|name| format!("\"{name}\" : {}", items[0])).collect::<Vec<_>>().join(" , "));
        for text in [array, map, float.to_string(), items[0].to_string()] {
            let Some((kind, literal)) = parse(&text) else { panic!("{text} is something") };
            prop_assert_eq!(parse(&literal.to_string()), Some((kind, literal)));
        }
    }
}
