//! Pieces of a batch: consecutive rows, and rows left out.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, StringArray};
use arrow::compute::filter;
use arrow::error::ArrowError;
use lakehead_formats::column::Reject;

use crate::batch::{Batch, OffsetRange};

/// Cuts a batch before each of these rows (ascending, none of them 0) without a copy. The pieces' spans are consecutive and cover the batch's.
pub(super) fn cut(batch: &Batch, before: &[usize]) -> Vec<Batch> {
    let ends = before.iter().copied().chain([batch.len()]);
    let (mut first_row, mut start) = (0, batch.span.start);
    let mut pieces = Vec::with_capacity(before.len() + 1);
    for end_row in ends {
        let end = if end_row < batch.len() { batch.offsets.value(end_row) } else { batch.span.end };
        pieces.push(slice(batch, first_row..end_row, OffsetRange { start, end }));
        (first_row, start) = (end_row, end);
    }
    pieces
}

fn slice(batch: &Batch, rows: Range<usize>, span: OffsetRange) -> Batch {
    let (at, length) = (rows.start, rows.len());
    Batch {
        from: batch.from.clone(),
        span,
        topic: Arc::clone(&batch.topic),
        offsets: batch.offsets.slice(at, length),
        timestamps: batch.timestamps.slice(at, length),
        key: batch.key.slice(at, length),
        value: batch.value.slice(at, length),
        headers: batch.headers.as_ref().map(|headers| headers.slice(at, length)),
    }
}

/// Sends each row to its topic, a text that is not null: the batch is cut where the topic changes, and there is no kernel that does so much as that with texts.
pub(super) fn routed(batch: &Batch, topics: &StringArray) -> Vec<Batch> {
    let topic = |row: usize| topics.value(row);
    let before: Vec<usize> = (1..batch.len()).filter(|row| topic(*row) != topic(*row - 1)).collect();
    let first_rows = std::iter::once(0).chain(before.iter().copied());
    let pieces = cut(batch, &before).into_iter().zip(first_rows);
    pieces.map(|(piece, row)| if piece.is_empty() { piece } else { Batch { topic: Arc::from(topic(row)), ..piece } }).collect()
}

/// Leaves out the rows that `keep` is false at. The span stays.
///
/// # Errors
/// When a kernel does not know a column's type.
pub(super) fn keep(batch: &Batch, keep: &BooleanArray) -> Result<Batch, ArrowError> {
    let mut kept = batch.clone();
    kept.offsets = filter(&batch.offsets, keep)?.as_primitive().clone();
    kept.timestamps = filter(&batch.timestamps, keep)?.as_primitive().clone();
    kept.key.array = filter(&batch.key.array, keep)?;
    kept.value.array = filter(&batch.value.array, keep)?;
    kept.headers = match &batch.headers {
        Some(headers) => Some(filter(headers as &dyn Array, keep)?.as_list().clone()),
        None => None,
    };
    Ok(kept)
}

/// Rows `from .. to`, with the part of the span that is theirs.
pub(super) fn between(batch: &Batch, from: usize, to: usize) -> Batch {
    let start = if from == 0 { batch.span.start } else { batch.offsets.values().get(from).copied().unwrap_or(batch.span.end) };
    let end = batch.offsets.values().get(to).copied().unwrap_or(batch.span.end);
    slice(batch, from..to, OffsetRange { start, end })
}

/// Leaves out rejected rows. The span stays.
///
/// # Errors
/// When a kernel does not know a column's type.
pub(super) fn without(batch: &Batch, rejects: &[Reject]) -> Result<Batch, ArrowError> {
    if rejects.is_empty() {
        return Ok(batch.clone());
    }
    let mut kept = vec![true; batch.len()];
    for reject in rejects {
        if let Some(flag) = kept.get_mut(reject.row) {
            *flag = false;
        }
    }
    keep(batch, &BooleanArray::from(kept))
}

