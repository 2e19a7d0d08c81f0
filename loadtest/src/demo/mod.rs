//! The demo: a real server, strict doubles of Apple, Google and Twilio, simulated phones, and what they do with
//! each other, told step by step with times.
//!
//! A step either goes exactly as told or the demo fails; every step has a deadline. With `keep` everything stays up
//! for lines to be tried at the terminal.

mod bank;
mod keep;
mod lone_phone;
mod prompt;
mod script;
mod stage;
mod steps;
mod teller;

pub use lone_phone::{LonePhone, be_a_phone};
pub use script::run;
