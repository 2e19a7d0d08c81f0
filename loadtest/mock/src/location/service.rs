//! What the double answers to a question for a place.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Mutex;

use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use serde_json::json;

use super::MockPlace;
use crate::sync::lock;
use crate::wire::{Action, Call, Reply, Service};
use crate::{Fault, FaultScript};

/// Most questions that are kept on record.
const CALLS_MAX: usize = 10_000;

/// How the double answers otherwise than it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LocationRefusal {
    /// With this status.
    Status(StatusCode),
    /// With 200 and this in place of its JSON.
    Body(String),
    /// 307 to this place.
    Redirect(String),
}

/// A question as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocationCall {
    /// Path and query.
    pub path: String,
    /// The `authorization` header.
    pub authorization: Option<String>,
}

/// The double behind its listener.
#[derive(Default)]
pub(super) struct LocationService {
    pub(super) places: Mutex<HashMap<IpAddr, MockPlace>>,
    pub(super) calls: Mutex<VecDeque<LocationCall>>,
    pub(super) faults: Script,
}

/// The script of a service that is made by default.
pub(super) struct Script(pub(super) FaultScript<LocationRefusal>);

impl Default for Script {
    fn default() -> Self {
        Self(FaultScript::new())
    }
}

impl Service for LocationService {
    type Session = ();

    fn cuts_before_reading(&self, _head: &Parts) -> bool {
        self.faults.0.take_before_reading(None).is_some()
    }

    async fn answer(&self, _session: &(), call: Call) -> Action {
        self.keep(&call.head);
        let fault = self.faults.0.take(None);
        if let Some(action) = fault.as_ref().and_then(Fault::before_processing) {
            return action;
        }
        if !call.begin() {
            return Action::RefuseStream;
        }
        let reply = match &fault {
            Some(Fault::Refuse(refusal)) => refusal.reply(),
            Some(_) | None => self.reply(&call.head),
        };
        Fault::after_processing(fault, reply).await
    }
}

impl LocationService {
    fn keep(&self, head: &Parts) {
        let mut calls = lock(&self.calls);
        if calls.len() == CALLS_MAX {
            calls.pop_front();
        }
        let authorization = head.headers.get(header::AUTHORIZATION);
        calls.push_back(LocationCall {
            path: head.uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str).to_owned(),
            authorization: authorization.and_then(|value| value.to_str().ok()).map(str::to_owned),
        });
    }

    /// The address is the last part of the path.
    fn reply(&self, head: &Parts) -> Reply {
        if head.method != Method::GET {
            return Reply::new(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        let address = head.uri.path().rsplit('/').next().and_then(|part| part.parse::<IpAddr>().ok());
        let Some(address) = address else { return Reply::new(StatusCode::BAD_REQUEST, "no address") };
        match lock(&self.places).get(&address) {
            None => Reply::json(StatusCode::OK, &json!({"success": false})),
            Some(place) => Reply::json(
                StatusCode::OK,
                &json!({"success": true, "country_code": place.country_code, "region": place.region,
                    "city": place.city}),
            ),
        }
    }
}

impl LocationRefusal {
    fn reply(&self) -> Reply {
        match self {
            Self::Status(status) => Reply::new(*status, "refused by a script"),
            Self::Body(body) => Reply::new(StatusCode::OK, body.clone()),
            Self::Redirect(place) => {
                let place = HeaderValue::try_from(place).unwrap_or(HeaderValue::from_static("/"));
                Reply::new(StatusCode::TEMPORARY_REDIRECT, "").header(header::LOCATION, place)
            }
        }
    }
}
