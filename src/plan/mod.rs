//! From facts to steps: pure, and complete. What is not possible is a refusal with its reason.

pub mod back;
pub mod bring_up;
pub mod crossing;
pub mod dump;
pub mod load;
pub mod outlook;
pub mod place;
pub mod quiesce;
pub mod rehearse;
pub mod restore;
pub mod side;
pub mod tablespaces;
#[cfg(test)]
mod testing;
pub mod upgrade;
