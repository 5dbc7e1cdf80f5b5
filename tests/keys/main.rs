//! Every key of the storage sinks, and of workers, does what it says, or says why it does not.
//!
//! [`workers`] has the keys of workers and of the framework, [`clients`] the properties of Kafka's clients. [`table`] has a row for each key: a value other than its default, and what shows its effect. [`objects`] shows which objects there are and what they
//! are called, [`contents`] what is in them and with them, [`requests`] what a store is asked for. [`schemas`] does so for `docs/schemas.md`, [`reference`] keeps `docs/settings.md` equal to the keys' own
//! tables. The connectors, the converters and the store's clients are the real ones; the store is the conformance tests' recording one.
#![expect(clippy::expect_used, reason = "a test ends at the first thing that is not as it should be")]

mod clients;
mod contents;
mod objects;
#[expect(dead_code, reason = "the conformance test's, which uses the rest")]
#[path = "../conformance/play.rs"]
mod play;
mod played;
#[expect(dead_code, reason = "the conformance test's, which uses the rest")]
#[path = "../conformance/records.rs"]
mod records;
mod reference;
mod requests;
mod schemas;
#[expect(dead_code, reason = "the conformance test's, which uses the rest")]
#[path = "../conformance/shorthand.rs"]
mod shorthand;
#[expect(dead_code, reason = "the conformance test's, which uses the rest")]
#[path = "../conformance/store.rs"]
mod store;
mod table;
mod workers;
