//! `Filter`: drops every record that it is given; a predicate says which those are.
//!
//! Upstream: `org.apache.kafka.connect.transforms.Filter`. The offsets of what is dropped go by, as upstream's do.

use lakehead_formats::column::Reject;

use super::{Built, Transform, rows};
use crate::batch::Batch;
use crate::connect::Props;

#[derive(Debug)]
struct Filter;

/// Builds it.
pub(super) fn build(_props: &Props) -> Built {
    Ok(Box::new(Filter))
}

impl Transform for Filter {
    fn apply(&mut self, batch: Batch, out: &mut Vec<Batch>) -> Vec<Reject> {
        out.push(rows::without_rows(&batch));
        Vec::new()
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::tests::{batch, pieces};
    use super::*;

    #[test]
    fn offsets_go_by() {
        let mut out = Vec::new();
        assert!(build(&Props::new()).unwrap().apply(batch(&[(12, None), (13, None)]), &mut out).is_empty());
        assert_eq!(pieces(&out), [("orders".to_owned(), vec![], (10, 100))]);
    }
}
