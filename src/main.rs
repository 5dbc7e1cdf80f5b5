//! Arguments → settings → environment → run → exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lakehead::audit::{self, locate, verify};
use lakehead::settings::{Host, LogFormat};
use lakehead::standalone::{self, ExitError, Plan};
use lakehead::{distributed, dlq, quickstart, telemetry};

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Kafka topics become files on object stores: a Kafka Connect worker with the storage sinks built in.
#[derive(Debug, Parser)]
#[command(name = "lakehead", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs one worker with the connectors of these files, and its REST API.
    Standalone {
        /// The worker's settings: a Kafka Connect worker file.
        #[arg(value_name = "WORKER.properties")]
        worker: PathBuf,
        /// Connectors to create: .properties or JSON.
        #[arg(value_name = "CONNECTOR.properties|.json")]
        connectors: Vec<PathBuf>,
    },
    /// Runs one worker of a group, whose connectors are created over the REST API of any of them.
    Distributed {
        /// The worker's settings: a Kafka Connect worker file.
        #[arg(value_name = "WORKER.properties")]
        worker: PathBuf,
    },
    /// The main job with nothing installed: a broker inside the process, order events, Parquet files below ./lake.
    Quickstart(quickstart::Arguments),
    /// Proves from a bucket alone, or against a consumer group too, that every offset is there exactly once.
    ///
    /// Exit code: 0 proven; 1 violated; 2 not provable, the report says why; 3 no answer.
    Verify(verify::Arguments),
    /// Names the file, row group and row of one record.
    ///
    /// Exit code: 0 found; 1 no file holds it; 2 a file may hold it; 3 no answer.
    Locate(locate::Arguments),
    /// Looks at records that failed (dead letters), in a topic or a folder, and sends them again.
    ///
    /// Exit code: 0 done; 1 some could not be read or sent; 3 no answer.
    #[command(subcommand)]
    Dlq(dlq::Command),
}

impl Command {
    /// The commands whose exit codes are answers.
    const AUDITS: [&str; 3] = ["verify", "locate", "dlq"];
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Upstream's code for wrong usage is 1.
        Err(error) => {
            drop(error.print());
            return match std::env::args().nth(1) {
                _ if !error.use_stderr() => ExitCode::SUCCESS,
                Some(command) if Command::AUDITS.contains(&command.as_str()) => ExitCode::from(audit::NO_ANSWER),
                _ => ExitCode::FAILURE,
            };
        }
    };
    let done = match arguments.command {
        Command::Standalone { worker, connectors } => run_standalone(&worker, &connectors),
        Command::Distributed { worker } => run_distributed(&worker),
        Command::Quickstart(arguments) => quickstart::run(&arguments, &mut std::io::stdout()),
        Command::Verify(arguments) => audit(verify::run(&arguments, &mut std::io::stdout())),
        Command::Locate(arguments) => audit(locate::run(&arguments, &mut std::io::stdout())),
        Command::Dlq(command) => audit(dlq::run(&command, &mut std::io::stdout())),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(ExitError { code, message }) => {
            eprintln!("lakehead: {}", message.lines().collect::<Vec<_>>().join("; "));
            ExitCode::from(code)
        }
    }
}

/// Runs a command that looks at what others have written.
fn audit(command: impl Future<Output = Result<(), ExitError>>) -> Result<(), ExitError> {
    let host = Host::detect();
    telemetry::init(LogFormat::Text, host.environment.get("LAKEHEAD_LOG").map_or("error", String::as_str));
    standalone::block_on(host.cores.max(1), command)
}

fn run_standalone(worker: &std::path::Path, connectors: &[PathBuf]) -> Result<(), ExitError> {
    let plan = Plan::read(worker, connectors)?;
    let loggers = telemetry::init(plan.settings.log_format, &plan.settings.log_filter);
    standalone::block_on(plan.settings.cpu_threads, standalone::run(plan, standalone::kafka(), loggers))
}

fn run_distributed(worker: &std::path::Path) -> Result<(), ExitError> {
    let settings = distributed::read(worker)?;
    let loggers = telemetry::init(settings.log_format, &settings.log_filter);
    standalone::block_on(settings.cpu_threads, distributed::run(Arc::clone(&settings), standalone::kafka(), loggers))
}
