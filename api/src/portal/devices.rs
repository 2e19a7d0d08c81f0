//! Calls about a user's devices: list and remove. A client sees the devices of its apps.

use actix_web::http::StatusCode;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tocsin_config::Right;
use tocsin_engine::device::{Jwk, key_id_text};
use tocsin_model::{AuditActor, Device, DeviceId, DeviceKey, ErrorCode, KeyUse, Problem};

use super::caller::Caller;
use super::user::user_of_path;
use crate::door::{DoorState, Query, Reply, private_json, rfc3339, segment, to_the_end};

/// Items of a list when the caller does not say.
const LIMIT_DEFAULT: u32 = 100;
/// Most items of a list.
const LIMIT_MAX: u32 = 1_000;

#[derive(Serialize)]
struct DeviceList<'a> {
    items: Vec<DeviceView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

#[derive(Serialize)]
struct DeviceView<'a> {
    device_id: String,
    name: &'a str,
    app: &'a str,
    platform: &'static str,
    app_version: &'a str,
    model: &'a str,
    status: &'static str,
    /// The kind of its push address; the address itself is nobody's business.
    push: &'static str,
    methods: Vec<String>,
    keys: Vec<KeyView>,
    created_at: String,
    last_used_at: String,
}

#[derive(Serialize)]
struct KeyView {
    r#use: String,
    kid: String,
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
pub(super) async fn list(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Devices)?;
    let query = Query::parse(request.query_string(), &["realm", "limit", "cursor"])?;
    let user = user_of_path(&caller, &segment(&request, 2)?, query.text("realm"))?;
    let page = Page::of(&query)?;
    let mut devices = state.handle.devices(&user).await?;
    devices.retain(|device| caller.client.apps.covers(&device.app));
    Ok(private_json(StatusCode::OK, &page.list(&devices)?))
}

/// A part of a list.
struct Page {
    after: Option<DeviceId>,
    limit: usize,
}

impl Page {
    fn of(query: &Query) -> Result<Self, Problem> {
        let limit = query.number("limit", LIMIT_MAX)?.unwrap_or(LIMIT_DEFAULT);
        if limit == 0 {
            return Err(Problem::new(ErrorCode::InvalidField, "this must be 1 at least").with_field("limit"));
        }
        let after = query.text("cursor").map(str::parse).transpose().map_err(|_| wrong_cursor())?;
        Ok(Self { after, limit: limit as usize })
    }

    fn list<'a>(&self, devices: &'a [Device]) -> Result<DeviceList<'a>, Problem> {
        let begin = match self.after {
            None => 0,
            Some(after) => {
                1 + devices.iter().position(|device| device.id == after).ok_or_else(wrong_cursor)?
            }
        };
        let end = devices.len().min(begin + self.limit);
        let next = (end < devices.len()).then(|| devices[end - 1].id.to_string());
        Ok(DeviceList { items: devices[begin..end].iter().map(DeviceView::of).collect(), next_cursor: next })
    }
}

fn wrong_cursor() -> Problem {
    Problem::new(ErrorCode::InvalidField, "begin the list anew").with_field("cursor")
}

/// `DELETE /v1/users/{user}/devices/{device_id}`
pub(super) async fn remove(state: Data<DoorState>, request: HttpRequest) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Devices)?;
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of_path(&caller, &segment(&request, 2)?, query.text("realm"))?;
    let id: DeviceId = segment(&request, 4)?.parse().map_err(|_| Problem::not_found())?;
    let devices = state.handle.devices(&user).await?;
    let seen = devices.iter().any(|device| device.id == id && caller.client.apps.covers(&device.app));
    if !seen {
        return Err(Problem::not_found().into());
    }
    let (handle, by) = (state.handle.clone(), AuditActor::Client(caller.id.clone()));
    to_the_end(async move { handle.revoke_device(by, &user, id).await }).await?;
    Ok(HttpResponse::NoContent().finish())
}
