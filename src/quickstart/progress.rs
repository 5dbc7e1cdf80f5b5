//! What is shown while records flow: a line each second, and the figures at the end.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::runtime::HerderHandle;
use crate::runtime::status::{ConnectorStatus, Figures, State};
use crate::standalone::ExitError;

/// How often the tasks are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// How often a line is shown.
const LINE: Duration = Duration::from_secs(1);

/// How long nothing may happen before that is an error.
const PATIENCE: Duration = Duration::from_secs(120);

/// Watches one connector.
#[derive(Debug)]
pub struct Watch {
    herder: HerderHandle,
    connector: &'static str,
    records: u64,
    started: Instant,
}

/// Figures of a run whose records are all committed.
#[derive(Debug, Clone)]
pub struct Summary {
    /// Committed offset of each partition of the topic.
    pub committed: BTreeMap<i32, i64>,
    /// Bytes of the records' values.
    pub consumed_bytes: u64,
    /// From the connector's creation to the last commit.
    pub elapsed: Duration,
}

/// The tasks at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Look {
    /// Records taken from Kafka.
    pub consumed: u64,
    /// Bytes of their keys and values.
    pub consumed_bytes: u64,
    /// Visible files.
    pub files: u64,
    /// Their length.
    pub bytes: u64,
    /// Committed offset of each partition of the topic.
    pub committed: BTreeMap<i32, i64>,
}

impl Look {
    /// The figures of all tasks together.
    pub fn of(tasks: impl IntoIterator<Item = Figures>) -> Self {
        let mut look = Self::default();
        for task in tasks {
            look.consumed += task.consumed;
            look.consumed_bytes += task.consumed_bytes;
            look.files += task.report.files;
            look.bytes += task.report.bytes;
            for (partition, offset) in &task.committed {
                // A partition that has moved from one task to another is known to both.
                let known = look.committed.entry(partition.partition).or_default();
                *known = (*known).max(*offset);
            }
        }
        look
    }

    /// Records below the committed offsets: the topic begins with this run.
    #[must_use]
    pub fn committed_records(&self) -> u64 {
        self.committed.values().map(|offset| u64::try_from(*offset).unwrap_or(0)).sum()
    }
}

impl Watch {
    /// Watches until `records` are committed; the clock starts now.
    #[must_use]
    pub fn new(herder: HerderHandle, connector: &'static str, records: u64) -> Self {
        Self { herder, connector, records, started: Instant::now() }
    }

    /// Shows how it goes until every record is committed.
    ///
    /// # Errors
    /// [`ExitError`] with the trace of a task that failed, or when nothing has happened for two minutes.
    pub async fn until_committed(&mut self, out: &mut impl Write) -> Result<Summary, ExitError> {
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut last, mut shown) = (Look::default(), (Instant::now(), 0));
        let mut changed = Instant::now();
        loop {
            let now = ticks.tick().await;
            let status = self.herder.status(self.connector).await.map_err(ExitError::failure)?;
            let look = Look::of(status.tasks.iter().filter_map(|task| task.figures.clone()));
            if let Some(trace) = failure(&status) {
                return Err(ExitError::failure(trace));
            }
            let is_over = look.committed_records() >= self.records;
            if now - shown.0 >= LINE || is_over {
                let seconds = (now - shown.0).as_secs_f64();
                let rate = if seconds > 0.0 { (look.consumed.saturating_sub(shown.1)) as f64 / seconds } else { 0.0 };
                self.show(out, &look, rate as u64, is_over)?;
                shown = (now, look.consumed);
            }
            if is_over {
                return Ok(Summary { committed: look.committed, consumed_bytes: look.consumed_bytes, elapsed: self.started.elapsed() });
            }
            if look != last {
                (last, changed) = (look, now);
            } else if now - changed > PATIENCE {
                let waits = status.tasks.iter().find_map(|task| task.trace.clone()).unwrap_or_else(|| "no task says what it waits for".to_owned());
                return Err(ExitError::failure(format!("nothing has happened for {} s: {waits}", PATIENCE.as_secs())));
            }
        }
    }

    /// On a terminal each line replaces the one before.
    fn show(&self, out: &mut impl Write, look: &Look, rate: u64, is_over: bool) -> Result<(), ExitError> {
        let lag = self.records.saturating_sub(look.committed_records());
        let (consumed, rate, files, bytes, lag) = (grouped(look.consumed), grouped(rate), grouped(look.files), human(look.bytes), grouped(lag));
        let line = format!("{consumed:>11} records  {rate:>9} records/s  {files:>4} files  {bytes:>9}  lag {lag:>9}");
        let (start, end) = match (std::io::stdout().is_terminal(), is_over) {
            (true, false) => ("\r", ""),
            (true, true) => ("\r", "\n"),
            (false, _) => ("", "\n"),
        };
        write!(out, "{start}{line}{end}").and_then(|()| out.flush()).map_err(ExitError::failure)
    }
}

/// Why the connector or a task failed.
fn failure(status: &ConnectorStatus) -> Option<String> {
    let trace = |of: &str, trace: &Option<String>| format!("{of} failed: {}", trace.as_deref().unwrap_or("without a trace"));
    if status.state == State::Failed {
        return Some(trace("the connector", &status.trace));
    }
    status.tasks.iter().find(|task| task.state == State::Failed).map(|task| trace(&format!("task {}", task.task), &task.trace))
}

/// `1,234,567`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `46.5 MB`.
#[must_use]
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let (mut number, mut unit) = (bytes as f64, 0);
    while number >= 999.95 && unit + 1 < UNITS.len() {
        number /= 1_000.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{number:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_for_people() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (bytes, text) in [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_951, "1.0 MB"), (46_500_000, "46.5 MB")] {
            assert_eq!(human(bytes), text);
        }
    }
}
