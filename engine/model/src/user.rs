//! Users: an id inside a realm. There is no register of users; one whom nobody enrolled has no devices.

use std::fmt;
use std::sync::Arc;

use icu_casemap::CaseMapper;
use icu_normalizer::ComposingNormalizer;

use crate::RealmName;

/// A user's id, normalised once by its realm's rule.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

/// A user: who is asked to approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct User {
    /// The realm, a name space of user ids.
    pub realm: RealmName,
    /// The id, unique inside the realm.
    pub id: UserId,
}

/// How a realm makes two spellings of an id one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserIdRule {
    /// Byte for byte.
    #[default]
    Exact,
    /// NFKC, then Unicode case folding: `ＡLICE` is `alice`.
    Casefold,
}

/// Why a text is not a user id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserIdError;

impl fmt::Display for UserIdError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a user id is 1 to 256 bytes of UTF-8 without control characters")
    }
}

impl std::error::Error for UserIdError {}

impl UserId {
    /// Longest id in bytes of UTF-8, after normalisation.
    pub const BYTES_MAX: usize = 256;

    /// Validates `text` and normalises it by `rule`.
    pub fn new(text: &str, rule: UserIdRule) -> Result<Self, UserIdError> {
        let valid = |id: &str| (1..=Self::BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
        if !valid(text) {
            return Err(UserIdError);
        }
        let normalised = match rule {
            UserIdRule::Exact => Arc::from(text),
            UserIdRule::Casefold => casefold(text),
        };
        if valid(&normalised) { Ok(Self(normalised)) } else { Err(UserIdError) }
    }

    /// An id that was normalised before, as read back from storage.
    pub fn from_stored(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The normalised id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Folding can undo a normal form, so the result is normalised once more.
fn casefold(text: &str) -> Arc<str> {
    let nfkc = ComposingNormalizer::new_nfkc();
    let normalised = nfkc.normalize(text);
    let folded = CaseMapper::new().fold_string(&normalised);
    Arc::from(&*nfkc.normalize(&folded))
}

impl fmt::Display for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casefold_makes_spellings_one_and_exact_does_not() {
        let fold = |text| UserId::new(text, UserIdRule::Casefold).map(|id| id.as_str().to_owned());
        assert_eq!(fold("ＡLICE"), Ok("alice".to_owned()));
        assert_eq!(fold("STRASSE"), fold("straße"));
        assert_ne!(UserId::new("Alice", UserIdRule::Exact), UserId::new("alice", UserIdRule::Exact));
    }

    #[test]
    fn ids_are_bounded_and_printable() {
        for bad in ["", "a\nb", "a\u{7f}", &"a".repeat(257)] {
            assert_eq!(UserId::new(bad, UserIdRule::Exact), Err(UserIdError), "{bad:?}");
        }
        assert!(UserId::new(&"a".repeat(256), UserIdRule::Exact).is_ok());
    }

    #[test]
    fn folding_is_idempotent() {
        for text in ["İstanbul", "ﬁ", "ǅ", "ᾳ"] {
            let once = UserId::new(text, UserIdRule::Casefold).expect("valid");
            let twice = UserId::new(once.as_str(), UserIdRule::Casefold).expect("valid");
            assert_eq!(once, twice, "{text}");
        }
    }
}
