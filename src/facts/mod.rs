//! What was read from the outside world: plain data, no handles, no behavior.

pub mod clients;
pub mod container;
pub mod dry_run;
pub mod dump_claim;
pub mod given;
pub mod image_files;
pub mod instance;
pub mod listed;
pub mod server;
pub mod surroundings;
pub mod target;
