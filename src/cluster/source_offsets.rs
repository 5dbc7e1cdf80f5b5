//! The offsets topic: where source connectors have read to.
//!
//! A key is the JSON text of `["connector", {partition}]`, a value that of an offset. A source partition is a map, and two texts of one map are two keys for
//! Kafka. Java writes the members of a map in an order that nobody else can guess, so that [`SourceOffsets`] finds a partition by what it means, and writes it
//! under the bytes that were read.
//!
//! A connector can have a topic of its own beside the worker's (`offsets.storage.topic`); [`merged`] reads both, [`order_of_writes`] says what is written where.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{Record, json};

/// A source partition or a source offset.
pub type Fields = Map<String, Value>;

/// A partition in a form that is the same for all texts of it.
type Canonical = String;

/// One text of a partition, with the offset that was read last under it.
#[derive(Debug, Clone)]
struct Spelling {
    key: Vec<u8>,
    offset: Fields,
}

/// A partition that has an offset, under every text that has one; the text that was read last is the last.
#[derive(Debug, Clone)]
struct Partition {
    fields: Fields,
    spellings: Vec<Spelling>,
}

/// The state after some records of the topic.
#[derive(Debug, Clone, Default)]
pub struct SourceOffsets {
    connectors: BTreeMap<Arc<str>, BTreeMap<Canonical, Partition>>,
}

impl SourceOffsets {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// A key or value that says nothing, for the log.
    pub fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let ignored = |why: String| format!("the record with the key {:?} of the offsets topic is ignored: {why}", key.map(String::from_utf8_lossy));
        let (connector, fields) = parse_key(key).map_err(ignored)?;
        let offset = match json::parse(value) {
            Ok(Value::Null) => None,
            Ok(Value::Object(offset)) => Some(offset),
            Ok(other) => return Err(ignored(format!("its value is {} and no object", json::kind(Some(&other))))),
            Err(error) => return Err(ignored(format!("its value is not JSON: {error}"))),
        };
        let key = key.unwrap_or_default();
        let partitions = self.connectors.entry(connector.as_str().into()).or_default();
        let name = canonical(&fields);
        let partition = partitions.entry(name.clone()).or_insert_with(|| Partition { fields, spellings: Vec::new() });
        partition.spellings.retain(|spelling| spelling.key != key);
        partition.spellings.extend(offset.map(|offset| Spelling { key: key.to_vec(), offset }));
        if partition.spellings.is_empty() {
            partitions.remove(&name);
        }
        if partitions.is_empty() {
            self.connectors.remove(connector.as_str());
        }
        Ok(())
    }

    fn partition(&self, connector: &str, partition: &Fields) -> Option<&Partition> {
        self.connectors.get(connector)?.get(&canonical(partition))
    }

    /// The offset of a partition, in whatever order its members are.
    #[must_use]
    pub fn get(&self, connector: &str, partition: &Fields) -> Option<&Fields> {
        self.partition(connector, partition)?.offset()
    }

    /// The partitions of a connector that have an offset, with it.
    pub fn partitions(&self, connector: &str) -> impl Iterator<Item = (&Fields, &Fields)> {
        let partitions = self.connectors.get(connector).into_iter().flat_map(BTreeMap::values);
        partitions.filter_map(|partition| Some((&partition.fields, partition.offset()?)))
    }

    /// The records that set a partition's offset, or delete it. Deleting takes one for each text under which there is one.
    ///
    /// # Errors
    /// A value in the partition or the offset is no primitive one: upstream's workers could not read it.
    pub fn records(&self, connector: &str, partition: &Fields, offset: Option<&Fields>) -> Result<Vec<Record>, String> {
        for (what, fields) in [("partition", Some(partition)), ("offset", offset)] {
            if let Some((field, value)) = fields.into_iter().flatten().find(|(_, value)| value.is_object() || value.is_array()) {
                let kind = json::kind(Some(value));
                return Err(format!(
                    "a source {what} of the connector {connector:?} has {kind} in the field {field:?}: source partitions and offsets may only contain numbers, \
                     booleans, strings and null"
                ));
            }
        }
        let known = self.partition(connector, partition);
        let spelled = |spellings: &[Spelling]| spellings.iter().map(|spelling| spelling.key.clone()).collect::<Vec<_>>();
        let mut keys = known.map(|known| spelled(&known.spellings)).unwrap_or_default();
        let last = keys.pop().unwrap_or_else(|| json::to_bytes(&(connector, partition)));
        Ok(match offset {
            Some(offset) => vec![Record { key: last, value: Some(json::to_bytes(offset)) }],
            None => keys.into_iter().chain([last]).map(|key| Record { key, value: None }).collect(),
        })
    }

    /// The records that delete all offsets of a connector.
    #[must_use]
    pub fn reset(&self, connector: &str) -> Vec<Record> {
        let partitions = self.connectors.get(connector).into_iter().flat_map(BTreeMap::values);
        partitions.flat_map(|partition| &partition.spellings).map(|spelling| Record { key: spelling.key.clone(), value: None }).collect()
    }
}

