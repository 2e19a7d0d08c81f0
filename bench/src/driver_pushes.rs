//! Ours: pushes through the driver for APNs, with its queue, permits, token, prepared request and judgement.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tocsin_config::ProviderLimits;
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::{DeliveryOutcome, Parcel, Push, PushContent};
use tocsin_engine::provider::{Driver, TokenShelf, apns_driver};
use tocsin_model::{
    DeviceId, DurationMs, Partition, PushEnvironment, PushId, PushKind, PushTarget, PushToken,
    SealedChallenge, Thumbprint, TransactionId, UnixMs,
};
use tokio::runtime::{Builder, Runtime};

use crate::{Outside, ThreadTime};

/// A device token as Apple gives them out.
const DEVICE_TOKEN: &str = "3f2a9c81d0b74e56a1f8c3d2e4b5a697881726354453627180919293a4b5c6d7";

/// How long the pushes stay worth something.
const TIME_TO_LIVE: DurationMs = DurationMs::from_seconds(3_600);

/// Bytes of a sealed challenge: one with texts of a usual length.
const SEALED_BYTES: usize = 1_000;

/// What pushes carry beside the ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seal {
    /// Nothing: the phone fetches its challenge.
    None,
    /// The challenge, sealed.
    Challenge,
}

/// Our driver on one connection, on the calling thread.
pub struct DriverPushes {
    seal: Seal,
    driver: Arc<dyn Driver>,
    clock: Clock,
    sent: u64,
    runtime: Runtime,
}

impl DriverPushes {
    /// A driver for this double.
    pub fn to(outside: &Outside, seal: Seal) -> Self {
        let clock = Clock::system();
        let name = "apns-main".parse().expect("a valid name");
        let driver =
            apns_driver(&name, &outside.provider(), &limits(), clock.clone(), &TokenShelf::none(), None)
                .expect("the double's credentials are in order");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime can be made");
        Self { seal, driver, clock, sent: 0, runtime }
    }

    /// The processor time that `pushes` relayed pushes take on this thread, `in_flight` at a time.
    pub fn send(&mut self, pushes: u64, in_flight: u64) -> Duration {
        let Self { seal, driver, clock, sent, runtime } = self;
        let mut next = || {
            *sent += 1;
            deliver(&**driver, push(*sent, clock.now().plus(TIME_TO_LIVE), *seal))
        };
        let began = ThreadTime::used();
        runtime.block_on(async {
            let mut flying: FuturesUnordered<_> = (0..in_flight.min(pushes)).map(|_| next()).collect();
            let mut left = pushes.saturating_sub(in_flight);
            while let Some(outcome) = flying.next().await {
                assert_eq!(outcome, DeliveryOutcome::Relayed);
                if left > 0 {
                    left -= 1;
                    flying.push(next());
                }
            }
        });
        ThreadTime::used().saturating_sub(began)
    }
}

async fn deliver(driver: &dyn Driver, push: Push) -> DeliveryOutcome {
    driver.deliver(&Parcel::Push(Box::new(push)), &|| ()).await.outcome
}

fn push(number: u64, expires_at: UnixMs, seal: Seal) -> Push {
    let mut digest = [0xa5; 32];
    digest[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    let mut random = [0x5a; 16];
    random[8..].copy_from_slice(&number.to_be_bytes());
    Push {
        transaction_id: TransactionId::compose(expires_at, Partition::default(), random),
        device_id: DeviceId::from_bytes([7; 16]),
        push_id: PushId::from_digest(&digest),
        target: PushTarget {
            kind: PushKind::Apns,
            token: PushToken::new(PushKind::Apns, DEVICE_TOKEN),
            environment: PushEnvironment::Production,
            registered_at: UnixMs::new(0),
        },
        app_id: "com.example.bank".into(),
        expires_at,
        sealed: (seal == Seal::Challenge).then(sealed),
        content: PushContent::Ask,
        suspected: false,
        open_requests: 1,
    }
}

fn sealed() -> Box<SealedChallenge> {
    Box::new(SealedChallenge {
        to: Thumbprint::from_bytes([1; 32]),
        encapsulated: [0xa5; 65],
        ciphertext: vec![0x5a; SEALED_BYTES].into(),
    })
}

/// One connection, so that both sides carry the same streams over the same bytes.
fn limits() -> ProviderLimits {
    ProviderLimits {
        connections_max: 1,
        queue_max: 10_000,
        supervised_max: 1,
        request_timeout: DurationMs::from_seconds(10),
        connect_timeout: DurationMs::from_seconds(10),
        ping_interval: DurationMs::from_seconds(60),
        ping_timeout: DurationMs::from_seconds(10),
        breaker_faults: 5,
        breaker_open: DurationMs::from_seconds(5),
    }
}
