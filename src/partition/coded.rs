//! Rows by text: what partitioners build paths from.
//!
//! Rows are coded a column at a time: equal neighbours share a code at the cost of one comparison, other rows go through a hash map whose keys borrow from
//! the column. Only distinct values become text.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;
use lakehead_formats::column::Reject;

use super::Paths;

/// A code for each row, and the text of each code; `None` is a null. Texts may repeat until [`Coded::into_paths`].
#[derive(Debug, Default)]
pub(super) struct Coded<T = Option<String>> {
    pub(super) codes: Vec<u32>,
    pub(super) texts: Vec<T>,
}

impl<T> Coded<T> {
    /// The same text for every row.
    pub(super) fn constant(rows: usize, text: T) -> Self {
        Self { codes: vec![0; rows], texts: vec![text] }
    }

    /// Gives equal keys equal codes; a key's text is asked for once.
    pub(super) fn by_key<K: Clone + Eq + Hash>(keys: impl Iterator<Item = K>, mut text: impl FnMut(&K) -> T) -> Self {
        let mut codes = Vec::with_capacity(keys.size_hint().0);
        let mut texts = Vec::new();
        let mut known: HashMap<K, u32, RandomState> = HashMap::default();
        let mut last: Option<(K, u32)> = None;
        for key in keys {
            let code = match &last {
                Some((same, code)) if *same == key => *code,
                _ => {
                    let code = *known.entry(key.clone()).or_insert_with_key(|key| {
                        texts.push(text(key));
                        u32::try_from(texts.len() - 1).unwrap_or(Paths::REJECTED)
                    });
                    last = Some((key, code));
                    code
                }
            };
            codes.push(code);
        }
        Self { codes, texts }
    }

    /// Other texts for the same codes.
    pub(super) fn map<U>(self, text: impl FnMut(T) -> U) -> Coded<U> {
        Coded { codes: self.codes, texts: self.texts.into_iter().map(text).collect() }
    }
}

impl Coded<String> {
    /// Two parts of a path as one, with `between` in between.
    pub(super) fn join(self, inner: &Self, between: &str) -> Self {
        if let [only] = inner.texts.as_slice() {
            return self.map(|text| format!("{text}{between}{only}"));
        }
        let text = |code: u32, texts: &[String]| texts.get(code as usize).cloned().unwrap_or_default();
        let pairs = self.codes.iter().copied().zip(inner.codes.iter().copied());
        Self::by_key(pairs, |(a, b)| format!("{}{between}{}", text(*a, &self.texts), text(*b, &inner.texts)))
    }

    /// Makes texts unique (a null and the text `null` are the same directory) and takes the rejected rows out.
    pub(super) fn into_paths(self, mut rejects: Vec<Reject>) -> Paths {
        let Self { mut codes, texts } = self;
        let mut known: HashMap<Arc<str>, u32, RandomState> = HashMap::default();
        let mut distinct = Vec::with_capacity(texts.len());
        let unique: Vec<u32> = texts
            .into_iter()
            .map(|text| {
                *known.entry(Arc::from(text)).or_insert_with_key(|text| {
                    distinct.push(Arc::clone(text));
                    u32::try_from(distinct.len() - 1).unwrap_or(Paths::REJECTED)
                })
            })
            .collect();
        if distinct.len() < unique.len() {
            codes.iter_mut().for_each(|code| *code = unique.get(*code as usize).copied().unwrap_or(Paths::REJECTED));
        }
        rejects.sort_by_key(|reject| reject.row);
        rejects.dedup_by_key(|reject| reject.row);
        for reject in &rejects {
            if let Some(code) = codes.get_mut(reject.row) {
                *code = Paths::REJECTED;
            }
        }
        Paths { codes, distinct, rejects, ..Paths::default() }
    }
}
