//! The transforms of a connector, in order: `transforms=a,b`, `transforms.a.type=…`, `transforms.a.<key>=…`.
//!
//! Guarantee: every row of a batch comes out in one batch or is rejected, once, numbered as in the batch that went in; spans stay consecutive and cover
//! the whole.

use std::sync::Arc;

use arrow::array::Int64Array;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::Dynamic;

use super::{TRANSFORMS, Transform, find, rows};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{ConfigError, check};

/// The transforms of one task; empty when the connector has none.
#[derive(Debug, Default)]
pub struct Chain {
    transforms: Vec<(Arc<str>, Box<dyn Transform>)>,
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
}

impl Chain {
    /// Builds the transforms that a connector's configuration names.
    ///
    /// # Errors
    /// Every problem, under the key as the user wrote it. Predicates are not there yet and refused by name.
    pub fn from_props(props: &Props) -> Result<Self, Vec<ConfigError>> {
        let aliases: Vec<&str> = match props.get("transforms").map_or("", |text| text.trim()) {
            "" => Vec::new(),
            text => text.split(',').map(str::trim).collect(),
        };
        let mut errors = Vec::new();
        let mut transforms = Vec::new();
        for (at, alias) in aliases.iter().enumerate() {
            if aliases.iter().take(at).any(|earlier| earlier == alias) {
                errors.push(ConfigError::new("transforms", format!("Duplicate alias provided: \"{alias}\" is in transforms twice")));
                continue;
            }
            match build(alias, props) {
                Ok(transform) => transforms.push(transform),
                Err(more) => errors.extend(more),
            }
        }
        if props.get("predicates").is_some_and(|text| !text.trim().is_empty()) {
            errors.push(ConfigError::new("predicates", "predicates are not supported yet: remove them, or filter in the producer"));
        }
        if errors.is_empty() { Ok(Self { transforms }) } else { Err(errors) }
    }

    /// True when batches go through as they are.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.transforms.is_empty()
    }

    /// Sends a batch through every transform. What comes out is added to `out`; rejected rows are numbered as in `batch`, ascending.
    pub fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Untransformed> {
        if self.transforms.is_empty() {
            out.push(batch);
            return Vec::new();
        }
        let offsets = batch.offsets.clone();
        let mut rejects = Vec::new();
        let mut batches = vec![batch];
        for (class, transform) in &mut self.transforms {
            let mut next = Vec::with_capacity(batches.len());
            for piece in batches {
                let own = piece.offsets.clone();
                let of_whole = |Reject { row, reason }| Untransformed { row: row_of(&offsets, &own, row), class: Arc::clone(class), reason };
                rejects.extend(transform.apply(piece, &mut next).into_iter().map(of_whole));
            }
            batches = next;
        }
        // What cannot leave the chain as text is the last transform's.
        let last: Arc<str> = self.transforms.last().map_or_else(|| Arc::from(""), |(class, _)| Arc::clone(class));
        for piece in batches {
            let own = piece.offsets.clone();
            let of_whole = |Reject { row, reason }| Untransformed { row: row_of(&offsets, &own, row), class: Arc::clone(&last), reason };
            rejects.extend(as_text(piece, out).into_iter().map(of_whole));
        }
        rejects.sort_by_key(|reject| reject.row);
        rejects
    }
}

/// Values without a schema leave the chain as JSON text.
fn as_text(mut batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
    let text = |column: &Column, name| Dynamic::of_column(column).map(|values| values.into_json_column(name)).transpose();
    match (text(&batch.key, "key"), text(&batch.value, "value")) {
        (Ok(key), Ok(value)) => {
            key.into_iter().for_each(|key| batch.key = key);
            value.into_iter().for_each(|value| batch.value = value);
            out.push(batch);
            Vec::new()
        }
        (Err(error), _) | (_, Err(error)) => {
            let reason = format!("the values cannot be written as JSON: {error}");
            out.push(rows::without_rows(&batch));
            (0..batch.len()).map(|row| Reject { row, reason: reason.clone() }).collect()
        }
    }
}

/// The row of the whole batch that has the offset of a piece's row: offsets ascend.
fn row_of(whole: &Int64Array, piece: &Int64Array, row: usize) -> usize {
    let offset = piece.values().get(row).copied().unwrap_or(i64::MAX);
    whole.values().partition_point(|known| *known < offset)
}

/// Builds one transform.
fn build(alias: &str, props: &Props) -> Result<(Arc<str>, Box<dyn Transform>), Vec<ConfigError>> {
    let prefix = format!("transforms.{alias}.");
    let mut own: Props = props.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))).collect();
    let error = |key: &str, message: String| vec![ConfigError::new(format!("{prefix}{key}"), message)];
    if alias.is_empty() {
        return Err(vec![ConfigError::new("transforms", "an alias in transforms is empty: write transforms=a,b")]);
    }
    if own.remove("predicate").is_some_and(|predicate| !predicate.trim().is_empty()) || own.remove("negate").is_some_and(|negate| negate.trim() == "true") {
        return Err(error("predicate", "predicates are not supported yet: remove predicate and negate, or filter in the producer".to_owned()));
    }
    let Some(class) = own.remove("type") else {
        return Err(error("type", format!("Missing required configuration \"{prefix}type\" which has no default value.")));
    };
    let Some((plugin, _)) = find(class.trim()) else {
        let names: Vec<_> = TRANSFORMS.iter().map(|plugin| plugin.name).collect();
        let message = format!("Invalid value {class} for configuration {prefix}type: Class {class} could not be found; transforms: {}", names.join(", "));
        return Err(error("type", message));
    };
    let with_prefix = |error: ConfigError| ConfigError { key: format!("{prefix}{}", error.key), ..error };
    let problems = check(&[plugin.keys], &own, |_| true).errors;
    if !problems.is_empty() {
        return Err(problems.into_iter().map(with_prefix).collect());
    }
    let name = Some(class.trim()).filter(|class| class.contains('.')).or(plugin.aliases.first().copied()).unwrap_or(plugin.name);
    match super::configure(class.trim(), &own) {
        Ok(transform) => Ok((name.into(), transform)),
        Err(errors) => Err(errors.into_iter().map(with_prefix).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{batch, pieces};
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
            ("transforms.day.negate", "false"),
        ])
        .unwrap();
        let mut out = Vec::new();
        let rejects = chain.apply(batch(&[(11, Some(0)), (13, None), (17, Some(86_400_000)), (19, None)]), &mut out);
        assert_eq!(pieces(&out), [("ers-19700101".to_owned(), vec![11], (10, 17)), ("ers-19700102".to_owned(), vec![17], (17, 100))]);
        assert_eq!(rejects.iter().map(|reject| reject.row).collect::<Vec<_>>(), [1, 3]);
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
                vec![("transforms", "a"), ("transforms.a.type", "TimestampRouter"), ("transforms.a.predicate", "p")],
                "transforms.a.predicate",
                "predicates are not supported yet",
            ),
            (vec![("predicates", "p")], "predicates", "predicates are not supported yet"),
        ] {
            let errors = chain(&settings).unwrap_err();
            assert!(errors.len() == 1 && errors[0].key == key && errors[0].message.contains(part), "{settings:?}: {errors:?}");
        }
    }
}
