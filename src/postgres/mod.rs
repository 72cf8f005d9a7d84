//! What is known about PostgreSQL itself: versions, settings, quoting, image names. Values in, values out.

pub mod catalogs;
pub mod image;
pub mod in_force;
pub mod initdb;
pub mod query;
pub mod quote;
pub mod settings;
pub mod upgrade_args;
pub mod version;
