//! What a task does when memory is used up, in this order: have the largest row groups encoded, whose bytes leave as parts; move the rows that wait to disk; where
//! there is no disk, have smaller row groups encoded; end files early. The intake waits meanwhile, and whatever goes on already is waited for.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::delivery::Busy;
use super::staging::Run;
use super::task::{CloudStorageTask, Owned};

/// Waiting rows below this many bytes are not worth a row group of their own.
const WORTH_ENCODING: u64 = 64 << 10;

/// A task that holds less than this part of the budget leaves it to others to end files: more tasks than that are in no process.
const SHARES: u64 = 1024;

impl CloudStorageTask {
    /// Starts what frees memory, unless something does so already. True when nothing can, because what holds memory are files that an intent holds open.
    pub(super) fn relieve_memory(&mut self) -> bool {
        if self.workshop.is_busy() {
            return false;
        }
        // Down to a quarter of a whole row group the rows are better encoded than written to disk and encoded later.
        let is_freed = self.encode_largest(self.workshop.row_group_bytes / 4) || self.spill() || self.encode_largest(WORTH_ENCODING);
        let is_publishing = self.partitions.values().any(|p| p.ledger.pending() > 0);
        !is_freed && !is_publishing && self.holds_a_share() && !self.close_early()
    }

    /// Whether the open files hold enough for their end to matter: what others in the process hold is not theirs to make up for.
    fn holds_a_share(&mut self) -> bool {
        let ratio = Arc::clone(&self.workshop.ratio);
        let held: u64 = self.partitions.values_mut().flat_map(|p| p.writer.open_files()).map(|file| file.held_bytes(&ratio)).sum();
        held >= self.workshop.memory.limit() / SHARES
    }

    /// Has the files encoded that have most rows waiting in memory, at least so many bytes, as many as it takes; false when there is none.
    fn encode_largest(&mut self, least: u64) -> bool {
        let goal = self.workshop.memory.limit() / 4;
        let files = self.partitions.values_mut().flat_map(|p| p.writer.open_files());
        let able = files.filter(|f| f.encodable_bytes() >= least && f.has_turn(&self.workshop));
        // What waits on disk frees nothing here.
        let mut waiting: Vec<_> = able.map(|file| (file.waiting_bytes(), file)).filter(|(bytes, _)| *bytes >= least).collect();
        waiting.sort_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut freed = 0;
        for (bytes, file) in waiting {
            if freed >= goal {
                break;
            }
            freed += bytes;
            file.encode_staged(&self.workshop);
        }
        freed > 0
    }

    /// Has all rows that wait in memory written to disk, beside the task; false when there is none, or no disk.
    fn spill(&mut self) -> bool {
        let spill = self.workshop.memory.spill().clone();
        if !spill.is_on() {
            return false;
        }
        let run = Run::new();
        let bytes: u64 = self.partitions.values_mut().flat_map(|p| p.writer.open_files()).map(|file| file.spill(&run)).sum();
        if bytes == 0 {
            return false;
        }
        tracing::debug!(connector = %self.cx.connector, bytes, "lakehead.memory.limit is used up: rows are spilled");
        let (busy, compute) = (Busy::begin(&self.workshop), self.workshop.compute.clone());
        // It ends by itself, and frees what it was given whatever becomes of the task.
        drop(tokio::spawn(async move {
            compute.run(move || run.spill(&spill)).await;
            drop(busy);
        }));
        true
    }

    /// The last resort: ends the files that hold most; false when there are none that may end.
    fn close_early(&mut self) -> bool {
        let ratio = Arc::clone(&self.workshop.ratio);
        let held = |p: &mut Owned| p.writer.open_files().map(|f| f.held_bytes(&ratio)).sum::<u64>();
        let mut most: Vec<_> = self.partitions.iter_mut().map(|(tp, p)| (held(p), tp.clone())).filter(|(bytes, _)| *bytes > 0).collect();
        most.sort_by(|a, b| b.cmp(a));
        // Where an intent holds all files of the partition that holds most, the next one's end.
        let ended = most.into_iter().find_map(|(bytes, tp)| Some((self.partitions.get_mut(&tp)?.writer.end_largest(&ratio)?, bytes, tp)));
        let Some((ended, bytes, tp)) = ended else { return false };
        self.counts.early_closes.fetch_add(ended.files.len() as u64, Ordering::Relaxed);
        tracing::warn!(connector = %self.cx.connector, partition = %tp, files = ended.files.len(), bytes, "lakehead.memory.limit is used up: files end early");
        self.publish(&tp, vec![ended]);
        true
    }
}
