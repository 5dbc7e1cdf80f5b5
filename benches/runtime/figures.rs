//! Figures, and the table that they make.

use std::time::Duration;

use crate::peer::Kind;

/// What one kind of worker needed.
#[derive(Debug)]
pub(crate) struct Figure {
    what: &'static str,
    kind: Kind,
    median: String,
    /// The longest of so many, or what else is to say.
    also: String,
    bound: Option<String>,
    /// How far it is: of a time or a size.
    value: f64,
    is_within: bool,
}

impl Figure {
    /// Of a time that was measured several times. Their median counts; the longest is told.
    pub(crate) fn of_times(what: &'static str, kind: Kind, times: impl Iterator<Item = Duration>) -> Self {
        let mut times: Vec<Duration> = times.collect();
        times.sort_unstable();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what}, {kind:?}: {times:.3?}");
        let also = format!("{} in the worst of {}", text(longest), times.len());
        Self { what, kind, median: text(median), also, bound: None, value: longest.as_secs_f64(), is_within: true }
    }

    /// Of a size in KiB.
    pub(crate) fn of_sizes(what: &'static str, kind: Kind, kib: u64, also: String) -> Self {
        println!("{what}, {kind:?}: {kib} KiB, {also}");
        let mib = kib as f64 / 1024.0;
        Self { what, kind, median: format!("{mib:.0} MiB"), also, bound: None, value: mib, is_within: true }
    }

    /// With a bound that holds for Lakehead, for the longest too.
    pub(crate) fn at_most(self, bound: Duration) -> Self {
        self.bounded(bound.as_secs_f64(), text(bound))
    }

    /// The same for a size.
    pub(crate) fn at_most_mib(self, bound: u32) -> Self {
        self.bounded(f64::from(bound), format!("{bound} MiB"))
    }

    fn bounded(mut self, bound: f64, text: String) -> Self {
        self.is_within = self.kind == Kind::Java || self.value <= bound;
        self.bound = Some(text);
        self
    }
}

fn text(time: Duration) -> String {
    if time < Duration::from_secs(1) { format!("{} ms", time.as_millis()) } else { format!("{:.2} s", time.as_secs_f64()) }
}

/// Prints the figures, those of the two kinds side by side; false when one is beyond its bound.
pub(crate) fn print(figures: &[Figure]) -> bool {
    println!("\n| what | Lakehead | | Kafka Connect 4.3.1 | | wanted |\n|---|---:|---|---:|---|---:|");
    let mut done = Vec::new();
    for figure in figures {
        if done.contains(&figure.what) {
            continue;
        }
        done.push(figure.what);
        let of = |kind| figures.iter().find(|other| other.what == figure.what && other.kind == kind);
        let cells = |found: Option<&Figure>| found.map_or("– |".to_owned(), |found| format!("{} | {}", found.median, found.also));
        let bound = figure.bound.as_deref().unwrap_or("–");
        println!("| {} | {} | {} | {bound} |", figure.what, cells(of(Kind::Lakehead)), cells(of(Kind::Java)));
    }
    let missed: Vec<_> = figures.iter().filter(|figure| !figure.is_within).map(|figure| figure.what).collect();
    missed.iter().for_each(|what| println!("beyond what is wanted: {what}"));
    missed.is_empty()
}
