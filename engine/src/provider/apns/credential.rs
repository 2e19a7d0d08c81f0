//! The provider token of APNs: a JWT by the team's key (ES256; `iss`, `iat`, `kid`).
//!
//! Apple takes a token for an hour and refuses a second one within twenty minutes on a connection, so one is
//! used for 40 to 50 minutes and the same on every connection.

use std::path::Path;

use aws_lc_rs::digest::{Context, SHA256};
use http::HeaderValue;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::Serialize;
use tocsin_model::{DurationMs, UnixMs};
use zeroize::Zeroizing;

use crate::provider::error::ProviderFault;
use crate::provider::token::{Mint, MintError, Minted};
use crate::transport::random_unit;

/// The configuration's name of the file.
const KEY_FILE: &str = "key_file";

/// Length of a team id and of a key id.
const ID_CHARACTERS: usize = 10;
const REFRESH_AGE_MIN: DurationMs = DurationMs::from_seconds(40 * 60);
const REFRESH_AGE_JITTER_S: f64 = 10.0 * 60.0;
/// A little under Apple's hour, because our clock may be a little behind theirs.
const EXPIRY_AGE: DurationMs = DurationMs::from_seconds(58 * 60);

/// Signs provider tokens for one team.
pub(in crate::provider) struct ApnsSigner {
    team_id: Box<str>,
    header: Header,
    key: EncodingKey,
    credential: [u8; 32],
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    iat: u64,
}

impl ApnsSigner {
    /// Reads the `.p8` file and signs once on trial, so that a wrong key is found at the start.
    pub(super) fn read(team_id: &str, key_id: &str, key_file: &Path) -> Result<Self, ProviderFault> {
        check_id("team_id", team_id)?;
        check_id("key_id", key_id)?;
        let unreadable =
            |reason| ProviderFault::Unreadable { key: KEY_FILE, path: key_file.to_owned(), reason };
        let pem = Zeroizing::new(std::fs::read(key_file).map_err(unreadable)?);
        let not_a_key = || ProviderFault::NotACredential {
            key: KEY_FILE,
            path: key_file.to_owned(),
            expected: "a P-256 private key in PKCS #8 PEM",
            remedy: "take the .p8 file of the key from Apple's developer site unchanged",
        };
        let key = EncodingKey::from_ec_pem(&pem).map_err(|_| not_a_key())?;
        let mut header = Header::new(Algorithm::ES256);
        (header.typ, header.kid) = (None, Some(key_id.to_owned()));
        let credential = credential_hash(team_id, key_id, &pem);
        let signer = Self { team_id: team_id.into(), header, key, credential };
        signer.sign(UnixMs::default()).map_err(|_| not_a_key())?;
        Ok(signer)
    }

    pub(super) fn sign(&self, now: UnixMs) -> Result<HeaderValue, MintError> {
        let claims = Claims { iss: &self.team_id, iat: now.seconds() };
        let token = encode(&self.header, &claims, &self.key).map_err(|_| MintError::Refused)?;
        let mut value = HeaderValue::try_from(format!("bearer {token}")).map_err(|_| MintError::Refused)?;
        value.set_sensitive(true);
        Ok(value)
    }
}

impl Mint for ApnsSigner {
    const REPLACED_AGE_MIN: DurationMs = DurationMs::from_seconds(20 * 60);

    async fn mint(&self, now: UnixMs) -> Result<Minted, MintError> {
        let jitter = std::time::Duration::from_secs_f64(REFRESH_AGE_JITTER_S * random_unit());
        let refresh_age = DurationMs::from(REFRESH_AGE_MIN.to_std() + jitter);
        Ok(Minted { authorization: self.sign(now)?, refresh_age, expiry_age: EXPIRY_AGE })
    }

    fn credential(&self) -> Option<[u8; 32]> {
        Some(self.credential)
    }
}

