//! Where a provider's token outlives the process, so that a restart shows Apple no second one within twenty minutes.
//!
//! Whoever has the token can push in our name: it is kept only in rows that a master key seals. Without one it ends
//! with the process, and each start makes another. A shelf that cannot be read or written costs no more than that.

use std::fmt;
use std::sync::Arc;

use tocsin_model::{ProviderName, UnixMs};
use tocsin_storage::{KeptProviderToken, Store};

/// A place for tokens, or none.
#[derive(Clone)]
pub struct TokenShelf(Option<Arc<dyn Store>>);

impl fmt::Debug for TokenShelf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("TokenShelf").field("keeps", &self.0.is_some()).finish()
    }
}

impl TokenShelf {
    /// Tokens are kept in this store, which must seal its rows.
    pub fn sealed_in(store: Arc<dyn Store>) -> Self {
        Self(Some(store))
    }

    /// Tokens end with the process.
    pub const fn none() -> Self {
        Self(None)
    }

    /// The place of this provider's token, made with the credential of this hash.
    pub(super) fn place(&self, provider: &ProviderName, credential: Option<[u8; 32]>) -> Option<TokenPlace> {
        let (store, credential) = (self.0.clone()?, credential?);
        Some(TokenPlace { store, provider: provider.clone(), credential })
    }
}

/// The place of one provider's token.
pub(super) struct TokenPlace {
    store: Arc<dyn Store>,
    provider: ProviderName,
    pub(super) credential: [u8; 32],
}

impl TokenPlace {
    /// The token that was used last, if it still may be.
    pub(super) async fn take(&self, now: UnixMs) -> Option<KeptProviderToken> {
        match self.store.provider_token(self.provider.clone()).await {
            Ok(kept) => kept.filter(|kept| is_of_use(kept, &self.credential, now)),
            Err(error) => {
                tracing::warn!(provider = self.provider.as_str(), %error, "the last token cannot be read");
                None
            }
        }
    }

    /// Keeps a token, on the disk when this returns.
    pub(super) async fn put(&self, token: KeptProviderToken) {
        if let Err(error) = self.store.keep_provider_token(self.provider.clone(), token).await {
            tracing::warn!(provider = self.provider.as_str(), %error, "a token cannot be kept for a restart");
        }
    }
}

/// Whether a kept token is taken up in place of a new one: it is of our credential and not yet to be replaced. One
/// from the future was made by a clock that nobody goes by any more.
fn is_of_use(kept: &KeptProviderToken, credential: &[u8; 32], now: UnixMs) -> bool {
    kept.credential == *credential && kept.minted_at <= now && now < kept.refresh_at
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::Secret;

    #[test]
    fn a_token_is_taken_up_by_its_own_credential_until_it_is_to_be_replaced() {
        let kept = KeptProviderToken {
            credential: [1; 32],
            authorization: Secret::new("bearer 1".to_owned()),
            minted_at: UnixMs::new(100),
            refresh_at: UnixMs::new(200),
            expires_at: UnixMs::new(300),
        };
        for (credential, now, is_taken) in
            [(1, 100, true), (1, 199, true), (1, 200, false), (1, 99, false), (2, 150, false)]
        {
            assert_eq!(
                is_of_use(&kept, &[credential; 32], UnixMs::new(now)),
                is_taken,
                "{credential} at {now}"
            );
        }
    }
}