impl Partition {
    fn offset(&self) -> Option<&Fields> {
        self.spellings.last().map(|spelling| &spelling.offset)
    }
}

/// The partitions of a connector with a topic of its own: what is in that topic hides what is in the worker's.
#[must_use]
pub fn merged<'a>(worker: &'a SourceOffsets, own: &'a SourceOffsets, connector: &str) -> Vec<(&'a Fields, &'a Fields)> {
    let hidden = |partition: &Fields| own.get(connector, partition).is_some();
    worker.partitions(connector).filter(|(partition, _)| !hidden(partition)).chain(own.partitions(connector)).collect()
}

/// Where the records of a connector with a topic of its own are written: one after the other, each when the one before is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writes {
    /// To the worker's topic: what is deleted, or the worker's topic would show it again.
    pub worker_first: Vec<Record>,
    /// To the connector's own topic: everything. That is what counts.
    pub own: Vec<Record>,
    /// To the worker's topic, in case that the connector loses its own: if it fails, that is only logged.
    pub worker_last: Vec<Record>,
}

/// What is written where, and in which order.
#[must_use]
pub fn order_of_writes(records: Vec<Record>) -> Writes {
    let (worker_last, worker_first) = records.iter().cloned().partition(|record| record.value.is_some());
    Writes { worker_first, own: records, worker_last }
}

/// The partition of a topic that a key belongs to, as Java's producers decide it.
#[must_use]
pub fn topic_partition(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions.max(1)
}

/// Kafka's `Utils.murmur2`.
fn murmur2(data: &[u8]) -> u32 {
    const MIX: u32 = 0x5bd1_e995;
    let (words, rest) = data.as_chunks::<4>();
    let mut hash = 0x9747_b28c ^ u32::try_from(data.len()).unwrap_or(u32::MAX);
    for word in words {
        let word = u32::from_le_bytes(*word).wrapping_mul(MIX);
        hash = hash.wrapping_mul(MIX) ^ (word ^ (word >> 24)).wrapping_mul(MIX);
    }
    if !rest.is_empty() {
        let last = rest.iter().rev().fold(0, |last, byte| last << 8 | u32::from(*byte));
        hash = (hash ^ last).wrapping_mul(MIX);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MIX);
    hash ^ (hash >> 15)
}

fn parse_key(key: Option<&[u8]>) -> Result<(String, Fields), String> {
    let key = key.ok_or("it has no key")?;
    let Value::Array(parts) = json::parse(Some(key)).map_err(|error| format!("its key is not JSON: {error}"))? else {
        return Err("its key is no array of a connector and a partition".to_owned());
    };
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::String(connector), Value::Object(partition)]) => Ok((connector, partition)),
        Ok([connector, partition]) => {
            let (connector, partition) = (json::kind(Some(&connector)), json::kind(Some(&partition)));
            Err(format!("its key has {connector} and {partition} instead of a connector's name and a partition"))
        }
        Err(parts) => Err(format!("its key has {} parts instead of a connector's name and a partition", parts.len())),
    }
}

