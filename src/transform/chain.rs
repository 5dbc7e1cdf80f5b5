//! The transforms of a connector, in order: `transforms=a,b`, `transforms.a.type=…`, `transforms.a.<key>=…`, each for all records or for those of a predicate.
//!
//! Schemaless values are read once for all transforms; at the end they are JSON again, or typed columns (see [`forms`]), and neighbours of one kind are one batch.
//!
//! Guarantee: every row of a batch comes out in one batch or is rejected, once, numbered as in the batch that went in; spans stay consecutive and cover
//! the whole.

use std::sync::Arc;

use arrow::array::{BooleanArray, Int64Array};
use arrow::error::ArrowError;
use lakehead_formats::column::Reject;

use self::forms::{Columns, Parts, written};
use super::predicates::{self, Predicate};
use super::weave::{joined, weave};
use super::{Side, TRANSFORMS, Transform, configure, find, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::ConfigError;

mod forms;

/// Bytes that schemaless values may take while they go through a chain, where nothing else is said.
const ROOM: usize = 16 << 20;

/// The transforms of one task; empty when the connector has none.
#[derive(Debug)]
pub struct Chain {
    stages: Vec<Stage>,
    /// What schemaless values become columns under; without it they leave as JSON.
    columns: Option<Columns>,
    /// Bytes that a part of a batch may take whose schemaless values have been read.
    room: usize,
}

impl Default for Chain {
    fn default() -> Self {
        Self { stages: Vec::new(), columns: None, room: ROOM }
    }
}

/// A row that a transform could not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Untransformed {
    /// Its number in the batch that went into the chain.
    pub row: usize,
    /// The transform's class.
    pub class: Arc<str>,
    /// What is wrong with it.
    pub reason: String,
    /// No transform is at fault: what they made of the value has no type in common with the values before it, so that the converter cannot make columns of it.
    pub is_of_converter: bool,
}

/// A transform, and which records it is for.
#[derive(Debug)]
struct Stage {
    class: Arc<str>,
    transform: Box<dyn Transform>,
    condition: Option<Condition>,
}

#[derive(Debug)]
struct Condition {
    predicate: Box<dyn Predicate>,
    negate: bool,
}

impl Chain {
    /// Builds the transforms that a connector's configuration names.
    ///
    /// # Errors
    /// Every problem, under the key as the user wrote it.
    pub fn from_props(props: &Props) -> Result<Self, Vec<ConfigError>> {
        let (aliases, mut errors) = aliases("transforms", props);
        let (conditions, more) = self::aliases("predicates", props);
        errors.extend(more);
        for alias in &conditions {
            errors.extend(predicate(alias, props).err().into_iter().flatten());
        }
        let mut stages = Vec::new();
        for alias in aliases {
            match stage(alias, &conditions, props) {
                Ok(stage) => stages.push(stage),
                Err(more) => errors.extend(more),
            }
        }
        if errors.is_empty() { Ok(Self { stages, ..Self::default() }) } else { Err(errors) }
    }

    /// The records are a source's.
    #[must_use]
    pub fn of_source(mut self) -> Self {
        self.stages.iter_mut().for_each(|stage| stage.transform.of_source());
        self
    }

    /// Schemaless values leave the chain as columns under a schema that is inferred from what they became.
    #[must_use]
    pub fn inferring(self) -> Self {
        Self { columns: Some(Columns::default()), ..self }
    }

    /// Schemaless values take no more than about so many bytes at once, unless a single record does. What transforms and writers see does not depend on it.
    #[must_use]
    pub fn within(self, room: u64) -> Self {
        Self { room: usize::try_from(room).unwrap_or(usize::MAX).min(ROOM), ..self }
    }

    /// Bytes that a batch takes at most on its way through the chain, texts not counted.
    #[must_use]
    pub fn working_bytes(&self) -> u64 {
        if self.reads(Side::Key) || self.reads(Side::Value) { self.room as u64 } else { 0 }
    }

