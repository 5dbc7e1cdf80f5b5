//! What workers share in a cluster, against a real broker: membership in a Connect group, internal topics, who writes them, ways to reach brokers, and Java's own
//! worker beside ours.
//!
//! The broker is started once for all tests, but for [`security`] (`tests/servers`); groups and topics have names of their own. Nothing waits for a fixed time.
#![expect(clippy::expect_used, reason = "whatever goes wrong in a harness fails the test")]

mod java;
mod leader;
mod log;
mod membership;
mod oauth;
mod security;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each test program needs other parts of the world")]
mod world;

use std::sync::Arc;

use lakehead::clock::Clock;
use lakehead::cluster::broker::Network;
use lakehead::kafka::Props;
use world::{broker, servers};

/// How the shared broker is reached.
fn network() -> Arc<Network> {
    let props = Props::from([("bootstrap.servers".to_owned(), servers::Kafka::shared().bootstrap())]);
    Arc::new(Network::new(&props, "cluster-test", Clock::system()).expect("a network"))
}
