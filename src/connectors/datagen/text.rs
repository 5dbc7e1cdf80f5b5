//! Texts that a regular expression describes, or any.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::generator::Random;
use super::recipe::Lengths;

/// How often a part is repeated at most that may be repeated without end: as often as the length asks for, within these.
const LEAST_REPEATED: u32 = 16;
const MOST_REPEATED: u32 = 1024;
/// How often another text is made where one has not the length that is wanted.
const TRIES: usize = 64;

/// Texts of a kind.
#[derive(Debug, Clone)]
pub(super) struct Text {
    like: Option<Hir>,
    lengths: Lengths,
    prefix: String,
    suffix: String,
}

impl Text {
    /// ASCII of any kind.
    pub(super) fn any(lengths: Lengths) -> Self {
        Self { like: None, lengths, prefix: String::new(), suffix: String::new() }
    }

    /// As the expression says; so long where it allows for that.
    pub(super) fn like(regex: &str, lengths: Lengths) -> Result<Self, String> {
        let like = regex_syntax::parse(regex).map_err(|why| format!("the regex {regex:?} cannot be read: {why}"))?;
        Ok(Self { like: Some(like), ..Self::any(lengths) })
    }

    /// With these around it.
    pub(super) fn between(self, prefix: &str, suffix: &str) -> Self {
        Self { prefix: prefix.to_owned(), suffix: suffix.to_owned(), ..self }
    }

    pub(super) fn make(&self, random: &mut Random) -> String {
        let made = match &self.like {
            None => (0..self.lengths.any(random)).map(|_| char::from(u8::try_from(random.below(128)).unwrap_or_default())).collect(),
            Some(like) => self.alike(like, random),
        };
        format!("{}{made}{}", self.prefix, self.suffix)
    }

    /// One of the length that is wanted, or the nearest of some where none has it.
    fn alike(&self, like: &Hir, random: &mut Random) -> String {
        let far = |length: u64| self.lengths.0.saturating_sub(length) + (length + 1).saturating_sub(self.lengths.1);
        let most = u32::try_from(self.lengths.1).unwrap_or(u32::MAX).clamp(LEAST_REPEATED, MOST_REPEATED);
        let mut best: Option<(u64, String)> = None;
        for _ in 0..TRIES {
            let mut made = String::new();
            write(like, most, random, &mut made);
            let distance = far(made.chars().count() as u64);
            if best.as_ref().is_none_or(|(known, _)| distance < *known) {
                best = Some((distance, made));
            }
            if best.as_ref().is_some_and(|(distance, _)| *distance == 0) {
                break;
            }
        }
        best.map(|(_, made)| made).unwrap_or_default()
    }
}

/// `most`: how often a part is repeated that may be repeated without end.
fn write(hir: &Hir, most: u32, random: &mut Random, out: &mut String) {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => {}
        HirKind::Literal(literal) => out.push_str(&String::from_utf8_lossy(&literal.0)),
        HirKind::Class(class) => out.extend(one_of(class, random)),
        HirKind::Repetition(repetition) => {
            let last = repetition.max.unwrap_or(repetition.min.saturating_add(most));
            let times = u64::from(repetition.min) + random.below(u64::from(last.saturating_sub(repetition.min)) + 1);
            (0..times).for_each(|_| write(&repetition.sub, most, random, out));
        }
        HirKind::Capture(capture) => write(&capture.sub, most, random, out),
        HirKind::Concat(parts) => parts.iter().for_each(|part| write(part, most, random, out)),
        HirKind::Alternation(parts) => {
            let chosen = usize::try_from(random.below(parts.len() as u64)).unwrap_or(0);
            parts.get(chosen).into_iter().for_each(|part| write(part, most, random, out));
        }
    }
}

/// A character of a class; of one that has printable ASCII, of that.
fn one_of(class: &Class, random: &mut Random) -> Option<char> {
    let ranges: Vec<(u32, u32)> = match class {
        Class::Unicode(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
        Class::Bytes(class) => class.iter().map(|range| (range.start().into(), range.end().into())).collect(),
    };
    let printable: Vec<(u32, u32)> = ranges.iter().map(|(first, last)| ((*first).max(0x20), (*last).min(0x7e))).filter(|(first, last)| first <= last).collect();
    let ranges = if printable.is_empty() { ranges } else { printable };
    let count = |(first, last): &(u32, u32)| u64::from(last - first) + 1;
    let mut at = random.below(ranges.iter().map(count).sum());
    for range in &ranges {
        if at < count(range) {
            return u32::try_from(at).ok().and_then(|at| char::from_u32(range.0 + at));
        }
        at -= count(range);
    }
    None
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;

    #[test]
    fn texts_are_as_the_expression_says_and_as_long_as_it_allows() {
        let mut random = Random::new(1);
        for (regex, lengths, expected) in [
            ("User_[1-9]{0,1}", Lengths(8, 16), "^User_[1-9]$"),
            ("[a-zA-Z]{5,15}", Lengths(8, 16), "^[a-zA-Z]{8,15}$"),
            ("[a-z]*", Lengths(10, 14), "^[a-z]{10,13}$"),
            ("(web|ios)-\\d\\.[^a-z]", Lengths(8, 16), "^(web|ios)-[0-9]\\.[^a-z]$"),
            ("Item_[1-9][0-9]{0,2}", Lengths(0, 7), "^Item_[1-9]$"),
            ("", Lengths(8, 16), "^$"),
        ] {
            let (text, expected) = (Text::like(regex, lengths).unwrap(), Regex::new(expected).unwrap());
            for _ in 0..200 {
                let made = text.make(&mut random);
                assert!(expected.is_match(&made), "{regex}: {made:?}");
            }
        }
        assert!(Text::any(Lengths(3, 4)).between("<", ">").make(&mut random).chars().count() == 5);
        assert!(Text::like("[", Lengths(8, 16)).unwrap_err().contains("cannot be read"));
    }
}
