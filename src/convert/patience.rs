//! How long a schema registry that does not answer is waited for: `errors.retry.timeout` and `errors.retry.delay.max.ms`.
//!
//! | `errors.retry.timeout` | a registry that does not answer |
//! |---|---|
//! | not given, 0, -1 | is waited for, for ever |
//! | more | is asked for that long; then the records that need the schema are bad ones: left out (`errors.tolerance=all`), or the first of them ends the task (`none`) |
//!
//! Upstream's default, 0, means that no attempt follows the first: a registry that is down for a second turns good records into dead letters, or fails the task. Nobody has
//! asked for that who leaves it at its default; whoever gives a time has. What a registry says, as that it knows no such schema, is an answer, and counts at once.

use std::time::Duration;

use crate::connect::Props;

/// Waits between two rounds of asking, and what every later one takes.
const WAITS_MS: [u64; 8] = [100, 200, 400, 800, 1600, 3200, 6400, LONGEST_MS];
const LONGEST_MS: u64 = 10_000;

/// What a connector's keys say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// When asking ends; `None`: never.
    pub(super) gives_up_after: Option<Duration>,
    longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { gives_up_after: None, longest_wait: Duration::from_millis(LONGEST_MS) }
    }
}

impl Patience {
    /// Reads it from a valid configuration.
    #[must_use]
    pub fn of(props: &Props) -> Self {
        let ms = |key: &str| props.get(key).and_then(|text| text.trim().parse::<u64>().ok()).filter(|ms| *ms > 0);
        Self {
            gives_up_after: ms("errors.retry.timeout").map(Duration::from_millis),
            longest_wait: Duration::from_millis(ms("errors.retry.delay.max.ms").unwrap_or(LONGEST_MS).min(LONGEST_MS)),
        }
    }

    /// The waits between attempts, the first first; they have no end.
    pub(super) fn waits(self) -> impl Iterator<Item = Duration> + Send {
        WAITS_MS.into_iter().chain(std::iter::repeat(LONGEST_MS)).map(move |ms| Duration::from_millis(ms).min(self.longest_wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_keys_say() {
        let ms = Duration::from_millis;
        for (timeout, delay, gives_up_after, waits) in [
            (None, None, None, [100, 200, 400, 10_000]),
            (Some("0"), Some("60000"), None, [100, 200, 400, 10_000]),
            (Some("-1"), Some("300"), None, [100, 200, 300, 300]),
            (Some(" 300000 "), Some("1"), Some(ms(300_000)), [1, 1, 1, 1]),
            (Some("1"), None, Some(ms(1)), [100, 200, 400, 10_000]),
        ] {
            let given = [("errors.retry.timeout", timeout), ("errors.retry.delay.max.ms", delay)];
            let props = given.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.to_owned()))).collect();
            let patience = Patience::of(&props);
            assert_eq!(patience.gives_up_after, gives_up_after, "{timeout:?}");
            let all: Vec<Duration> = patience.waits().take(20).collect();
            assert_eq!([all[0], all[1], all[2], all[19]], waits.map(ms), "{delay:?}");
        }
    }
}
