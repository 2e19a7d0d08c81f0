//! An account of Twilio: who sends, and by which key status reports are signed.

use aws_lc_rs::hmac;
use http::HeaderValue;
use tocsin_config::TwilioProvider;

use crate::provider::error::ProviderFault;
use crate::provider::secret_file::{basic, read_secret};

const TOKEN_FILE: &str = "auth_token_file";
const SECRET_FILE: &str = "api_key_secret_file";

/// Who sends.
pub(super) struct Account {
    authorization: HeaderValue,
    report_key: hmac::Key,
}

impl Account {
    /// Reads the files of a provider. Twilio signs its reports by the account's token, whoever sends.
    pub(super) fn read(provider: &TwilioProvider) -> Result<Self, ProviderFault> {
        let token = read_secret(TOKEN_FILE, &provider.auth_token_file)?;
        let authorization = match &provider.api_key {
            Some(key) => basic(&key.sid, read_secret(SECRET_FILE, &key.secret_file)?.expose()),
            None => basic(&provider.account_sid, token.expose()),
        };
        let unfit = ProviderFault::Id { key: TOKEN_FILE, expected: "a secret that a header can carry" };
        let report_key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, token.expose().as_bytes());
        Ok(Self { authorization: authorization.ok_or(unfit)?, report_key })
    }

    /// The value of `Authorization`.
    pub(super) fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }

    /// What reports are signed by: HMAC-SHA1, as Twilio does.
    pub(super) fn report_key(&self) -> &hmac::Key {
        &self.report_key
    }
}
