//! The id of a call, told in `x-request-id` and in every problem, so that a caller's report finds our log.
//!
//! An id must be unlike all others and is no secret: those of a thread are cut from a block of random bytes.

use std::cell::RefCell;

use aws_lc_rs::rand;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use uuid::{Builder, Uuid};

/// The header.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that is taken from a caller, in bytes.
const CALLERS_ID_BYTES_MAX: usize = 64;

/// The id of one call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// The caller's id where it is one that can stand in a log, else a fresh one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get(&X_REQUEST_ID).map(HeaderValue::as_bytes).filter(|id| is_sane(id));
        // A copy: what was sent is a part of the buffer that the connection reads into, which a held call would keep.
        Self(sent.and_then(|id| HeaderValue::from_bytes(id).ok()).unwrap_or_else(fresh))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().expect("an id has letters, digits and four marks only")
    }

    pub(crate) fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

fn is_sane(id: &[u8]) -> bool {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
    (1..=CALLERS_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(plain)
}

fn fresh() -> HeaderValue {
    let id = BLOCK.with_borrow_mut(Block::next).map_or_else(Uuid::new_v4, random_id);
    let mut text = Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).expect("a UUID is a header value")
}

fn random_id(bytes: [u8; ID_BYTES]) -> Uuid {
    Builder::from_random_bytes(bytes).into_uuid()
}

const ID_BYTES: usize = 16;

/// How many ids are made of one block.
const IDS_OF_A_BLOCK: usize = 64;

/// Random bytes, of which each is given away once.
struct Block {
    bytes: [u8; ID_BYTES * IDS_OF_A_BLOCK],
    used: usize,
}

thread_local! {
    static BLOCK: RefCell<Block> = const { RefCell::new(Block::EMPTY) };
}

impl Block {
    const EMPTY: Self = Self { bytes: [0; ID_BYTES * IDS_OF_A_BLOCK], used: ID_BYTES * IDS_OF_A_BLOCK };

    /// The next bytes; nothing where no new block can be had.
    fn next(&mut self) -> Option<[u8; ID_BYTES]> {
        if self.used == self.bytes.len() {
            rand::fill(&mut self.bytes).ok()?;
            self.used = 0;
        }
        let next = self.bytes[self.used..].first_chunk().copied();
        self.used += ID_BYTES;
        next
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn id_for(sent: &str) -> RequestId {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_str(sent).expect("a header value"));
        RequestId::of(&headers)
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for("trace-1.a:b_c").as_str(), "trace-1.a:b_c");
        for bad in ["", "a b", "{\"a\"}", "<script>", &"a".repeat(65)] {
            let made = id_for(bad);
            assert_ne!(made.as_str(), bad);
            assert_eq!(made.as_str().len(), 36, "{bad}");
        }
    }

    #[test]
    fn a_callers_id_is_a_copy() {
        let sent = HeaderValue::from_str("trace-1").expect("valid");
        let id = RequestId::of(&HeaderMap::from_iter([(X_REQUEST_ID, sent.clone())]));
        assert_eq!(id.as_str(), "trace-1");
        assert_ne!(id.as_str().as_ptr(), sent.as_bytes().as_ptr());
    }

    #[test]
    fn no_two_ids_are_alike_also_across_blocks() {
        let made = || RequestId::of(&HeaderMap::new()).as_str().to_owned();
        let ids: BTreeSet<String> = (0..IDS_OF_A_BLOCK * 3).map(|_| made()).collect();
        assert_eq!(ids.len(), IDS_OF_A_BLOCK * 3);
        assert!(ids.iter().all(|id| id.as_bytes()[14] == b'4'), "they are of the random kind");
    }
}
