//! Who ran which task when, from what the workers said and what was done to them: tasks that ran twice, and how long tasks ran nowhere.

use std::collections::BTreeMap;

use crate::seen::{Said, Task};

/// A time before which, and one from which on, something was so: milliseconds.
pub(crate) type Span = (i64, i64);

/// What became of a worker.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fate {
    /// When its process had ended.
    pub(crate) ended: Option<i64>,
    /// When it was stopped, from the signal that stopped it to the one that woke it.
    pub(crate) frozen: Vec<Span>,
}

/// A task on a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    /// The worker, by its number.
    pub(crate) worker: usize,
    /// From its start to its end.
    pub(crate) span: Span,
}

/// A task that two workers ran at the same time, not counting the time while one of them was stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Twice {
    /// The task.
    pub(crate) task: Task,
    /// When.
    pub(crate) span: Span,
    /// One of the two had been stopped, and woke.
    pub(crate) is_zombie: bool,
}

/// Everything that ran.
#[derive(Debug, Default)]
pub(crate) struct Lives {
    /// The runs of each task, by their starts.
    pub(crate) runs: BTreeMap<Task, Vec<Run>>,
    fates: Vec<Fate>,
}

impl Lives {
    /// From what each worker said and what became of it.
    pub(crate) fn of(workers: &[(Said, Fate)]) -> Self {
        let mut lives = Self { runs: BTreeMap::new(), fates: workers.iter().map(|(_, fate)| fate.clone()).collect() };
        for (worker, (said, fate)) in workers.iter().enumerate() {
            for (task, start, end) in &said.runs {
                let span = (*start, end.or(fate.ended).unwrap_or(i64::MAX));
                lives.runs.entry(task.clone()).or_default().push(Run { worker, span });
            }
        }
        lives.runs.values_mut().for_each(|runs| runs.sort_by_key(|run| run.span));
        lives
    }

    /// Tasks that ran twice at a time.
    pub(crate) fn twice(&self) -> Vec<Twice> {
        let mut found = Vec::new();
        for (task, runs) in &self.runs {
            for (index, one) in runs.iter().enumerate() {
                for other in &runs[index + 1..] {
                    let both = (one.span.0.max(other.span.0), one.span.1.min(other.span.1));
                    let frozen: Vec<Span> = [one, other].iter().flat_map(|run| self.fates[run.worker].frozen.iter().copied()).collect();
                    for span in without(both, &frozen) {
                        let woke = |(_, woken): &Span| *woken <= span.0 && *woken > one.span.0;
                        found.push(Twice { task: task.clone(), span, is_zombie: frozen.iter().any(woke) });
                    }
                }
            }
        }
        found
    }

    /// Workers that ran a task at that moment, stopped ones left out.
    pub(crate) fn who(&self, task: &str, at: i64) -> Vec<usize> {
        let holds = |span: &Span| (span.0..span.1).contains(&at);
        let runs = self.runs.get(task).into_iter().flatten();
        runs.filter(|run| holds(&run.span) && !self.fates[run.worker].frozen.iter().any(holds)).map(|run| run.worker).collect()
    }

    /// Tasks that this worker ran when it was lost, at that moment.
    pub(crate) fn lost_with(&self, worker: usize, at: i64) -> impl Iterator<Item = &Task> {
        let ran = move |run: &Run| run.worker == worker && run.span.0 <= at && at <= run.span.1;
        self.runs.iter().filter(move |(_, runs)| runs.iter().any(ran)).map(|(task, _)| task)
    }

    /// How long after that moment a task started on another worker.
    pub(crate) fn restarted_after(&self, task: &str, worker: usize, at: i64) -> Option<i64> {
        let starts = self.runs.get(task)?.iter().filter(|run| run.worker != worker && run.span.0 > at);
        starts.map(|run| run.span.0 - at).min()
    }
}

/// What is left of a span without others.
fn without(span: Span, others: &[Span]) -> Vec<Span> {
    let mut others = others.to_vec();
    others.sort_unstable();
    let (mut from, mut left) = (span.0, Vec::new());
    for (start, end) in others {
        if start > from {
            left.push((from, start.min(span.1)));
        }
        from = from.max(end);
    }
    left.push((from, span.1));
    left.retain(|(start, end)| start < end);
    left
}

/// The oracle's own rules: it must not be wrong itself.
pub(crate) fn tasks_that_run_twice_are_seen() {
    let said = |runs: &[(i64, Option<i64>)]| Said { runs: runs.iter().map(|(start, end)| ("a-0".to_owned(), *start, *end)).collect(), ..Said::default() };
    let fate = |ended, frozen: &[Span]| Fate { ended, frozen: frozen.to_vec() };
    for (workers, expected) in [
        // One after the other, the first by its own end or by its worker's.
        (vec![(said(&[(0, Some(10))]), fate(None, &[])), (said(&[(10, None)]), fate(None, &[]))], vec![]),
        (vec![(said(&[(0, None)]), fate(Some(10), &[])), (said(&[(10, None)]), fate(None, &[]))], vec![]),
        // Side by side.
        (vec![(said(&[(0, Some(12))]), fate(None, &[])), (said(&[(10, None)]), fate(None, &[]))], vec![((10, 12), false)]),
        // The first one is stopped meanwhile, and goes on for a little when it wakes.
        (vec![(said(&[(0, Some(25))]), fate(None, &[(5, 20)])), (said(&[(10, None)]), fate(None, &[]))], vec![((20, 25), true)]),
        // It woke before the other began: that is no excuse of the one that was started too soon.
        (vec![(said(&[(7, Some(25))]), fate(None, &[(3, 6)])), (said(&[(10, None)]), fate(None, &[]))], vec![((10, 25), false)]),
        // On the same worker, twice.
        (vec![(said(&[(0, Some(9)), (8, None)]), fate(None, &[]))], vec![((8, 9), false)]),
    ] {
        let twice = |(span, is_zombie)| Twice { task: "a-0".to_owned(), span, is_zombie };
        assert_eq!(Lives::of(&workers).twice(), expected.into_iter().map(twice).collect::<Vec<_>>(), "{workers:?}");
    }
    let lives = Lives::of(&[(said(&[(0, Some(25))]), fate(None, &[(5, 20)])), (said(&[(10, None)]), fate(None, &[]))]);
    for (at, expected) in [(-1, vec![]), (0, vec![0]), (7, vec![]), (15, vec![1]), (22, vec![0, 1]), (30, vec![1])] {
        assert_eq!(lives.who("a-0", at), expected, "at {at}");
    }
    assert_eq!(lives.lost_with(0, 5).count() + lives.lost_with(1, 5).count(), 1);
    assert_eq!((lives.restarted_after("a-0", 0, 5), lives.restarted_after("a-0", 1, 5)), (Some(5), None));
}
