//! The table of `make bench`: what was measured, beside the bare library, with its target.
//!
//! It measures nothing and keeps no figure of its own: criterion's medians and the figures that benches keep are read from
//! the target folder, and what is not there is said to be missing.

mod machine;
mod rows;
mod source;
mod table;

pub use machine::Machine;
pub use source::Measured;
pub use table::{Table, replace_section};
