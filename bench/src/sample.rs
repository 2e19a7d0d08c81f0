//! Transactions as portals start them: one phone, short texts, each with its own id.

use tocsin_model::{
    Content, Counter, Delivery, DeliveryStatus, DeviceId, DurationMs, KeyUse, Method, Nonce, Partition,
    Platform, Recipient, RequestMessage, State, Transaction, TransactionId, UnixMs, User, UserId, UserIdRule,
};

/// When all of them are started.
const STARTED_AT: UnixMs = UnixMs::new(1_800_000_000_000);

/// How many are started in one millisecond; ids begin with the time, so the store sees them in that order.
const STARTED_PER_MS: u64 = 100;

/// How long they live.
const TIME_TO_LIVE: DurationMs = DurationMs::from_seconds(60);

/// An endless row of pending transactions.
#[derive(Debug)]
pub struct Samples {
    template: Transaction,
    made: u64,
}

impl Samples {
    /// The row from its beginning.
    pub fn new() -> Self {
        Self { template: template(), made: 0 }
    }

    /// The time at which all of them are pending.
    pub const fn now() -> UnixMs {
        STARTED_AT
    }

    /// The next one.
    pub fn next_transaction(&mut self) -> Transaction {
        self.made += 1;
        let started_at = UnixMs::new(STARTED_AT.get() + self.made / STARTED_PER_MS);
        Transaction {
            id: TransactionId::compose(started_at, Partition::default(), spread(self.made)),
            ..self.template.clone()
        }
    }
}

impl Default for Samples {
    fn default() -> Self {
        Self::new()
    }
}

/// Sixteen bytes that look random and differ for each number, as ids do.
fn spread(number: u64) -> [u8; 16] {
    let high = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&(high ^ (high >> 31)).to_be_bytes());
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    bytes
}

fn template() -> Transaction {
    Transaction {
        id: TransactionId::compose(STARTED_AT, Partition::default(), [0; 16]),
        revision: 1,
        client: "portal".parse().expect("a valid name"),
        user: Some(User {
            realm: "retail".parse().expect("a valid name"),
            id: UserId::new("alice.example", UserIdRule::Exact).expect("a valid id"),
        }),
        type_name: "login".parse().expect("a valid name"),
        method: Method::Push,
        state: State::Pending,
        created_at: STARTED_AT,
        expires_at: STARTED_AT.plus(TIME_TO_LIVE),
        ended_at: None,
        content: Content {
            title: "Log in".into(),
            message: "Do you want to log in to your bank?".into(),
            particulars: None,
        },
        accepted_keys: [KeyUse::Device].into(),
        recipients: vec![recipient()],
        attempts: Counter::new(3),
        resends: Counter::new(2),
        answer: None,
        keep_for_polling: false,
        request_message: RequestMessage::NotAsked,
        callback_url: None,
        call_context: None,
        seldom: None,
    }
}

fn recipient() -> Recipient {
    Recipient {
        device_id: DeviceId::from_bytes([7; 16]),
        device_name: "Alice's phone".into(),
        platform: Platform::Ios,
        app: "bank".parse().expect("a valid name"),
        nonce: Nonce::from_bytes([9; 16]),
        delivery: Some(Delivery {
            provider: "apns-main".parse().expect("a valid name"),
            status: DeliveryStatus::Queued,
            reason: None,
        }),
    }
}
