//! What is pushed: composed from the record, so that a repetition says the same under the same ids.

use std::sync::Arc;

use aws_lc_rs::hmac;
use tocsin_config::{App, Config, PushText};
use tocsin_model::{Device, DeviceId, PushId, PushKind, PushTarget, Recipient, Transaction, TransactionId};

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
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        PushId::from_digest(&digest)
    }
}

/// Where a phone is pushed to.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: PushTarget,
    /// Whether it was refused before.
    pub(crate) suspected: bool,
}

impl From<Device> for Target {
    fn from(device: Device) -> Self {
        Self { suspected: device.push_suspect_count > 0, address: device.push }
    }
}

/// The push that asks `recipient` at `target`; `None` when its app is configured no more for that network.
pub(crate) fn ask(
    transaction: &Transaction,
    recipient: &Recipient,
    target: &Target,
    config: &Config,
    push_ids: &PushIds,
) -> Option<Push> {
    let app = config.apps.get(&recipient.app)?;
    Some(Push {
        transaction_id: transaction.id,
        device_id: recipient.device_id,
        push_id: push_ids.derive(transaction.id, recipient.device_id, transaction.resends.used),
        target: target.address.clone(),
        app_id: Arc::from(app_platform_id(app, target.address.kind)?),
        expires_at: transaction.expires_at,
        content: content(transaction, config),
        suspected: target.suspected,
    })
}

fn app_platform_id(app: &App, kind: PushKind) -> Option<&str> {
    let platform = match kind {
        PushKind::Apns => app.ios.as_ref(),
        PushKind::FcmToken | PushKind::FcmFid => app.android.as_ref(),
        PushKind::None => None,
    };
    platform.map(|platform| platform.id.as_str())
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
}
