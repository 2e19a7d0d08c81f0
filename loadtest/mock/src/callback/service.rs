//! What the double answers to a callback.

use std::sync::Mutex;

use http::request::Parts;
use http::{HeaderValue, StatusCode, header};

use super::record::{CallbackLog, CallbackRecord};
use super::verify;
use crate::sync::lock;
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript, MockClock};

/// How the double refuses a good callback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallbackRefusal {
    /// With this status.
    Status(StatusCode),
    /// 307 to this place.
    Redirect(String),
}

/// The double behind its listener.
pub(super) struct CallbackService {
    pub(super) secrets: Mutex<Vec<String>>,
    pub(super) faults: FaultScript<CallbackRefusal>,
    pub(super) log: CallbackLog,
    pub(super) clock: MockClock,
}

impl Service for CallbackService {
    type Session = ();

    fn cuts_before_reading(&self, head: &Parts) -> bool {
        self.faults.take_before_reading(Some(path_of(head))).is_some()
    }

    async fn answer(&self, _session: &(), call: Call) -> Action {
        let wrong = verify::fault(&call.head, &call.body, &lock(&self.secrets), self.clock.now_s());
        let fault = self.faults.take(Some(path_of(&call.head)));
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            self.keep(&call, wrong, None);
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let reply = match (&wrong, &fault) {
            (Some(_), _) => Reply::new(StatusCode::UNAUTHORIZED, ""),
            (None, Some(Fault::Refuse(refusal))) => refusal.reply(),
            (None, _) => Reply::new(StatusCode::NO_CONTENT, ""),
        };
        self.keep(&call, wrong, Some(reply.status));
        Fault::after_processing(fault, reply).await
    }
}

impl CallbackService {
    fn keep(&self, call: &Call, fault: Option<&'static str>, answered: Option<StatusCode>) {
        self.log.keep(CallbackRecord {
            fault,
            answered: answered.map(|status| status.as_u16()),
            path: path_of(&call.head).to_owned(),
            headers: call.head.headers.clone(),
            body: call.body.clone(),
        });
    }
}

fn path_of(head: &Parts) -> &str {
    head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str)
}

impl CallbackRefusal {
    fn reply(&self) -> Reply {
        match self {
            Self::Status(status) => Reply::new(*status, "refused by a script"),
            Self::Redirect(place) => {
                let place = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/"));
                Reply::new(StatusCode::TEMPORARY_REDIRECT, "").header(header::LOCATION, place)
            }
        }
    }
}
