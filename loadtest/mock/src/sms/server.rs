//! What both gateways do alike: take a message, refuse or record it, and answer as the script says.

use std::net::SocketAddr;
use std::sync::Arc;

use http::StatusCode;
use http::request::Parts;

use super::{SmsLog, SmsRecord, SmsRefusal};
use crate::wire::{Action, Call, Listener, ListenerSettings, Reply, Service, StreamLimits, Traffic};
use crate::{Fault, FaultScript, MockError, ServerIdentity};

/// Most messages that are kept on record.
pub(super) const RECORDS_MAX_DEFAULT: usize = 20_000;
const STREAM_LIMIT: u32 = 100;
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The double of a gateway that speaks one dialect.
#[expect(private_bounds, reason = "there are no dialects but those of this module")]
pub struct SmsServer<D: Dialect> {
    gateway: Arc<Gateway<D>>,
    listener: Listener<Gateway<D>>,
}

#[expect(private_bounds, reason = "there are no dialects but those of this module")]
impl<D: Dialect> SmsServer<D> {
    /// Starts on the caller's tokio runtime.
    pub(super) async fn start_with(
        dialect: D,
        address: SocketAddr,
        identity: ServerIdentity,
        records_max: usize,
    ) -> Result<Self, MockError> {
        let (log, faults) = (SmsLog::new(records_max), FaultScript::new());
        let gateway = Arc::new(Gateway { dialect, log, faults });
        let limits = StreamLimits { first: STREAM_LIMIT, highest: STREAM_LIMIT };
        let settings = ListenerSettings { address, tls: identity.tls(&PROTOCOLS)?, limits };
        let listener = Listener::start(settings, Arc::clone(&gateway)).await?;
        Ok(Self { gateway, listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.listener.address()
    }

    /// What came.
    pub fn messages(&self) -> &SmsLog {
        &self.gateway.log
    }

    /// What shall go wrong, by number or for the next ones.
    pub fn faults(&self) -> &FaultScript<SmsRefusal> {
        &self.gateway.faults
    }

    /// Connections and requests so far.
    pub fn traffic(&self) -> Traffic {
        self.listener.traffic()
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        self.listener.accept_again().await
    }

    /// Stops and waits for its end.
    pub async fn stop(&self) {
        self.listener.stop().await;
    }

    pub(super) fn dialect(&self) -> &D {
        &self.gateway.dialect
    }
}

impl<D: Dialect> std::fmt::Debug for SmsServer<D> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SmsServer").field("address", &self.addr()).finish_non_exhaustive()
    }
}

/// What a gateway makes of a good message.
pub(super) struct Taken {
    pub(super) sid: String,
    pub(super) reply: Reply,
}

/// What is wrong with a message, and how that is answered.
pub(super) struct Wrong(pub(super) &'static str, pub(super) SmsRefusal);

/// What tells one gateway from another.
pub(super) trait Dialect: Send + Sync + 'static {
    /// The fields of the message, or what is wrong with the request.
    fn fields(&self, call: &Call) -> Result<Vec<(String, String)>, Wrong>;

    /// What is wrong with the message, or how it is taken.
    fn take(&self, record: &SmsRecord) -> Result<Taken, Wrong>;
}

/// A gateway behind its listener. Faults may be scripted for a number.
struct Gateway<D> {
    dialect: D,
    log: SmsLog,
    faults: FaultScript<SmsRefusal>,
}

impl<D: Dialect> Service for Gateway<D> {
    type Session = ();

    fn cuts_before_reading(&self, _head: &Parts) -> bool {
        self.faults.take_before_reading(None).is_some()
    }

    async fn answer(&self, _session: &(), call: Call) -> Action {
        let mut record = SmsRecord::of(&call);
        let wrong = match self.dialect.fields(&call) {
            Ok(fields) => {
                record.fields = fields;
                None
            }
            Err(wrong) => Some(wrong),
        };
        let fault = self.faults.take(Some(record.to()).filter(|to| !to.is_empty()));
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            record.fault = wrong.map(|Wrong(why, _)| why);
            self.log.keep(record);
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let verdict = match wrong {
            Some(wrong) => Err(wrong),
            None => self.dialect.take(&record),
        };
        let reply = match (verdict, &fault) {
            (Err(Wrong(why, refusal)), _) => {
                record.fault = Some(why);
                refusal.reply()
            }
            (Ok(_), Some(Fault::Refuse(refusal))) => refusal.reply(),
            (Ok(taken), _) => {
                (record.is_taken, record.sid) = (true, Some(taken.sid));
                taken.reply
            }
        };
        let is_answered = !matches!(fault, Some(Fault::CutAfterProcessing));
        record.answered = is_answered.then_some(reply.status.as_u16());
        self.log.keep(record);
        Fault::after_processing(fault, reply).await
    }
}

impl Wrong {
    pub(super) fn status(why: &'static str, status: StatusCode) -> Self {
        Self(why, SmsRefusal::status(status))
    }
}

/// `+` and 7 to 15 digits, the first of them not 0.
pub(super) fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        (7..=15).contains(&digits.len())
            && !digits.starts_with('0')
            && digits.bytes().all(|byte| byte.is_ascii_digit())
    })
}