/// A hash over all that a token is made with.
fn credential_hash(team_id: &str, key_id: &str, pem: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in [team_id.as_bytes(), key_id.as_bytes(), pem] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn check_id(key: &'static str, id: &str) -> Result<(), ProviderFault> {
    let is_id = id.len() == ID_CHARACTERS && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_id {
        Ok(())
    } else {
        Err(ProviderFault::Id { key, expected: "ten letters and digits, as Apple gives it" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    fn key_file(pem: &str) -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key.p8");
        std::fs::write(&path, pem).expect("writable");
        (folder, path)
    }

    fn fault(team_id: &str, key_id: &str, path: &Path) -> String {
        ApnsSigner::read(team_id, key_id, path).err().expect("refused").to_string()
    }

    #[tokio::test]
    async fn the_token_is_a_jwt_by_the_teams_key() {
        use p256::ecdsa::signature::Verifier as _;
        use p256::pkcs8::{EncodePrivateKey as _, LineEnding};
        let key = p256::ecdsa::SigningKey::from_slice(&[5; 32]).expect("a key");
        let pem = key.to_pkcs8_pem(LineEnding::LF).expect("pem");
        let (_folder, path) = key_file(&pem);
        let signer = ApnsSigner::read("TEAM000001", "KEY0000001", &path).expect("set up");
        let minted = signer.mint(UnixMs::new(1_700_000_000_999)).await.expect("signed");
        assert!(minted.authorization.is_sensitive());
        let token = minted.authorization.to_str().expect("ascii").strip_prefix("bearer ").expect("bearer");
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        let (header, claims) = signed.split_once('.').expect("three parts");
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
        let json_of = |part: &str| serde_json::from_slice::<Value>(&decode(part)).expect("json");
        assert_eq!(json_of(header), json!({"alg": "ES256", "kid": "KEY0000001"}));
        assert_eq!(json_of(claims), json!({"iss": "TEAM000001", "iat": 1_700_000_000}));
        let signature = p256::ecdsa::Signature::from_slice(&decode(signature)).expect("64 bytes");
        key.verifying_key().verify(signed.as_bytes(), &signature).expect("a good signature");
    }

    #[tokio::test]
    async fn it_is_replaced_after_40_to_50_minutes() {
        let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let (_folder, path) = key_file(&pem);
        let signer = ApnsSigner::read("TEAM000001", "KEY0000001", &path).expect("set up");
        for _ in 0..20 {
            let minted = signer.mint(UnixMs::new(0)).await.expect("signed");
            let minutes = minted.refresh_age.get() / 60_000;
            assert!((40..=50).contains(&minutes), "{minutes} minutes");
        }
    }

    #[test]
    fn a_wrong_key_file_is_named_and_its_bytes_are_not() {
        let missing = Path::new("/nowhere/key.p8");
        assert!(fault("TEAM000001", "KEY0000001", missing).contains("/nowhere/key.p8"));
        let wrong_curve = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key");
        for pem in ["garbage-in-the-file", &wrong_curve.serialize_pem()] {
            let (_folder, path) = key_file(pem);
            let text = fault("TEAM000001", "KEY0000001", &path);
            assert!(text.contains("key.p8") && text.contains("P-256"), "{text}");
            let line = pem.lines().nth(1).unwrap_or(pem);
            assert!(!text.contains(line), "{text}");
        }
    }

    #[test]
    fn another_key_or_name_is_another_credential() {
        let pem = || rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let ((_first, first), (_second, second)) = (key_file(&pem()), key_file(&pem()));
        let credential = |key_id: &str, path: &Path| {
            ApnsSigner::read("TEAM000001", key_id, path).expect("set up").credential()
        };
        let present = credential("KEY0000001", &first);
        assert!(present.is_some());
        assert_eq!(credential("KEY0000001", &first), present);
        assert_ne!(credential("KEY0000001", &second), present);
        assert_ne!(credential("KEY0000002", &first), present);
    }

    #[test]
    fn ids_are_ten_letters_and_digits() {
        let path = Path::new("/nowhere/key.p8");
        let key = |team_id, key_id| ApnsSigner::read(team_id, key_id, path).err().expect("refused").key();
        assert_eq!(key("TEAM", "KEY0000001"), "team_id");
        assert_eq!(key("TEAM000001", "KEY 000001"), "key_id");
        assert_eq!(key("TEAM000001", "KEY0000001"), "key_file");
    }
}
