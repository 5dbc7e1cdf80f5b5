//! What several statements have to say of one Kafka partition, in one text beside its committed offset.
//!
//! ```text
//! LHR1;number:offset:text;number:offset:text…        of each statement that is past the committed offset, or has files on their way
//! ```
//! With one statement, its own text stands alone.

use std::collections::BTreeMap;

use crate::batch::Committed;

const MARK: &str = "LHR1;";

/// By the number of the statement, what it wants to have committed.
pub(super) type Shares = BTreeMap<usize, Committed>;

/// The text to commit with `offset`.
pub(super) fn text(shares: &Shares, offset: i64, routes: usize) -> String {
    if routes == 1 {
        return shares.values().next().map_or_else(String::new, |share| share.metadata.clone());
    }
    let told = shares.iter().filter(|(_, share)| share.offset > offset || !share.metadata.is_empty());
    let told: Vec<String> = told.map(|(number, share)| format!("{number}:{}:{}", share.offset, share.metadata)).collect();
    if told.is_empty() { String::new() } else { format!("{MARK}{}", told.join(";")) }
}

/// What each statement had committed.
///
/// # Errors
/// When the text tells of statements that are not there.
pub(super) fn read(held: &Committed, routes: usize) -> Result<Vec<Committed>, String> {
    let Some(told) = held.metadata.strip_prefix(MARK) else {
        let is_own = routes == 1 || held.metadata.is_empty() || !held.metadata.starts_with("LH");
        let other = || "files were on their way under another number of statements: start the connector once with those that it had".to_owned();
        return if is_own { Ok(vec![held.clone(); routes]) } else { Err(other()) };
    };
    let mut shares = vec![Committed::at(held.offset); routes];
    for part in told.split(';') {
        let mut words = part.splitn(3, ':');
        let mut word = || words.next().unwrap_or_default();
        let (number, offset, metadata) = (word().parse::<usize>(), word().parse(), word().to_owned());
        let share = number.ok().and_then(|number| shares.get_mut(number));
        match share.zip(offset.ok()) {
            Some((share, offset)) => *share = Committed { offset, metadata },
            None => return Err(format!("what was committed with the offset tells of a statement that is not there: {part:?}")),
        }
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_as_they_were_told() {
        let share = |offset, text: &str| Committed { offset, metadata: text.to_owned() };
        for (shares, routes, told, read_back) in [
            (vec![(0, share(7, "LH1.x"))], 1, "LH1.x", vec![share(7, "LH1.x")]),
            (vec![(0, share(7, "")), (1, share(7, ""))], 2, "", vec![share(7, ""), share(7, "")]),
            (vec![(0, share(7, "LH1.x")), (1, share(9, ""))], 3, "LHR1;0:7:LH1.x;1:9:", vec![share(7, "LH1.x"), share(9, ""), share(7, "")]),
        ] {
            let shares: Shares = shares.into_iter().collect();
            assert_eq!(text(&shares, 7, routes), told);
            assert_eq!(read(&share(7, told), routes), Ok(read_back));
        }
        assert_eq!(read(&share(7, "a note"), 2), Ok(vec![share(7, "a note"), share(7, "a note")]));
        for (held, routes) in [("LH1.x", 2), ("LHR1;2:7:", 2), ("LHR1;x:7:", 2), ("LHR1;", 2)] {
            assert!(read(&share(7, held), routes).is_err(), "{held}");
        }
    }
}
