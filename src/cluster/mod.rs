//! What the members of a Connect group share, and what they say to each other.
//!
//! Upstream's workers meet in a consumer group and keep everything else in three compacted topics. The modules here read and write exactly that, so that
//! both kinds of workers can be in one group: [`protocol`] has the bytes of the group's metadata and assignments, [`assignor`] what a leader gives to
//! whom, [`configs`], [`statuses`] and [`source_offsets`] the records of the three topics, [`offset_file`] what a standalone worker has instead of the last
//! one, and [`session`] the signatures of requests between workers.
//!
//! All of these are pure: bytes and the time go in as values, values come out. What talks to brokers is below them: [`broker`] connects and authenticates,
//! [`administration`] asks for what connectors need now and then, [`log`] follows and writes the topics, [`board`] is what they say (only the leader may say
//! some of it: [`privilege`]), and [`membership`] says what a worker is to do, be it alone or in a [`group`], whose [`coordinator`] is a broker.

pub mod work;

pub mod protocol;

pub mod assignor;

mod json;

mod record;

pub mod configs;

pub mod statuses;

pub mod source_offsets;

pub mod offset_file;

pub mod session;

pub mod broker;

pub mod administration;

pub mod membership;

pub mod coordinator;

mod pulse;

pub mod group;

pub mod log;

mod privilege;

pub mod board;

pub use record::Record;
pub use work::{TaskId, Work};
