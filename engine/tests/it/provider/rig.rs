//! One driver and the double of its network, on the loopback interface.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tocsin_config::{ApnsProvider, FcmProvider, ProviderLimits};
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::{DeliveryOutcome, Parcel, Push, PushContent};
use tocsin_engine::provider::{Driver, DriverReport, TokenShelf, apns_driver, fcm_driver};
use tocsin_mock::{
    ApnsCredential, ApnsOptions, ApnsReason, ApnsRefusal, ApnsServer, ConnectionReport, Fault, FaultScript,
    FcmCredential, FcmOptions, FcmRefusal, FcmServer, MockClock, PushLog, PushRecord, Repeat, Topics,
    Traffic,
};
use tocsin_model::{
    DeviceId, DurationMs, Partition, PushEnvironment, PushId, PushKind, PushTarget, PushToken, TransactionId,
    UnixMs,
};
use tokio::task::JoinHandle;

use super::ground::{self, Ground, PATIENCE, Refusal, any_refusal, script, wall_time};

pub(super) const APP_ID: &str = "com.example.bank";
const TEAM_ID: &str = "TEAM000001";
const KEY_ID: &str = "KEY0000001";
/// The network under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    Apns,
    Fcm,
}

/// How a rig is set up.
#[derive(Clone, Copy)]
pub(super) struct RigOptions {
    pub(super) limits: fn(&mut ProviderLimits),
    pub(super) stream_limit: u32,
    /// How far the clocks of both sides are behind the system's at first.
    pub(super) clocks_behind: Duration,
    /// Whether the driver trusts another authority than the server's.
    pub(super) trusts_others: bool,
}

impl Default for RigOptions {
    fn default() -> Self {
        Self { limits: |_| (), stream_limit: 100, clocks_behind: Duration::ZERO, trusts_others: false }
    }
}

enum Server {
    Apns(ApnsServer),
    Fcm(FcmServer),
}

pub(super) struct Rig {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) clock: Clock,
    mock_clock: MockClock,
    server: Server,
    _ground: Ground,
}

impl Rig {
    pub(super) async fn start(which: Which) -> Self {
        Self::start_with(which, RigOptions::default()).await
    }

    pub(super) async fn start_with(which: Which, options: RigOptions) -> Self {
        let mut ground = Ground::new(options.limits, options.trusts_others);
        let mock_clock = MockClock::new();
        mock_clock.set_back(options.clocks_behind);
        ground.clock = Clock::starting_at(wall_time().minus(options.clocks_behind.into()));
        let (driver, server) = match which {
            Which::Apns => apns(&ground, &options, &mock_clock).await,
            Which::Fcm => fcm(&ground, &options, &mock_clock).await,
        };
        Self { driver, clock: ground.clock.clone(), mock_clock, server, _ground: ground }
    }

    /// Both clocks jump forward to the system's.
    pub(super) fn catch_up(&self, behind: Duration) {
        self.mock_clock.advance(behind);
        self.clock.follow_system().expect("a step");
    }

    /// The push with this number, good for half a minute.
    pub(super) fn push(&self, number: u8) -> Push {
        let expires_at = self.clock.now().plus(DurationMs::from_seconds(30));
        let registered_at = UnixMs::new(1_000);
        let partition = Partition::new(0).expect("six bits");
        let mut digest = [0; 32];
        digest[0] = number;
        Push {
            sealed: None,
            transaction_id: TransactionId::compose(registered_at, partition, [number; 16]),
            device_id: DeviceId::from_bytes([number; 16]),
            push_id: PushId::from_digest(&digest),
            target: PushTarget {
                kind: self.kind(),
                token: PushToken::new(self.kind(), &self.token(number)),
                environment: PushEnvironment::Production,
                registered_at,
            },
            suspected: false,
            open_requests: 1,
            app_id: APP_ID.into(),
            expires_at,
            content: PushContent::Ask,
        }
    }

    /// The address of the phone with this number.
    pub(super) fn token(&self, number: u8) -> String {
        format!("{number:02x}").repeat(32)
    }

    pub(super) async fn deliver(&self, push: &Push) -> DriverReport {
        ground::deliver(&*self.driver, &parcel(push)).await
    }

