//! Reads the outside world into facts; never writes.

pub mod clients;
pub mod down;
pub mod dry_run;
pub mod namespace;
pub mod observe;
pub mod queries;
pub mod server;
pub mod sql;
pub mod storage;
pub mod surroundings;
pub mod target;
pub mod target_image;
pub mod vacuum;

pub use namespace::Namespace;
