//! Who calls: a bearer token (RFC 6750), and what its role may do.
//!
//! Only the SHA-256 of a token is known. It is compared in constant time with that of every operator, so that a
//! reply's time tells neither a token nor how many there are before the one that fits.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use hyper::header;
use tocsin_config::{Config, Operator, Role};
use tocsin_model::{ErrorCode, OperatorName, Problem};

use crate::door::{DoorState, Request};

/// Longest `Authorization` header that is looked at, in bytes.
const AUTHORIZATION_BYTES_MAX: usize = 1_024;

/// The operator who makes this call, if its role is `role` or more: 401 `invalid_token`, 403 `not_permitted`.
pub(super) fn require(state: &DoorState, request: &Request, role: Role) -> Result<OperatorName, Problem> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION).iter();
    let only = headers.next().filter(|_| headers.next().is_none());
    let token = only.and_then(|value| value.to_str().ok()).and_then(bearer);
    let config = state.handle.config();
    let found = token.and_then(|token| fitting(&config, token));
    let Some((name, operator)) = found else {
        let detail = "send an operator's token: Authorization: Bearer TOKEN";
        return Err(Problem::new(ErrorCode::InvalidToken, detail));
    };
    state.check_address(request, &operator.networks, name.as_str())?;
    if operator.role >= role {
        return Ok(name.clone());
    }
    let detail = format!("this call needs a token with the role {}", role.as_str());
    Err(Problem::new(ErrorCode::NotPermitted, detail))
}

/// The operator whose token this is. Every hash is compared, also behind the one that fits.
fn fitting<'c>(config: &'c Config, token: &str) -> Option<(&'c OperatorName, &'c Operator)> {
    let sent = digest(&SHA256, token.as_bytes());
    config.operators.iter().fold(None, |found, operator| {
        let fits = verify_slices_are_equal(sent.as_ref(), &operator.1.token_sha256).is_ok();
        if fits { Some(operator) } else { found }
    })
}

/// Reads `Bearer TOKEN`; the scheme's name has no case.
fn bearer(value: &str) -> Option<&str> {
    if value.len() > AUTHORIZATION_BYTES_MAX {
        return None;
    }
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_start_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_behind_its_scheme() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bEARER  abc"), Some("abc"));
        for bad in ["", "Bearer", "Bearer ", "Basic abc", "abc", &format!("Bearer {}", "a".repeat(1_024))] {
            assert_eq!(bearer(bad), None, "{bad}");
        }
    }
}
