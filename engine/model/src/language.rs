//! Languages, as tags of BCP 47.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A language tag such as `nl` or `de-ch`, in small letters. Which ones there are texts for is known where texts are
/// chosen; here only the form is judged.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Language(Arc<str>);

/// A text is not a language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LanguageError;

impl fmt::Display for LanguageError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a language is a tag such as \"de\" or \"de-CH\"")
    }
}

impl std::error::Error for LanguageError {}

impl Language {
    /// Longest tag in characters; registered ones have 35 at most (RFC 5646, section 4.4.1).
    pub const CHARACTERS_MAX: usize = 35;

    /// The tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is English, of whatever country.
    pub fn is_english(&self) -> bool {
        self.0.split('-').next() == Some("en")
    }

    /// The tag itself and what is left of it as its end is cut off part by part (RFC 4647, section 3.4): `de-ch-1996`,
    /// `de-ch`, `de`.
    pub fn from_special_to_general(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(Some(&*self.0), |tag| without_last_part(tag))
    }
}

fn without_last_part(tag: &str) -> Option<&str> {
    let shorter = tag.rsplit_once('-')?.0;
    // A single letter begins what has just been cut off.
    match shorter.rsplit_once('-') {
        Some((general, last)) if last.len() == 1 => Some(general),
        Some(_) | None => Some(shorter),
    }
}

impl FromStr for Language {
    type Err = LanguageError;

    fn from_str(text: &str) -> Result<Self, LanguageError> {
        let is_part = |part: &str| {
            (1..=8).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        let begins_well =
            text.split('-').next().is_some_and(|first| first.bytes().all(|byte| byte.is_ascii_alphabetic()));
        if text.len() <= Self::CHARACTERS_MAX && begins_well && text.split('-').all(is_part) {
            Ok(Self(text.to_ascii_lowercase().into()))
        } else {
            Err(LanguageError)
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_a_few_short_parts_and_case_does_not_count() {
        for (text, tag) in
            [("nl", "nl"), ("DE-ch", "de-ch"), ("zh-Hant-TW", "zh-hant-tw"), ("i-klingon", "i-klingon")]
        {
            assert_eq!(text.parse::<Language>().map(|language| language.to_string()), Ok(tag.to_owned()));
        }
        for bad in ["", "-", "de-", "de_CH", "4u", "abcdefghi", "de CH", "dé", &"a-".repeat(40)] {
            assert_eq!(bad.parse::<Language>(), Err(LanguageError), "{bad}");
        }
    }

    #[test]
    fn a_tag_is_cut_from_its_end() {
        let parts = |text: &str| {
            let language: Language = text.parse().expect("a tag");
            language.from_special_to_general().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(parts("de-CH-1996"), ["de-ch-1996", "de-ch", "de"]);
        assert_eq!(parts("de-a-value"), ["de-a-value", "de"]);
        assert_eq!(parts("x-private"), ["x-private", "x"]);
        assert!("en-GB".parse::<Language>().expect("a tag").is_english());
        assert!(!"enm".parse::<Language>().expect("a tag").is_english());
    }
}
