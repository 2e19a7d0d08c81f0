//! The request message: a challenge as a text that the portal brings to the phone, most often as a QR picture.
//!
//! `tocsin:1?t=ID&enc=…&ct=…`, or `tocsin:1?t=ID&c=JWS` for a phone without an encryption key. All its values are
//! spelt in characters that a URL leaves as they are.

use tocsin_model::{KeptChallenge, TransactionId};

use super::encoding::base64url;

/// The text of a challenge.
pub fn request_message(transaction: &TransactionId, challenge: &KeptChallenge) -> String {
    match challenge {
        KeptChallenge::Sealed(sealed) => {
            let (enc, ct) = (base64url(&sealed.encapsulated), base64url(&sealed.ciphertext));
            format!("tocsin:1?t={transaction}&enc={enc}&ct={ct}")
        }
        KeptChallenge::Signed(jws) => format!("tocsin:1?t={transaction}&c={jws}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::{SealedChallenge, Thumbprint};

    #[test]
    fn a_request_message_has_one_of_two_forms() {
        let id = TransactionId::from_bytes([1; 16]);
        let sealed = SealedChallenge {
            to: Thumbprint::from_bytes([2; 32]),
            encapsulated: [0xff; 65],
            ciphertext: Box::new([0xfb, 0xff]),
        };
        assert_eq!(
            request_message(&id, &KeptChallenge::Sealed(sealed)),
            format!("tocsin:1?t={id}&enc={}8&ct=-_8", "_".repeat(86))
        );
        let signed = KeptChallenge::Signed("e30.e30.AA".into());
        assert_eq!(request_message(&id, &signed), format!("tocsin:1?t={id}&c=e30.e30.AA"));
    }
}