    fn reads(&self, side: Side) -> bool {
        (side == Side::Value && self.columns.is_some()) || self.stages.iter().any(|stage| stage.transform.reads() == Some(side))
    }

    /// True when batches go through as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// Sends a batch through every transform. What comes out is added to `out`; rejected rows are numbered as in `batch`, ascending.
    pub fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Untransformed> {
        if self.stages.is_empty() {
            out.push(batch);
            return Vec::new();
        }
        let offsets = batch.offsets.clone();
        let (reads_keys, reads_values, room) = (self.reads(Side::Key), self.reads(Side::Value), self.room);
        let (mut finished, mut rejects) = (Vec::new(), Vec::new());
        for part in Parts::of(batch, Side::Value, reads_values, room) {
            for part in Parts::of(part, Side::Key, reads_keys, room) {
                self.run(part, &offsets, &mut finished, &mut rejects);
            }
        }
        rejects.sort_by_key(|reject| reject.row);
        out.extend(if finished.len() > 1 { joined(finished) } else { finished });
        rejects
    }

    /// Sends a part through every transform. Rejected rows are numbered as in the whole, whose offsets are given.
    fn run(&mut self, part: Batch, offsets: &Int64Array, finished: &mut Vec<Batch>, rejects: &mut Vec<Untransformed>) {
        let mut note = |own: &Int64Array, found: Vec<Reject>, class: &Arc<str>, is_of_converter: bool| {
            let of_whole = |Reject { row, reason }| Untransformed { row: row_of(offsets, own, row), class: Arc::clone(class), reason, is_of_converter };
            rejects.extend(found.into_iter().map(of_whole));
        };
        let mut batches = vec![part];
        for stage in &mut self.stages {
            let mut next = Vec::with_capacity(batches.len());
            for piece in batches {
                let own = piece.offsets.clone();
                let found = stage.apply(piece, &mut next);
                note(&own, found, &stage.class, false);
            }
            batches = next;
        }
        // What cannot leave the chain as text is the last transform's.
        let last = self.stages.last().map_or_else(|| Arc::from(""), |stage| Arc::clone(&stage.class));
        for batch in batches {
            let own = batch.offsets.clone();
            let (batch, misfits) = match &mut self.columns {
                Some(columns) => columns.settle(batch),
                None => (batch, Vec::new()),
            };
            note(&own, misfits, &last, true);
            let own = batch.offsets.clone();
            let (batch, bad) = written(batch);
            note(&own, bad, &last, false);
            finished.push(batch);
        }
    }
}

impl Stage {
    /// The records that the condition holds for go through the transform, the others past it; they meet again in order.
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        let Some(condition) = &mut self.condition else { return self.transform.apply(batch, out) };
        let mask = condition.predicate.test(&batch);
        let mask = if condition.negate { !&mask } else { mask };
        match mask.count_set_bits() {
            0 => {
                out.push(batch);
                return Vec::new();
            }
            taken if taken == batch.len() => return self.transform.apply(batch, out),
            _ => {}
        }
        let mask = BooleanArray::new(mask, None);
        match self.apply_to_some(&batch, &mask, out) {
            Ok(rejects) => rejects,
            Err(error) => {
                let reason = format!("the records of a predicate cannot be told apart from the others in this batch: {error}");
                out.push(rows::without_rows(&batch));
                (0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect()
            }
        }
    }

    fn apply_to_some(&mut self, batch: &Batch, mask: &BooleanArray, out: &mut Vec<Batch>) -> Result<Vec<Reject>, ArrowError> {
        let taken = rows::keep(batch, mask)?;
        let others = rows::keep(batch, &BooleanArray::new(!mask.values(), None))?;
        let own = taken.offsets.clone();
        let mut parts = Vec::new();
        let rejects = self.transform.apply(taken, &mut parts);
        parts.push(others);
        let woven = weave(batch.span, parts)?;
        out.extend(woven);
        Ok(rejects.into_iter().map(|reject| Reject { row: row_of(&batch.offsets, &own, reject.row), ..reject }).collect())
    }
}

