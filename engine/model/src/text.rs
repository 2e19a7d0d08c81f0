//! What the user is shown, and what the phone's signature covers.

use std::sync::Arc;

/// A labelled line of a challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Detail {
    /// The label, at most 64 characters.
    pub label: Box<str>,
    /// The value, at most 512 characters.
    pub value: Box<str>,
}

/// The texts of a transaction, fixed before it is stored; never sent in clear in a push unless its type says so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The title, at most 100 characters; one text for all transactions that take the type's default.
    pub title: Arc<str>,
    /// The message, at most the type's `message_max` characters; shared in the same way.
    pub message: Arc<str>,
    /// A longer text for the challenge only, at most 4,000 characters.
    pub secure_message: Option<Box<str>>,
    /// Labelled lines.
    pub details: Vec<Detail>,
    /// For the app's own checks; the only member that the phone does not show.
    pub hidden_details: Vec<Detail>,
    /// Where the request came from, rendered.
    pub context: Option<Box<str>>,
}

/// The bounds of a [`Content`]; lengths are in characters (Unicode scalar values) unless the name says bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentLimits;

impl ContentLimits {
    /// Longest title.
    pub const TITLE_CHARACTERS_MAX: usize = 100;
    /// The highest value of a type's `message_max`.
    pub const MESSAGE_CHARACTERS_CEILING: usize = 1_000;
    /// The default of a type's `message_max`.
    pub const MESSAGE_CHARACTERS_DEFAULT: usize = 155;
    /// Longest secure message.
    pub const SECURE_MESSAGE_CHARACTERS_MAX: usize = 4_000;
    /// Most details, and most hidden details.
    pub const DETAILS_MAX: usize = 20;
    /// Longest label.
    pub const LABEL_CHARACTERS_MAX: usize = 64;
    /// Longest value.
    pub const VALUE_CHARACTERS_MAX: usize = 512;
    /// All claims of the challenge together, as JSON.
    pub const CLAIMS_BYTES_MAX: usize = 5_500;
}
