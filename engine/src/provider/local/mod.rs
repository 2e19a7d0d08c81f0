//! The local provider: supervises transactions that no network serves, and pushes nothing.

use std::future::{Future, pending, ready};
use std::pin::Pin;

use tocsin_model::DeliveryReason;

use super::{Driver, DriverReport};
use crate::protocol::{DeliveryOutcome, Parcel};

/// The driver without a network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LocalDriver;

impl Driver for LocalDriver {
    fn deliver<'a>(
        &'a self,
        _: &'a Parcel,
        _: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>> {
        let outcome = DeliveryOutcome::Failed(DeliveryReason::Unavailable);
        Box::pin(ready(DriverReport { outcome, verdict: None, healthy: None }))
    }

    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(pending())
    }

    fn close(&self) {}
}