/// The row of the whole batch that has the offset of a piece's row: offsets ascend.
fn row_of(whole: &Int64Array, piece: &Int64Array, row: usize) -> usize {
    let offset = piece.values().get(row).copied().unwrap_or(i64::MAX);
    whole.values().partition_point(|known| *known < offset)
}

/// The aliases in a list, without those that are there twice or are empty, which are errors.
fn aliases<'a>(list: &str, props: &'a Props) -> (Vec<&'a str>, Vec<ConfigError>) {
    let (mut aliases, mut errors) = (Vec::new(), Vec::new());
    let all = props.get(list).map(|text| text.trim()).filter(|text| !text.is_empty()).into_iter().flat_map(|text| text.split(',').map(str::trim));
    for alias in all {
        if alias.is_empty() {
            errors.push(ConfigError::new(list, format!("an alias in {list} is empty: write {list}=a,b")));
        } else if aliases.contains(&alias) {
            errors.push(ConfigError::new(list, format!("Duplicate alias provided: \"{alias}\" is in {list} twice")));
        } else {
            aliases.push(alias);
        }
    }
    (aliases, errors)
}

/// The settings below a prefix.
fn below(prefix: &str, props: &Props) -> Props {
    props.iter().filter_map(|(key, value)| Some((key.strip_prefix(prefix)?.to_owned(), value.clone()))).collect()
}

/// Errors of a plugin's own keys, by the keys that the user wrote.
fn prefixed(prefix: &str, errors: Vec<ConfigError>) -> Vec<ConfigError> {
    let full = |error: ConfigError| {
        let key = format!("{prefix}{}", error.key);
        let message = [("configuration \"", "\""), ("for configuration ", ":")]
            .iter()
            .fold(error.message, |message, (before, after)| message.replacen(&format!("{before}{}{after}", error.key), &format!("{before}{key}{after}"), 1));
        ConfigError { key, message }
    };
    errors.into_iter().map(full).collect()
}

/// The class that `type` names, which is then no setting of the plugin's.
fn class_of(prefix: &str, own: &mut Props) -> Result<String, ConfigError> {
    own.remove("plugin.version");
    own.remove("type")
        .ok_or_else(|| ConfigError::new(format!("{prefix}type"), format!("Missing required configuration \"{prefix}type\" which has no default value.")))
}

fn unknown(prefix: &str, class: &str, what: &str, known: &[&str]) -> ConfigError {
    let message = format!("Invalid value {class} for configuration {prefix}type: Class {class} could not be found; {what}: {}", known.join(", "));
    ConfigError::new(format!("{prefix}type"), message)
}

/// Builds one predicate.
fn predicate(alias: &str, props: &Props) -> Result<Box<dyn Predicate>, Vec<ConfigError>> {
    let prefix = format!("predicates.{alias}.");
    let mut own = below(&prefix, props);
    let class = class_of(&prefix, &mut own).map_err(|error| vec![error])?;
    if predicates::find(class.trim()).is_none() {
        let names: Vec<_> = predicates::PREDICATES.iter().map(|plugin| plugin.name).collect();
        return Err(vec![unknown(&prefix, &class, "predicates", &names)]);
    }
    predicates::configure(class.trim(), &own).map_err(|errors| prefixed(&prefix, errors))
}

