//! Texts with places that are filled in: `{user}` in titles and messages, `[city]` in what is shown of an origin.
//!
//! A text is read once, when the configuration is; a word between the marks that stands for nothing is refused there. It
//! is filled in one pass, so that a mark in a value is a mark and no place.

use std::fmt;
use std::sync::Arc;

/// What can stand in a place of a text.
pub trait Placeholder: Copy + PartialEq + 'static {
    /// Every placeholder.
    const ALL: &'static [Self];
    /// What stands before and behind its word.
    const MARKS: (char, char);

    /// Its word.
    fn word(self) -> &'static str;
}

/// A text with places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template<P> {
    text: Arc<str>,
    pieces: Vec<Piece<P>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece<P> {
    Text(Box<str>),
    Place(P),
}

/// A word between marks that stands for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPlaceholder {
    /// With its marks.
    pub word: String,
    /// Those that there are, with their marks.
    pub known: Vec<String>,
}

impl fmt::Display for UnknownPlaceholder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} stands for nothing; there are {}", self.word, self.known.join(", "))
    }
}

impl std::error::Error for UnknownPlaceholder {}

impl<P: Placeholder> Template<P> {
    /// Reads a text. Marks around anything but letters and `_` are part of the text.
    pub fn parse(text: &str) -> Result<Self, UnknownPlaceholder> {
        let (open, close) = P::MARKS;
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(start) = rest.find(open) {
            let (before, marked) = rest.split_at(start);
            plain.push_str(before);
            let inner = &marked[open.len_utf8()..];
            match inner.split_once(close).filter(|(word, _)| is_word(word)) {
                None => {
                    plain.push(open);
                    rest = inner;
                }
                Some((word, after)) => {
                    let known = P::ALL.iter().copied().find(|known| known.word() == word);
                    push_text(&mut pieces, &mut plain);
                    pieces.push(Piece::Place(known.ok_or_else(|| unknown::<P>(word))?));
                    rest = after;
                }
            }
        }
        plain.push_str(rest);
        push_text(&mut pieces, &mut plain);
        Ok(Self { text: text.into(), pieces })
    }

    /// Whether `placeholder` has a place in it.
    pub fn has(&self, placeholder: P) -> bool {
        self.pieces.contains(&Piece::Place(placeholder))
    }

    /// Whether any of these has a place in it.
    pub fn has_any(&self, placeholders: &[P]) -> bool {
        placeholders.iter().any(|placeholder| self.has(*placeholder))
    }

    /// Whether it has no place at all.
    pub fn is_plain(&self) -> bool {
        self.pieces.iter().all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The text as it was written; for all transactions one and the same.
    pub fn text(&self) -> &Arc<str> {
        &self.text
    }

    /// The text with every place filled in.
    pub fn fill<'v>(&self, value: impl Fn(P) -> &'v str) -> String {
        let mut filled = String::with_capacity(self.text.len());
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Place(placeholder) => filled.push_str(value(*placeholder)),
            }
        }
        filled
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'_')
}

fn push_text<P>(pieces: &mut Vec<Piece<P>>, plain: &mut String) {
    if !plain.is_empty() {
        pieces.push(Piece::Text(std::mem::take(plain).into()));
    }
}

fn unknown<P: Placeholder>(word: &str) -> UnknownPlaceholder {
    let (open, close) = P::MARKS;
    let marked = |word: &str| format!("{open}{word}{close}");
    UnknownPlaceholder {
        word: marked(word),
        known: P::ALL.iter().map(|placeholder| marked(placeholder.word())).collect(),
    }
}

macro_rules! placeholders {
    ($(#[$doc:meta])* $name:ident $open:literal $close:literal { $($(#[$each:meta])* $word:literal => $value:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$each])* $value),+
        }

        impl Placeholder for $name {
            const ALL: &'static [Self] = &[$(Self::$value),+];
            const MARKS: (char, char) = ($open, $close);

            fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word),+
                }
            }
        }
    };
}

placeholders! {
    /// What the configured titles and messages can name.
    TextTag '{' '}' {
        /// The user's id.
        "user" => User,
        /// The user's realm.
        "realm" => Realm,
        /// The name of the type.
        "type" => TypeName,
        /// From which address the user calls.
        "ip_address" => IpAddress,
        /// The user's operating system.
        "operating_system" => OperatingSystem,
        /// The user's browser.
        "browser" => Browser,
        /// The one-time code. Filled in where it is sent, and nowhere else.
        "code" => Code,
    }
}

placeholders! {
    /// What a text about the origin of a call can name.
    OriginTag '[' ']' {
        /// What it is about: the secure message, else the message.
        "message" => Message,
        /// The user's operating system.
        "operatingSystem" => OperatingSystem,
        /// The user's browser.
        "browser" => Browser,
        /// The country, two letters.
        "countryCode" => CountryCode,
        /// The region.
        "region" => Region,
        /// The city.
        "city" => City,
    }
}

impl OriginTag {
    /// Those that come from the address of the call.
    pub const OF_LOCATION: [Self; 3] = [Self::CountryCode, Self::Region, Self::City];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> String {
        let template: Template<OriginTag> = Template::parse(text).expect("known places");
        template.fill(|tag| match tag {
            OriginTag::Message => "Log in? [browser]",
            OriginTag::Browser => "Chrome 73.0",
            OriginTag::City => "Utrecht",
            OriginTag::OperatingSystem | OriginTag::CountryCode | OriginTag::Region => "",
        })
    }

    #[test]
    fn places_are_filled_in_one_pass_and_in_any_order() {
        assert_eq!(filled("[city]: [browser]"), "Utrecht: Chrome 73.0");
        assert_eq!(filled("[message]"), "Log in? [browser]", "a value is no template");
        assert_eq!(filled("[region][region]."), ".");
        assert_eq!(filled(""), "");
    }

    #[test]
    fn marks_around_anything_else_are_text() {
        for text in ["[", "]", "[]", "[1]", "a [b c] d", "[[", "[€]", "{user}", "[city"] {
            assert_eq!(filled(text), text);
        }
        assert_eq!(filled("[[city]]"), "[Utrecht]");
    }

    #[test]
    fn an_unknown_word_is_refused_with_those_that_there_are() {
        let refused = Template::<TextTag>::parse("Hello {givenname}").expect_err("unknown").to_string();
        assert!(
            refused.starts_with("{givenname} stands for nothing; there are {user}, {realm}"),
            "{refused}"
        );
        assert!(Template::<OriginTag>::parse("[City]").is_err());
    }

    #[test]
    fn a_template_knows_its_places() {
        let template: Template<TextTag> = Template::parse("{user}?").expect("known");
        assert!(template.has(TextTag::User) && !template.has(TextTag::Code) && !template.is_plain());
        assert!(Template::<TextTag>::parse("{ user }").expect("text").is_plain());
    }
}
