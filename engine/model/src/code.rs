//! One-time codes: what a user reads in a message and types at the portal.

use std::fmt;

use crate::Secret;

/// How many digits a one-time code has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeDigits(u8);

impl CodeDigits {
    /// Fewest; a shorter code is guessed too easily.
    pub const MIN: u8 = 4;
    /// Most; nobody types a longer one.
    pub const MAX: u8 = 10;

    /// So many digits, if that many are allowed.
    pub const fn new(digits: u8) -> Option<Self> {
        if Self::MIN <= digits && digits <= Self::MAX { Some(Self(digits)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A text with a one-time code in it, as it is sent. It is wiped when dropped and never printed.
#[derive(Clone)]
pub struct CodeText(Secret<String>);

impl CodeText {
    /// Takes a text into keeping.
    pub fn new(text: String) -> Self {
        Self(Secret::new(text))
    }

    /// The text; call it only where it is sent.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }
}

impl fmt::Debug for CodeText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CodeText([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_four_to_ten_digits() {
        let allowed: Vec<u8> = (0..=u8::MAX).filter_map(CodeDigits::new).map(CodeDigits::get).collect();
        assert_eq!(allowed, [4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn a_text_is_not_printed() {
        let text = CodeText::new("Your code is 123456".to_owned());
        assert_eq!(
            (format!("{text:?}").as_str(), text.expose()),
            ("CodeText([redacted])", "Your code is 123456")
        );
    }
}
