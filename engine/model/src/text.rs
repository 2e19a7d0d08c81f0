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
    /// What not every one has; `None` where there is nothing of it, so that the others do not pay for its place.
    pub particulars: Option<Box<Particulars>>,
}

/// What a [`Content`] may have beside its title and message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Particulars {
    /// A longer text for the challenge only, at most 4,000 characters.
    pub secure_message: Option<Box<str>>,
    /// Labelled lines.
    pub details: Vec<Detail>,
    /// For the app's own checks; the only member that the phone does not show.
    pub hidden_details: Vec<Detail>,
    /// Where the request came from, rendered.
    pub context: Option<Box<str>>,
}

static NO_PARTICULARS: Particulars =
    Particulars { secure_message: None, details: Vec::new(), hidden_details: Vec::new(), context: None };

impl Particulars {
    /// The form in which a content has them: `None` when there is nothing of them.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != NO_PARTICULARS).then(|| Box::new(self))
    }
}

impl Content {
    /// What it has beside title and message.
    pub fn particulars(&self) -> &Particulars {
        self.particulars.as_deref().unwrap_or(&NO_PARTICULARS)
    }

    /// Changes what it has beside title and message.
    pub fn change_particulars(&mut self, change: impl FnOnce(&mut Particulars)) {
        let mut particulars = self.particulars.take().map_or_else(Particulars::default, |kept| *kept);
        change(&mut particulars);
        self.particulars = particulars.kept();
    }
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
