//! Texts with placeholders, from which requests to a gateway are made. What is put in is escaped for where it stands.

use std::fmt;

/// What can be put in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placeholder {
    To,
    Text,
    From,
    Reference,
}

const PLACEHOLDERS: [(&str, Placeholder); 4] = [
    ("to", Placeholder::To),
    ("text", Placeholder::Text),
    ("from", Placeholder::From),
    ("ref", Placeholder::Reference),
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Fixed(String),
    Filled(Placeholder),
}

/// A text with `{to}`, `{text}`, `{from}` and `{ref}`; every other brace stands for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Part>);

/// What stands in a template.
pub(crate) struct Says {
    pub(crate) to: bool,
    pub(crate) text: bool,
    pub(crate) from: bool,
}

/// What is put in.
#[derive(Clone, Copy)]
pub struct Filling<'a> {
    /// The number that the message goes to.
    pub to: &'a str,
    /// What the message says.
    pub text: &'a str,
    /// Whom it comes from.
    pub from: &'a str,
    /// Its identity.
    pub reference: &'a str,
}

impl fmt::Debug for Filling<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Filling([redacted])")
    }
}

/// How a value is written where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// Percent-encoded: in a URL or a form.
    Percent,
    /// Inside of a JSON string.
    Json,
    /// As text or attribute of XML 1.0; characters that it cannot hold are left out.
    Xml,
}

impl Template {
    /// Reads a template; the error is the name of a placeholder that there is not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let (mut fixed, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            fixed.push_str(before);
            match after.split_once('}').filter(|(name, _)| is_name(name)) {
                Some((name, behind)) => {
                    let known = PLACEHOLDERS.iter().find(|(known, _)| *known == name);
                    let (_, placeholder) = known.ok_or_else(|| name.to_owned())?;
                    parts.push(Part::Fixed(std::mem::take(&mut fixed)));
                    parts.push(Part::Filled(*placeholder));
                    rest = behind;
                }
                None => {
                    fixed.push('{');
                    rest = after;
                }
            }
        }
        fixed.push_str(rest);
        parts.push(Part::Fixed(fixed));
        Ok(Self(parts))
    }

    /// What stands in it.
    pub(crate) fn says(&self) -> Says {
        let has = |wanted| self.0.contains(&Part::Filled(wanted));
        Says { to: has(Placeholder::To), text: has(Placeholder::Text), from: has(Placeholder::From) }
    }

    /// The text with everything put in.
    pub fn fill(&self, filling: Filling<'_>, escape: Escape) -> String {
        let mut text = String::with_capacity(512);
        for part in &self.0 {
            match part {
                Part::Fixed(fixed) => text.push_str(fixed),
                Part::Filled(placeholder) => escape.write(placeholder.value(filling), &mut text),
            }
        }
        text
    }
}

impl Placeholder {
    fn value(self, filling: Filling<'_>) -> &str {
        match self {
            Self::To => filling.to,
            Self::Text => filling.text,
            Self::From => filling.from,
            Self::Reference => filling.reference,
        }
    }
}

impl Escape {
    /// Writes `value` so that a reader gets back just that.
    pub fn write(self, value: &str, text: &mut String) {
        match self {
            Self::Percent => percent(value, text),
            Self::Json => {
                let quoted = serde_json::Value::from(value).to_string();
                text.push_str(quoted.get(1..quoted.len() - 1).unwrap_or_default());
            }
            Self::Xml => value.chars().for_each(|character| xml(character, text)),
        }
    }
}

fn percent(value: &str, text: &mut String) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from(HEX[usize::from(nibble)]);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

fn xml(character: char, text: &mut String) {
    match character {
        '&' => text.push_str("&amp;"),
        '<' => text.push_str("&lt;"),
        '>' => text.push_str("&gt;"),
        '"' => text.push_str("&quot;"),
        '\'' => text.push_str("&apos;"),
        '\t' => text.push_str("&#9;"),
        '\n' => text.push_str("&#10;"),
        '\r' => text.push_str("&#13;"),
        '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => {}
        plain => text.push(plain),
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "\"},{\"to\":\"+1\"\\ \n\r\u{7}</text><to>&a=b c%41 ü";
    const FILLING: Filling<'_> =
        Filling { to: "+15055551234", text: HOSTILE, from: "Bank", reference: "r-1" };

    fn filled(template: &str, escape: Escape) -> String {
        Template::parse(template).expect("valid").fill(FILLING, escape)
    }

    #[test]
    fn json_keeps_its_shape_whatever_the_text_says() {
        let text = filled(r#"{"a":{"to":"{to}","t":"{text}"},"r":"{ref}{ref}"}"#, Escape::Json);
        let value: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(value["a"]["to"], "+15055551234");
        assert_eq!(value["a"]["t"], HOSTILE);
        assert_eq!((&value["r"], value.as_object().map(serde_json::Map::len)), (&"r-1r-1".into(), Some(2)));
    }

    #[test]
    fn a_quote_at_either_end_of_a_text_is_escaped_in_json() {
        for text in ["\"", "\"\"", "a\"", "\"a", "\\", ""] {
            let mut written = String::new();
            Escape::Json.write(text, &mut written);
            let back: String = serde_json::from_str(&format!("\"{written}\"")).expect("JSON");
            assert_eq!(back, text);
        }
    }

    #[test]
    fn a_form_has_no_more_fields_than_its_template() {
        let text = filled("to={to}&text={text}&from={from}", Escape::Percent);
        assert!(text.starts_with("to=%2B15055551234&text=%22%7D%2C%7B"), "{text}");
        assert_eq!((text.matches('&').count(), text.matches('=').count()), (2, 3));
        assert!(text.contains("%0A%0D%07") && text.ends_with("c%2541%20%C3%BC&from=Bank"), "{text}");
    }

    #[test]
    fn xml_has_no_more_elements_than_its_template() {
        let text = filled("<sms><text>{text}</text></sms>", Escape::Xml);
        assert_eq!(text.matches('<').count(), 4);
        assert!(text.contains("&#10;&#13;&lt;/text&gt;&lt;to&gt;&amp;a=b"), "{text}");
        assert!(!text.contains('\u{7}'));
    }

    #[test]
    fn braces_stand_for_themselves_and_unknown_names_are_refused() {
        assert_eq!(filled("{ {} {\"x\"} {to", Escape::Percent), "{ {} {\"x\"} {to");
        assert_eq!(Template::parse("{to} {txt}"), Err("txt".to_owned()));
        assert_eq!(Template::parse("{code}"), Err("code".to_owned()));
    }
}
