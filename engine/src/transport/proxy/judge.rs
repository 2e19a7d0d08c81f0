//! What a proxy's answer means. Pure.

use http::header::PROXY_AUTHENTICATE;
use http::{HeaderMap, StatusCode};

use super::ProxyFault;

/// What an answer to CONNECT is.
#[derive(Debug)]
pub(super) enum Answered {
    /// The tunnel is there.
    Tunnel,
    /// It asks for credentials that we could send.
    AsksForBasic,
    /// There is none.
    Fault(ProxyFault),
}

/// Only a 2xx is a tunnel; its headers say nothing of a body (RFC 9110, section 9.3.6).
pub(super) fn judge(status: StatusCode, headers: &HeaderMap) -> Answered {
    match status.as_u16() {
        200..=299 => Answered::Tunnel,
        407 if offers_basic(headers) => Answered::AsksForBasic,
        407 => Answered::Fault(ProxyFault::OtherAuthentication),
        status @ 500..=599 => Answered::Fault(ProxyFault::Upstream(status)),
        status => Answered::Fault(ProxyFault::Refused(status)),
    }
}

/// Whether one of the challenges is Basic. A word inside of quotes is no challenge: the password must not go where
/// nobody asked for it.
fn offers_basic(headers: &HeaderMap) -> bool {
    let texts = headers.get_all(PROXY_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
    texts.flat_map(unquoted_parts).any(|part| {
        let scheme = part.split_ascii_whitespace().next().unwrap_or_default();
        scheme.eq_ignore_ascii_case("basic")
    })
}

/// The parts between commas, without what stands in quotes.
fn unquoted_parts(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut is_quoted, mut is_escaped) = (false, false);
    for character in text.chars() {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            ',' => parts.push(String::new()),
            other => parts.iter_mut().last().into_iter().for_each(|part| part.push(other)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, challenges: &[&str]) -> Answered {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(PROXY_AUTHENTICATE, challenge.parse().expect("a value"));
        }
        judge(StatusCode::from_u16(status).expect("a status"), &headers)
    }

    #[test]
    fn only_a_2xx_is_a_tunnel() {
        for status in [200, 204, 299] {
            assert!(matches!(judged(status, &[]), Answered::Tunnel), "{status}");
        }
        for status in [300, 302, 400, 403, 404, 429, 600] {
            let fault = judged(status, &[]);
            assert!(
                matches!(fault, Answered::Fault(ProxyFault::Refused(same)) if same == status),
                "{status}"
            );
        }
        for status in [500, 502, 503, 504, 599] {
            let fault = judged(status, &[]);
            assert!(
                matches!(fault, Answered::Fault(ProxyFault::Upstream(same)) if same == status),
                "{status}"
            );
        }
    }

    #[test]
    fn basic_is_found_among_other_challenges_and_nowhere_else() {
        for basic in [
            &["Basic realm=\"bank\""][..],
            &["BASIC"],
            &["Negotiate", "basic realm=x"],
            &["Digest realm=\"a, b\", nonce=\"c\", Basic realm=\"d\""],
        ] {
            assert!(matches!(judged(407, basic), Answered::AsksForBasic), "{basic:?}");
        }
        for other in [
            &[][..],
            &["Negotiate"],
            &["Basicly realm=\"bank\""],
            &["Digest realm=\"x, Basic realm=\\\"y\\\"\", nonce=\"z\""],
            &["Digest realm=\"\\\", Basic\""],
        ] {
            let fault = judged(407, other);
            assert!(matches!(fault, Answered::Fault(ProxyFault::OtherAuthentication)), "{other:?}");
        }
    }
}
