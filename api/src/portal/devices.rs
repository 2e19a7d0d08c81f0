//! Calls about a user's devices: list, change and remove. A client sees the devices of its apps.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Right;
use tocsin_engine::device::{EnrolmentLimits, Jwk, is_line, key_id_text};
use tocsin_model::{AuditActor, Device, DeviceId, DeviceKey, DeviceStatus, KeyUse, Problem, User};

use super::caller::Caller;
use super::page::{Page, wrong_cursor};
use super::user::user_of_path;
use crate::door::{
    DoorState, Fields, Payload, Query, Reply, Request, no_content, private_json, rfc3339, segment, to_the_end,
};
use crate::openapi;

/// The fields of a change.
pub(super) const FIELDS: &[&str] = &["name", "status"];

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "DeviceList")]
pub(super) struct DeviceList<'a> {
    items: Vec<DeviceView<'a>>,
    /// Where the next page begins; left out at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Device")]
pub(super) struct DeviceView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    name: &'a str,
    #[schemars(schema_with = "openapi::name")]
    app: &'a str,
    #[schemars(schema_with = "openapi::platform")]
    platform: &'static str,
    app_version: &'a str,
    model: &'a str,
    #[schemars(schema_with = "openapi::device_status")]
    status: &'static str,
    /// The kind of its push address; the address itself is nobody's business.
    #[schemars(schema_with = "openapi::push_kind")]
    push: &'static str,
    /// What its keys are for.
    #[schemars(schema_with = "openapi::key_uses")]
    methods: Vec<String>,
    /// Its public keys; never that of the PIN.
    keys: Vec<KeyView>,
    #[schemars(schema_with = "openapi::time")]
    created_at: String,
    #[schemars(schema_with = "openapi::time")]
    last_used_at: String,
}

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Key")]
struct KeyView {
    #[schemars(schema_with = "openapi::key_use")]
    r#use: String,
    #[schemars(schema_with = "openapi::kid")]
    kid: String,
    #[schemars(schema_with = "openapi::jwk")]
    jwk: Jwk,
}

impl<'a> DeviceView<'a> {
    fn of(device: &'a Device) -> Self {
        // The PIN key is left out: whoever has its public half can try PINs against it.
        let told = device.keys.iter().filter(|key| key.key_use != KeyUse::Pin);
        Self {
            device_id: device.id.to_string(),
            name: &device.profile.name,
            app: device.app.as_str(),
            platform: device.profile.platform.as_str(),
            app_version: device.profile.app_version.as_str(),
            model: &device.profile.model,
            status: device.status.as_str(),
            push: device.push.kind.as_str(),
            methods: device.keys.iter().map(|key| key.key_use.to_string()).collect(),
            keys: told.map(KeyView::of).collect(),
            created_at: rfc3339(device.created_at),
            last_used_at: rfc3339(device.last_used_at),
        }
    }
}

impl KeyView {
    fn of(key: &DeviceKey) -> Self {
        Self { r#use: key.key_use.to_string(), kid: key_id_text(&key.kid), jwk: Jwk::of(&key.public_key) }
    }
}

/// `GET /v1/users/{user}/devices`
pub(super) async fn list(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Devices)?;
    let query = Query::parse(request.query_string(), &["realm", "limit", "cursor"])?;
    let user = user_of_path(&caller, &segment(&request, 2)?, query.text("realm"))?;
    let list = ["devices", caller.id.as_str(), user.realm.as_str(), user.id.as_str()];
    let page = Page::read(&query, &list)?;
    let mut devices = state.handle.devices(&user).await?;
    devices.retain(|device| caller.client.apps.covers(&device.app));
    Ok(private_json(StatusCode::OK, &part(&page, &devices)?))
}

fn part<'a>(page: &Page, devices: &'a [Device]) -> Result<DeviceList<'a>, Problem> {
    let begin = match page.after.map(DeviceId::from_bytes) {
        None => 0,
        Some(after) => 1 + devices.iter().position(|device| device.id == after).ok_or_else(wrong_cursor)?,
    };
    let end = devices.len().min(begin + page.limit);
    let next_cursor = (end < devices.len()).then(|| page.cursor(*devices[end - 1].id.as_bytes()));
    Ok(DeviceList { items: devices[begin..end].iter().map(DeviceView::of).collect(), next_cursor })
}

/// A device of the path that the caller may see.
async fn seen_device(
    state: &DoorState,
    caller: &Caller,
    request: &Request,
) -> Result<(User, DeviceId), Problem> {
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of_path(caller, &segment(request, 2)?, query.text("realm"))?;
    let id: DeviceId = segment(request, 4)?.parse().map_err(|_| Problem::not_found())?;
    let devices = state.handle.devices(&user).await?;
    let is_seen = |device: &Device| device.id == id && caller.client.apps.covers(&device.app);
    if devices.iter().any(is_seen) { Ok((user, id)) } else { Err(Problem::not_found()) }
}

/// `PATCH /v1/users/{user}/devices/{device_id}`
pub(super) async fn change(state: Rc<DoorState>, request: Request, payload: Payload) -> Reply {
    let (caller, body) = Caller::with_body(&state, &request, payload, Right::Devices).await?;
    let (user, id) = seen_device(&state, &caller, &request).await?;
    let fields = body.fields();
    fields.only(FIELDS)?;
    let (name, suspended) = (new_name(&fields)?, new_status(&fields)?);
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    let device =
        to_the_end(async move { handle.manage_device(by, &user, id, name, suspended).await }).await?;
    Ok(private_json(StatusCode::OK, &DeviceView::of(&device)))
}

fn new_name(fields: &Fields<'_>) -> Result<Option<Box<str>>, Problem> {
    let Some(name) = fields.text("name")? else { return Ok(None) };
    let fits = (1..=EnrolmentLimits::NAME_CHARACTERS_MAX).contains(&name.chars().count());
    if fits && is_line(name) {
        return Ok(Some(name.into()));
    }
    let longest = EnrolmentLimits::NAME_CHARACTERS_MAX;
    let detail = format!("this must be 1 to {longest} characters that can be shown in a line");
    Err(fields.not_allowed("name", detail))
}

/// Whether the device is suspended from now on.
fn new_status(fields: &Fields<'_>) -> Result<Option<bool>, Problem> {
    match fields.text("status")? {
        None => Ok(None),
        Some("active") => Ok(Some(false)),
        Some("suspended") => Ok(Some(true)),
        Some(_) => Err(fields.not_allowed("status", "this must be active or suspended")),
    }
}

/// `DELETE /v1/users/{user}/devices/{device_id}`
pub(super) async fn remove(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Devices)?;
    let (user, id) = seen_device(&state, &caller, &request).await?;
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    to_the_end(async move { handle.revoke_device(by, &user, id).await }).await?;
    Ok(no_content())
}

/// `DELETE /v1/users/{user}/devices`: all of the caller's apps
pub(super) async fn remove_all(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Devices)?;
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of_path(&caller, &segment(&request, 2)?, query.text("realm"))?;
    let handle = state.handle.clone();
    to_the_end(async move {
        for device in handle.devices(&user).await? {
            if caller.client.apps.covers(&device.app) && device.status != DeviceStatus::Revoked {
                let by = AuditActor::Client(caller.id.clone());
                handle.revoke_device(by, &user, device.id).await?;
            }
        }
        Ok(())
    })
    .await?;
    Ok(no_content())
}
