//! From facts to steps: pure, and complete. What is not possible is a refusal with its reason.

pub mod back;
pub mod outlook;
pub mod quiesce;
pub mod restore;
pub mod upgrade;
