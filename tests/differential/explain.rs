//! Where we are not as Java, and why: each reason with the cases that it is about.

use serde_json::Value;

use super::judge::Difference;

/// A reason, and which differences it explains.
pub(crate) struct Reason {
    pub(crate) text: &'static str,
    pub(crate) is_about: fn(&Value, &Difference) -> bool,
}

/// Every reason.
pub(crate) static REASONS: &[Reason] = &[];

/// The number of the reason of a difference.
pub(crate) fn reason(case: &Value, difference: &Difference) -> Option<usize> {
    REASONS.iter().position(|reason| (reason.is_about)(case, difference))
}