    /// Delivers in a task of its own.
    pub(super) fn spawn(&self, push: Push) -> JoinHandle<DriverReport> {
        ground::spawn(&self.driver, parcel(&push))
    }

    /// Delivers these pushes at once and counts those that were relayed.
    pub(super) async fn relay_all(&self, numbers: std::ops::Range<u8>) -> usize {
        let sending: Vec<_> = numbers.map(|number| self.spawn(self.push(number))).collect();
        relayed(sending).await
    }

    /// The next `times` requests are refused.
    pub(super) fn refuse(&self, times: u32, refusal: Refusal) {
        match &self.server {
            Server::Apns(server) => script(server.faults(), times, Fault::Refuse(apns_refusal(refusal))),
            Server::Fcm(server) => script(server.faults(), times, Fault::Refuse(fcm_refusal(refusal))),
        }
    }

    /// The next `times` requests meet this fault of the wire.
    pub(super) fn disturb(&self, times: u32, fault: Fault<std::convert::Infallible>) {
        match &self.server {
            Server::Apns(server) => script(server.faults(), times, any_refusal(fault)),
            Server::Fcm(server) => script(server.faults(), times, any_refusal(fault)),
        }
    }

    /// Forgets every fault.
    pub(super) fn calm(&self) {
        match &self.server {
            Server::Apns(server) => server.faults().clear(),
            Server::Fcm(server) => server.faults().clear(),
        }
    }

    pub(super) fn kill_target(&self, number: u8, since: UnixMs) {
        match &self.server {
            Server::Apns(server) => server.devices().unregister(&self.token(number), since.get()),
            Server::Fcm(server) => server.registrations().unregister(&self.token(number)),
        }
        .expect("room");
    }

    pub(super) fn spoil_target(&self, number: u8) {
        match &self.server {
            Server::Apns(server) => server.devices().mark_bad(&self.token(number)),
            Server::Fcm(server) => server.registrations().mark_bad(&self.token(number)),
        }
        .expect("room");
    }

    /// The account may not send any more.
    pub(super) fn revoke_credential(&self) {
        match &self.server {
            Server::Apns(server) => server.revoke_key(KEY_ID),
            Server::Fcm(server) => server.permit_sending(fcm_credential(), false),
        }
    }

