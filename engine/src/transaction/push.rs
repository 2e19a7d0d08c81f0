//! What is pushed: composed from the record, so that a repetition says the same under the same ids.

use std::sync::Arc;

use aws_lc_rs::hmac;
use tocsin_config::{Config, PushText};
use tocsin_model::{
    Device, DeviceId, KeptChallenge, ProviderName, PushId, PushTarget, Recipient, SealedChallenge, Sending,
    Transaction, TransactionId,
};
use tocsin_storage::Store;

use crate::device::thumbprint;
use crate::protocol::{Push, PushContent};

/// Derives push ids. They are not stored: a repetition after a cut or a restart derives the same one again.
#[derive(Clone)]
pub(crate) struct PushIds(hmac::Key);

impl PushIds {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// One id for a transaction, a phone and the number of resends that the portal had asked for.
    pub(crate) fn derive(&self, transaction: TransactionId, device: DeviceId, resends: u32) -> PushId {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tocsin/v1/push-id");
        context.update(transaction.as_bytes());
        context.update(device.as_bytes());
        context.update(&resends.to_be_bytes());
        id_of(context)
    }

    /// One id for a sending of the code of a transaction.
    pub(crate) fn derive_for_code(&self, transaction: TransactionId, sending: Sending) -> PushId {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"tocsin/v1/code-message-id");
        context.update(transaction.as_bytes());
        context.update(&sending.fell_back_at.get().to_be_bytes());
        context.update(&sending.resends_used.to_be_bytes());
        context.update(&sending.gateway.to_be_bytes());
        id_of(context)
    }
}

fn id_of(context: hmac::Context) -> PushId {
    let mut digest = [0; 32];
    digest.copy_from_slice(context.sign().as_ref());
    PushId::from_digest(&digest)
}

/// Where a phone is pushed to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: PushTarget,
    /// Whether it was refused before.
    pub(crate) suspected: bool,
    /// The bundle id or package name of its version of the app; `None` when that is configured no more for this
    /// network, or switched off.
    pub(crate) app_id: Option<Arc<str>>,
    /// The challenge that is kept for its present encryption key.
    pub(crate) sealed: Option<Box<SealedChallenge>>,
}

impl Target {
    /// Of a phone, with what is kept for it among `challenges`.
    pub(crate) fn new(device: &Device, config: &Config, challenges: &[(DeviceId, KeptChallenge)]) -> Self {
        let kept = challenges.iter().find(|(device_id, _)| *device_id == device.id);
        Self::with(device, config, kept.map(|(_, kept)| kept.clone()))
    }

    /// As the storage has it now; `None` when the phone can be pushed to no more.
    pub(crate) async fn read(
        store: &dyn Store,
        config: &Config,
        id: TransactionId,
        device_id: DeviceId,
    ) -> Option<Self> {
        let device = store.phone(device_id).await.ok().flatten().filter(|device| device.can_be_pushed())?;
        let kept = match device.encryption_key {
            // Without its seal the push says less, and the phone fetches.
            Some(_) => store.kept_challenge(id, device_id).await.ok().flatten(),
            None => None,
        };
        Some(Self::with(&device, config, kept))
    }

    /// Where a phone is pushed to now, and the id of its app there; `None` when it can be pushed to no more.
    pub(super) async fn address(
        store: &dyn Store,
        config: &Config,
        device_id: DeviceId,
    ) -> Option<(PushTarget, Arc<str>)> {
        let device = store.phone(device_id).await.ok().flatten().filter(|device| device.can_be_pushed())?;
        let app_id = push_by(config, &device).map(|(id, _)| Arc::from(id))?;
        Some((device.push.clone(), app_id))
    }

    fn with(device: &Device, config: &Config, kept: Option<KeptChallenge>) -> Self {
        let app_id = push_by(config, device).map(|(id, _)| Arc::from(id));
        let key = device.encryption_key.as_ref().map(thumbprint);
        let sealed = kept.zip(key).and_then(|(kept, key)| kept.sealed_to(&key)).map(Box::new);
        Self { suspected: device.push_suspect_count > 0, address: device.push.clone(), app_id, sealed }
    }
}

/// The id of a phone's version of its app, and the provider that reaches it.
pub(crate) fn push_by<'c>(config: &'c Config, device: &Device) -> Option<(&'c str, &'c ProviderName)> {
    let platform = config.apps.get(&device.app)?.reached_by(device.push.kind)?;
    platform.push_by(&device.profile.app_version)
}

/// The push that asks `recipient` at `target`; `None` when its app is not configured for that network.
pub(crate) fn ask(
    transaction: &Transaction,
    recipient: &Recipient,
    target: Target,
    config: &Config,
    push_ids: &PushIds,
    open_requests: usize,
) -> Option<Push> {
    Some(Push {
        transaction_id: transaction.id,
        device_id: recipient.device_id,
        push_id: push_ids.derive(transaction.id, recipient.device_id, transaction.resends.used),
        app_id: target.app_id?,
        target: target.address,
        expires_at: transaction.expires_at,
        content: content(transaction, config),
        sealed: target.sealed,
        suspected: target.suspected,
        open_requests,
    })
}

fn content(transaction: &Transaction, config: &Config) -> PushContent {
    let push_text = config.types.get(&transaction.type_name).map(|found| found.push_text);
    match push_text {
        Some(PushText::Message) => PushContent::AskInClear {
            title: transaction.content.title.clone(),
            message: transaction.content.message.clone(),
        },
        Some(PushText::LocalizationKeys) | None => PushContent::Ask,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::{Partition, UnixMs};

    #[test]
    fn a_push_id_depends_on_all_it_is_derived_from_and_on_nothing_else() {
        let ids = PushIds::new(&[7; 32]);
        let transaction = |number| TransactionId::compose(UnixMs::new(1), Partition::default(), [number; 16]);
        let device = |number| DeviceId::from_random([number; 16]);
        let first = ids.derive(transaction(1), device(1), 0);
        assert_eq!(first, ids.derive(transaction(1), device(1), 0));
        assert_ne!(first, ids.derive(transaction(2), device(1), 0));
        assert_ne!(first, ids.derive(transaction(1), device(2), 0));
        assert_ne!(first, ids.derive(transaction(1), device(1), 1));
        assert_ne!(first, PushIds::new(&[8; 32]).derive(transaction(1), device(1), 0));
    }

    #[test]
    fn each_sending_of_a_code_has_an_id_of_its_own() {
        let ids = PushIds::new(&[7; 32]);
        let transaction = |number| TransactionId::compose(UnixMs::new(1), Partition::default(), [number; 16]);
        let first = Sending { fell_back_at: UnixMs::new(0), resends_used: 0, gateway: 0 };
        let mut derived = vec![ids.derive_for_code(transaction(2), first)];
        for other in [
            first,
            Sending { fell_back_at: UnixMs::new(1), ..first },
            Sending { resends_used: 1, ..first },
            Sending { gateway: 1, ..first },
        ] {
            let id = ids.derive_for_code(transaction(1), other);
            assert_eq!(id, ids.derive_for_code(transaction(1), other));
            assert!(!derived.contains(&id), "{other:?}");
            derived.push(id);
        }
    }
}
