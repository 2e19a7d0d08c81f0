//! Number matching: two digits that the portal shows and the phone sends back, so that nobody approves a request
//! that he did not start.

use std::fmt;

/// How strictly a transaction is matched; a later word is stricter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NumberMatchRule {
    /// Not at all.
    #[default]
    Off,
    /// The phone shows three numbers, one of which is right.
    Choose,
    /// The user types the number.
    Type,
}

impl NumberMatchRule {
    /// Every rule, the loosest first.
    pub const ALL: [Self; 3] = [Self::Off, Self::Choose, Self::Type];

    /// The word of the interface and of the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Choose => "choose",
            Self::Type => "type",
        }
    }

    /// Parses the word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == word)
    }
}

/// A number of two digits. Only the portal's screen shows it, so it is never printed for debugging.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TwoDigits(u8);

impl TwoDigits {
    /// The number; `None` from 100 on.
    pub const fn new(number: u8) -> Option<Self> {
        if number < 100 { Some(Self(number)) } else { None }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Its two digits in ASCII.
    pub const fn digits(self) -> [u8; 2] {
        [b'0' + self.0 / 10, b'0' + self.0 % 10]
    }
}

/// Always two characters, such as `07`.
impl fmt::Display for TwoDigits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:02}", self.0)
    }
}

impl fmt::Debug for TwoDigits {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("TwoDigits([redacted])")
    }
}

/// The number of one transaction, drawn before it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberMatch {
    /// The right one.
    pub right: TwoDigits,
    /// What the phone shows to choose from, in this order; `None` where the user types.
    pub choices: Option<[TwoDigits; 3]>,
}

impl NumberMatch {
    /// The rule that it follows.
    pub const fn rule(&self) -> NumberMatchRule {
        match self.choices {
            Some(_) => NumberMatchRule::Choose,
            None => NumberMatchRule::Type,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_digits_and_are_not_printed() {
        let seven = TwoDigits::new(7).expect("below 100");
        assert_eq!((seven.to_string().as_str(), &seven.digits()), ("07", b"07"));
        assert_eq!(TwoDigits::new(99).map(TwoDigits::digits), Some(*b"99"));
        assert_eq!(TwoDigits::new(100), None);
        assert!(!format!("{:?}", NumberMatch { right: seven, choices: None }).contains('7'));
    }

    #[test]
    fn rules_round_trip_and_grow_stricter() {
        for rule in NumberMatchRule::ALL {
            assert_eq!(NumberMatchRule::parse(rule.as_str()), Some(rule));
        }
        assert!(
            NumberMatchRule::Off < NumberMatchRule::Choose && NumberMatchRule::Choose < NumberMatchRule::Type
        );
        assert_eq!(NumberMatchRule::parse("Type"), None);
    }
}