/// Builds one transform with its condition.
fn stage(alias: &str, conditions: &[&str], props: &Props) -> Result<Stage, Vec<ConfigError>> {
    let prefix = format!("transforms.{alias}.");
    let mut own = below(&prefix, props);
    let (named, negate) = (own.remove("predicate"), own.remove("negate"));
    let class = class_of(&prefix, &mut own).map_err(|error| vec![error])?;
    let Some((plugin, side)) = find(class.trim()) else {
        let names: Vec<_> = TRANSFORMS.iter().map(|plugin| plugin.name).collect();
        return Err(vec![unknown(&prefix, &class, "transforms", &names)]);
    };
    let mut errors = Vec::new();
    if negate.is_some() && named.is_none() {
        let message = format!("Config '{prefix}negate' was provided but there is no config '{prefix}predicate' defining a predicate to be negated.");
        errors.push(ConfigError::new(format!("{prefix}type"), message));
    }
    let negates = negate.as_deref().map_or("", str::trim);
    if !negates.is_empty() && !negates.eq_ignore_ascii_case("true") && !negates.eq_ignore_ascii_case("false") {
        let message = format!("Invalid value {negates} for configuration {prefix}negate: Expected value to be either true or false");
        errors.push(ConfigError::new(format!("{prefix}negate"), message));
    }
    let condition = match named.as_deref().map(str::trim) {
        None => None,
        Some(name) if conditions.contains(&name) => {
            // What is wrong with the predicate itself is told of it.
            predicate(name, props).ok().map(|predicate| Condition { predicate, negate: negates.eq_ignore_ascii_case("true") })
        }
        Some(name) => {
            let known = conditions.join(", ");
            let message = format!("Invalid value {name} for configuration {prefix}predicate: it is not in predicates, which are: [{known}]");
            errors.push(ConfigError::new(format!("{prefix}predicate"), message));
            None
        }
    };
    match configure(class.trim(), &own) {
        Ok(transform) if errors.is_empty() => Ok(Stage { class: plugin.class(side).into(), transform, condition }),
        Ok(_) => Err(errors),
        Err(more) => Err(errors.into_iter().chain(prefixed(&prefix, more)).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{batch, pieces};
    use super::super::side::tests::json_batch;
    use super::*;

    fn chain(settings: &[(&str, &str)]) -> Result<Chain, Vec<ConfigError>> {
        Chain::from_props(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn without_transforms_a_batch_goes_through() {
        for settings in [vec![], vec![("transforms", " ")]] {
            let mut chain = chain(&settings).unwrap();
            let mut out = Vec::new();
            assert!(chain.is_empty() && chain.apply(batch(&[(12, None)]), &mut out).is_empty());
            assert_eq!(pieces(&out), [("orders".to_owned(), vec![12], (10, 100))]);
        }
    }

    #[test]
    fn transforms_act_in_order_and_rejects_keep_their_numbers() {
        let mut chain = chain(&[
            ("transforms", "drop, day"),
            ("transforms.drop.type", "org.apache.kafka.connect.transforms.RegexRouter"),
            ("transforms.drop.regex", "ord(.*)"),
            ("transforms.drop.replacement", "$1"),
            ("transforms.day.type", "TimestampRouter"),
        ])
        .unwrap();
        let mut out = Vec::new();
        let rejects = chain.apply(batch(&[(11, Some(0)), (13, None), (17, Some(86_400_000)), (19, None)]), &mut out);
        assert_eq!(pieces(&out), [("ers-19700101".to_owned(), vec![11], (10, 17)), ("ers-19700102".to_owned(), vec![17], (17, 100))]);
        let found: Vec<_> = rejects.iter().map(|reject| (reject.row, &*reject.class)).collect();
        assert_eq!(found, [1, 3].map(|row| (row, "org.apache.kafka.connect.transforms.TimestampRouter")));
    }

    #[test]
    fn rows_that_a_second_transform_rejects_keep_their_numbers() {
        let router = |alias, format| [(format!("transforms.{alias}.type"), "TimestampRouter"), (format!("transforms.{alias}.timestamp.format"), format)];
        let mut props: Props = router("a", "s").into_iter().chain(router("b", "yyyy")).map(|(key, value)| (key, value.to_owned())).collect();
        props.insert("transforms".to_owned(), "a,b".to_owned());
        let mut out = Vec::new();
        let rejects = Chain::from_props(&props).unwrap().apply(batch(&[(11, None), (12, Some(0)), (13, Some(1000)), (14, None)]), &mut out);
        assert_eq!(pieces(&out).iter().map(|piece| piece.0.as_str()).collect::<Vec<_>>(), ["orders-0-1970", "orders-1-1970"]);
        assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [0, 3]);
    }

    #[test]
    fn rejects_name_the_class_of_their_side() {
        for class in ["Cast$Value", "org.apache.kafka.connect.transforms.Cast$Value"] {
            let mut chain = chain(&[("transforms", "a"), ("transforms.a.type", class), ("transforms.a.spec", "n:int8")]).unwrap();
            let rejects = chain.apply(json_batch(&[r#"{"n":1}"#, r#"{"n":"many"}"#]), &mut Vec::new());
            let found: Vec<_> = rejects.iter().map(|reject| (reject.row, &*reject.class)).collect();
            assert_eq!(found, [(1, "org.apache.kafka.connect.transforms.Cast$Value")]);
        }
    }

    #[test]
    fn problems_are_named_by_the_users_keys() {
        for (settings, key, part) in [
            (vec![("transforms", "a")], "transforms.a.type", "Missing required configuration \"transforms.a.type\""),
            (vec![("transforms", "a"), ("transforms.a.type", "com.acme.Mine")], "transforms.a.type", "com.acme.Mine could not be found"),
            (vec![("transforms", "a,a"), ("transforms.a.type", "TimestampRouter")], "transforms", "Duplicate alias"),
            (vec![("transforms", "a,"), ("transforms.a.type", "TimestampRouter")], "transforms", "an alias in transforms is empty"),
            (vec![("transforms", "a"), ("transforms.a.type", "RegexRouter"), ("transforms.a.regex", "x")], "transforms.a.replacement", "Missing required"),
            (
                vec![("transforms", "a"), ("transforms.a.type", "RegexRouter"), ("transforms.a.regex", "("), ("transforms.a.replacement", "x")],
                "transforms.a.regex",
                "Invalid regex",
            ),
            (
                vec![
                    ("transforms", "a"),
                    ("transforms.a.type", "TimestampRouter"),
                    ("transforms.a.predicate", "p"),
                    ("predicates", "q"),
                    ("predicates.q.type", "RecordIsTombstone"),
                ],
                "transforms.a.predicate",
                "Invalid value p for configuration transforms.a.predicate: it is not in predicates, which are: [q]",
            ),
            (
                vec![("transforms", "a"), ("transforms.a.type", "TimestampRouter"), ("transforms.a.negate", "false")],
                "transforms.a.type",
                "Config 'transforms.a.negate' was provided but there is no config 'transforms.a.predicate' defining a predicate to be negated.",
            ),
            (vec![("transforms", "a"), ("transforms.a.type", "ExtractField")], "transforms.a.type", "ExtractField could not be found"),
            (vec![("predicates", "p")], "predicates.p.type", "Missing required configuration \"predicates.p.type\""),
            (vec![("predicates", "p"), ("predicates.p.type", "X")], "predicates.p.type", "Class X could not be found; predicates: HasHeaderKey"),
            (
                vec![("predicates", "p"), ("predicates.p.type", "HasHeaderKey")],
                "predicates.p.name",
                "Missing required configuration \"predicates.p.name\" which has no default value.",
            ),
            (
                vec![("predicates", "p"), ("predicates.p.type", "TopicNameMatches"), ("predicates.p.pattern", "[")],
                "predicates.p.pattern",
                "Invalid value [ for configuration predicates.p.pattern: Invalid regex",
            ),
        ] {
            let errors = chain(&settings).unwrap_err();
            assert!(errors.len() == 1 && errors[0].key == key && errors[0].message.contains(part), "{settings:?}: {errors:?}");
        }
    }
}

#[cfg(test)]
mod laws;
