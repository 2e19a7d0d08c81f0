//! The bare library: minicbor over the fields of a transaction, as texts, bytes and numbers that nobody judges.

use minicbor::{Decode, Encode};
use tocsin_model::Transaction;

/// The fields that a usual transaction has.
#[derive(Debug, Encode, Decode)]
#[cbor(map)]
pub struct BareRecord<'a> {
    #[n(0)]
    numbers: [u32; 7],
    #[n(1)]
    times: [u64; 2],
    #[b(2)]
    client: &'a str,
    #[b(3)]
    realm: &'a str,
    #[b(4)]
    user: &'a str,
    #[b(5)]
    type_name: &'a str,
    #[b(6)]
    title: &'a str,
    #[b(7)]
    message: &'a str,
    #[b(8)]
    key: &'a str,
    #[b(9)]
    device_name: &'a str,
    #[b(10)]
    app: &'a str,
    #[b(11)]
    provider: &'a str,
    #[cbor(n(12), with = "minicbor::bytes")]
    device_id: [u8; 16],
    #[cbor(n(13), with = "minicbor::bytes")]
    nonce: [u8; 32],
}

/// What reading ends with: texts of one's own.
pub type OwnedTexts = [Box<str>; 10];

impl<'a> BareRecord<'a> {
    /// Of a transaction with one phone.
    pub fn of(transaction: &'a Transaction) -> Self {
        let user = transaction.user.as_ref().expect("a sample has a user");
        let phone = &transaction.recipients[0];
        let mut nonce = [0; 32];
        let bytes = phone.nonce.as_bytes();
        nonce[..bytes.len()].copy_from_slice(bytes);
        Self {
            numbers: [transaction.revision, 1, 0, 3, 0, 2, 0],
            times: [transaction.created_at.get(), transaction.expires_at.get()],
            client: transaction.client.as_str(),
            realm: user.realm.as_str(),
            user: user.id.as_str(),
            type_name: transaction.type_name.as_str(),
            title: &transaction.content.title,
            message: &transaction.content.message,
            key: "device",
            device_name: &phone.device_name,
            app: phone.app.as_str(),
            provider: phone.delivery.as_ref().map_or("", |delivery| delivery.provider.as_str()),
            device_id: *phone.device_id.as_bytes(),
            nonce,
        }
    }

    /// Written.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        minicbor::encode(self, &mut bytes).expect("writing into a vector cannot fail");
        bytes
    }

    /// Read, with the texts copied, since a transaction outlives its row.
    pub fn owned_from(bytes: &[u8]) -> (OwnedTexts, [u8; 16], [u8; 32]) {
        let record: BareRecord<'_> = minicbor::decode(bytes).expect("it was written by this");
        let texts = [
            record.client,
            record.realm,
            record.user,
            record.type_name,
            record.title,
            record.message,
            record.key,
            record.device_name,
            record.app,
            record.provider,
        ];
        (texts.map(Into::into), record.device_id, record.nonce)
    }
}
