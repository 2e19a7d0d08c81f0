//! The calls of phones.

use std::rc::Rc;

use hyper::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use tocsin_engine::device::{ServerJwk, base64url, key_id_text};
use tocsin_engine::{Challenge, ChallengeForm, DeviceCall, EnrolledDevice};
use tocsin_model::{Device, FailureReason, Problem, State, TransactionId};

use crate::door::{
    Content, DoorError, DoorState, MediaType, Payload, Reply, Request, no_content, private, private_json,
    read_body, read_json_body, rfc3339, segment, to_the_end,
};
use crate::openapi;
use crate::view::UserView;

/// What a proof covers, kept as it was sent; a copy, so that the connection has the buffer back that it reads into.
pub(super) struct RawCall {
    authorization: Option<String>,
    method: String,
    path_and_query: String,
    body: Vec<u8>,
}

impl RawCall {
    /// A call with a JSON body.
    pub(super) async fn with_json(
        state: &DoorState,
        request: Request,
        payload: Payload,
    ) -> Result<Self, DoorError> {
        state.refuse_while_off()?;
        let body = read_json_body(state, &request, payload, MediaType::Optional).await?;
        Ok(Self::of(&request, &body))
    }

    /// A call without one; a body that is there all the same is covered by the proof.
    pub(super) async fn plain(
        state: &DoorState,
        request: Request,
        payload: Payload,
    ) -> Result<Self, DoorError> {
        state.refuse_while_off()?;
        let body = read_body(state, &request, payload).await?;
        Ok(Self::of(&request, &body))
    }

    fn of(request: &Request, body: &[u8]) -> Self {
        let mut sent = request.headers().get_all(header::AUTHORIZATION).iter();
        let only = sent.next().filter(|_| sent.next().is_none());
        Self {
            authorization: only.and_then(|value| value.to_str().ok()).map(str::to_owned),
            method: request.method().as_str().to_owned(),
            path_and_query: request.path_and_query().to_owned(),
            body: body.to_vec(),
        }
    }

    pub(super) fn call(&self) -> DeviceCall<'_> {
        DeviceCall {
            authorization: self.authorization.as_deref(),
            method: &self.method,
            path_and_query: &self.path_and_query,
            body: &self.body,
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Enrolled")]
pub(super) struct EnrolledView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    /// The server's name of each key, by its use.
    kids: BTreeMap<String, String>,
    /// The keys that challenges are signed by; the phone pins them.
    #[schemars(schema_with = "openapi::server_jwks")]
    server_keys: &'a [ServerJwk],
    /// The base of every later call.
    #[schemars(extend("format" = "uri"))]
    issuer: &'a str,
    /// To be shown while the enrolment waits for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("pattern" = "^[0-9]{6}$"))]
    confirmation_number: Option<&'a str>,
}

/// `POST /device/v1/enrollments`
pub(super) async fn enrol(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let from = state.counted_address_of(&request);
    let raw = RawCall::with_json(&state, request, payload).await?;
    state.refuse_while_draining()?;
    let handle = state.handle.clone();
    let enrolled = to_the_end(async move { handle.enrol(raw.call(), from).await }).await?;
    let EnrolledDevice { device, server_keys, confirmation_number } = &enrolled;
    let kids = device.keys.iter().map(|key| (key.key_use.to_string(), key_id_text(&key.kid))).collect();
    let view = EnrolledView {
        device_id: device.id.to_string(),
        kids,
        server_keys,
        issuer: state.handle.issuer(),
        confirmation_number: confirmation_number.as_deref(),
    };
    Ok(private_json(StatusCode::CREATED, &view))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Challenge")]
pub(super) struct ChallengeView<'a> {
    #[schemars(schema_with = "openapi::id")]
    id: String,
    #[schemars(schema_with = "openapi::time")]
    expires_at: String,
    #[serde(flatten)]
    form: ChallengeFormView<'a>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "ChallengeForm")]
enum ChallengeFormView<'a> {
    #[serde(rename = "challenge")]
    Signed(&'a str),
    Sealed {
        #[schemars(schema_with = "openapi::base64url")]
        enc: String,
        #[schemars(schema_with = "openapi::base64url")]
        ct: String,
    },
}

impl<'a> ChallengeFormView<'a> {
    fn of(form: &'a ChallengeForm) -> Self {
        match form {
            ChallengeForm::Signed(jws) => Self::Signed(jws),
            ChallengeForm::Sealed(sealed) => {
                Self::Sealed { enc: base64url(&sealed.encapsulated), ct: base64url(&sealed.ciphertext) }
            }
        }
    }
}

impl<'a> ChallengeView<'a> {
    fn of(challenge: &'a Challenge) -> Self {
        Self {
            id: challenge.id.to_string(),
            expires_at: rfc3339(challenge.expires_at),
            form: ChallengeFormView::of(&challenge.form),
        }
    }
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "ChallengeList")]
pub(super) struct ChallengeList<'a> {
    items: Vec<ChallengeView<'a>>,
}

