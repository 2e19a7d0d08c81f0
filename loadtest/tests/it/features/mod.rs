//! Acceptance: each row of the feature table, done and seen through the doors of a real server and the mock world.
//!
//! A test is called `row_<number>_<name>` after its row, and does what the row's last column says, in the words of
//! our own interface. [`Scene`] is what they stand on.

mod approval;
mod asking;
mod callbacks;
mod codes;
mod content;
mod context;
mod delivery;
mod devices;
mod doors;
mod enrolment;
mod fatigue;
mod keys;
mod mail;
mod messages;
mod modes;
mod networks;
mod numbers;
mod operations;
mod otp;
mod portal;
mod profile;
mod providers;
mod proxy;
mod python;
mod resends;
mod rows;
#[allow(dead_code, reason = "one fixture for many tests, each of which uses its part")]
pub mod scene;
mod server_keys;
mod sms;
mod switches;
mod texts;
mod users;
mod waiting;

use scene::Scene;
