//! How a gateway knows us: a header, made once.

use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use tocsin_config::GatewayAccess;
use zeroize::Zeroizing;

use crate::provider::error::ProviderFault;
use crate::provider::secret_file::{basic, read_secret, sensitive};

const TOKEN_FILE: &str = "token_file";

/// The header that shows who we are, where there is one.
pub(super) fn read(access: &GatewayAccess) -> Result<Option<(HeaderName, HeaderValue)>, ProviderFault> {
    let unfit = |key| ProviderFault::Id { key, expected: "what a header can carry" };
    match access {
        GatewayAccess::None => Ok(None),
        GatewayAccess::Basic(pair) => {
            let value = basic(&pair.username, pair.password.expose()).ok_or_else(|| unfit("password"))?;
            Ok(Some((AUTHORIZATION, value)))
        }
        GatewayAccess::Token { file, header } => {
            let token = read_secret(TOKEN_FILE, file)?;
            let (name, text) = match header {
                Some(name) => {
                    let name = name.parse().map_err(|_| unfit("token_header"))?;
                    (name, Zeroizing::new(token.expose().to_owned()))
                }
                None => (AUTHORIZATION, Zeroizing::new(format!("Bearer {}", token.expose()))),
            };
            Ok(Some((name, sensitive(&text).ok_or_else(|| unfit(TOKEN_FILE))?)))
        }
    }
}
