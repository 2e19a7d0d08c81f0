//! One push, from its headers to its answer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

use super::token::{ApnsEnvironment, Keys, TokenHistory};
use super::{ApnsReason, ApnsRefusal, DeviceRegister, payload, request};
use crate::record::{PushLog, PushOutcome, PushRecord};
use crate::sync::lock;
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript, MockClock, Strictness};

const APNS_ID: HeaderName = HeaderName::from_static("apns-id");
const APNS_UNIQUE_ID: HeaderName = HeaderName::from_static("apns-unique-id");

/// The stream limit that APNs begins with.
pub(super) const FIRST_STREAM_LIMIT: u32 = 1;

/// The double behind the listener.
pub(super) struct ApnsService {
    pub(super) environment: ApnsEnvironment,
    pub(super) strictness: Strictness,
    pub(super) stream_limit: u32,
    pub(super) keys: Mutex<Keys>,
    pub(super) devices: DeviceRegister,
    pub(super) faults: FaultScript<ApnsRefusal>,
    pub(super) pushes: PushLog,
    pub(super) clock: MockClock,
}

/// What is remembered of one connection.
#[derive(Default)]
pub(super) struct ApnsSession {
    tokens: Mutex<TokenHistory>,
    limit_raised: AtomicBool,
    limit_lowered: AtomicBool,
}

impl Service for ApnsService {
    type Session = ApnsSession;

    fn cuts_before_reading(&self, head: &Parts) -> bool {
        self.faults.take_before_reading(request::path_token(head)).is_some()
    }

    async fn answer(&self, session: &ApnsSession, mut call: Call) -> Action {
        if !request::names_a_host(&call.head) {
            return Action::Malformed;
        }
        let fault = self.faults.take(request::path_token(&call.head));
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            self.note(&mut call, PushOutcome::Unprocessed);
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let mut verdict = self.judge(session, &call);
        if let (Ok(()), Some(Fault::Refuse(refusal))) = (&verdict, &fault) {
            verdict = Err(refusal.clone());
        }
        let message_id = message_id(&call);
        self.note(&mut call, outcome(&verdict, &message_id));
        let lowers = matches!(fault, Some(Fault::LowerStreamLimit));
        self.adjust_limit(session, &call, verdict.is_ok(), lowers);
        Fault::after_processing(fault, self.reply(verdict, &message_id)).await
    }
}

impl ApnsService {
    fn judge(&self, session: &ApnsSession, call: &Call) -> Result<(), ApnsRefusal> {
        if self.strictness == Strictness::Fast {
            self.raise_limit_once(session, call);
            return Ok(());
        }
        let headers = &call.head.headers;
        let token = request::device_token(&call.head)?;
        request::no_duplicates(headers)?;
        let authorization = headers.get(http::header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let keys = lock(&self.keys);
        let key = lock(&session.tokens).check(authorization, &keys, self.environment, self.clock.now_ms())?;
        self.raise_limit_once(session, call);
        request::message_id(headers)?;
        let push_type = request::push_type(headers)?;
        let bundle_id = request::bundle_id(headers, push_type)?;
        if !key.allows(bundle_id) {
            return Err(ApnsReason::TopicDisallowed.into());
        }
        request::priority(headers, push_type)?;
        request::expiration(headers)?;
        request::collapse_id(headers)?;
        payload::check(&call.body, call.body_cut_short, push_type)?;
        self.devices.check(token, bundle_id)
    }

    /// The first good provider token of a connection raises its stream limit.
    fn raise_limit_once(&self, session: &ApnsSession, call: &Call) {
        if !session.limit_raised.swap(true, Ordering::AcqRel) {
            call.announce_stream_limit(self.stream_limit);
        }
    }

    /// A limit lowered by script comes back with the next accepted push.
    fn adjust_limit(&self, session: &ApnsSession, call: &Call, accepted: bool, lowers: bool) {
        if lowers {
            session.limit_lowered.store(true, Ordering::Release);
            call.announce_stream_limit(FIRST_STREAM_LIMIT);
        } else if accepted && session.limit_lowered.swap(false, Ordering::AcqRel) {
            call.announce_stream_limit(self.stream_limit);
        }
    }

    fn reply(&self, verdict: Result<(), ApnsRefusal>, message_id: &HeaderValue) -> Reply {
        let reply = match verdict {
            Ok(()) => Reply::new(StatusCode::OK, Bytes::new()),
            Err(refusal) => refusal.reply(),
        };
        let reply = reply.header(APNS_ID, message_id.clone());
        match self.environment {
            ApnsEnvironment::Production => reply,
            ApnsEnvironment::Sandbox => reply.header(APNS_UNIQUE_ID, new_message_id()),
        }
    }

    /// Puts the call on record, which takes its headers and its body: nobody needs them afterwards.
    fn note(&self, call: &mut Call, outcome: PushOutcome) {
        if !self.pushes.is_watched() {
            return self.pushes.count(&outcome);
        }
        self.pushes.record(PushRecord {
            sequence: 0,
            connection: call.connection,
            outcome,
            arrived_at: call.arrived_at,
            target: request::path_token(&call.head).unwrap_or_default().to_owned(),
            headers: std::mem::take(&mut call.head.headers),
            payload: std::mem::take(&mut call.body),
        });
    }
}

fn outcome(verdict: &Result<(), ApnsRefusal>, message_id: &HeaderValue) -> PushOutcome {
    match verdict {
        Ok(()) => {
            let message_id = message_id.to_str().unwrap_or_default().to_owned();
            PushOutcome::Accepted { message_id }
        }
        Err(refusal) => {
            PushOutcome::Refused { status: refusal.status().as_u16(), reason: refusal.word().into_owned() }
        }
    }
}

/// The client's `apns-id` if it is a good one, else a new one.
fn message_id(call: &Call) -> HeaderValue {
    match request::message_id(&call.head.headers) {
        Ok(Some(_)) => call.head.headers.get(&APNS_ID).cloned().unwrap_or_else(new_message_id),
        Ok(None) | Err(_) => new_message_id(),
    }
}

fn new_message_id() -> HeaderValue {
    let id = uuid::Uuid::new_v4().hyphenated().to_string();
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("00000000-0000-4000-8000-000000000000"))
}
