//! Aiven.

mod groups;
mod template;
