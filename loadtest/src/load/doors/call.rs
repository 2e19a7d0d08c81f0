//! A call as it goes over the wire: HTTP/1.1, written straight into one buffer.

use std::io::Write as _;

use http::header::HeaderValue;

/// Room for the head of a usual call beside its authorization and its body.
const HEAD_BYTES_USUAL: usize = 256;

/// A call to one of the server's doors. Its parts are of our own making and hold no line ends.
#[derive(Clone, Copy, Debug)]
pub(in crate::load) struct Call<'c> {
    pub(in crate::load) method: &'static str,
    /// With the query.
    pub(in crate::load) path: &'c str,
    pub(in crate::load) authorization: Authorization<'c>,
    pub(in crate::load) idempotency_key: Option<&'c str>,
    /// JSON; empty where there is none.
    pub(in crate::load) body: &'c str,
}

/// Who calls.
#[derive(Clone, Copy)]
pub(in crate::load) enum Authorization<'c> {
    /// Nobody says.
    None,
    /// A portal, with the whole value of its header.
    Basic(&'c HeaderValue),
    /// A phone, with its proof.
    Proof(&'c str),
}

impl std::fmt::Debug for Authorization<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Basic(_) => "Basic(…)",
            Self::Proof(_) => "Proof(…)",
        })
    }
}

impl<'c> Call<'c> {
    /// A call that reads.
    pub(in crate::load) const fn get(path: &'c str, authorization: Authorization<'c>) -> Self {
        Self { method: "GET", path, authorization, idempotency_key: None, body: "" }
    }

    /// A call that posts JSON.
    pub(in crate::load) const fn post(
        path: &'c str,
        authorization: Authorization<'c>,
        body: &'c str,
    ) -> Self {
        Self { method: "POST", path, authorization, idempotency_key: None, body }
    }

    /// The bytes of it, for this host.
    pub(in crate::load) fn to_bytes(self, host: &HeaderValue) -> Vec<u8> {
        let (scheme, credentials): (&[u8], &[u8]) = match self.authorization {
            Authorization::None => (b"", b""),
            Authorization::Basic(value) => (b"", value.as_bytes()),
            Authorization::Proof(proof) => (b"Tocsin ", proof.as_bytes()),
        };
        let mut bytes = Vec::with_capacity(HEAD_BYTES_USUAL + credentials.len() + self.body.len());
        for part in [self.method, " ", self.path, " HTTP/1.1\r\nhost: "] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes.extend_from_slice(host.as_bytes());
        if !credentials.is_empty() {
            bytes.extend_from_slice(b"\r\nauthorization: ");
            bytes.extend_from_slice(scheme);
            bytes.extend_from_slice(credentials);
        }
        if let Some(key) = self.idempotency_key {
            bytes.extend_from_slice(b"\r\nidempotency-key: ");
            bytes.extend_from_slice(key.as_bytes());
        }
        if !self.body.is_empty() {
            bytes.extend_from_slice(b"\r\ncontent-type: application/json\r\ncontent-length: ");
            write!(bytes, "{}", self.body.len()).expect("memory takes any text");
        }
        bytes.extend_from_slice(b"\r\n\r\n");
        bytes.extend_from_slice(self.body.as_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: HeaderValue = HeaderValue::from_static("127.0.0.1:1");

    fn text(call: Call<'_>) -> String {
        String::from_utf8(call.to_bytes(&HOST)).unwrap()
    }

    #[test]
    fn a_call_is_written_with_what_it_has_and_nothing_else() {
        assert_eq!(
            text(Call::get("/v1/a?b=c", Authorization::None)),
            "GET /v1/a?b=c HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n"
        );
        let mut call = Call::post("/v1/a", Authorization::Proof("x.y.z"), "{}");
        call.idempotency_key = Some("k");
        assert_eq!(
            text(call),
            "POST /v1/a HTTP/1.1\r\nhost: 127.0.0.1:1\r\nauthorization: Tocsin x.y.z\r\nidempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
        );
        let basic = HeaderValue::from_static("Basic YTpi");
        assert!(
            text(Call::get("/", Authorization::Basic(&basic))).contains("\r\nauthorization: Basic YTpi\r\n")
        );
    }
}
