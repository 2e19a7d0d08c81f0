//! Opening sealed challenges and reading request messages (section 5): HPKE in base mode, written down from
//! RFC 9180 with another library's curve than the server's.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hmac::{self, HMAC_SHA256};
use serde_json::Value;

use super::key::{PhoneKey, from_base64url};

/// `KEM` and DHKEM(P-256, HKDF-SHA256).
const KEM_SUITE: &[u8] = b"KEM\x00\x10";
/// `HPKE`, the same, HKDF-SHA256 and AES-256-GCM.
const HPKE_SUITE: &[u8] = b"HPKE\x00\x10\x00\x01\x00\x02";
const INFO: &[u8] = b"tocsin/v1/challenge";
const BASE_MODE: u8 = 0;

/// A sealed challenge, as push, fetch and request message carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The encapsulated key.
    pub enc: Vec<u8>,
    /// The ciphertext with its tag.
    pub ct: Vec<u8>,
}

impl Sealed {
    /// Reads the members `enc` and `ct` of `object`.
    pub fn parse(object: &Value) -> Option<Self> {
        let bytes = |name: &str| object.get(name).and_then(Value::as_str).and_then(from_base64url);
        Some(Self { enc: bytes("enc")?, ct: bytes("ct")? })
    }

    /// The compact JWS in it, if it is for this key and this transaction.
    pub fn open(&self, key: &PhoneKey, transaction_id: &str) -> Option<String> {
        let plain = open(key, &self.enc, INFO, transaction_id.as_bytes(), &self.ct)?;
        String::from_utf8(plain).ok()
    }
}

/// What a request message holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// `enc` and `ct`.
    Sealed(Sealed),
    /// `c`.
    Signed(String),
}

/// The transaction of a request message, and what it holds.
pub(super) fn parse_request_message(text: &str) -> Option<(String, Message)> {
    let pairs: Vec<(&str, &str)> =
        text.strip_prefix("tocsin:1?")?.split('&').map(|pair| pair.split_once('=')).collect::<Option<_>>()?;
    match pairs[..] {
        [("t", id), ("enc", enc), ("ct", ct)] => {
            let sealed = Sealed { enc: from_base64url(enc)?, ct: from_base64url(ct)? };
            Some((id.to_owned(), Message::Sealed(sealed)))
        }
        [("t", id), ("c", jws)] => Some((id.to_owned(), Message::Signed(jws.to_owned()))),
        _ => None,
    }
}

/// The compact JWS in a seal, for a phone that holds its key elsewhere: `shared_x` is what that key agrees on with
/// `sealed.enc`, and `own_point` its public half.
pub(crate) fn open_agreed(
    sealed: &Sealed,
    shared_x: &[u8; 32],
    own_point: &[u8],
    transaction_id: &str,
) -> Option<String> {
    let shared_secret = extract_and_expand(shared_x, &sealed.enc, own_point);
    let plain = open_by(&shared_secret, INFO, transaction_id.as_bytes(), &sealed.ct)?;
    String::from_utf8(plain).ok()
}

/// RFC 9180, section 6.1, single-shot.
fn open(key: &PhoneKey, enc: &[u8], info: &[u8], aad: &[u8], ct: &[u8]) -> Option<Vec<u8>> {
    open_by(&decapsulate(key, enc)?, info, aad, ct)
}

fn open_by(shared_secret: &[u8], info: &[u8], aad: &[u8], ct: &[u8]) -> Option<Vec<u8>> {
    let (key, base_nonce) = key_schedule(shared_secret, info);
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
    let mut opened = ct.to_vec();
    let length =
        key.open_in_place(Nonce::assume_unique_for_key(base_nonce), Aad::from(aad), &mut opened).ok()?.len();
    opened.truncate(length);
    Some(opened)
}

/// Section 4.1: `Decap`.
fn decapsulate(key: &PhoneKey, enc: &[u8]) -> Option<[u8; 32]> {
    Some(extract_and_expand(&key.shared_x(enc)?, enc, &key.point()))
}