    pub(super) fn log(&self) -> &PushLog {
        match &self.server {
            Server::Apns(server) => server.pushes(),
            Server::Fcm(server) => server.pushes(),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        match &self.server {
            Server::Apns(server) => server.traffic(),
            Server::Fcm(server) => server.traffic(),
        }
    }

    pub(super) fn connections(&self) -> Vec<ConnectionReport> {
        match &self.server {
            Server::Apns(server) => server.connections(),
            Server::Fcm(server) => server.connections(),
        }
    }

    pub(super) fn go_away_all(&self) {
        match &self.server {
            Server::Apns(server) => server.go_away_all("Shutdown"),
            Server::Fcm(server) => server.go_away_all("session timed out"),
        }
    }

    pub(super) async fn stop_server(&self) {
        match &self.server {
            Server::Apns(server) => server.stop().await,
            Server::Fcm(server) => server.stop().await,
        }
    }

    pub(super) async fn start_server_again(&self) {
        match &self.server {
            Server::Apns(server) => server.accept_again().await,
            Server::Fcm(server) => server.accept_again().await,
        }
        .expect("the port is free");
    }

    pub(super) fn fcm(&self) -> &FcmServer {
        match &self.server {
            Server::Fcm(server) => server,
            Server::Apns(_) => panic!("this rig has APNs"),
        }
    }

    pub(super) fn apns(&self) -> &ApnsServer {
        match &self.server {
            Server::Apns(server) => server,
            Server::Fcm(_) => panic!("this rig has FCM"),
        }
    }

    /// What makes two writings of one push the same to the phone.
    pub(super) fn identity(&self, record: &PushRecord) -> String {
        let header = |name| record.header(name).unwrap_or_default().to_owned();
        match &self.server {
            Server::Apns(_) => header("apns-id") + &header("apns-collapse-id"),
            Server::Fcm(_) => record.payload_json().expect("json")["message"]["data"]["t"].to_string(),
        }
    }

    fn kind(&self) -> PushKind {
        match &self.server {
            Server::Apns(_) => PushKind::Apns,
            Server::Fcm(_) => PushKind::FcmToken,
        }
    }
}

async fn apns(ground: &Ground, options: &RigOptions, mock_clock: &MockClock) -> (Arc<dyn Driver>, Server) {
    let credential = ApnsCredential::generate(TEAM_ID, KEY_ID).expect("a key");
    let key = credential.key(Topics::Only(vec![APP_ID.to_owned()]));
    let mut server = ApnsOptions::new(ground.identity()).with_key(key);
    (server.stream_limit, server.clock) = (options.stream_limit, mock_clock.clone());
    let server = ApnsServer::start(server).await.expect("started");
    let provider = ApnsProvider {
        environment: PushEnvironment::Production,
        endpoint: server.url(),
        ca_file: Some(ground.ca_file.clone()),
        team_id: TEAM_ID.to_owned(),
        key_id: KEY_ID.to_owned(),
        key_file: ground.file("key.p8", &credential.private_key_pem),
    };
    let (name, clock) = ("apns-main".parse().expect("a name"), ground.clock.clone());
    let driver = apns_driver(&name, &provider, &ground.limits, clock, &TokenShelf::none(), None);
    (driver.expect("set up"), Server::Apns(server))
}

async fn fcm(ground: &Ground, options: &RigOptions, mock_clock: &MockClock) -> (Arc<dyn Driver>, Server) {
    let mut server = FcmOptions::new(ground.identity()).with_account(fcm_credential().clone());
    (server.stream_limit, server.clock) = (options.stream_limit, mock_clock.clone());
    let server = FcmServer::start(server).await.expect("started");
    let account = fcm_credential().service_account_json(&server.token_uri());
    let provider = FcmProvider {
        endpoint: server.url(),
        ca_file: Some(ground.ca_file.clone()),
        service_account_file: ground.file("account.json", &account),
        pushes_per_minute_max: 600_000,
    };
    let name = "fcm-main".parse().expect("a name");
    let driver = fcm_driver(&name, &provider, &ground.limits, ground.clock.clone(), None);
    (driver.expect("set up"), Server::Fcm(server))
}

/// Counts the pushes that were relayed.
pub(super) async fn relayed(sending: Vec<JoinHandle<DriverReport>>) -> usize {
    let mut count = 0;
    for task in sending {
        let report = tokio::time::timeout(PATIENCE, task).await.expect("it ends").expect("no panic");
        count += usize::from(report.outcome == DeliveryOutcome::Relayed);
    }
    count
}

/// One account for all tests, because an RSA key takes its time.
fn fcm_credential() -> &'static FcmCredential {
    static CREDENTIAL: OnceLock<FcmCredential> = OnceLock::new();
    CREDENTIAL.get_or_init(|| FcmCredential::generate("example-bank").expect("a key"))
}

fn apns_refusal(refusal: Refusal) -> ApnsRefusal {
    match refusal {
        Refusal::Internal => ApnsReason::InternalServerError,
        Refusal::Unavailable => ApnsReason::ServiceUnavailable,
        Refusal::Throttled => ApnsReason::TooManyRequests,
        Refusal::Unauthenticated => ApnsReason::ExpiredProviderToken,
    }
    .into()
}

fn fcm_refusal(refusal: Refusal) -> FcmRefusal {
    match refusal {
        Refusal::Internal => FcmRefusal::Internal,
        Refusal::Unavailable => FcmRefusal::Unavailable { retry_after: None },
        Refusal::Throttled => FcmRefusal::QuotaExceeded { retry_after: Some("1".to_owned()) },
        Refusal::Unauthenticated => FcmRefusal::Unauthenticated,
    }
}

/// A rule for one address, for tests that need no count.
pub(super) fn always_for<R: Clone>(script: &FaultScript<R>, target: &str, fault: Fault<R>) {
    script.for_target(target, Repeat::Always, fault).expect("room");
}

/// What a provider is given to deliver this push.
pub(super) fn parcel(push: &Push) -> Parcel {
    Parcel::Push(Box::new(push.clone()))
}
