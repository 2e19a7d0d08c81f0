//! What a client asks of the proxy, read strictly. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The end of a request's head.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// A CONNECT that keeps every rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Connect {
    /// `host:port` as asked.
    pub(super) target: String,
    /// User name and password, where they were sent.
    pub(super) credentials: Option<(String, String)>,
}

/// Where the head ends; `None` while it has not come whole.
pub(super) fn length(received: &[u8]) -> Option<usize> {
    received.windows(HEAD_END.len()).position(|window| window == HEAD_END).map(|at| at + HEAD_END.len())
}

/// Reads a whole head, or says which rule it breaks.
pub(super) fn read(head: &[u8]) -> Result<Connect, &'static str> {
    let text = std::str::from_utf8(head).map_err(|_| "the head is not text")?;
    let mut lines = text.trim_end_matches("\r\n").split("\r\n");
    let target = requested(lines.next().unwrap_or_default())?;
    let (mut host, mut credentials) = (None, None);
    for line in lines {
        let (name, value) = line.split_once(':').ok_or("a line is no header")?;
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "host" if host.replace(value).is_some() => return Err("two Host headers"),
            "proxy-authorization" if credentials.replace(basic(value)?).is_some() => {
                return Err("two Proxy-Authorization headers");
            }
            "authorization" => return Err("a credential that is meant for somebody else"),
            "content-length" | "transfer-encoding" => return Err("a CONNECT with a body"),
            _ => {}
        }
    }
    if host != Some(target) {
        return Err("Host says something else than the request");
    }
    Ok(Connect { target: target.to_owned(), credentials })
}

fn requested(line: &str) -> Result<&str, &'static str> {
    let target = line.strip_prefix("CONNECT ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
    let target = target.ok_or("not a CONNECT of HTTP/1.1")?;
    let (host, port) = target.rsplit_once(':').ok_or("a target without a port")?;
    let is_address = host.starts_with('[') && host.ends_with(']');
    if host.is_empty() || (host.contains(':') && !is_address) || host.contains(['/', '@', ' ']) {
        return Err("a target that is no host");
    }
    if port.parse::<u16>().map_or(true, |port| port == 0) {
        return Err("a target without a proper port");
    }
    Ok(target)
}

fn basic(value: &str) -> Result<(String, String), &'static str> {
    let encoded = value.strip_prefix("Basic ").ok_or("not Basic")?;
    let pair = STANDARD.decode(encoded).map_err(|_| "Basic that is not base64")?;
    let pair = String::from_utf8(pair).map_err(|_| "Basic that is not text")?;
    let (username, password) = pair.split_once(':').ok_or("Basic without a colon")?;
    Ok((username.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proper_connect_is_read() {
        let head = b"CONNECT push.test:443 HTTP/1.1\r\nHost: push.test:443\r\n\
                     Proxy-Authorization: Basic dG9jc2luOmE6Yg==\r\n\r\n";
        assert_eq!(length(head), Some(head.len()));
        let expected = Connect {
            target: "push.test:443".to_owned(),
            credentials: Some(("tocsin".to_owned(), "a:b".to_owned())),
        };
        assert_eq!(read(head), Ok(expected));
        assert_eq!(length(&head[..head.len() - 1]), None);
        let address = read(b"CONNECT [::1]:443 HTTP/1.1\r\nhost: [::1]:443\r\n\r\n").expect("an address");
        assert_eq!((address.target.as_str(), address.credentials), ("[::1]:443", None));
    }

    #[test]
    fn everything_else_is_refused() {
        for (head, fault) in [
            ("GET / HTTP/1.1\r\nHost: a:1\r\n\r\n", "not a CONNECT"),
            ("CONNECT a:1 HTTP/1.0\r\nHost: a:1\r\n\r\n", "not a CONNECT"),
            ("CONNECT a HTTP/1.1\r\nHost: a\r\n\r\n", "without a port"),
            ("CONNECT https://a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "no host"),
            ("CONNECT a:0 HTTP/1.1\r\nHost: a:0\r\n\r\n", "a proper port"),
            ("CONNECT a:1 HTTP/1.1\r\n\r\n", "something else"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "something else"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nHost: a:1\r\n\r\n", "two Host"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 0\r\n\r\n", "a body"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nAuthorization: Basic YTpi\r\n\r\n", "somebody else"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Bearer x\r\n\r\n", "not Basic"),
            ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nProxy-Authorization: Basic YQ==\r\n\r\n", "colon"),
        ] {
            let found = read(head.as_bytes()).expect_err(head);
            assert!(found.contains(fault), "{head:?}: {found}");
        }
    }
}
