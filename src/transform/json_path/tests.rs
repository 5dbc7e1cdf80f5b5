//! Paths held against what Jayway's JsonPath 2.9.0 said of the same documents, with the option that upstream sets (`ALWAYS_RETURN_LIST`).

use arrow::array::StringArray;
use lakehead_formats::schemaless::{Dynamic, read_json};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// `y` (something is found), `n` (nothing is), `m` (the path is not in the document) or `f` (it fails) for each document.
fn outcomes(path: &JsonPath, values: &Dynamic) -> String {
    let found = find(path, values).unwrap();
    let outcome = |row: usize| match (found.failed.iter().any(|(failed, _)| *failed == row), found.missing.value(row), found.hits.value(row)) {
        (true, ..) => 'f',
        (_, true, _) => 'm',
        (_, _, true) => 'y',
        _ => 'n',
    };
    (0..values.len()).map(outcome).collect()
}

fn values(documents: &[String]) -> Dynamic {
    let read = read_json(&StringArray::from_iter_values(documents)).unwrap();
    assert!(read.rejects.is_empty());
    read.values
}

#[test]
fn what_is_found_is_what_jayway_finds() {
    let vectors: Value = serde_json::from_str(include_str!("vectors.json")).unwrap();
    let documents: Vec<String> = vectors["documents"].as_array().unwrap().iter().map(Value::to_string).collect();
    let all = values(&documents);
    let mut wrong = Vec::new();
    for vector in vectors["paths"].as_array().unwrap() {
        let (text, expected) = (vector[0].as_str().unwrap(), vector[1].as_str().unwrap());
        let path = parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
        let found = outcomes(&path, &all);
        let each: String = documents.iter().map(|document| outcomes(&path, &values(std::slice::from_ref(document)))).collect();
        assert_eq!(found, each, "{text}: together and one by one");
        let places = found.chars().zip(expected.chars()).zip(&documents);
        wrong.extend(
            places
                .filter(|((found, expected), _)| found != expected)
                .map(|((found, expected), document)| format!("{text} in {document}: {found}, not {expected}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    for (path, part) in [
        ("", "it is empty"),
        ("$a", "'.' or '[' is missing at position 1"),
        ("$.", "a name is missing at position 2"),
        ("$..a", "'..' (every descendant) is not supported"),
        ("$.a.length()", "functions, as 'length()', are not supported"),
        ("$['a','b']", "several names at once"),
        ("$[1,2]", "several items at once, as [1,2],"),
        ("$[1:2]", "several items at once, as [1:2],"),
        ("$[a]", "a name in quotes, an index, '*' or '?(' is missing"),
        ("$['a'", "']' is missing"),
        ("$['a]", "that ends a text is missing: it begins at position 2"),
        ("$.a b", "a name with blanks stands in brackets"),
        ("$[?(@.a == 1]", "')' is missing"),
        ("$[?(@.a = 1)]", "'=' is no operator that is supported"),
        ("$[?(@.a like 'x')]", "'like' is no operator that is supported"),
        ("$[?(@.a all ['x'])]", "'all' is no operator that is supported"),
        ("$[?(@.a == x)]", "a value is missing"),
        ("$[?(@.a == )]", "a value is missing"),
        ("$[?(@.a == [1])]", "a list is compared by in"),
        ("$[?(@.a in [[1]])]", "an item of a list is no list"),
        ("$[?(@.a in 'x')]", "a list is missing"),
        ("$[?(@.a == /x/)]", "=~ takes a regular expression"),
        ("$[?(@.a =~ 'x')]", "=~ takes a regular expression"),
        ("$[?(@.a =~ /x/d)]", "the flag 'd'"),
        ("$[?(@.a =~ /(/)]", "invalid regular expression"),
        ("$[?(@.a =~ /x)]", "the / that ends a regular expression is missing"),
        ("$[?(@.a in ['$.b'])]", "an item of a list is a plain text"),
        ("$[?(@.a == {})]", "objects are not supported"),
        ("$[?(@.a.length() > 1)]", "functions, as 'length()'"),
        ("$[?(@..a)]", "'..' (every descendant)"),
        ("$[?(@.a[*] == 1)]", "paths of many values are not supported in a condition"),
        ("$[?(@.a.* == 1)]", "paths of many values are not supported in a condition"),
        ("$[?(@.a[?(@.b)])]", "paths of many values are not supported in a condition"),
        ("$[?(@.a empty 1)]", "empty is compared with true or false"),
        ("$[?('a')]", "an operator is missing"),
        ("$[?(@.a&@.b)]", "'&@.b)]' is no operator"),
        ("$[?(@.a == '\\ud800')]", "is no character"),
    ] {
        let why = parse(path).unwrap_err();
        assert!(why.contains(part), "{path}: {why}");
    }
    let deep = |depth: usize| format!("$[?({}@.a{})]", "!(".repeat(depth), ")".repeat(depth));
    assert!(parse(&deep(20)).is_ok() && parse(&deep(5000)).unwrap_err().contains("more than 64 others"));
    assert!(parse(&format!("$[?({}(@.a))]", "!".repeat(5000))).is_err());
}

#[test]
fn only_what_a_path_looks_at_is_read() {
    let wanted = |path: &str| parse(path).unwrap().wanted();
    let of = |paths: &[&[&str]]| {
        let mut wanted = Wanted::default();
        paths.iter().for_each(|path| wanted.add(path));
        wanted
    };
    assert_eq!(wanted("$[?(@.a == 1 && @.b.c in ['x'])]"), of(&[&["a"], &["b", "c"]]));
    assert_eq!(wanted("$.r[?(@.a == $.b)].z"), of(&[&["r", "a"], &["b"], &["r", "z"]]));
    assert_eq!(wanted("$.l[0].x"), of(&[&["l", "x"]]));
    assert_eq!(wanted("$.l[*].x"), of(&[&["l"]]));
    assert_eq!(wanted("$[?(@)]"), Wanted::All);
    let mut touched = of(&[&["b"]]);
    touched.touch(&["r"]);
    assert_eq!(wanted("$.r[?($.b == 1)]"), touched);
}

#[test]
fn dates_bytes_and_what_is_no_number_fail_where_they_are_looked_at() {
    use lakehead_formats::schemaless::{Builder, Value as Scalar};
    let mut builder = Builder::new();
    for value in
        [Scalar::Date(0), Scalar::Bytes(b"x"), Scalar::Float64(f64::NAN), Scalar::Float32(f32::INFINITY), Scalar::Decimal("1.50"), Scalar::Float32(0.1)]
    {
        builder.open_map();
        builder.key("a");
        builder.value(value);
        builder.key("b");
        builder.value(Scalar::Int8(1));
        builder.close();
    }
    let values = builder.finish().unwrap();
    for (path, expected) in [
        ("$[?(@.a == 1.5)]", "ffffyn"),
        ("$[?(@.a > 0.1)]", "ffffyn"),
        ("$[?(@.a >= 0.1)]", "ffffyy"),
        ("$[?(!(@.a == 1.5))]", "ffffny"),
        ("$[?(@.b == 1 || @.a == 1)]", "yyyyyy"),
        ("$[?(@.b == 2 && @.a == 1)]", "nnnnnn"),
        ("$[?(@.a == 1.5 || @.b == 1)]", "ffffyy"),
        ("$[?(@.a)]", "yyyyyy"),
        ("$[?(@.a == @.a)]", "ffffyy"),
    ] {
        assert_eq!(outcomes(&parse(path).unwrap(), &values), expected, "{path}");
    }
}

/// Texts of conditions, most of them right.
fn condition() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec!["@.a", "$.b", "@.a.b", "@['a']", "@.a[0]", "1", "'x'", "null", "true", "-1.5e3", "['x', 1]", "/x/i", "@"]);
    let operator = prop::sample::select(vec!["==", "!=", "<", ">=", "in", "nin", "contains", "size", "=~", "anyof", "==="]);
    let simple = (value.clone(), operator, value).prop_map(|(left, operator, right)| format!("{left} {operator} {right}"));
    simple.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} && {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}) || {b}")),
            inner.prop_map(|a| format!("!({a})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn any_text_is_read_or_refused(text in "[$@]?[.\\[\\]?()'\"a-c0-9*!=<>&|/ ~,:-]{0,30}", other: String) {
        drop(parse(&text));
        drop(parse(&other));
    }

    #[test]
    fn conditions_have_one_outcome_in_each_row(condition in condition(), place in prop::sample::select(vec!["$", "$.a", "$.a[*]"])) {
        let documents = [r#"{"a":1,"b":["x"]}"#, r#"{"a":[{"b":1},"x"],"b":1}"#, "{}", r#"{"a":{"b":"x"}}"#, r#"{"a":null}"#].map(str::to_owned);
        if let Ok(path) = parse(&format!("{place}[?({condition})]")) {
            let all = outcomes(&path, &values(&documents));
            let each: String = documents.iter().map(|document| outcomes(&path, &values(std::slice::from_ref(document)))).collect();
            prop_assert_eq!(all, each);
            if place == "$" && !condition.contains(" in ") && !condition.contains(" nin ") && !condition.contains("anyof") {
                let not = parse(&format!("$[?(!({condition}))]")).unwrap();
                let (yes, no) = (outcomes(&path, &values(&documents)), outcomes(&not, &values(&documents)));
                prop_assert!(yes.chars().zip(no.chars()).all(|(yes, no)| if yes == 'f' { no == 'f' } else { (yes == 'y') != (no == 'y') }), "{yes} {no}");
            }
        }
    }
}

#[test]
fn no_list_is_too_deep_to_be_refused() {
    let path = format!("$[?(@.a in {})]", "[".repeat(1_000_000));
    assert!(parse(&path).unwrap_err().contains("an item of a list is no list"));
}

#[test]
fn an_expression_that_gives_up_fails_its_row_and_no_other() {
    let path = parse(r"$[?(@.a =~ /(\w+)(\w+)(\w+)(\w+)\1\2\3\4x/)]").unwrap();
    let documents = [format!(r#"[{{"a":"{}"}}]"#, "abcdefghij".repeat(20)), r#"[{"a":"b"}]"#.to_owned(), r#"[{"a":"ababx"}]"#.to_owned()];
    let found = outcomes(&path, &values(&documents));
    assert_eq!((found.chars().next(), found.chars().nth(1)), (Some('f'), Some('n')), "{found}");
}
