//! The code keys: the newest derives the codes of new transactions, older ones those that are still open.
//!
//! A key is replaced at the first start after its thirtieth day and goes once no transaction can be open that was begun
//! under it. There is no list of codes to be stolen: whoever has a key and an id has the code, so keys are kept like
//! the server's signing keys.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::hmac;
use tocsin_model::{CodeDigits, CodeKeyId, DurationMs, OneTimeCode, TransactionId, UnixMs};
use tocsin_storage::Sealer;
use zeroize::Zeroizing;

use super::derive::derive;
use super::file::{CodeKeyError, CodeKeyFile};

/// A key of this age is replaced at the next start.
const LIFE: DurationMs = DurationMs::from_seconds(30 * 24 * 60 * 60);

/// How long a replaced key is kept: longer than any transaction lives.
const KEPT: DurationMs = DurationMs::from_seconds(2 * 60 * 60);

/// One key.
pub(super) struct CodeKey {
    pub(super) id: CodeKeyId,
    pub(super) secret: Zeroizing<[u8; 32]>,
    pub(super) made_at: UnixMs,
}

/// The keys of a process; clones share them.
#[derive(Clone)]
pub struct CodeKeys(Arc<[Derivation]>);

struct Derivation {
    id: CodeKeyId,
    key: hmac::Key,
}

impl CodeKeys {
    /// Loads `code-keys.json` of the data folder, or makes it; replaces what is too old. Sealed where there is a master
    /// key. Blocks on the disk.
    pub fn open(data_folder: &Path, sealer: Option<Arc<Sealer>>, now: UnixMs) -> Result<Self, CodeKeyError> {
        let file = CodeKeyFile::new(data_folder, sealer);
        let (mut keys, mut is_changed) = file.load()?;
        is_changed |= renew(&mut keys, now)?;
        if is_changed {
            file.store(&keys)?;
        }
        let derivation =
            |key: &CodeKey| Derivation { id: key.id, key: hmac::Key::new(hmac::HMAC_SHA256, &*key.secret) };
        Ok(Self(keys.iter().map(derivation).collect()))
    }

    /// The key that new codes are derived with; `None` never, since there is always one.
    pub(crate) fn newest(&self) -> Option<CodeKeyId> {
        self.0.last().map(|newest| newest.id)
    }

    /// The code of a transaction; `None` when its key is gone.
    pub(crate) fn code(
        &self,
        key: CodeKeyId,
        transaction: TransactionId,
        digits: CodeDigits,
    ) -> Option<OneTimeCode> {
        let known = self.0.iter().find(|known| known.id == key)?;
        Some(derive(&known.key, transaction, digits))
    }
}

/// Adds a key where the newest is too old or none is there, and takes those away that nothing needs; answers whether
/// anything changed. The oldest stands first.
fn renew(keys: &mut Vec<CodeKey>, now: UnixMs) -> Result<bool, CodeKeyError> {
    let before = keys.len();
    // A key is needed for so long after its successor was made.
    let replaced_at: Vec<Option<UnixMs>> =
        (0..before).map(|index| keys.get(index + 1).map(|next| next.made_at)).collect();
    let mut needed = replaced_at.into_iter().map(|at| at.is_none_or(|at| now < at.plus(KEPT)));
    keys.retain(|_| needed.next().unwrap_or(true));
    let mut is_changed = keys.len() != before;
    if keys.last().is_none_or(|newest| now >= newest.made_at.plus(LIFE)) {
        keys.push(CodeKey::generate(now)?);
        is_changed = true;
    }
    Ok(is_changed)
}

impl CodeKey {
    fn generate(now: UnixMs) -> Result<Self, CodeKeyError> {
        let (mut id, mut secret) = ([0; 8], Zeroizing::new([0; 32]));
        let drawn = aws_lc_rs::rand::fill(&mut id).and_then(|()| aws_lc_rs::rand::fill(&mut *secret));
        drawn.map_err(|_| CodeKeyError::Random)?;
        Ok(Self { id: CodeKeyId::from_bytes(id), secret, made_at: now })
    }
}

#[cfg(test)]
mod tests {
    use tocsin_model::Partition;

    use super::*;

    const DAY: DurationMs = DurationMs::from_seconds(24 * 60 * 60);
    const BEGUN: UnixMs = UnixMs::new(1_700_000_000_000);

    fn later(days: u64) -> UnixMs {
        BEGUN.plus(DurationMs::new(DAY.get() * days))
    }

    fn code(keys: &CodeKeys, key: CodeKeyId) -> Option<String> {
        let transaction = TransactionId::compose(BEGUN, Partition::default(), [5; 16]);
        let digits = CodeDigits::new(6).expect("allowed");
        keys.code(key, transaction, digits).map(|code| code.expose().to_owned())
    }

    #[test]
    fn a_restart_gives_the_same_codes() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = CodeKeys::open(folder.path(), None, BEGUN).expect("keys");
        let key = first.newest().expect("a key");
        let second = CodeKeys::open(folder.path(), None, later(29)).expect("keys");
        assert_eq!(second.newest(), Some(key), "a young key stays");
        assert!(code(&first, key).is_some());
        assert_eq!(code(&first, key), code(&second, key));
    }

    #[test]
    fn a_replaced_key_serves_what_was_begun_under_it_and_goes_afterwards() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = CodeKeys::open(folder.path(), None, BEGUN).expect("keys");
        let old = first.newest().expect("a key");
        let rotated = CodeKeys::open(folder.path(), None, later(30)).expect("keys");
        assert_ne!(rotated.newest(), Some(old));
        assert_eq!(code(&rotated, old), code(&first, old), "open transactions keep their codes");
        let after_an_hour = later(30).plus(DurationMs::from_seconds(3_600));
        let kept = CodeKeys::open(folder.path(), None, after_an_hour).expect("keys");
        assert_eq!((kept.newest(), code(&kept, old)), (rotated.newest(), code(&first, old)));
        let gone = CodeKeys::open(folder.path(), None, later(31)).expect("keys");
        assert_eq!((gone.newest(), code(&gone, old)), (rotated.newest(), None));
    }

    #[test]
    fn keys_of_two_folders_differ() {
        let folders = [tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder")];
        let [one, other] = folders.map(|folder| CodeKeys::open(folder.path(), None, BEGUN).expect("keys"));
        assert_ne!(one.newest(), other.newest());
    }
}
