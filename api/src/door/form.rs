//! Bodies in `application/x-www-form-urlencoded`: flat fields, each a text, read as strictly as JSON.
//!
//! A name that stands twice, a broken escape and what is not UTF-8 are refused. A form has no numbers: a field that is
//! a number in JSON is its decimal digits here. Fields that are lists or objects in JSON have no form.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use tocsin_model::{ErrorCode, Problem};

/// The field of a problem that is about the body as a whole.
const WHOLE: &str = "body";

/// Longest name that is told back, in bytes; a longer one is not a field of ours.
const FIELD_BYTES_MAX: usize = 200;

/// Parses the pairs of a form.
pub(super) fn parse(body: &[u8]) -> Result<Map<String, Value>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| malformed(WHOLE))?;
    let mut members = Map::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name).ok_or_else(|| malformed(WHOLE))?;
        let value = decode(value).ok_or_else(|| malformed(&name))?;
        if members.contains_key(&name) {
            let problem = Problem::new(ErrorCode::InvalidRequest, "this field stands there twice");
            return Err(problem.with_field(tellable(&name).to_owned()));
        }
        members.insert(name, Value::String(value));
    }
    Ok(members)
}

/// Undoes `+` and percent-encoding; `None` for a broken escape and for what is not UTF-8.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let is_whole =
        |escape: &str| escape.len() >= 2 && escape.bytes().take(2).all(|digit| digit.is_ascii_hexdigit());
    if !spaced.split('%').skip(1).all(is_whole) {
        return None;
    }
    Some(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned())
}

fn tellable(name: &str) -> &str {
    let is_a_name =
        !name.is_empty() && name.len() <= FIELD_BYTES_MAX && name.bytes().all(|byte| byte.is_ascii_graphic());
    if is_a_name { name } else { WHOLE }
}

fn malformed(field: &str) -> Problem {
    let problem = Problem::new(ErrorCode::InvalidRequest, "this is not UTF-8 in percent-encoding");
    problem.with_field(tellable(field).to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let members = parse(b"user=a%40b%2Bc&title=Log+in&&message=&app").expect("good");
        let expected = json!({"user": "a@b+c", "title": "Log in", "message": "", "app": ""});
        assert_eq!(Value::Object(members), expected);
        assert!(parse(b"").expect("nothing").is_empty());
    }

    #[test]
    fn what_two_parsers_could_read_differently_is_refused_by_name() {
        for (body, field) in [
            (&b"user=a&user=b"[..], "user"),
            (b"user=a&us%65r=b", "user"),
            (b"user=%zz", "user"),
            (b"user=%4", "user"),
            (b"user=%", "user"),
            (b"user=%ff", "user"),
            (b"us%ffer=a", "body"),
            (b"user=\xff", "body"),
            (b"a%20b=%ff", "body"),
        ] {
            let refused = parse(body).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::InvalidRequest, "{body:?}");
            assert_eq!(refused.field.as_deref(), Some(field), "{body:?}");
        }
    }
}
