//! The real parts that tests put around the product, shared by the test programs that need them.
//!
//! [`servers`] (what is started: a broker, an S3 server, a registry), [`broker`] (topics, records, offsets), [`worker`] (the binary and its REST API),
//! [`bucket`] (what was written) and [`proxy`] (an HTTP proxy that fails on demand). Servers are started when they are first needed and end with the
//! program (`tests/servers/guard.sh`).

pub(crate) mod broker;
pub(crate) mod bucket;
pub(crate) mod proxy;
pub(crate) mod servers;
pub(crate) mod worker;
