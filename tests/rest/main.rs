//! The REST API over real HTTP, on a herder with a small connector and a Kafka that hands out nothing.
//!
//! The files `recorded*.json` hold requests with the answers that Java workers of Apache Kafka 4.3.1 gave (standalone ones where they differ), with a sink of our own
//! in the place of upstream's file connectors, and some that follow from them. The files beside this one hold what needs more than a request and its answer.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod definitions;
mod lifecycle;
mod management;
mod recorded;
mod security;
mod sources;
mod world;
