//! Every message that crosses an actor boundary.
//!
//! `transaction`, `provider` and `callback` know this page and not each other.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Message, Recipient};
use tocsin_config::{CountryPrefix, ProviderLimits};
use tocsin_model::{
    CallbackUrl, ClientId, CodeAddress, CodeText, DeliveryReason, DeviceId, ProviderName, PushId, PushTarget,
    SealedChallenge, Sending, State, TransactionId, UnixMs,
};

use crate::provider::Driver;

/// One push to one phone. A retransmission is the same value again, with the same ids.
#[derive(Clone, Debug)]
pub struct Push {
    /// The transaction, which is also the collapse id; a notice has an id of its own that names none.
    pub transaction_id: TransactionId,
    /// The phone.
    pub device_id: DeviceId,
    /// The identity of this push (`apns-id`), the same for a retransmission.
    pub push_id: PushId,
    /// The phone's address; always one with a token.
    pub target: PushTarget,
    /// The bundle id (the APNs topic) or the package name.
    pub app_id: Arc<str>,
    /// From this moment on the push is worthless: it is not sent, and the network must not keep it longer.
    pub expires_at: UnixMs,
    /// What the push says.
    pub content: PushContent,
    /// The sealed challenge, put in where it fits.
    pub sealed: Option<Box<SealedChallenge>>,
    /// Whether the address was refused before, so that its first success is worth writing down.
    pub suspected: bool,
    /// How many requests wait for the user, this one included: the badge of an iPhone's app.
    pub open_requests: usize,
}

/// What a push says before the phone has fetched the challenge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PushContent {
    /// Ask for an answer; localisation keys of the app only.
    Ask,
    /// Ask for an answer, with title and message in clear, because the type says so.
    AskInClear {
        /// The title.
        title: Arc<str>,
        /// The message.
        message: Arc<str>,
    },
    /// Another phone was enrolled for the same user and app. It names no transaction.
    DeviceAdded,
    /// The transaction has ended; the phone clears its prompt.
    Closed(State),
}

/// One message with a one-time code. A repetition after a cut is the same value again; a resend, a
/// fallback and another gateway say the same under a new `push_id`.
#[derive(Clone, Debug)]
pub struct CodeMessage {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// Which sending of the code of its transaction this is.
    pub sending: Sending,
    /// The identity of this sending, which says nothing of others.
    pub push_id: PushId,
    /// Where it goes.
    pub address: CodeAddress,
    /// The beginning of its number, under which it is counted when it has left by SMS.
    pub prefix: Option<CountryPrefix>,
    /// The subject of an e-mail.
    pub title: Option<Arc<str>>,
    /// What it says, the code included.
    pub text: CodeText,
    /// From this moment on the code is worthless: it is not sent, and the network must not keep it longer.
    pub expires_at: UnixMs,
    /// The language that it is written in, a tag of BCP 47.
    pub language: Option<Box<str>>,
}

/// What a provider delivers. A network that is given the wrong kind refuses it
/// ([`DriverReport::wrong_parcel`](crate::provider::DriverReport::wrong_parcel)).
#[derive(Clone, Debug)]
pub enum Parcel {
    /// A push, for a push network.
    Push(Box<Push>),
    /// A message with a code, for a gateway or a mail server.
    Code(Box<CodeMessage>),
}

impl Parcel {
    /// Its transaction.
    pub fn transaction_id(&self) -> TransactionId {
        match self {
            Self::Push(push) => push.transaction_id,
            Self::Code(code) => code.transaction_id,
        }
    }

    /// From this moment on it is worthless.
    pub fn expires_at(&self) -> UnixMs {
        match self {
            Self::Push(push) => push.expires_at,
            Self::Code(code) => code.expires_at,
        }
    }

    /// Whom it is for.
    pub fn addressee(&self) -> Addressee {
        match self {
            Self::Push(push) => Addressee::Phone(push.device_id),
            Self::Code(code) => Addressee::Code(code.sending),
        }
    }
}

/// Whom, of one transaction, a parcel is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// A phone with the app.
    Phone(DeviceId),
    /// The address that the code goes to, in this sending of it: two can be on their way at once.
    Code(Sending),
}

/// How a push or a message with a code ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryOutcome {
    /// The network took it.
    Relayed,
    /// It will not arrive: it was refused, or never written.
    Failed(DeliveryReason),
    /// It was written and then cut off: it may arrive, so a repetition must keep its ids.
    Unknown(DeliveryReason),
}

/// To a provider: deliver this, and supervise the transaction until it is released.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Deliver {
    /// The push or the message.
    pub parcel: Parcel,
    /// Whom to tell.
    pub reply_to: Recipient<ProviderEvent>,
}

/// To a provider: send this push, for which no transaction waits. Nobody is told how it ends.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Notify {
    /// The push.
    pub push: Push,
}

/// To a provider: the transaction has ended or moved on; supervise it no longer.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Release {
    /// The transaction.
    pub transaction_id: TransactionId,
}