/// `GET /device/v1/transactions`
pub(super) async fn list(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::plain(&state, request, payload).await?;
    let device = state.handle.authenticate(raw.call()).await?;
    let challenges = state.handle.challenges(&device).await?;
    let items = challenges.iter().map(ChallengeView::of).collect();
    Ok(private_json(StatusCode::OK, &ChallengeList { items }))
}

/// `GET /device/v1/transactions/{id}`
pub(super) async fn fetch(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let id = transaction_id(&request);
    let raw = RawCall::plain(&state, request, payload).await?;
    let challenge = state.handle.fetch(raw.call(), id).await?;
    Ok(private_json(StatusCode::OK, &ChallengeView::of(&challenge)))
}

/// `POST /device/v1/otp`
pub(super) async fn claim(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::with_json(&state, request, payload).await?;
    let handle = state.handle.clone();
    let challenge = to_the_end(async move { handle.claim_otp(raw.call()).await }).await?;
    Ok(private_json(StatusCode::OK, &ChallengeView::of(&challenge)))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Answered")]
pub(super) struct AnsweredView {
    #[schemars(schema_with = "openapi::state")]
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "openapi::failure_reason")]
    reason: Option<&'static str>,
}

/// `POST /device/v1/transactions/{id}/answer`
pub(super) async fn answer(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let id = transaction_id(&request);
    let raw = RawCall::with_json(&state, request, payload).await?;
    let id = id?;
    let handle = state.handle.clone();
    let answered = to_the_end(async move { handle.answer(raw.call(), id).await }).await?;
    let reason = answered.failure_reason().map(FailureReason::as_str);
    Ok(private_json(StatusCode::OK, &AnsweredView { state: State::as_str(answered), reason }))
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Device")]
pub(super) struct DeviceView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    #[schemars(schema_with = "openapi::device_status")]
    device_status: &'static str,
    user: UserView<'a>,
    #[schemars(schema_with = "openapi::name")]
    app: &'a str,
    keys: Vec<KeyView>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Key")]
struct KeyView {
    #[schemars(schema_with = "openapi::key_use")]
    r#use: String,
    #[schemars(schema_with = "openapi::kid")]
    kid: String,
}

impl<'a> DeviceView<'a> {
    fn of(device: &'a Device) -> Self {
        let key = |key: &tocsin_model::DeviceKey| KeyView {
            r#use: key.key_use.to_string(),
            kid: key_id_text(&key.kid),
        };
        Self {
            device_id: device.id.to_string(),
            device_status: device.status.as_str(),
            user: UserView::of(&device.user),
            app: device.app.as_str(),
            keys: device.keys.iter().map(key).collect(),
        }
    }
}

/// `GET /device/v1/device`
pub(super) async fn device(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::plain(&state, request, payload).await?;
    let device = state.handle.authenticate_idle(raw.call()).await?;
    Ok(private_json(StatusCode::OK, &DeviceView::of(&device)))
}

/// `PATCH /device/v1/device`
pub(super) async fn change(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::with_json(&state, request, payload).await?;
    let handle = state.handle.clone();
    let device = to_the_end(async move { handle.change_profile(raw.call()).await }).await?;
    Ok(private_json(StatusCode::OK, &DeviceView::of(&device)))
}

/// `PUT /device/v1/push`
pub(super) async fn move_push(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::with_json(&state, request, payload).await?;
    let handle = state.handle.clone();
    let device = to_the_end(async move { handle.change_push(raw.call()).await }).await?;
    Ok(private_json(StatusCode::OK, &DeviceView::of(&device)))
}

/// `DELETE /device/v1/device`
pub(super) async fn leave(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::plain(&state, request, payload).await?;
    let handle = state.handle.clone();
    to_the_end(async move { handle.leave(raw.call()).await }).await?;
    Ok(no_content())
}

/// `GET /device/v1/server-keys`
pub(super) async fn server_keys(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let raw = RawCall::plain(&state, request, payload).await?;
    let set = state.handle.server_keys(raw.call()).await?;
    Ok(private(StatusCode::OK, "application/jose+json", Content::Whole(set.into())))
}

/// What cannot be an id is an unknown one.
fn transaction_id(request: &Request) -> Result<TransactionId, Problem> {
    segment(request, 3)?.parse().map_err(|_| Problem::not_found())
}
