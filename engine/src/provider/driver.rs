//! What the provider actor asks of a network: a push network, a gateway, a mail server.

use std::future::Future;
use std::pin::Pin;

use tocsin_model::{DeliveryReason, UnixMs};

use super::report::{GatewayReport, ReportCall, ReportFault};
use crate::protocol::{DeliveryOutcome, Parcel};
use crate::transport::TransportSnapshot;

/// What a network said of a phone's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushVerdict {
    /// It is dead, since this moment where the network says so.
    Dead {
        /// The network's own time of death.
        since: Option<UnixMs>,
    },
    /// It was refused, perhaps by our own fault.
    Suspect,
    /// It was taken.
    Good,
}

/// How a push ended, with all that the actor must act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverReport {
    /// For the transaction.
    pub outcome: DeliveryOutcome,
    /// For the device's record; `None` when the network said nothing of the address.
    pub verdict: Option<PushVerdict>,
    /// Whether this counts against the network's health (for the breaker), for it, or not at all.
    pub healthy: Option<bool>,
}

impl DriverReport {
    /// A parcel of a kind that this network does not carry; nothing was sent, and the network is not to blame.
    pub const fn wrong_parcel() -> Self {
        let outcome = DeliveryOutcome::Failed(DeliveryReason::RequestRefused);
        Self { outcome, verdict: None, healthy: None }
    }
}

/// What a driver has counted so far.
#[derive(Clone, Debug, Default)]
pub struct DriverSnapshot {
    /// Its connections, streams and queue.
    pub transport: TransportSnapshot,
    /// Answers of the network by reason; the reasons are a closed list of the network's documented words and a
    /// few of ours for what it does not document.
    pub answers: Vec<(&'static str, u64)>,
    /// Provider tokens made.
    pub tokens_made: u64,
    /// Tries to make a provider token that failed.
    pub token_faults: u64,
    /// Answers that mean that an operator must act: a refused credential, topic or project.
    pub credential_faults: u64,
}

/// A network with its connections and its credential.
pub trait Driver: Send + Sync + 'static {
    /// Delivers `parcel`. Ends by itself before it expires and within the provider's time-outs; repeats at most as
    /// the network's rules allow, always with the same ids. Dropping the future cuts the stream.
    /// `written` is called once, when the request was handed to the connection for the first time.
    fn deliver<'a>(
        &'a self,
        parcel: &'a Parcel,
        written: &'a (dyn Fn() + Send + Sync),
    ) -> Pin<Box<dyn Future<Output = DriverReport> + Send + 'a>>;

    /// Opens a connection and fetches a token before traffic comes, and keeps them warm. Ends when closed.
    fn keep_warm(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// Takes no new push and closes the connections once their streams have ended.
    fn close(&self);

    /// Reads what a gateway reports of a message that it took, if it is signed as the gateway signs.
    fn read_report(&self, _: &ReportCall<'_>) -> Result<GatewayReport, ReportFault> {
        Err(ReportFault::NotHere)
    }

    /// What it has counted; nothing for a driver without a network.
    fn snapshot(&self) -> DriverSnapshot {
        DriverSnapshot::default()
    }
}
