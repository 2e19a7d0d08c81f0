//! Parts of a path, decoded strictly: what is not UTF-8 names nothing.

use percent_encoding::percent_decode_str;
use tocsin_model::Problem;

use super::Request;

/// The part of the path at `index`, counted from 0 after the first slash; 404 when it is no text.
pub(crate) fn segment(request: &Request, index: usize) -> Result<String, Problem> {
    decode(request.path(), index).ok_or_else(Problem::not_found)
}

/// The raw path is split before it is decoded, so that an encoded slash belongs to its part.
fn decode(path: &str, index: usize) -> Option<String> {
    let raw = path.split('/').nth(index + 1)?;
    let decoded = percent_decode_str(raw).decode_utf8().ok()?;
    Some(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_split_before_they_are_decoded() {
        let path = "/v1/users/a%2Fb%40c+d/devices";
        assert_eq!(decode(path, 2).as_deref(), Some("a/b@c+d"));
        assert_eq!(decode(path, 3).as_deref(), Some("devices"));
        assert_eq!(decode(path, 4), None);
        assert_eq!(decode("/v1/users/%ff/devices", 2), None);
    }
}
