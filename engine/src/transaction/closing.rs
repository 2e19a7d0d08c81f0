//! Closing pushes: what is over disappears from the phones that did not decide it.
//!
//! Best effort and off the critical path: they are made once everybody has been told, are the first to be left out
//! when there is much to do, and nobody learns how they end. A deadline needs none: phones know it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tocsin_config::Config;
use tocsin_model::{DeliveryStatus, DeviceId, ProviderName, State, Transaction};

use super::push::Target;
use crate::limits::{CLOSING_LIFE, CLOSINGS_AT_ONCE_MAX};
use crate::protocol::{Notify, Push, PushContent};
use crate::surroundings::Surroundings;

/// In place of the number of resends, so that no prompt has the same push id.
const CLOSING: u32 = u32::MAX;

/// How many ended transactions are being cleared from phones.
#[derive(Debug, Default)]
pub(crate) struct Closings(AtomicUsize);

impl Closings {
    fn enter(&self) -> bool {
        let entered = self.0.fetch_add(1, Ordering::Relaxed) < CLOSINGS_AT_ONCE_MAX;
        if !entered {
            self.leave();
        }
        entered
    }

    fn leave(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Clears the prompts of a transaction that has ended. Must be called on an arbiter.
pub(super) fn clear_prompts(
    surroundings: &Arc<Surroundings>,
    config: &Arc<Config>,
    ended: &Arc<Transaction>,
) {
    if !config.switches.sending || prompted(ended).next().is_none() {
        return;
    }
    if !surroundings.closings.enter() {
        surroundings.metrics.closings_shed(prompted(ended).count());
        return;
    }
    let (surroundings, config, ended) = (Arc::clone(surroundings), Arc::clone(config), Arc::clone(ended));
    actix_rt::spawn(async move {
        for (device_id, provider) in prompted(&ended) {
            if !clear(&surroundings, &config, &ended, device_id, provider).await {
                surroundings.metrics.closings_shed(1);
            }
        }
        surroundings.closings.leave();
    });
}

/// The phones that may still show it, and by which provider they were asked.
fn prompted(ended: &Transaction) -> impl Iterator<Item = (DeviceId, &ProviderName)> {
    let decided_by = ended.answer.as_ref().map(|answer| answer.device_id);
    let is_over_by_itself = ended.state == State::Timeout;
    ended.recipients.iter().filter_map(move |recipient| {
        let delivery = recipient.delivery.as_ref()?;
        let may_show = !is_over_by_itself
            && delivery.status != DeliveryStatus::Failed
            && Some(recipient.device_id) != decided_by;
        may_show.then_some((recipient.device_id, &delivery.provider))
    })
}

/// Whether it was handed over, or there is nobody to hand it to.
async fn clear(
    surroundings: &Surroundings,
    config: &Config,
    ended: &Transaction,
    device_id: DeviceId,
    provider: &ProviderName,
) -> bool {
    let target = Target::address(&*surroundings.store, config, device_id).await;
    let Some((target, app_id)) = target else { return true };
    let push = Push {
        transaction_id: ended.id,
        device_id,
        push_id: surroundings.push_ids.derive(ended.id, device_id, CLOSING),
        target,
        app_id,
        expires_at: surroundings.clock.now().plus(CLOSING_LIFE),
        content: PushContent::Closed(ended.state),
        sealed: None,
        suspected: false,
        open_requests: 0,
    };
    let providers = surroundings.providers();
    let address = providers.providers.get(provider);
    address.is_some_and(|address| address.notify.try_send(Notify { push }).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_cleared_at_once_than_may_be() {
        let closings = Closings::default();
        assert!((0..CLOSINGS_AT_ONCE_MAX).all(|_| closings.enter()));
        assert!(!closings.enter() && !closings.enter());
        closings.leave();
        assert!(closings.enter() && !closings.enter());
    }
}
