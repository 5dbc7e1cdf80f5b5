//! Makes a case smaller that still shows its difference: fewer records, transforms, settings, fields.

use serde_json::{Map, Value};

/// As many smaller cases are tried at most.
const TRIES: usize = 300;

/// The smallest case found that `differs`.
pub(crate) fn shrink(case: &Value, mut differs: impl FnMut(&Value) -> bool) -> Value {
    let (mut best, mut tries) = (case.clone(), 0);
    loop {
        let next = candidates(&best).into_iter().find(|candidate| {
            tries += 1;
            tries <= TRIES && differs(candidate)
        });
        match next {
            Some(smaller) => best = smaller,
            None => return best,
        }
    }
}

fn candidates(case: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for list in ["records", "payloads", "values"] {
        let length = case[list].as_array().map_or(0, Vec::len);
        all.extend((0..length).filter(|_| length > 1).map(|at| edited(case, |case| remove(&mut case[list], at))));
    }
    all.extend(fewer_transforms(case));
    let settings = case["props"].as_object().into_iter().flatten().map(|(key, _)| key).filter(|key| !key.ends_with(".type") && key.contains('.'));
    all.extend(settings.map(|key| edited(case, |case| drop(case["props"].as_object_mut().and_then(|props| props.shift_remove(key))))));
    for (schema, value) in [("keySchema", "key"), ("valueSchema", "value")] {
        if case["records"].as_array().into_iter().flatten().any(|record| !record[value].is_null()) {
            all.push(each_record(case, |record| (record[schema], record[value]) = (Value::Null, Value::Null)));
        }
        for name in names(&case["records"], value) {
            all.push(each_record(case, |record| without_field(record, schema, value, &name)));
        }
    }
    if case["records"].as_array().into_iter().flatten().any(|record| record["headers"].as_array().is_some_and(|headers| !headers.is_empty())) {
        all.push(each_record(case, |record| record["headers"] = Value::Array(Vec::new())));
    }
    all
}

fn edited(case: &Value, edit: impl FnOnce(&mut Value)) -> Value {
    let mut case = case.clone();
    edit(&mut case);
    case
}

fn each_record(case: &Value, edit: impl Fn(&mut Map<String, Value>)) -> Value {
    edited(case, |case| case["records"].as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut).for_each(edit))
}

fn remove(list: &mut Value, at: usize) {
    if let Some(list) = list.as_array_mut() {
        list.remove(at);
    }
}

fn fewer_transforms(case: &Value) -> Vec<Value> {
    let aliases: Vec<&str> = case["props"]["transforms"].as_str().map_or_else(Vec::new, |text| text.split(',').collect());
    let without = |alias: &&str| {
        let left: Vec<&str> = aliases.iter().copied().filter(|other| other != alias).collect();
        edited(case, |case| {
            if let Some(props) = case["props"].as_object_mut() {
                props.retain(|key, _| !key.starts_with(&format!("transforms.{alias}.")));
                props.insert("transforms".to_owned(), left.join(",").into());
            }
        })
    };
    if aliases.len() > 1 { aliases.iter().map(without).collect() } else { Vec::new() }
}

/// Names of fields at the top.
fn names(records: &Value, value: &str) -> Vec<String> {
    let mut names = Vec::new();
    for record in records.as_array().into_iter().flatten() {
        names.extend(record[value]["struct"].as_object().into_iter().flatten().map(|(name, _)| name.clone()));
        names.extend(record[value]["map"].as_array().into_iter().flatten().filter_map(|pair| pair[0]["string"].as_str().map(str::to_owned)));
    }
    names.sort();
    names.dedup();
    names
}

fn without_field(record: &mut Map<String, Value>, schema: &str, value: &str, name: &str) {
    if let Some(fields) = record.get_mut(schema).and_then(|schema| schema.get_mut("fields")).and_then(Value::as_array_mut) {
        fields.retain(|field| field["field"] != name);
    }
    let value = record.get_mut(value);
    if let Some(members) = value.and_then(Value::as_object_mut) {
        if let Some(members) = members.get_mut("struct").and_then(Value::as_object_mut) {
            members.shift_remove(name);
        }
        if let Some(pairs) = members.get_mut("map").and_then(Value::as_array_mut) {
            pairs.retain(|pair| pair[0]["string"] != name);
        }
    }
}
