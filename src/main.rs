//! Arguments → settings → environment → run → exit code.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use lakehead::kafka::librdkafka::Librdkafka;
use lakehead::standalone::{self, ExitError, Plan};
use lakehead::{quickstart, telemetry};

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
    /// The main job with nothing installed: a broker inside the process, order events, Parquet files below ./lake.
    Quickstart(quickstart::Arguments),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        // Upstream's code for wrong usage is 1.
        Err(error) => {
            drop(error.print());
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    let done = match arguments.command {
        Command::Standalone { worker, connectors } => run_standalone(&worker, &connectors),
        Command::Quickstart(arguments) => quickstart::run(&arguments, &mut std::io::stdout()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(ExitError { code, message }) => {
            eprintln!("lakehead: {}", message.lines().collect::<Vec<_>>().join("; "));
            ExitCode::from(code)
        }
    }
}

fn run_standalone(worker: &std::path::Path, connectors: &[PathBuf]) -> Result<(), ExitError> {
    let plan = Plan::read(worker, connectors)?;
    telemetry::init(plan.settings.log_format, &plan.settings.log_filter);
    standalone::block_on(plan.settings.cpu_threads, standalone::run(plan, Arc::new(Librdkafka)))
}
