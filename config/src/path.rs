//! The path of a key from the top of the document, such as `realms.retail.ttl_s`.

use std::fmt;

/// The names of the tables from the top, then the key. Names may contain dots, so it is never split from text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyPath(Vec<String>);

impl KeyPath {
    /// The path with these segments.
    pub(crate) fn of(segments: &[&str]) -> Self {
        Self(segments.iter().map(|segment| (*segment).to_owned()).collect())
    }

    /// The path one step below this one.
    pub(crate) fn child(&self, segment: &str) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment.to_owned());
        Self(segments)
    }

    /// The table that holds it; the top for the top.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0.iter().take(self.0.len().saturating_sub(1)).cloned().collect())
    }

    /// The segments.
    pub(crate) fn segments(&self) -> &[String] {
        &self.0
    }

    /// The last segment; empty for the top.
    pub(crate) fn leaf(&self) -> &str {
        self.0.last().map_or("", String::as_str)
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, segment) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(formatter, "{dot}{}", quoted(segment))?;
        }
        Ok(())
    }
}

/// A segment as TOML writes it: bare where it can be.
pub(crate) fn quoted(segment: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if !segment.is_empty() && segment.bytes().all(is_bare) {
        segment.to_owned()
    } else {
        toml::Value::String(segment.to_owned()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_that_are_not_bare_are_quoted() {
        let path = KeyPath::of(&["realms", "retail.eu", "ttl_s"]);
        assert_eq!(path.to_string(), "realms.\"retail.eu\".ttl_s");
        assert_eq!(path.parent().leaf(), "retail.eu");
    }
}
