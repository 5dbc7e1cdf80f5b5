//! In which order a row's map has its members.
//!
//! Members without a rank in a row come in the order of their columns, behind those that have one. Rows that all name their members in one order, which is
//! how records nearly always come, have no ranks, and cost nothing here.

use std::cell::RefCell;

use arrow::array::{Array, AsArray, StructArray, UInt32Array};
use arrow::datatypes::{UInt8Type, UInt32Type};

use super::{Kind, RANK};

/// The order of the members of maps, by row.
#[derive(Debug)]
pub struct Order<'a> {
    /// The kinds of each member, and its ranks.
    members: Vec<(&'a [u8], Option<&'a UInt32Array>)>,
    has_ranks: bool,
    /// Room for one row's members, whether each is without a rank, and its rank.
    row: RefCell<Vec<(bool, u32, usize)>>,
}

impl<'a> Order<'a> {
    pub(super) fn of(map: Option<&'a StructArray>) -> Self {
        let members = map.into_iter().flat_map(StructArray::columns).filter_map(|member| {
            let member = member.as_struct_opt()?;
            let kinds: &[u8] = member.column(0).as_primitive::<UInt8Type>().values();
            Some((kinds, member.column_by_name(RANK).map(|ranks| ranks.as_primitive::<UInt32Type>())))
        });
        let members: Vec<_> = members.collect();
        let has_ranks = members.iter().any(|(_, ranks)| ranks.is_some_and(|ranks| ranks.null_count() < ranks.len()));
        Self { members, has_ranks, row: RefCell::default() }
    }

    /// True when some row has its members in another order than that of their columns.
    #[must_use]
    pub fn has_ranks(&self) -> bool {
        self.has_ranks
    }

    /// Names the members that a row has, each by its number among the columns, in the row's order.
    pub fn each(&self, row: usize, mut visit: impl FnMut(usize)) {
        let is_present = |kinds: &[u8]| kinds.get(row).is_some_and(|kind| *kind != Kind::Absent as u8);
        let rank = |ranks: &Option<&UInt32Array>| ranks.filter(|ranks| ranks.is_valid(row)).map(|ranks| ranks.value(row));
        let present = || self.members.iter().enumerate().filter(|(_, (kinds, _))| is_present(kinds));
        if !self.has_ranks || present().all(|(_, (_, ranks))| rank(ranks).is_none()) {
            present().for_each(|(at, _)| visit(at));
            return;
        }
        let mut members = self.row.take();
        members.clear();
        members.extend(present().map(|(at, (_, ranks))| (rank(ranks).is_none(), rank(ranks).unwrap_or(0), at)));
        members.sort_unstable();
        members.iter().for_each(|(.., at)| visit(*at));
        self.row.replace(members);
    }
}
