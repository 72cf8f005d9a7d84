//! Reads the outside world into facts; never writes.

pub mod clients;
pub mod down;
pub mod dry_run;
pub mod dump_claim;
pub mod image_files;
pub mod inventory;
pub mod list;
pub mod managed;
pub mod namespace;
pub mod observe;
pub mod owners;
pub mod queries;
pub mod schema;
pub mod server;
pub mod sql;
pub mod storage;
pub mod surroundings;
pub mod target;
pub mod target_image;
mod target_name;
pub mod vacuum;

pub use namespace::Namespace;
