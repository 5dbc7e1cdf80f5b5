//! The product against real parts: a Kafka broker, an S3 server, a schema registry, and readers that we did not write.
//!
//! Each test runs the `lakehead` binary as users do, with a worker file and connector files, and looks at it from outside: the REST API, the committed
//! offsets, the objects in the bucket. Nothing waits for a fixed time; everything waits for what it needs, up to a deadline. The servers are started once for all
//! tests and end with them (`tests/servers/guard.sh`); `make test` installs them.
//!
//! `tests/world` has the parts around the product. The tests: [`volume`] (a million records in each format), [`crash`] (kill -9, and members that come and go), [`bad_input`] (records and settings that
//! are wrong), [`dead_letters`] (what becomes of records that fail), [`outage`] (parts that are down), [`distributed`] (workers of one group), [`exactly_once`] (sources whose records and offsets are one transaction), [`lost_records`] (records that are gone before they are read),
//! [`management`] (offsets, topics and levels of loggers over REST), [`registry`] (schemas that refer to others), [`sources`] (connectors that write to Kafka), [`transforms`] (chains of them),
//! [`undisturbed`] (what is done to one connector, and the others), [`whole_sink`] (keys, headers, tombstones, versions and every language of schemas at once),
//! [`writers`] (sources with a schema registry), [`audit`] (the proof of what was written).
#![expect(clippy::expect_used, reason = "whatever goes wrong in a harness fails the test")]

mod audit;
mod bad_input;
mod crash;
mod dead_letters;
mod distributed;
mod exactly_once;
mod lost_records;
mod management;
mod outage;
mod registry;
mod sources;
mod transforms;
mod undisturbed;
mod volume;
mod whole_sink;
#[path = "../world/mod.rs"]
#[allow(dead_code, reason = "each test program needs other parts of the world")]
mod world;
mod writers;

use world::{broker, bucket, servers, worker};
