//! Activation links: what a phone is to open or read from a screen to enrol.
//!
//! Everything stands in the fragment, which no browser sends and no log gets (RFC 9110, section 4.2.5).

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tocsin_config::App;
use tocsin_engine::OpenedEnrollment;

/// All but the unreserved characters of RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// `SCHEME://HOST/e#c=CODE&i=ISSUER&k=HASH` for an enrolment of this app.
pub(super) fn activation_url(app: &App, issuer: &str, opened: &OpenedEnrollment) -> String {
    let host = app.activation_host.as_deref().unwrap_or_else(|| host_of(issuer));
    let scheme = &app.activation_scheme;
    let code = opened.activation_code.expose();
    let issuer = utf8_percent_encode(issuer, ESCAPED);
    let hash = &opened.server_key_set_hash;
    format!("{scheme}://{host}/e#c={code}&i={issuer}&k={hash}")
}

/// The host of a URL, with its port.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split('/').next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_issuer_keeps_its_port_and_loses_its_path() {
        assert_eq!(host_of("https://push.example.com:8443/tocsin"), "push.example.com:8443");
        assert_eq!(host_of("http://[::1]:9"), "[::1]:9");
    }

    #[test]
    fn an_issuer_is_escaped_so_that_nothing_of_it_ends_its_member() {
        let escaped = utf8_percent_encode("https://a.example/x&y#z", ESCAPED).to_string();
        assert_eq!(escaped, "https%3A%2F%2Fa.example%2Fx%26y%23z");
    }
}
