//! Maps while they are changed: what `Map.put` does to a `LinkedHashMap`, in all rows at once.
//!
//! A key that is put where it is keeps its place in the row, one that is new comes last. What is not put is shared with the column that it came from.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;

use super::{Dynamic, Kind};

/// The members of the maps of a column.
#[derive(Debug)]
pub struct Members {
    rows: usize,
    /// Where there is a map.
    maps: BooleanBuffer,
    members: Vec<(Arc<str>, Dynamic)>,
    places: HashMap<Arc<str>, usize>,
    /// The rank of what is put next; none as long as the order of the columns is enough.
    next: Option<u32>,
}

impl Members {
    /// The members that the maps have.
    #[must_use]
    pub fn of(values: &Dynamic) -> Self {
        let members: Vec<(Arc<str>, Dynamic)> = values.members().collect();
        let places = members.iter().enumerate().map(|(at, (name, _))| (Arc::clone(name), at)).collect();
        Self { rows: values.len(), maps: values.are(Kind::Map), members, places, next: None }
    }

    /// `Map.put` in every row that is a map and where the value is not absent.
    ///
    /// # Errors
    /// When the value has another number of rows.
    pub fn put(&mut self, name: &Arc<str>, value: &Dynamic) -> Result<(), ArrowError> {
        let value = value.only(&self.maps)?.with_rank(None);
        let comes = !&value.are(Kind::Absent);
        let Some(at) = self.places.get(name).copied() else {
            let ranks = self.next.map(|rank| UInt32Array::from_value(rank, self.rows));
            self.next = self.next.map(|rank| rank.saturating_add(1));
            self.places.insert(Arc::clone(name), self.members.len());
            self.members.push((Arc::clone(name), value.with_rank(ranks)));
            return Ok(());
        };
        let there = self.members.get(at).map_or_else(|| BooleanBuffer::new_unset(self.rows), |(_, old)| !&old.are(Kind::Absent));
        let adds = (&comes & &!&there).count_set_bits() > 0;
        if adds && self.next.is_none() {
            self.next = Some(rank_all(&mut self.members, self.rows));
        }
        let Some((_, old)) = self.members.get_mut(at) else { return Ok(()) };
        let ranks = match (old.rank(), self.next) {
            (Some(ranks), Some(next)) if adds => {
                let rank = |row: usize| if there.value(row) { ranks.value(row) } else { next };
                Some(UInt32Array::from_iter_values((0..self.rows).map(rank)))
            }
            (ranks, _) => ranks.cloned(),
        };
        if adds {
            self.next = self.next.map(|rank| rank.saturating_add(1));
        }
        let stays = (&there & &!&comes).count_set_bits() > 0;
        *old = if stays { old.overlaid(&value)? } else { value }.with_rank(ranks);
        Ok(())
    }

    /// The column with these members.
    ///
    /// # Errors
    /// When it has another number of rows.
    pub fn into_maps(self, values: &Dynamic) -> Result<Dynamic, ArrowError> {
        values.with_members(self.members)
    }
}

impl Dynamic {
    /// The same rows as a member that stands at these places among the others of its maps.
    #[must_use]
    pub fn ranked(self, ranks: Vec<u32>) -> Self {
        if ranks.len() == self.len() { self.with_rank(Some(ranks.into())) } else { self }
    }

    /// The same rows, their maps filled with these members one after the other, in each row's own order: of those of one name, the last one that a row has
    /// counts, in the place of the first. The members must all have [their order](Self::members), or none has one.
    ///
    /// # Errors
    /// When a member has another number of rows.
    pub fn with_all(&self, mut members: Vec<(Arc<str>, Self)>) -> Result<Self, ArrowError> {
        let mut places: HashMap<Arc<str>, usize> = HashMap::with_capacity(members.len());
        let is_twice = members.iter().enumerate().any(|(at, (name, _))| places.insert(Arc::clone(name), at).is_some());
        if !is_twice {
            return self.with_members(members);
        }
        rank_all(&mut members, self.len());
        places.clear();
        let mut joined: Vec<(Arc<str>, Self)> = Vec::with_capacity(members.len());
        for (name, member) in members {
            match places.get(&name).and_then(|at| joined.get_mut(*at)) {
                Some((_, before)) => *before = before.joined(&member)?,
                None => {
                    places.insert(Arc::clone(&name), joined.len());
                    joined.push((name, member));
                }
            }
        }
        self.with_members(joined)
    }

    /// Two members of one name, both ranked. Which of them a row has last is a question to each row, so this is a loop; keys meet only where somebody renames one
    /// to another.
    fn joined(&self, other: &Self) -> Result<Self, ArrowError> {
        let (Some(a), Some(b)) = (self.rank(), other.rank()) else { return self.overlaid(other) };
        let (mut picks, mut ranks) = (Vec::with_capacity(self.len()), Vec::with_capacity(self.len()));
        for row in 0..self.len() {
            let (has_a, has_b) = (self.kind(row) != Kind::Absent, other.kind(row) != Kind::Absent);
            let is_b = has_b && (!has_a || b.value(row) > a.value(row));
            picks.push((usize::from(is_b), row));
            ranks.push(if has_a && has_b {
                a.value(row).min(b.value(row))
            } else if is_b {
                b.value(row)
            } else {
                a.value(row)
            });
        }
        Ok(Self::interleave(&[self.clone(), other.clone()], &picks)?.with_rank(Some(ranks.into())))
    }
}

/// Gives every member its rank in every row; the rank that comes next.
pub(super) fn rank_all(members: &mut [(Arc<str>, Dynamic)], rows: usize) -> u32 {
    let highest = members.iter().filter_map(|(_, member)| arrow::compute::max(member.rank()?)).max();
    let mut next = highest.map_or(0, |rank| rank.saturating_add(1));
    for (_, member) in members {
        let own = next;
        next = next.saturating_add(1);
        let ranks = match member.rank() {
            Some(ranks) if ranks.null_count() == 0 => continue,
            Some(ranks) => ranks.iter().map(|rank| Some(rank.unwrap_or(own))).collect(),
            None => UInt32Array::from_value(own, rows),
        };
        *member = member.clone().with_rank(Some(ranks));
    }
    next
}
