//! What users and bad luck do, one file a theme.

mod clients;
mod faults;
mod input;
mod layouts;
mod list;
mod operators;
mod refusals;
mod rights;
mod upgrades;
