//! Lists in pages: `limit`, and a `cursor` that nobody need understand and that fits only the list it was given for.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tocsin_model::{ErrorCode, Problem};

use crate::door::Query;

const ID_BYTES: usize = 16;
/// Enough that no cursor of another list fits by chance; nobody gains by making one up.
const BINDING_BYTES: usize = 8;

/// The part of a list that a caller asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    /// The last item of the page before.
    pub(super) after: Option<[u8; ID_BYTES]>,
    /// Items of this page, from 1 to 1,000.
    pub(super) limit: usize,
    binding: [u8; BINDING_BYTES],
}

impl Page {
    /// Reads `limit` and `cursor`; `list` says which list this is, with all that it is filtered by.
    pub(super) fn read(query: &Query, list: &[&str]) -> Result<Self, Problem> {
        let limit = query.page_limit()?;
        let binding = binding(list);
        let after = query.text("cursor").map(|cursor| open(cursor, binding)).transpose()?;
        Ok(Self { after, limit, binding })
    }

    /// The cursor of the page behind this item.
    pub(super) fn cursor(&self, last: [u8; ID_BYTES]) -> String {
        URL_SAFE_NO_PAD.encode([&last[..], &self.binding].concat())
    }
}

/// 422 for a cursor that is none, or another list's, or of an item that is gone.
pub(super) fn wrong_cursor() -> Problem {
    Problem::new(ErrorCode::InvalidField, "this is no cursor of this list; begin the list anew")
        .with_field("cursor")
}

fn open(cursor: &str, binding: [u8; BINDING_BYTES]) -> Result<[u8; ID_BYTES], Problem> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong_cursor())?;
    let (id, bound) = bytes.split_first_chunk::<ID_BYTES>().ok_or_else(wrong_cursor)?;
    if bound == binding { Ok(*id) } else { Err(wrong_cursor()) }
}

/// Each part is hashed with its length before it, so that no two lists run into one.
fn binding(list: &[&str]) -> [u8; BINDING_BYTES] {
    let mut context = Context::new(&SHA256);
    for part in list {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    let mut bytes = [0; BINDING_BYTES];
    bytes.copy_from_slice(&context.finish().as_ref()[..BINDING_BYTES]);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, list: &[&str]) -> Result<Page, Problem> {
        Page::read(&Query::parse(query, &["limit", "cursor"]).expect("known"), list)
    }

    #[test]
    fn a_cursor_leads_on_in_its_own_list_only() {
        let cursor = page("", &["a", "b"]).expect("a page").cursor([7; 16]);
        let next = page(&format!("cursor={cursor}"), &["a", "b"]).expect("a page");
        assert_eq!((next.after, next.limit), (Some([7; 16]), 100));
        for list in [&["a"][..], &["ab"], &["a", "b", ""], &["b", "a"]] {
            let refused = page(&format!("cursor={cursor}"), list).expect_err("another list");
            assert_eq!(refused.field.as_deref(), Some("cursor"), "{list:?}");
        }
        for wrong in ["", "x", &cursor[1..], &format!("{cursor}AA"), &cursor.replace('B', "C")] {
            assert!(page(&format!("cursor={wrong}"), &["a", "b"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_limit_is_from_one_to_a_thousand() {
        for good in [1, 1_000] {
            assert_eq!(page(&format!("limit={good}"), &[]).expect("allowed").limit, good);
        }
        for bad in [0, 1_001] {
            let refused = page(&format!("limit={bad}"), &[]).expect_err("refused");
            assert_eq!(refused.code, ErrorCode::InvalidField);
            assert_eq!(refused.field.as_deref(), Some("limit"));
        }
    }
}
