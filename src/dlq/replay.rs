//! `lakehead dlq replay`: dead letters once more, as they came.

use std::collections::BTreeMap;
use std::io::Write;

use clap::Args;

use super::letters::{self, DeadLetter};
use super::{Filter, Source, ended, no_answer};
use crate::kafka::{NotQueued, OutgoingRecord, Producer, Settled};
use crate::standalone::{self, ExitError};

/// What the command takes.
#[derive(Debug, Clone, Args)]
pub struct Arguments {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    filter: Filter,
    /// Produces them to this topic rather than to the one that each came from.
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Says what would be sent, and sends nothing.
    #[arg(long)]
    dry_run: bool,
}

/// What became of letters.
#[derive(Debug, Default)]
struct Done {
    /// By topic.
    sent: BTreeMap<String, u64>,
    /// Why some were not.
    problems: Vec<String>,
    /// Where those are that nobody has confirmed, by number.
    underway: BTreeMap<usize, (String, String)>,
}

impl Done {
    fn settle(&mut self, settled: Vec<Settled>) {
        for Settled { token, outcome } in settled {
            let Some((at, topic)) = self.underway.remove(&token) else { continue };
            match outcome {
                Ok(()) => *self.sent.entry(topic).or_default() += 1,
                Err(error) => self.problems.push(format!("{at}: {error}")),
            }
        }
    }

    fn text(&self, is_dry: bool) -> String {
        let verb = if is_dry { "would be sent" } else { "sent" };
        let total: u64 = self.sent.values().sum();
        let topics = self.sent.iter().map(|(topic, count)| format!("{count:>10}  to {topic}\n")).collect::<String>();
        let problems = self.problems.iter().map(|why| format!("not sent: {why}\n")).collect::<String>();
        format!("{total} dead letters {verb}\n{topics}{problems}")
    }
}

/// Sends dead letters, and prints what was sent where.
pub(super) async fn run(arguments: &Arguments, out: &mut (impl Write + Send)) -> Result<(), ExitError> {
    let Arguments { source, filter, to, dry_run } = arguments;
    let mut producer = match dry_run {
        true => None,
        false => Some(standalone::kafka().producer(&client(source.client()?)).map_err(no_answer)?),
    };
    let (sender, mut receiver) = letters::queue();
    let mut done = Done::default();
    let taken = async {
        let mut token = 0;
        while let Some(found) = receiver.recv().await {
            match found {
                Ok(letter) => send(producer.as_deref_mut(), &letter, to.as_deref(), token, &mut done).await,
                Err(why) => done.problems.push(why),
            }
            token += 1;
        }
        Ok(())
    };
    tokio::try_join!(letters::read(source, filter, sender), taken)?;
    if let Some(producer) = &mut producer {
        while !done.underway.is_empty() {
            done.settle(producer.settled().await);
        }
        producer.close().await;
    }
    out.write_all(done.text(*dry_run).as_bytes()).and_then(|()| out.flush()).map_err(no_answer)?;
    ended(done.problems.len() as u64)
}

/// Nothing is doubled by the client, and what brokers do not take within two minutes is told.
fn client(mut props: crate::kafka::Props) -> crate::kafka::Props {
    for (key, value) in [("acks", "all"), ("enable.idempotence", "true"), ("client.id", "lakehead-dlq"), ("delivery.timeout.ms", "120000")] {
        props.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    props
}

async fn send(producer: Option<&mut (dyn Producer + 'static)>, letter: &DeadLetter, to: Option<&str>, token: usize, done: &mut Done) {
    let Some(topic) = to.or(letter.topic.as_deref()) else {
        let why = "its headers do not tell which topic it came from (errors.deadletterqueue.context.headers.enable was false): give --to";
        return done.problems.push(format!("{}: {why}", letter.at));
    };
    let Some(producer) = producer else {
        return *done.sent.entry(topic.to_owned()).or_default() += 1;
    };
    let headers: Vec<(&str, Option<&[u8]>)> = letter.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
    let record =
        OutgoingRecord { topic, partition: None, timestamp: letter.timestamp, key: letter.key.as_deref(), value: letter.value.as_deref(), headers: &headers };
    done.underway.insert(token, (letter.at.clone(), topic.to_owned()));
    loop {
        match producer.send(token, record) {
            Ok(()) => return,
            Err(NotQueued::Full) => done.settle(producer.settled().await),
            Err(NotQueued::Refused(error)) => return done.settle(vec![Settled { token, outcome: Err(error) }]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{KafkaError, KafkaErrorKind};

    #[tokio::test]
    async fn what_would_be_sent_is_told_and_what_has_no_topic_is_not() {
        let letter = |topic: Option<&str>| DeadLetter { at: "dead-0@7".to_owned(), topic: topic.map(str::to_owned), ..DeadLetter::default() };
        let mut done = Done::default();
        for topic in [Some("a"), Some("b"), Some("a"), None] {
            send(None, &letter(topic), None, 0, &mut done).await;
        }
        let expected = "3 dead letters would be sent\n         2  to a\n         1  to b\nnot sent: dead-0@7: its headers do not tell which topic";
        assert!(done.text(true).starts_with(expected), "{}", done.text(true));
        assert_eq!(ended(done.problems.len() as u64).unwrap_err().code, 1);
        let mut done = Done::default();
        send(None, &letter(None), Some("again"), 0, &mut done).await;
        assert_eq!(done.text(true), "1 dead letters would be sent\n         1  to again\n");
    }

    #[test]
    fn what_brokers_say_counts() {
        let mut done = Done::default();
        for token in 0..3 {
            done.underway.insert(token, (format!("dead-0@{token}"), "a".to_owned()));
        }
        let refused = Err(KafkaError::new(KafkaErrorKind::TooLarge, "too large"));
        done.settle(vec![Settled { token: 1, outcome: Ok(()) }, Settled { token: 2, outcome: refused }, Settled { token: 9, outcome: Ok(()) }]);
        assert_eq!(done.text(false), "1 dead letters sent\n         1  to a\nnot sent: dead-0@2: too large\n");
        assert_eq!(done.underway.len(), 1);
    }
}
