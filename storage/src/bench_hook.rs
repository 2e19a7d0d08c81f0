//! For benches: the disk form of a transaction, which is nobody else's business.

use tocsin_model::{Transaction, TransactionId};

use crate::envelope::{self, Expiry};
use crate::record::{TransactionRecord, from_payload, to_row};

/// The row of a transaction.
pub fn transaction_row(transaction: &Transaction) -> Vec<u8> {
    to_row(Expiry::At(transaction.expires_at), &TransactionRecord::new(transaction))
}

/// The transaction of a row; `None` for what is no such row.
pub fn transaction_of_row(id: TransactionId, row: &[u8]) -> Option<Transaction> {
    let payload = envelope::payload(row).ok()?;
    from_payload::<TransactionRecord<'_>>(payload).ok()?.into_model(id).ok()
}
