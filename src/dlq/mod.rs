//! `lakehead dlq list` and `lakehead dlq replay`: records that failed, counted by why, and sent again.
//!
//! Dead letters are in a topic or in a folder ([`letters`]); a [`Filter`] picks some of them. [`list`] changes nothing; [`replay`] produces records, as they came, and
//! leaves the dead letters where they are.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};

use crate::audit::{self, NO_ANSWER};
use crate::kafka::Props;
use crate::settings::properties;
use crate::standalone::ExitError;
use crate::store::read::ObjectReader;

mod letters;
mod list;
mod replay;

/// What the command does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Counts dead letters by stage, topic and reason.
    List(list::Arguments),
    /// Produces dead letters to the topic that they came from, or to another, as they came.
    ///
    /// The dead letters stay where they are, so that a second replay sends them again.
    Replay(replay::Arguments),
}

/// Exit code when some dead letters could not be read or sent.
const PARTLY: u8 = 1;

/// Where the dead letters are.
#[derive(Debug, Clone, Args)]
struct Source {
    /// The topic that they are in: errors.deadletterqueue.topic.name.
    #[arg(long, value_name = "TOPIC", required_unless_present = "url", conflicts_with = "url")]
    topic: Option<String>,
    /// The folder that they are in: errors.deadletterqueue.url. Credentials come from the environment, as for a connector with this lakehead.store.url.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Reads the lakehead.store.option.* of this connector file.
    #[arg(long, value_name = "FILE", requires = "url")]
    store_config: Option<PathBuf>,
    /// An option of the store's client, as lakehead.store.option.NAME; may be repeated.
    #[arg(long = "store-option", value_name = "NAME=VALUE", requires = "url")]
    store_options: Vec<String>,
    /// The brokers.
    #[arg(long, value_name = "HOST:PORT,...")]
    bootstrap_servers: Option<String>,
    /// Other properties of Kafka's clients, as Kafka's tools take them (TLS, SASL).
    #[arg(long, value_name = "FILE")]
    command_config: Option<PathBuf>,
}

/// Which of them.
#[derive(Debug, Clone, Default, Args)]
struct Filter {
    /// Those that came from this topic; may be repeated.
    #[arg(long = "from", value_name = "TOPIC")]
    topics: Vec<String>,
    /// Those of this connector.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Those that failed at this stage: VALUE_CONVERTER, TRANSFORMATION, TASK_PUT, ...; may be repeated.
    #[arg(long = "stage", value_name = "STAGE")]
    stages: Vec<String>,
    /// Those whose reason contains this text.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// No more than so many.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

impl Filter {
    fn has(&self, letter: &letters::DeadLetter) -> bool {
        let Self { topics, connector, stages, reason, limit: _ } = self;
        let is = |wanted: &str, found: &Option<String>| found.as_deref().is_some_and(|found| found.eq_ignore_ascii_case(wanted));
        (topics.is_empty() || topics.iter().any(|wanted| letter.topic.as_deref() == Some(wanted)))
            && connector.as_deref().is_none_or(|wanted| letter.connector.as_deref() == Some(wanted))
            && (stages.is_empty() || stages.iter().any(|wanted| is(wanted, &letter.stage)))
            && reason.as_deref().is_none_or(|wanted| letter.reason.as_deref().is_some_and(|reason| reason.contains(wanted)))
    }
}

impl Source {
    /// What a client of Kafka is told.
    fn client(&self) -> Result<Props, ExitError> {
        let mut props = Props::new();
        if let Some(path) = &self.command_config {
            let unreadable = |why: &dyn std::fmt::Display| no_answer(format!("--command-config {}: {why}", path.display()));
            let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
            props.extend(properties::parse(&bytes).map_err(|error| unreadable(&error))?);
        }
        props.extend(self.bootstrap_servers.clone().map(|servers| ("bootstrap.servers".to_owned(), servers)));
        if !props.contains_key("bootstrap.servers") {
            return Err(no_answer("the brokers are not known: give --bootstrap-servers, or bootstrap.servers in --command-config"));
        }
        Ok(props)
    }

    fn store(&self, url: &str) -> Result<Arc<dyn ObjectReader>, ExitError> {
        Ok(audit::open_store(url, self.store_config.as_deref(), &self.store_options)?)
    }
}

fn no_answer(message: impl std::fmt::Display) -> ExitError {
    ExitError { code: NO_ANSWER, message: message.to_string() }
}

/// Runs the command; call from within a tokio runtime.
///
/// # Errors
/// [`ExitError`] with code 1 when some dead letters could not be read or sent, 3 when there is no answer.
pub async fn run(command: &Command, out: &mut (impl std::io::Write + Send)) -> Result<(), ExitError> {
    match command {
        Command::List(arguments) => list::run(arguments, out).await,
        Command::Replay(arguments) => replay::run(arguments, out).await,
    }
}

/// What a command that has read everything ends with.
fn ended(unreadable: u64) -> Result<(), ExitError> {
    match unreadable {
        0 => Ok(()),
        n => Err(ExitError { code: PARTLY, message: format!("{n} dead letters could not be read or sent; the lines above say which") }),
    }
}

#[cfg(test)]
mod tests {
    use super::letters::DeadLetter;
    use super::*;

    #[test]
    fn a_filter_picks_what_all_its_parts_pick() {
        let letter = DeadLetter {
            topic: Some("orders".to_owned()),
            connector: Some("lake".to_owned()),
            stage: Some("VALUE_CONVERTER".to_owned()),
            reason: Some("unexpected end at byte 7".to_owned()),
            ..DeadLetter::default()
        };
        let all = Filter::default();
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (filter, expected) in [
            (all.clone(), true),
            (Filter { topics: texts(&["other", "orders"]), ..all.clone() }, true),
            (Filter { topics: texts(&["other"]), ..all.clone() }, false),
            (Filter { connector: Some("lake".to_owned()), stages: texts(&["value_converter"]), ..all.clone() }, true),
            (Filter { connector: Some("lake".to_owned()), stages: texts(&["TASK_PUT"]), ..all.clone() }, false),
            (Filter { reason: Some("byte".to_owned()), ..all.clone() }, true),
            (Filter { reason: Some("Byte".to_owned()), ..all.clone() }, false),
        ] {
            assert_eq!(filter.has(&letter), expected, "{filter:?}");
            let unknown = filter.topics.is_empty() && filter.connector.is_none() && filter.stages.is_empty() && filter.reason.is_none();
            assert_eq!(filter.has(&DeadLetter::default()), unknown, "a record that tells nothing of itself");
        }
    }
}
