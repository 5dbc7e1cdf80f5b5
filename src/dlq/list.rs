//! `lakehead dlq list`: how many, and why.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;
use serde::Serialize;

use super::letters::{self, DeadLetter};
use super::{Filter, Source, ended, no_answer};
use crate::standalone::ExitError;

/// What the command takes.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    filter: Filter,
    /// Names each of them too: where it is, where it came from and why it failed.
    #[arg(long)]
    records: bool,
    /// Prints the counts as JSON.
    #[arg(long)]
    json: bool,
}

/// Dead letters that failed alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Group {
    count: u64,
    stage: String,
    topic: String,
    connector: String,
    /// That of one of them; numbers in it may be others in others.
    reason: String,
}

/// What was counted.
#[derive(Debug, Default)]
struct Counts {
    groups: BTreeMap<[String; 4], Group>,
    total: u64,
}

impl Counts {
    fn add(&mut self, letter: &DeadLetter) {
        let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "unknown".to_owned());
        let [stage, topic, connector, reason] = [&letter.stage, &letter.topic, &letter.connector, &letter.reason].map(text);
        self.total += 1;
        let key = [stage.clone(), topic.clone(), connector.clone(), alike(&reason)];
        self.groups.entry(key).or_insert(Group { count: 0, stage, topic, connector, reason }).count += 1;
    }

    /// The largest first.
    fn sorted(self) -> Vec<Group> {
        let mut groups: Vec<Group> = self.groups.into_values().collect();
        groups.sort_by_key(|group| std::cmp::Reverse(group.count));
        groups
    }
}

/// A reason without its numbers.
fn alike(reason: &str) -> String {
    let mut alike = String::with_capacity(reason.len());
    for c in reason.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }) {
        if c != '#' || !alike.ends_with('#') {
            alike.push(c);
        }
    }
    alike
}

/// Counts dead letters, and prints how many failed for which reason.
pub(super) async fn run(arguments: &Arguments, out: &mut (impl Write + Send)) -> Result<(), ExitError> {
    let Arguments { source, filter, records, json } = arguments;
    let (sender, mut receiver) = letters::queue();
    let (mut counts, mut unreadable) = (Counts::default(), Vec::new());
    let mut lines = Vec::new();
    let taken = async {
        while let Some(found) = receiver.recv().await {
            match found {
                Ok(letter) => {
                    counts.add(&letter);
                    if *records {
                        writeln!(lines, "{}", told(&letter)).and_then(|()| out.write_all(&std::mem::take(&mut lines))).map_err(no_answer)?;
                    }
                }
                Err(why) => unreadable.push(why),
            }
        }
        Ok(())
    };
    tokio::try_join!(letters::read(source, filter, sender), taken)?;
    let (total, groups) = (counts.total, counts.sorted());
    let text = if *json {
        let all = serde_json::json!({ "total": total, "groups": groups, "unreadable": unreadable });
        serde_json::to_string_pretty(&all).map_err(no_answer)? + "\n"
    } else {
        let rows = groups.iter().map(|g| format!("{:>10}  {:<16}  {:<24}  {:<24}  {}\n", g.count, g.stage, g.topic, g.connector, one_line(&g.reason)));
        let head = format!("{:>10}  {:<16}  {:<24}  {:<24}  {}\n", "count", "stage", "topic", "connector", "reason");
        let odd = unreadable.iter().map(|why| format!("not read: {why}\n"));
        format!("{total} dead letters\n{}{}{}", if groups.is_empty() { String::new() } else { head }, rows.collect::<String>(), odd.collect::<String>())
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(no_answer)?;
    ended(unreadable.len() as u64)
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

/// One letter on a line.
fn told(letter: &DeadLetter) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let [topic, partition, offset, stage, reason] = [&letter.topic, &letter.partition, &letter.offset, &letter.stage, &letter.reason].map(text);
    format!("{}  {topic}-{partition}@{offset}  {stage}  {}", letter.at, one_line(&reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_counted_by_what_they_have_in_common() {
        let mut counts = Counts::default();
        for (topic, reason) in [("a", "bad byte 17"), ("a", "bad byte 3"), ("b", "bad byte 3"), ("a", "no path")] {
            let stage = Some("TASK_PUT".to_owned());
            counts.add(&DeadLetter { topic: Some(topic.to_owned()), reason: Some(reason.to_owned()), stage, ..DeadLetter::default() });
        }
        assert_eq!(counts.total, 4);
        let found: Vec<_> = counts.sorted().into_iter().map(|group| (group.count, group.topic, group.connector, group.reason)).collect();
        let group = |count, topic: &str, reason: &str| (count, topic.to_owned(), "unknown".to_owned(), reason.to_owned());
        assert_eq!(found, [group(2, "a", "bad byte 17"), group(1, "a", "no path"), group(1, "b", "bad byte 3")]);
    }

    #[test]
    fn a_letter_says_where_it_is_and_where_it_was() {
        let letter = DeadLetter { at: "dead-0@7".to_owned(), topic: Some("a".to_owned()), reason: Some("x\ny".to_owned()), ..DeadLetter::default() };
        assert_eq!(told(&letter), "dead-0@7  a-?@?  ?  x y");
    }
}
