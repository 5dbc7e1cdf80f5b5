//! When the next token is asked for: `sasl.login.refresh.*`, as upstream's `ExpiringCredentialRefreshingLogin` reckons.

use std::str::FromStr;

use super::{get, refused};
use crate::kafka::Props;
use crate::kafka::properties::Refusal;

/// The settings.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Refresh {
    /// How much of a token's life is over by then.
    factor: f64,
    /// How much later than that it may be, by chance.
    jitter: f64,
    /// The least that a token is used.
    min_period_ms: i64,
    /// The least that is left of its life.
    buffer_ms: i64,
}

/// A number within bounds.
fn number<T: FromStr + PartialOrd + std::fmt::Display>(props: &Props, key: &str, default: T, least: T, most: T) -> Result<T, Refusal> {
    let Some(text) = get(props, key) else { return Ok(default) };
    let number = text.parse::<T>().ok().filter(|number| *number >= least && *number <= most);
    number.ok_or_else(|| refused(key, format!("{text:?} is not a number from {least} to {most}")))
}

impl Refresh {
    pub(super) fn from_props(props: &Props) -> Result<Self, Refusal> {
        Ok(Self {
            factor: number(props, "sasl.login.refresh.window.factor", 0.8, 0.5, 1.0)?,
            jitter: number(props, "sasl.login.refresh.window.jitter", 0.05, 0.0, 0.25)?,
            min_period_ms: number(props, "sasl.login.refresh.min.period.seconds", 60, 0, 900)? * 1000,
            buffer_ms: number(props, "sasl.login.refresh.buffer.seconds", 300, 0, 3600)? * 1000,
        })
    }

    /// When a token that was issued and expires then is followed by another, in milliseconds; `chance` is from 0 to 1.
    pub(super) fn next(&self, now: i64, issued: Option<i64>, expires: i64, chance: f64) -> i64 {
        let part = self.factor + self.jitter * chance;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_precision_loss,
            clippy::as_conversions,
            reason = "spans of time; what is beyond the range becomes its end"
        )]
        let after = |from: i64| from.saturating_add((expires.saturating_sub(from) as f64 * part) as i64);
        // A life that is shorter than both bounds has none.
        if now.saturating_add(self.min_period_ms + self.buffer_ms) > expires {
            return after(now);
        }
        after(issued.unwrap_or(now)).min(expires - self.buffer_ms).max(now.saturating_add(self.min_period_ms))
    }
}

/// A number from 0 to 1, by chance; the middle where the system has none.
pub(super) fn random() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_renewed_when_javas_clients_would() {
        let refresh = Refresh::from_props(&Props::new()).unwrap();
        // Seconds: now, issued, expires, chance -> next.
        for (now, issued, expires, chance, expected) in [
            (1_000, Some(1_000), 4_600, 0.0, 3_880), // 80 percent of an hour
            (1_000, Some(1_000), 4_600, 1.0, 4_060), // 85 percent
            (1_000, None, 4_600, 0.0, 3_880),        // issued now, for all that is known
            (2_000, Some(1_000), 4_600, 0.0, 3_880), // the same token later
            (1_000, Some(1_000), 2_000, 0.0, 1_700), // five minutes before its end at the latest
            (4_000, Some(1_000), 4_600, 0.0, 4_060), // a minute from now at the earliest
            (1_000, Some(1_000), 1_100, 0.0, 1_080), // a short life has no bounds
            (1_090, Some(1_000), 1_100, 0.0, 1_098),
        ] {
            let issued = issued.map(|seconds| seconds * 1000);
            assert_eq!(refresh.next(now * 1000, issued, expires * 1000, chance), expected * 1000, "{now} {issued:?} {expires}");
        }
        let set = [("window.factor", "0.5"), ("window.jitter", "0"), ("min.period.seconds", "0"), ("buffer.seconds", "0")];
        let set = set.iter().map(|(key, value)| (format!("sasl.login.refresh.{key}"), (*value).to_owned())).collect();
        assert_eq!(Refresh::from_props(&set).unwrap().next(0, Some(0), 10_000, 1.0), 5_000);
    }

    #[test]
    fn settings_are_refused_by_name() {
        for (key, value) in [("window.factor", "0.4"), ("window.jitter", "0.3"), ("min.period.seconds", "-1"), ("buffer.seconds", "soon")] {
            let key = format!("sasl.login.refresh.{key}");
            let refusal = Refresh::from_props(&Props::from([(key.clone(), value.to_owned())])).unwrap_err();
            assert!(refusal.key == key && refusal.why.contains(value), "{refusal:?}");
        }
    }

    proptest! {
        #[test]
        fn a_token_is_renewed_while_it_lives(now in 0..i64::MAX / 2, life in 1..100_000_000_i64, age in 0..1_000_000_i64, chance in 0.0..1.0) {
            let refresh = Refresh::from_props(&Props::new()).unwrap();
            let next = refresh.next(now, Some(now - age), now + life, chance);
            prop_assert!(next >= now && next <= now + life, "{next}");
        }
    }
}
