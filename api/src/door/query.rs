//! Query parameters, read as strictly as a body: an unknown or doubled one is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use tocsin_model::{ErrorCode, Problem};

/// Items of a page when the caller does not say.
pub(crate) const PAGE_LIMIT_DEFAULT: u32 = 100;
/// Most items of a page.
pub(crate) const PAGE_LIMIT_MAX: u32 = 1_000;

/// The parameters of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(BTreeMap<&'static str, String>);

impl Query {
    /// Reads a query string (`application/x-www-form-urlencoded`) that may hold `known` parameters, each once.
    pub(crate) fn parse(query: &str, known: &[&'static str]) -> Result<Self, Problem> {
        let mut parameters = BTreeMap::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decode(name).ok_or_else(malformed)?;
            let Some(name) = known.iter().find(|known| **known == name) else {
                return Err(unknown(name.into_owned()));
            };
            let value = decode(value).ok_or_else(|| malformed().with_field(*name))?.into_owned();
            if parameters.insert(*name, value).is_some() {
                let problem = Problem::new(ErrorCode::InvalidRequest, "this parameter stands there twice");
                return Err(problem.with_field(*name));
            }
        }
        Ok(Self(parameters))
    }

    /// `limit`: how many items a page has at most.
    pub(crate) fn page_limit(&self) -> Result<usize, Problem> {
        match self.number("limit", PAGE_LIMIT_MAX)?.unwrap_or(PAGE_LIMIT_DEFAULT) {
            0 => Err(Problem::new(ErrorCode::InvalidField, "this must be 1 at least").with_field("limit")),
            limit => Ok(limit as usize),
        }
    }

    /// The text of a parameter.
    pub(crate) fn text(&self, name: &'static str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A whole number of at most `max`.
    pub(crate) fn number(&self, name: &'static str, max: u32) -> Result<Option<u32>, Problem> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !digits {
            return Err(
                Problem::new(ErrorCode::InvalidRequest, "this must be a whole number").with_field(name)
            );
        }
        let number = text.parse::<u32>().ok().filter(|number| *number <= max);
        number.map(Some).ok_or_else(|| {
            Problem::new(ErrorCode::InvalidField, format!("this may be {max} at most")).with_field(name)
        })
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().ok()?.into_owned();
    Some(Cow::Owned(decoded))
}

fn malformed() -> Problem {
    Problem::new(ErrorCode::InvalidRequest, "the query is not UTF-8 in percent-encoding").with_field("query")
}

/// The caller's word is told back only where it can be a field's name.
fn unknown(name: String) -> Problem {
    let tellable = name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_graphic());
    let field = if tellable { name } else { "query".to_owned() };
    Problem::new(ErrorCode::UnknownField, "this call does not have this parameter").with_field(field)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["wait_s", "realm"];

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("realm=a%20b+c&wait_s=25", KNOWN).expect("good");
        assert_eq!(query.text("realm"), Some("a b c"));
        assert_eq!(query.number("wait_s", 300), Ok(Some(25)));
        assert_eq!(Query::parse("", KNOWN), Ok(Query::default()));
    }

    #[test]
    fn what_is_not_known_single_and_a_number_is_refused_by_name() {
        let refused = |query: &str| Query::parse(query, KNOWN).expect_err(query);
        assert_eq!(refused("later=1").code, ErrorCode::UnknownField);
        assert_eq!(refused("later=1").field.as_deref(), Some("later"));
        assert_eq!(refused("realm=a&realm=b").code, ErrorCode::InvalidRequest);
        assert_eq!(refused("realm=%ff").field.as_deref(), Some("realm"));
        for (text, code) in [
            ("", ErrorCode::InvalidRequest),
            ("-1", ErrorCode::InvalidRequest),
            ("2.5", ErrorCode::InvalidRequest),
            ("301", ErrorCode::InvalidField),
            ("99999999999", ErrorCode::InvalidField),
        ] {
            let query = Query::parse(&format!("wait_s={text}"), KNOWN).expect("known");
            assert_eq!(query.number("wait_s", 300).expect_err(text).code, code, "{text}");
        }
    }
}
