//! How the audit trail names a user: by a pseudonym, so that his erasure needs no change of a row.
//!
//! A pseudonym is an HMAC, under a key of the deployment, over the user and the number of the row that first told of
//! him. A row beside the trail leads from it to the user; erasing him removes that row, and one who comes back under
//! the same name is introduced anew and gets another pseudonym. Whoever has the key can still test a guess of name and
//! number, so the key is sealed where there is a master key.

use aws_lc_rs::hmac;
#[cfg(feature = "rocks")]
use aws_lc_rs::rand;
use tocsin_model::{Pseudonym, User};

#[cfg(feature = "rocks")]
use crate::{StoreError, StoreErrorKind};

/// What is hashed first, so that the key makes nothing else.
const LABEL: &[u8] = b"tocsin/v1/audit-user";

/// Bytes of the key.
#[cfg(feature = "rocks")]
const KEY_BYTES: usize = 32;

/// Makes pseudonyms.
pub(crate) struct Pseudonyms(hmac::Key);

impl Pseudonyms {
    /// By this key.
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// A key for a deployment that has none yet.
    #[cfg(feature = "rocks")]
    pub(crate) fn new_key() -> Result<Vec<u8>, StoreError> {
        let mut key = vec![0; KEY_BYTES];
        let failed = |_| StoreError::new(StoreErrorKind::Io, "the random number generator failed");
        rand::fill(&mut key).map_err(failed)?;
        Ok(key)
    }

    /// The pseudonym of a user whom the row with this number tells of for the first time.
    pub(crate) fn of(&self, user: &User, introduced_by: u64) -> Pseudonym {
        let mut context = hmac::Context::with_key(&self.0);
        let parts = [LABEL, &introduced_by.to_be_bytes(), user.realm.as_str().as_bytes(), &[0]];
        parts.iter().for_each(|part| context.update(part));
        context.update(user.id.as_str().as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&context.sign().as_ref()[..16]);
        Pseudonym::from_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use tocsin_model::{UserId, UserIdRule};

    use super::*;

    fn user(realm: &str, id: &str) -> User {
        let id = UserId::new(id, UserIdRule::Exact).expect("valid");
        User { realm: realm.parse().expect("valid"), id }
    }

    #[test]
    fn a_pseudonym_depends_on_key_user_and_the_row_that_introduces_him() {
        let pseudonyms = Pseudonyms::new(&[1; 32]);
        let first = pseudonyms.of(&user("retail", "alice"), 7);
        assert_eq!(first, pseudonyms.of(&user("retail", "alice"), 7));
        for other in [
            pseudonyms.of(&user("retail", "alice"), 8),
            pseudonyms.of(&user("retail", "bob"), 7),
            pseudonyms.of(&user("business", "alice"), 7),
            Pseudonyms::new(&[2; 32]).of(&user("retail", "alice"), 7),
        ] {
            assert_ne!(first, other);
        }
    }
}
