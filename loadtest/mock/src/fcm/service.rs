//! One send, from its headers to its answer.

use std::sync::Arc;

use http::request::Parts;
use http::{Method, StatusCode, header};

use super::access::Access;
use super::message::{self, FcmTarget};
use super::{FcmRefusal, RegistrationRegister};
use crate::record::{PushLog, PushOutcome, PushRecord};
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript, MockClock, Strictness};

/// The stream limit that Google's front ends announce.
pub(super) const STREAM_LIMIT: u32 = 100;

/// The double behind the listener.
pub(super) struct FcmService {
    pub(super) strictness: Strictness,
    pub(super) stream_limit: u32,
    pub(super) access: Arc<Access>,
    pub(super) registrations: RegistrationRegister,
    pub(super) faults: FaultScript<FcmRefusal>,
    pub(super) pushes: PushLog,
    pub(super) clock: MockClock,
}

/// A send that is taken.
struct Taken {
    validate_only: bool,
}

impl Service for FcmService {
    type Session = ();

    fn cuts_before_reading(&self, _head: &Parts) -> bool {
        self.faults.take_before_reading(None).is_some()
    }

    async fn answer(&self, _session: &(), mut call: Call) -> Action {
        let target = self.target_of(&call);
        let fault = self.faults.take(target.as_deref());
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            self.note(&mut call, target, PushOutcome::Unprocessed);
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let mut verdict = self.judge(&call);
        if let (Ok(_), Some(Fault::Refuse(refusal))) = (&verdict, &fault) {
            verdict = Err(refusal.clone());
        }
        let (outcome, reply) = conclude(verdict, &call.head);
        let accepted = !matches!(outcome, PushOutcome::Refused { .. });
        self.note(&mut call, target, outcome);
        if matches!(fault, Some(Fault::LowerStreamLimit)) {
            call.announce_stream_limit(1);
        } else if accepted {
            call.announce_stream_limit(self.stream_limit);
        }
        Fault::after_processing(fault, reply).await
    }
}

impl FcmService {
    /// The target, where anybody needs it: a scripted fault, the record, a phone.
    fn target_of(&self, call: &Call) -> Option<String> {
        let needed = self.pushes.is_watched() || self.faults.pending() > 0;
        needed.then(|| message::target_unchecked(&call.body)).flatten()
    }

    fn judge(&self, call: &Call) -> Result<Taken, FcmRefusal> {
        if self.strictness == Strictness::Fast {
            return Ok(Taken { validate_only: false });
        }
        let project_id = project_id(&call.head).ok_or(FcmRefusal::ProjectNotFound)?;
        self.access.check(bearer(&call.head), project_id, self.clock.now_ms())?;
        check_media_type(&call.head)?;
        if call.body_cut_short {
            return Err(FcmRefusal::field("message", "Request payload size exceeds the limit."));
        }
        let send = message::parse(&call.body)?;
        if let FcmTarget::Token(target) | FcmTarget::InstallationId(target) = &send.target {
            self.registrations.check(target)?;
        }
        Ok(Taken { validate_only: send.validate_only })
    }

    /// Puts the call on record, which takes its headers and its body: nobody needs them afterwards.
    fn note(&self, call: &mut Call, target: Option<String>, outcome: PushOutcome) {
        if !self.pushes.is_watched() {
            return self.pushes.count(&outcome);
        }
        self.pushes.record(PushRecord {
            sequence: 0,
            connection: call.connection,
            outcome,
            arrived_at: call.arrived_at,
            target: target.unwrap_or_default(),
            headers: std::mem::take(&mut call.head.headers),
            payload: std::mem::take(&mut call.body),
        });
    }
}

fn conclude(verdict: Result<Taken, FcmRefusal>, head: &Parts) -> (PushOutcome, Reply) {
    match verdict {
        Ok(Taken { validate_only }) => {
            let project_id = project_id(head).unwrap_or_default();
            let id =
                if validate_only { "fake_message_id".to_owned() } else { uuid::Uuid::new_v4().to_string() };
            // Neither has a character that JSON would escape.
            let name = format!("projects/{project_id}/messages/{id}");
            let reply = Reply::json_text(StatusCode::OK, format!(r#"{{"name":"{name}"}}"#));
            let accepted = PushOutcome::Accepted { message_id: name };
            (if validate_only { PushOutcome::Validated } else { accepted }, reply)
        }
        Err(refusal) => {
            let reason = refusal.word().to_owned();
            (PushOutcome::Refused { status: refusal.status().as_u16(), reason }, refusal.reply())
        }
    }
}

/// The project of `POST /v1/projects/{project_id}/messages:send`.
fn project_id(head: &Parts) -> Option<&str> {
    let project_id = head.uri.path().strip_prefix("/v1/projects/")?.strip_suffix("/messages:send")?;
    let is_send = head.method == Method::POST && !project_id.is_empty() && !project_id.contains('/');
    is_send.then_some(project_id)
}

fn bearer(head: &Parts) -> Option<&str> {
    let value = head.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

fn check_media_type(head: &Parts) -> Result<(), FcmRefusal> {
    let media_type = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if media_type.is_some_and(|media_type| media_type.starts_with("application/json")) {
        Ok(())
    } else {
        Err(FcmRefusal::json("", "The content type is not application/json."))
    }
}