fn extract_and_expand(shared_x: &[u8; 32], enc: &[u8], own_point: &[u8]) -> [u8; 32] {
    let context = [enc, own_point].concat();
    let secret = labeled_extract(KEM_SUITE, &[], b"eae_prk", shared_x);
    labeled_expand(KEM_SUITE, &secret, b"shared_secret", &context)
}

/// Section 5.1: the key and the nonce of the first message.
fn key_schedule(shared_secret: &[u8], info: &[u8]) -> ([u8; 32], [u8; 12]) {
    let no_key_id = labeled_extract(HPKE_SUITE, &[], b"psk_id_hash", &[]);
    let info = labeled_extract(HPKE_SUITE, &[], b"info_hash", info);
    let context = [&[BASE_MODE][..], &no_key_id, &info].concat();
    let secret = labeled_extract(HPKE_SUITE, shared_secret, b"secret", &[]);
    let key = labeled_expand(HPKE_SUITE, &secret, b"key", &context);
    (key, labeled_expand(HPKE_SUITE, &secret, b"base_nonce", &context))
}

/// Section 4. An empty salt stands for zeros (RFC 5869, section 2.2).
fn labeled_extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    let salt = if salt.is_empty() { &[0; 32] } else { salt };
    mac(salt, &[b"HPKE-v1", suite, label, ikm])
}

/// Section 4, for lengths up to one block of the hash.
fn labeled_expand<const LENGTH: usize>(
    suite: &[u8],
    secret: &[u8],
    label: &[u8],
    info: &[u8],
) -> [u8; LENGTH] {
    let length = u16::try_from(LENGTH).expect("a block of the hash at most").to_be_bytes();
    let block = mac(secret, &[&length, b"HPKE-v1", suite, label, info, &[1]]);
    *block.first_chunk().expect("a block of the hash at most")
}

fn mac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut tag = [0; 32];
    tag.copy_from_slice(context.sign().as_ref());
    tag
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(value: &Value) -> Vec<u8> {
        let text = value.as_str().expect("a text");
        let byte = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
        (0..text.len()).step_by(2).map(byte).collect()
    }

    #[test]
    fn the_vectors_of_rfc_9180_open() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device-protocol/rfc9180.json");
        let file: Value = serde_json::from_slice(&std::fs::read(path).expect("the vectors")).expect("JSON");
        let vector = &file["vector"];
        let key = PhoneKey::from_scalar(&hex(&vector["skRm"])).expect("a scalar");
        assert_eq!(key.point(), hex(&vector["pkRm"])[..]);
        let shared_secret = decapsulate(&key, &hex(&vector["enc"])).expect("a point");
        assert_eq!(shared_secret[..], hex(&vector["shared_secret"]));
        let (aead_key, base_nonce) = key_schedule(&shared_secret, &hex(&vector["info"]));
        assert_eq!(
            (&aead_key[..], &base_nonce[..]),
            (&hex(&vector["key"])[..], &hex(&vector["base_nonce"])[..])
        );
        let first = &vector["encryptions"][0];
        let opened =
            open(&key, &hex(&vector["enc"]), &hex(&vector["info"]), &hex(&first["aad"]), &hex(&first["ct"]));
        assert_eq!(opened, Some(hex(&first["pt"])));
    }

    #[test]
    fn what_is_no_request_message_is_refused() {
        let sealed = Message::Sealed(Sealed { enc: vec![4], ct: vec![5] });
        assert_eq!(parse_request_message("tocsin:1?t=a&enc=BA&ct=BQ"), Some(("a".to_owned(), sealed)));
        let signed = Message::Signed("e30.e30.AA".to_owned());
        assert_eq!(parse_request_message("tocsin:1?t=a&c=e30.e30.AA"), Some(("a".to_owned(), signed)));
        for other in ["", "tocsin:2?t=a&c=b", "tocsin:1?c=b&t=a", "tocsin:1?t=a", "tocsin:1?t=a&enc=+&ct=BQ"]
        {
            assert_eq!(parse_request_message(other), None, "{other}");
        }
    }
}