/// No rows, the same span: all that is left of a batch whose rows were all rejected.
pub(super) fn without_rows(batch: &Batch) -> Batch {
    slice(batch, 0..0, batch.span)
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{ArrayRef, Int64Array, TimestampMillisecondArray};
    use lakehead_formats::column::Column;
    use lakehead_formats::schema::json_text;

    use super::*;
    use crate::batch::TopicPartition;

    /// A batch of `orders-0` whose rows have these (offset, timestamp); values are the offsets as JSON texts. The span begins at 10 and ends at 100.
    pub(crate) fn batch(rows: &[(i64, Option<i64>)]) -> Batch {
        let texts: StringArray = rows.iter().map(|row| Some(row.0.to_string())).collect();
        let value = Column::new(json_text("value"), Arc::new(texts) as ArrayRef);
        Batch {
            from: TopicPartition::new("orders", 0),
            span: OffsetRange { start: 10, end: 100 },
            topic: Arc::from("orders"),
            offsets: rows.iter().map(|row| row.0).collect::<Vec<_>>().into(),
            timestamps: TimestampMillisecondArray::from(rows.iter().map(|row| row.1).collect::<Vec<_>>()),
            key: value.clone(),
            value,
            headers: None,
        }
    }

    /// (topic, offsets, span) of each piece; checks that columns belong together and spans cover 10 to 100.
    pub(crate) fn pieces(batches: &[Batch]) -> Vec<(String, Vec<i64>, (i64, i64))> {
        let mut next = 10;
        for batch in batches {
            assert_eq!(batch.span.start, next);
            next = batch.span.end;
            let texts: &StringArray = batch.value.array.as_string();
            let wanted: StringArray = batch.offsets.iter().map(|offset| offset.map(|offset| offset.to_string())).collect();
            assert_eq!(texts, &wanted);
            assert_eq!((batch.timestamps.len(), batch.key.len()), (batch.len(), batch.len()));
            assert!(batch.offsets.iter().flatten().all(|offset| batch.span.start <= offset && offset < batch.span.end));
        }
        assert_eq!(next, 100);
        batches.iter().map(|batch| (batch.topic.to_string(), batch.offsets.values().to_vec(), (batch.span.start, batch.span.end))).collect()
    }

    #[test]
    fn pieces_cover_the_span() {
        let whole = batch(&[(12, None), (15, None), (16, None)]);
        for (before, wanted) in [
            (vec![], vec![(vec![12, 15, 16], (10, 100))]),
            (vec![1], vec![(vec![12], (10, 15)), (vec![15, 16], (15, 100))]),
            (vec![1, 2], vec![(vec![12], (10, 15)), (vec![15], (15, 16)), (vec![16], (16, 100))]),
        ] {
            let found: Vec<_> = pieces(&cut(&whole, &before)).into_iter().map(|(_, offsets, span)| (offsets, span)).collect();
            assert_eq!(found, wanted, "{before:?}");
        }
        assert_eq!(pieces(&cut(&batch(&[]), &[])), [("orders".to_owned(), vec![], (10, 100))]);
    }

    #[test]
    fn rows_go_to_their_topics() {
        let whole = batch(&[(12, None), (15, None), (16, None)]);
        let routed = pieces(&routed(&whole, &StringArray::from(vec!["a", "a", "b"])));
        assert_eq!(routed, [("a".to_owned(), vec![12, 15], (10, 16)), ("b".to_owned(), vec![16], (16, 100))]);
        let none = pieces(&super::routed(&batch(&[]), &StringArray::from(Vec::<&str>::new())));
        assert_eq!(none, [("orders".to_owned(), vec![], (10, 100))]);
    }

    #[test]
    fn a_span_survives_the_loss_of_its_rows() {
        let kept = keep(&batch(&[(12, None), (15, Some(1)), (16, None)]), &vec![false, true, false].into()).unwrap();
        assert_eq!(pieces(&[kept]), [("orders".to_owned(), vec![15], (10, 100))]);
        let none = keep(&batch(&[(12, None)]), &vec![false].into()).unwrap();
        assert_eq!((none.offsets, none.span.end), (Int64Array::from(Vec::<i64>::new()), 100));
    }
}
