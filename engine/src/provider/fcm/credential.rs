//! A Google service account, and the assertion that it signs for an access token (RFC 7523, RS256).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde::{Deserialize, Serialize};
use tocsin_model::UnixMs;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::provider::error::ProviderFault;
use crate::provider::token::MintError;
use crate::transport::Endpoint;

/// The configuration's name of the file.
const ACCOUNT_FILE: &str = "service_account_file";

/// The right to send messages, and no other.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// The longest life that Google allows an assertion.
const ASSERTION_LIFE_S: u64 = 3_600;

/// Who sends, for which project.
pub(super) struct ServiceAccount {
    project_id: Box<str>,
    client_email: Box<str>,
    token_uri: Box<str>,
    token_endpoint: Arc<Endpoint>,
    header: Header,
    key: EncodingKey,
}

/// The file as Google writes it; other members are ignored.
#[derive(Deserialize, Zeroize, ZeroizeOnDrop)]
struct AccountFile {
    #[serde(rename = "type")]
    kind: String,
    project_id: String,
    private_key_id: String,
    private_key: String,
    client_email: String,
    token_uri: String,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    scope: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
}

impl ServiceAccount {
    /// Reads the file and signs once on trial, so that a wrong key is found at the start.
    pub(super) fn read(path: &Path) -> Result<Self, ProviderFault> {
        let unreadable =
            |reason| ProviderFault::Unreadable { key: ACCOUNT_FILE, path: path.to_owned(), reason };
        let text = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
        let file: AccountFile = serde_json::from_slice(&text).map_err(|_| not_an_account(path))?;
        let is_project = !file.project_id.is_empty()
            && file.project_id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if file.kind != "service_account" || !is_project || file.client_email.is_empty() {
            return Err(not_an_account(path));
        }
        let token_endpoint = Endpoint::parse(&file.token_uri).map_err(|reason| ProviderFault::Endpoint {
            key: ACCOUNT_FILE,
            url: "its token_uri",
            reason,
            example: "https://oauth2.googleapis.com/token",
        })?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes()).map_err(|_| not_a_key(path))?;
        let mut header = Header::new(Algorithm::RS256);
        header.kid = Some(file.private_key_id.clone());
        let account = Self {
            project_id: file.project_id.as_str().into(),
            client_email: file.client_email.as_str().into(),
            token_uri: file.token_uri.as_str().into(),
            token_endpoint: Arc::new(token_endpoint),
            header,
            key,
        };
        account.assertion(UnixMs::default()).map_err(|_| not_a_key(path))?;
        Ok(account)
    }

    pub(super) fn project_id(&self) -> &str {
        &self.project_id
    }

    /// Where assertions are exchanged for access tokens.
    pub(super) fn token_endpoint(&self) -> Arc<Endpoint> {
        self.token_endpoint.clone()
    }

    /// A signed assertion as of `now`.
    pub(super) fn assertion(&self, now: UnixMs) -> Result<Zeroizing<String>, MintError> {
        let iat = now.seconds();
        let exp = iat + ASSERTION_LIFE_S;
        let claims = Claims { iss: &self.client_email, scope: SCOPE, aud: &self.token_uri, iat, exp };
        encode(&self.header, &claims, &self.key).map(Zeroizing::new).map_err(|_| MintError::Refused)
    }
}

fn not_an_account(path: &Path) -> ProviderFault {
    ProviderFault::NotACredential {
        key: ACCOUNT_FILE,
        path: PathBuf::from(path),
        expected: "the JSON file of a Google service account",
        remedy: "make a key for the account in the Google Cloud console and take its file unchanged",
    }
}

fn not_a_key(path: &Path) -> ProviderFault {
    ProviderFault::NotACredential {
        key: ACCOUNT_FILE,
        path: PathBuf::from(path),
        expected: "a service account's file with an RSA private_key in PKCS #8 PEM",
        remedy: "make a new key for the account in the Google Cloud console and take its file unchanged",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};
    use tocsin_mock::FcmCredential;

    const TOKEN_URI: &str = "https://localhost:8443/token";

    fn read(text: &str) -> Result<ServiceAccount, ProviderFault> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("account.json");
        std::fs::write(&path, text).expect("writable");
        ServiceAccount::read(&path)
    }

    fn fault(text: &str) -> String {
        read(text).err().expect("refused").to_string()
    }

    fn account_json() -> Value {
        let credential = FcmCredential::generate("example-bank").expect("a key");
        serde_json::from_str(&credential.service_account_json(TOKEN_URI)).expect("json")
    }

    #[test]
    fn the_assertion_names_account_scope_and_token_endpoint() {
        let file = account_json();
        let account = read(&file.to_string()).expect("an account");
        let assertion = account.assertion(UnixMs::new(1_700_000_000_999)).expect("signed");
        let parts: Vec<&str> = assertion.split('.').collect();
        let json_of = |part: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(part).expect("base64url");
            serde_json::from_slice::<Value>(&bytes).expect("json")
        };
        assert_eq!(json_of(parts[0]), json!({"alg": "RS256", "typ": "JWT", "kid": file["private_key_id"]}));
        assert_eq!(
            json_of(parts[1]),
            json!({
                "iss": file["client_email"], "scope": SCOPE, "aud": TOKEN_URI,
                "iat": 1_700_000_000, "exp": 1_700_003_600,
            })
        );
        assert_eq!(account.project_id(), "example-bank");
    }

    #[test]
    fn a_wrong_file_is_named_and_its_bytes_are_not() {
        for text in ["not json", "{}", r#"{"type":"authorized_user"}"#] {
            let fault = fault(text);
            assert!(fault.contains("account.json") && fault.contains("service account"), "{fault}");
        }
        let mut file = account_json();
        file["private_key"] = json!("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
        let fault = fault(&file.to_string());
        assert!(fault.contains("private_key") && !fault.contains("c2VjcmV0"), "{fault}");
    }

    #[test]
    fn a_token_uri_in_clear_is_refused() {
        let mut file = account_json();
        file["token_uri"] = json!("http://localhost/token");
        assert!(fault(&file.to_string()).contains("not an https URL"));
    }

    #[test]
    fn a_project_id_that_no_path_can_carry_is_refused() {
        let mut file = account_json();
        file["project_id"] = json!("a/../b");
        assert!(fault(&file.to_string()).contains("service account"));
    }
}
