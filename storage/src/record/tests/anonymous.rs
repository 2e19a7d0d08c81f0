//! Transactions that nobody has claimed yet: they have neither a user nor a phone.

use super::*;

fn unclaimed() -> Transaction {
    Transaction { user: None, recipients: Vec::new(), answer: None, ..transaction() }
}

fn read(record: &TransactionRecord<'_>) -> Result<Transaction, Malformed> {
    transaction_of(&payload(record))
}

#[test]
fn what_nobody_has_claimed_is_read_back_without_a_user() {
    let unclaimed = unclaimed();
    assert_eq!(read(&TransactionRecord::new(&unclaimed)), Ok(unclaimed));
}

#[test]
fn a_phone_without_a_user_cannot_be_read() {
    let malformed = Transaction { user: None, ..transaction() };
    assert!(read(&TransactionRecord::new(&malformed)).is_err());
}
