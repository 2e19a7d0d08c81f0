//! One-time codes: the keys that they are derived with, their digits, and the texts that carry them.
//!
//! A code is HMAC-SHA-256 under a code key, taken to its digits from 128 bits, so that a resend and a restart give the
//! same one and nothing about it has to be stored but the id of the key. Nothing here is printed, logged or counted.

mod derive;
mod file;
mod keys;
mod text;

pub(crate) use derive::is_right;
pub use file::CodeKeyError;
pub use keys::CodeKeys;
pub(crate) use text::text_of;
