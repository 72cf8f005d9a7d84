//! Pure builders of the objects this tool creates.

pub mod claim;
pub mod login;
pub mod pod;
pub mod snapshot;