/// Members by name, at every level.
fn canonical(fields: &Fields) -> Canonical {
    fn sorted(value: &Value) -> Value {
        match value {
            Value::Object(members) => Value::Object(in_order(members)),
            Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
            other => other.clone(),
        }
    }
    fn in_order(members: &Fields) -> Fields {
        let by_name: BTreeMap<&String, Value> = members.iter().map(|(name, value)| (name, sorted(value))).collect();
        by_name.into_iter().map(|(name, value)| (name.clone(), value)).collect()
    }
    Value::Object(in_order(fields)).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fields(text: &str) -> Fields {
        serde_json::from_str(text).expect("a map")
    }

    fn read(lines: &[&str]) -> SourceOffsets {
        let mut offsets = SourceOffsets::new();
        for line in lines {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            offsets.apply(Some(key.as_bytes()), (value != "-").then_some(value.as_bytes())).expect(line);
        }
        offsets
    }

    fn lines(records: &[Record]) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        records.iter().map(|record| format!("{} {}", text(&record.key), record.value.as_deref().map_or("-".into(), text))).collect()
    }

    #[test]
    fn a_partition_is_found_and_written_whatever_the_order_of_its_members() {
        let offsets = read(&[r#"["c",{"b":1,"a":"x"}] {"pos":7}"#]);
        let partition = fields(r#"{"a":"x","b":1}"#);
        assert_eq!(offsets.get("c", &partition), Some(&fields(r#"{"pos":7}"#)));
        let written = offsets.records("c", &partition, Some(&fields(r#"{"pos":8,"last":null}"#))).expect("records");
        assert_eq!(lines(&written), [r#"["c",{"b":1,"a":"x"}] {"pos":8,"last":null}"#], "the key's bytes are those that were read");
        let new = offsets.records("c", &fields(r#"{"z":1,"a":"é/"}"#), Some(&fields("{}"))).expect("records");
        assert_eq!(lines(&new), [r#"["c",{"z":1,"a":"é/"}] {}"#], "a new one keeps the order that it came in");
        for other in [r#"{"a":"x"}"#, r#"{"a":"x","b":"1"}"#, r#"{"a":"x","b":1.0}"#, r#"{"a":"x","b":1,"c":null}"#] {
            assert_eq!(offsets.get("c", &fields(other)), None, "{other} is another partition");
        }
        assert_eq!(offsets.get("d", &partition), None);
    }

    #[test]
    fn two_texts_of_a_partition_are_one_partition() {
        let (first, second) = (r#"["c",{"a":1,"b":2}]"#, r#"["c",{"b":2,"a":1}]"#);
        let partition = fields(r#"{"a":1,"b":2}"#);
        let line = |key: &str, value: &str| format!("{key} {value}");
        let both = read(&[&line(first, r#"{"p":1}"#), &line(second, r#"{"p":2}"#)]);
        assert_eq!(both.partitions("c").collect::<Vec<_>>(), [(&partition, &fields(r#"{"p":2}"#))], "the one that was read last counts");
        assert_eq!(lines(&both.records("c", &partition, Some(&fields("{}"))).expect("records")), [line(second, "{}")]);
        let deleted = [line(first, "-"), line(second, "-")];
        assert_eq!(lines(&both.records("c", &partition, None).expect("records")), deleted, "both are deleted");
        assert_eq!(lines(&both.reset("c")), deleted);
        let one = read(&[&line(first, r#"{"p":1}"#), &line(second, r#"{"p":2}"#), &line(second, "-")]);
        assert_eq!(one.get("c", &partition), Some(&fields(r#"{"p":1}"#)), "as for Java, to which they are two");
        assert_eq!(read(&[&line(first, r#"{"p":1}"#), &line(first, "-")]).partitions("c").count(), 0);
        assert_eq!(lines(&SourceOffsets::new().records("c", &partition, None).expect("records")), [line(first, "-")], "what is not known can be deleted, too");
    }

    #[test]
    fn numbers_keep_their_kind() {
        let offsets = read(&[r#"["c",{"a":9007199254740993,"d":0.1}] {"n":-9223372036854775808,"d":1.0E21,"b":true,"s":""}"#]);
        let (partition, offset) = offsets.partitions("c").next().expect("a partition");
        let again = lines(&offsets.records("c", &partition.clone(), Some(&offset.clone())).expect("records"));
        assert_eq!(again, [r#"["c",{"a":9007199254740993,"d":0.1}] {"n":-9223372036854775808,"d":1.0E21,"b":true,"s":""}"#]);
    }

    #[test]
    fn partitions_and_offsets_are_primitive() {
        let good = fields(r#"{"a":1}"#);
        for (partition, offset, why) in [
            (
                fields(r#"{"a":{}}"#),
                good.clone(),
                "a source partition of the connector \"c\" has an object in the field \"a\": source partitions and offsets may",
            ),
            (
                good.clone(),
                fields(r#"{"x":1,"l":[1]}"#),
                "a source offset of the connector \"c\" has an array in the field \"l\": source partitions and offsets may",
            ),
        ] {
            let error = SourceOffsets::new().records("c", &partition, Some(&offset)).expect_err(why);
            assert!(error.starts_with(why), "{error}");
        }
        assert!(SourceOffsets::new().records("c", &good, Some(&fields(r#"{"n":null,"b":false,"s":"x","d":0.5}"#))).is_ok());
    }

    #[test]
    fn records_that_say_nothing_are_refused_with_their_reason() {
        for (key, value, why) in [
            (None, None, "it has no key"),
            (Some("x"), None, "its key is not JSON: expected value at line 1 column 1"),
            (Some("{}"), None, "its key is no array of a connector and a partition"),
            (Some("[]"), None, "its key has 0 parts instead of a connector's name and a partition"),
            (Some(r#"["c",{},1]"#), None, "its key has 3 parts instead of a connector's name and a partition"),
            (Some(r#"[1,{}]"#), None, "its key has a number and an object instead of a connector's name and a partition"),
            (Some(r#"["c",null]"#), None, "its key has a string and null instead of a connector's name and a partition"),
            (Some(r#"["c",{}]"#), Some("7"), "its value is a number and no object"),
            (Some(r#"["c",{}]"#), Some("{"), "its value is not JSON: EOF while parsing an object at line 1 column 1"),
        ] {
            let error = SourceOffsets::new().apply(key.map(str::as_bytes), value.map(str::as_bytes)).expect_err(why);
            assert_eq!(error, format!("the record with the key {key:?} of the offsets topic is ignored: {why}"));
        }
    }

    #[test]
    fn a_topic_of_its_own_hides_the_workers() {
        let worker = read(&[r#"["c",{"f":"a"}] {"p":1}"#, r#"["c",{"f":"b"}] {"p":2}"#, r#"["d",{"f":"c"}] {"p":3}"#]);
        let own = read(&[r#"["c",{"f":"b"}] {"p":9}"#]);
        let shown: Vec<String> =
            merged(&worker, &own, "c").into_iter().map(|(partition, offset)| format!("{}{}", canonical(partition), canonical(offset))).collect();
        assert_eq!(shown, [r#"{"f":"a"}{"p":1}"#, r#"{"f":"b"}{"p":9}"#]);
    }

    #[test]
    fn the_workers_topic_forgets_first_and_learns_last() {
        let record = |key: &str, value: Option<&str>| Record { key: key.into(), value: value.map(Into::into) };
        let (set, deleted) = (record("a", Some("{}")), record("b", None));
        let writes = order_of_writes(vec![set.clone(), deleted.clone()]);
        assert_eq!(writes, Writes { worker_first: vec![deleted.clone()], own: vec![set.clone(), deleted], worker_last: vec![set] });
    }

    /// As Kafka's `Utils.murmur2` of 4.3.1 computes them.
    #[test]
    fn keys_go_to_the_partitions_that_java_chooses() {
        for (key, hash, of_25) in [
            ("", 275_646_681, 6),
            ("a", -1_563_381_124, 24),
            ("ab", 316_155_434, 9),
            ("abc", 479_470_107, 7),
            ("abcd", -1_323_649_548, 0),
            (r#"["fs",{"filename":"/data/in.txt"}]"#, -1_564_299_014, 9),
            (r#"["é",{"x":1}]"#, -1_079_321_714, 9),
        ] {
            assert_eq!((murmur2(key.as_bytes()).cast_signed(), topic_partition(key.as_bytes(), 25)), (hash, of_25), "{key}");
        }
        assert_eq!(topic_partition(b"a", 0), 0);
    }

    fn primitive() -> impl Strategy<Value = Value> {
        prop_oneof![Just(Value::Null), any::<bool>().prop_map(Value::from), any::<i64>().prop_map(Value::from), ".{0,6}".prop_map(Value::from)]
    }

    fn map() -> impl Strategy<Value = Fields> {
        proptest::collection::vec((".{0,4}", primitive()), 0..5).prop_map(|members| members.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(connector in ".{0,6}", partition in map(), offset in map()) {
            let mut offsets = SourceOffsets::new();
            let records = offsets.records(&connector, &partition, Some(&offset)).expect("primitive values");
            records.iter().for_each(|record| offsets.apply(Some(&record.key), record.value.as_deref()).expect("a record that was written"));
            let backwards: Fields = partition.iter().rev().map(|(name, value)| (name.clone(), value.clone())).collect();
            prop_assert_eq!(offsets.get(&connector, &backwards), Some(&offset));
            prop_assert_eq!(offsets.records(&connector, &backwards, Some(&offset)).expect("primitive values"), records, "the same bytes again");
            offsets.reset(&connector).iter().for_each(|record| offsets.apply(Some(&record.key), None).expect("a tombstone"));
            prop_assert_eq!(offsets.partitions(&connector).count(), 0);
        }

        #[test]
        fn no_record_makes_it_panic(key in "(\\[\"c\",)?\\PC{0,9}\\]?", value in proptest::option::of("\\{?\\PC{0,9}\\}?")) {
            let mut offsets = SourceOffsets::new();
            let read = offsets.apply(Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
            prop_assert!(read.is_ok() || offsets.connectors.is_empty());
        }
    }
}