/// To a provider: a transaction that it supervises ended by a fault; have it revived.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Faulted {
    /// The transaction.
    pub transaction_id: TransactionId,
    /// Its deadline, at which it must be looked at even if it keeps falling.
    pub expires_at: UnixMs,
}

/// To a provider: from now on deliver by this driver and within these bounds. Pushes that are on their way end as
/// they began.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Install {
    /// The network, by the present credential.
    pub(crate) driver: Arc<dyn Driver>,
    /// The bounds.
    pub(crate) limits: ProviderLimits,
}

/// To a provider that is configured no more: stop as soon as nothing is on its way and nobody is supervised.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub(crate) struct Retire;

/// From a provider to a transaction that it supervises.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub enum ProviderEvent {
    /// The parcel was written to the network.
    Written {
        /// To whom.
        addressee: Addressee,
    },
    /// The parcel ended.
    Ended {
        /// To whom.
        addressee: Addressee,
        /// How.
        outcome: DeliveryOutcome,
    },
    /// The provider broke down: what was in its hands is unknown.
    Down {
        /// Which.
        provider: ProviderName,
    },
    /// The provider is back.
    Up {
        /// Which.
        provider: ProviderName,
    },
}

/// The mailboxes of one provider, as transactions see it.
#[derive(Clone)]
pub struct ProviderAddress {
    /// Takes pushes.
    pub deliver: Recipient<Deliver>,
    /// Takes pushes that belong to no transaction.
    pub notify: Recipient<Notify>,
    /// Takes the word that a transaction needs no supervision any more.
    pub release: Recipient<Release>,
    /// Takes the word that a transaction ended by a fault.
    pub faulted: Recipient<Faulted>,
    /// Takes another driver.
    pub(crate) install: Recipient<Install>,
    /// Takes the word that it is configured no more.
    pub(crate) retire: Recipient<Retire>,
    /// Takes the order to panic.
    #[cfg(feature = "fault-hook")]
    pub fault: Recipient<InjectFault>,
    /// Whether its breaker lets pushes through.
    pub availability: Arc<Availability>,
}

/// Whether a provider takes pushes, readable without asking its actor.
///
/// A breaker that is open says until when: from then on a push may try again, so that a provider that nobody
/// asks any more is not closed for good.
#[derive(Debug, Default)]
pub struct Availability {
    closed_until_ms: AtomicU64,
}

impl Availability {
    /// Whether a push may be sent at `now`.
    pub fn is_available(&self, now: UnixMs) -> bool {
        now.get() >= self.closed_until_ms.load(Ordering::Relaxed)
    }

    /// No push goes out before `until`; answers whether they did before.
    pub fn close_until(&self, until: UnixMs) -> bool {
        self.closed_until_ms.swap(until.get(), Ordering::Relaxed) == 0
    }

    /// Pushes go out; answers whether they did not before.
    pub fn open(&self) -> bool {
        self.closed_until_ms.swap(0, Ordering::Relaxed) != 0
    }
}

/// To the callback actor: an outcome is stored, and its callback is owed from now on. A word that is lost is made up
/// for by the storage, which has the row.
#[derive(Clone, Debug, Message)]
#[rtype(result = "()")]
pub struct CallbackOwed {
    /// To which client.
    pub client: ClientId,
    /// Where to.
    pub url: CallbackUrl,
    /// From when on, as its row says.
    pub at: UnixMs,
}

/// Says that a callback is owed; may be called from any thread and returns at once.
pub type SayOwed = Arc<dyn Fn(CallbackOwed) + Send + Sync>;

/// The way to the transactions of this process by their ids. Returns at once; called on a thread of the engine.
pub trait Transactions: Send + Sync {
    /// Brings a fallen one back from its record.
    fn bring_back(&self, id: TransactionId);

    /// Whether it has an actor.
    fn is_alive(&self, id: TransactionId) -> bool;

    /// Tells one that has an actor. One whose mailbox is full hears nothing.
    fn tell_event(&self, id: TransactionId, event: ProviderEvent);
}

/// To an actor: panic in the handler of this message, to show that a fault loses nothing.
#[cfg(feature = "fault-hook")]
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct InjectFault;

/// Every provider by its name.
#[derive(Clone, Default)]
pub struct ProviderTable {
    /// The network providers.
    pub providers: HashMap<ProviderName, ProviderAddress>,
    /// Those that are configured no more and still serve transactions that began with them.
    pub retiring: HashMap<ProviderName, ProviderAddress>,
    /// Supervises what no network serves; `None` only while the engine is being built.
    pub local: Option<ProviderAddress>,
}

impl ProviderTable {
    /// The provider with this name, or the local one for a name that is configured no more.
    pub fn supervisor(&self, name: Option<&ProviderName>) -> Option<&ProviderAddress> {
        let retiring =
            |name: &ProviderName| self.retiring.get(name).filter(|address| address.deliver.connected());
        let named = |name: &ProviderName| self.providers.get(name).or_else(|| retiring(name));
        name.and_then(named).or(self.local.as_ref())
    }
}
