//! `lakehead verify` and `lakehead locate` on a folder and on an S3 server: what is right is proven, and every planted violation is found and named.
//!
//! The S3 server and the broker are started by the scripts in `tests/servers` and must have been installed by `tests/servers/setup.sh stores kafka`.

#![expect(clippy::unwrap_used, reason = "a test ends at the first thing that is not as it should be")]

mod contents;
mod group;
mod locate;
mod scale;
mod violations;
mod world;
