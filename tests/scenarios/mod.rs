//! What users and bad luck do, one file a theme.

mod clean;
mod clients;
mod crossing;
mod down;
mod dump;
mod faults;
mod input;
mod kubernetes;
mod layouts;
mod list;
mod load;
mod load_down;
mod operators;
mod place;
mod refusals;
mod rehearse;
mod rights;
mod side;
mod tablespaces;
mod upgrades;
