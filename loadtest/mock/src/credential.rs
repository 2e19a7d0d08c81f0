//! Credentials as an operator would get them from Apple and Google, made at run time.
//!
//! The private halves are given to the client under test; the servers are told only the public halves.
//! Nothing of them is shown by `Debug`.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair as _, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::KeyPair;
use serde_json::json;

use crate::{ApnsKey, KeyEnvironment, MockError, Topics};

/// Line length of a PEM body (RFC 7468).
const PEM_LINE_CHARACTERS: usize = 64;

/// An APNs token-signing key: what Apple hands out as a `.p8` file with two ids.
#[derive(Clone)]
pub struct ApnsCredential {
    /// The team id, ten characters: the token's `iss`.
    pub team_id: String,
    /// The key id, ten characters: the token's `kid`.
    pub key_id: String,
    /// The P-256 private key as PKCS#8 PEM.
    pub private_key_pem: String,
    public_point: Vec<u8>,
}

impl ApnsCredential {
    /// Makes a new key for these ids.
    pub fn generate(team_id: &str, key_id: &str) -> Result<Self, MockError> {
        let key = KeyPair::generate()?;
        Ok(Self {
            team_id: team_id.to_owned(),
            key_id: key_id.to_owned(),
            private_key_pem: key.serialize_pem(),
            public_point: key.public_key_raw().to_vec(),
        })
    }

    /// The public half, to be registered with a server: good for `topics` in both environments.
    pub fn key(&self, topics: Topics) -> ApnsKey {
        self.key_scoped(topics, KeyEnvironment::Both)
    }

    /// The public half, good for `topics` in `environment`.
    pub fn key_scoped(&self, topics: Topics, environment: KeyEnvironment) -> ApnsKey {
        ApnsKey {
            team_id: self.team_id.clone(),
            key_id: self.key_id.clone(),
            public_point: self.public_point.clone(),
            topics,
            environment,
        }
    }
}

impl fmt::Debug for ApnsCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ApnsCredential")
            .field("team_id", &self.team_id)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// A Google service account with an RSA 2048 key.
#[derive(Clone)]
pub struct FcmCredential {
    /// The Firebase project.
    pub project_id: String,
    /// The account's address: the assertion's `iss`.
    pub client_email: String,
    /// Id of the key: the assertion's `kid`.
    pub private_key_id: String,
    /// The RSA private key as PKCS#8 PEM.
    pub private_key_pem: String,
    public_key_der: Vec<u8>,
}

impl FcmCredential {
    /// Makes a new account and key for `project_id`.
    pub fn generate(project_id: &str) -> Result<Self, MockError> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|_| MockError::KeyGeneration)?;
        let private_der: Pkcs8V1Der<'_> = key.as_der().map_err(|_| MockError::KeyGeneration)?;
        Ok(Self {
            project_id: project_id.to_owned(),
            client_email: format!("tocsin@{project_id}.iam.gserviceaccount.com"),
            private_key_id: uuid::Uuid::new_v4().simple().to_string(),
            private_key_pem: pem("PRIVATE KEY", private_der.as_ref()),
            public_key_der: key.public_key().as_ref().to_vec(),
        })
    }

    /// The service-account file as Google writes it, with `token_uri` as its token endpoint.
    pub fn service_account_json(&self, token_uri: &str) -> String {
        let account = json!({
            "type": "service_account",
            "project_id": self.project_id,
            "private_key_id": self.private_key_id,
            "private_key": self.private_key_pem,
            "client_email": self.client_email,
            "client_id": "100000000000000000001",
            "token_uri": token_uri,
        });
        format!("{account:#}\n")
    }

    /// The public half as PKCS#1 DER.
    pub(crate) fn public_key_der(&self) -> &[u8] {
        &self.public_key_der
    }
}

impl fmt::Debug for FcmCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("FcmCredential")
            .field("project_id", &self.project_id)
            .field("client_email", &self.client_email)
            .finish_non_exhaustive()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(PEM_LINE_CHARACTERS));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_private_key() {
        let apns = ApnsCredential::generate("TEAM000001", "KEY0000001").unwrap();
        let fcm = FcmCredential::generate("bank-test").unwrap();
        let shown = format!("{apns:?} {fcm:?}");
        assert!(shown.contains("TEAM000001") && !shown.contains("PRIVATE"), "{shown}");
    }
}
