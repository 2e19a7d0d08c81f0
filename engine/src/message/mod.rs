//! What the user reads: texts in the right language, and where the call comes from.
//!
//! Everything is written before the transaction is stored, and nothing of it is looked up again. The texts and the
//! rendering are pure; only [`Origins`] asks somebody, within a time-out, and whatever goes wrong there leaves the bare
//! message.
//!
//! Values that somebody outside has chosen (a user agent, a place, a user's id) are made safe before they stand in a text:
//! one line, no characters that control or turn it, and not long.

mod language;
mod location;
mod origin;
mod text;
mod user_agent;
mod value;

pub(crate) use language::languages;
pub(crate) use location::{Located, LocationFault};
pub use location::{OriginSetupError, Origins};
pub(crate) use origin::{OriginParts, origin_text};
pub(crate) use text::{TextParts, shown_text};
pub(crate) use user_agent::Software;
