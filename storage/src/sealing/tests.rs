use tocsin_model::{DeviceId, TransactionId, UnixMs};

use super::*;
use crate::envelope::{self, Expiry};
use crate::key::Key;

fn sealer(byte: u8) -> Sealer {
    Sealer::new(MasterKey::new(&[byte; 32]), vec![]).expect("one key")
}

fn row(payload: &[u8]) -> Vec<u8> {
    let mut row = envelope::begin(Expiry::At(UnixMs::new(0x0102)), payload.len());
    row.extend_from_slice(payload);
    row
}

fn place(byte: u8) -> Key {
    Key::device(&DeviceId::from_bytes([byte; 16]))
}

fn open_row(sealer: &Sealer, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
    let id = envelope::sealed_by(sealed).expect("an envelope").expect("sealed");
    sealer.open_row(id, key, sealed).map(|payload| payload.to_vec())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes on disk, computed apart with Python's `hmac` and `cryptography`: they must not change.
#[test]
fn a_sealed_row_has_these_bytes() {
    let sealed = sealer(7).seal_row_with([0xee; 12], &place(0xdd), &row(b"Anna's phone")).expect("sealed");
    assert_eq!(
        hex(&sealed),
        "018da6010000000000000102eeeeeeeeeeeeeeeeeeeeeeeeda30fda26898c33529e72c1c94dc0a61e47c9c125b41e74b5610b1ea"
    );
}

#[test]
fn what_was_sealed_opens_in_its_place_only() {
    let sealer = sealer(7);
    let sealed = sealer.seal_row(&place(1), &row(b"secret")).expect("sealed");
    assert_eq!(open_row(&sealer, &place(1), &sealed), Ok(b"secret".to_vec()));
    assert_eq!(open_row(&sealer, &place(2), &sealed), Err(SealError::Refused), "another key");
    let elsewhere = Key::transaction(&TransactionId::from_bytes([1; 16]));
    assert_eq!(open_row(&sealer, &elsewhere, &sealed), Err(SealError::Refused), "another family");
}

#[test]
fn no_byte_of_a_sealed_row_can_be_changed() {
    let sealer = sealer(7);
    let sealed = sealer.seal_row(&place(1), &row(b"secret")).expect("sealed");
    for position in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[position] ^= 1;
        let id = sealer.key_id();
        assert_eq!(sealer.open_row(id, &place(1), &changed), Err(SealError::Refused), "byte {position}");
    }
    for length in 0..sealed.len() {
        assert!(sealer.open_row(sealer.key_id(), &place(1), &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn a_row_is_sealed_differently_each_time() {
    let sealer = sealer(7);
    let seal = || sealer.seal_row(&place(1), &row(b"secret")).expect("sealed");
    assert_ne!(seal(), seal());
}

#[test]
fn an_older_key_opens_and_the_new_one_seals() {
    let sealed_before = sealer(7).seal("purpose", b"secret").expect("sealed");
    let both = Sealer::new(MasterKey::new(&[8; 32]), vec![MasterKey::new(&[7; 32])]).expect("two keys");
    assert_eq!(both.open("purpose", &sealed_before).as_deref().map(Vec::as_slice), Ok(&b"secret"[..]));
    let sealed_after = both.seal("purpose", b"secret").expect("sealed");
    assert!(sealer(8).open("purpose", &sealed_after).is_ok());
    assert_eq!(
        sealer(7).open("purpose", &sealed_after).err(),
        Some(SealError::UnknownKey(MasterKey::new(&[8; 32]).id()))
    );
}

#[test]
fn a_value_opens_for_its_purpose_only() {
    let sealer = sealer(7);
    let sealed = sealer.seal("one", b"secret").expect("sealed");
    assert!(sealer.open("one", &sealed).is_ok());
    assert_eq!(sealer.open("other", &sealed).err(), Some(SealError::Refused));
    for length in 0..sealed.len() {
        assert!(sealer.open("one", &sealed[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn the_same_key_twice_is_refused() {
    let twice = Sealer::new(MasterKey::new(&[7; 32]), vec![MasterKey::new(&[7; 32])]);
    assert_eq!(twice.err(), Some(SealError::SameId(MasterKey::new(&[7; 32]).id())));
}

#[test]
fn a_debug_print_holds_no_key() {
    let printed = format!("{:?}", sealer(0xab));
    assert!(!printed.to_lowercase().contains("abab") && !printed.contains("171, 171"), "{printed}");
}
