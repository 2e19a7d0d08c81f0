//! Rows and master key held together: refuses a database that the configured keys cannot open, and seals anew what
//! the present key has not sealed.
//!
//! For each master key that has sealed rows there is a proof among the values of the deployment: a row sealed by
//! that key. The proof is written before the first such row and removed when a pass over all rows has left none;
//! the present key's says besides whether such a pass has come to its end. So a wrong key is found at the opening, a
//! pass that was cut off is made again, and an operator knows when an old key is no longer needed.

use minicbor::{Decode, Encode};

use super::database::Database;
use crate::envelope::{self, Expiry};
use crate::key::{Family, Key};
use crate::record::{Malformed, from_payload, to_row};
use crate::sealing::{MasterKeyId, SealError, Sealer};
use crate::verb::overlay::Changes;
use crate::verb::rows::{Row, Rows};
use crate::verb::table::corrupt;
use crate::{StoreError, StoreErrorKind};

/// Rows that are read, and at most written, at once.
const ROWS_PER_STEP: usize = 1_000;

/// Proofs that are looked at; more keys than that nobody has.
const PROOFS_MAX: usize = 1_000;

/// What a proof says.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
struct ProofRecord {
    /// Whether a pass over all rows has come to its end.
    #[n(0)]
    whole: bool,
}

/// Checks that all sealed rows can be opened, and seals what is plain or sealed by an older key.
pub(super) fn check_and_seal(database: &Database) -> Result<(), StoreError> {
    let proofs = proofs(database)?;
    let Some(sealer) = database.sealer() else {
        return match proofs.first() {
            None => Ok(()),
            Some((id, _)) => Err(wrong_key(format!(
                "its rows are sealed by the master key {id}, and none is configured: name it in [master_keys.NAME]"
            ))),
        };
    };
    let mut is_whole = false;
    for (id, proof) in &proofs {
        let ProofRecord { whole } = opened(sealer, *id, proof)?;
        is_whole |= whole && proofs.len() == 1 && *id == sealer.key_id();
    }
    if is_whole { Ok(()) } else { seal_all(database, sealer, &proofs) }
}

fn proofs(database: &Database) -> Result<Vec<(MasterKeyId, Row)>, StoreError> {
    let rows = Rows::scan(database, &Key::all_sealed_by(), None, PROOFS_MAX)?;
    let named = |row: Row| row.0.as_sealed_by().map(|id| (id, row));
    Ok(rows.into_iter().filter_map(named).collect())
}

fn opened(sealer: &Sealer, id: MasterKeyId, (key, row): &Row) -> Result<ProofRecord, StoreError> {
    let payload = sealer.open_row(id, key, row).map_err(|error| match error {
        SealError::UnknownKey(_) => {
            let configured: Vec<String> = sealer.key_ids().map(|id| id.to_string()).collect();
            wrong_key(format!(
                "rows are sealed by the master key {id}, and configured are only: {}; name it in \
                 [master_keys.NAME], with old = true if it is an older one",
                configured.join(", ")
            ))
        }
        SealError::Refused => wrong_key(format!(
            "rows are sealed by a master key with the id {id} that is not the configured one of this id, or the \
             proof of it was changed"
        )),
        SealError::SameId(_) | SealError::TooShort | SealError::Crypto => corrupt(key, &error.to_string()),
    })?;
    from_payload(&payload).map_err(|Malformed(what)| corrupt(key, what))
}

fn wrong_key(what: String) -> StoreError {
    StoreError::new(StoreErrorKind::MasterKey, what)
}

/// One pass over all rows. Nobody else works on the database yet.
fn seal_all(database: &Database, sealer: &Sealer, proofs: &[(MasterKeyId, Row)]) -> Result<(), StoreError> {
    let proof = |whole| {
        let row = to_row(Expiry::Never, &ProofRecord { whole });
        (Key::sealed_by(sealer.key_id()), Some(row))
    };
    database.write(&Changes::from_iter([proof(false)]), &[], true)?;
    let mut rows_sealed = 0;
    for family in Family::ALL {
        let sealed = seal_family(database, sealer, family)?;
        rows_sealed += sealed;
        if sealed > 0 {
            database.flush()?;
            database.compact(family)?;
        }
    }
    let older = proofs.iter().filter(|(id, _)| *id != sealer.key_id());
    let mut changes: Changes = older.clone().map(|(_, (key, _))| (key.clone(), None)).collect();
    changes.extend([proof(true)]);
    database.write(&changes, &[], true)?;
    if rows_sealed > 0 {
        tracing::info!(rows = rows_sealed, master_key = %sealer.key_id(), "rows were sealed");
    }
    for (id, _) in older {
        tracing::info!(master_key = %id, "no row is sealed by this master key any more; backups may be");
    }
    Ok(())
}

fn seal_family(database: &Database, sealer: &Sealer, family: Family) -> Result<usize, StoreError> {
    let (all, mut last, mut sealed) = (Key::from_stored(family, &[]), None, 0);
    loop {
        let rows = Rows::scan(database, &all, last.as_ref(), ROWS_PER_STEP)?;
        let is_end = rows.len() < ROWS_PER_STEP;
        last = rows.last().map(|(key, _)| key.clone());
        let mut changes = Changes::default();
        for (key, row) in rows {
            if let Some(plain) = plain_form(sealer, &key, &row)? {
                changes.insert(key, Some(plain));
            }
        }
        sealed += changes.len();
        if !changes.is_empty() {
            database.write(&changes, &[], false)?;
        }
        if is_end {
            return Ok(sealed);
        }
    }
}

/// The plain form of a row that is to be sealed anew; `None` for one that stays as it is.
fn plain_form(sealer: &Sealer, key: &Key, row: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
    if !key.is_sealed_kind() || key.as_sealed_by().is_some_and(|_| key.starts_with(&Key::all_sealed_by())) {
        return Ok(None);
    }
    match envelope::sealed_by(row).map_err(|what| corrupt(key, what))? {
        None => Ok(Some(row.to_vec())),
        Some(id) if id == sealer.key_id() => Ok(None),
        Some(id) => {
            let payload = sealer.open_row(id, key, row).map_err(|error| corrupt(key, &error.to_string()))?;
            envelope::plain(row, &payload).map(Some).ok_or_else(|| corrupt(key, "it has no whole envelope"))
        }
    }
}
