//! The help desk's page: what there is to know of one user.

use std::rc::Rc;

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use tocsin_config::Role;
use tocsin_model::{Device, User};
use tocsin_storage::TransactionQuery;

use super::operator::require;
use super::query::user_of;
use super::view::TransactionView;
use crate::door::{DoorState, Query, Reply, Request, private_json, rfc3339, segment};
use crate::openapi;
use crate::view::{LockView, UserView};

/// Transactions that the page shows; `GET /v1/admin/transactions?user=` has all.
const LAST_TRANSACTIONS_MAX: usize = 20;

#[derive(JsonSchema, Serialize)]
#[schemars(rename = "UserPage")]
pub(super) struct PageView<'a> {
    user: UserView<'a>,
    devices: Vec<DeviceView<'a>>,
    /// What keeps anything from being started for him.
    locks: Vec<LockView>,
    /// The last ones.
    transactions: Vec<TransactionView<'a>>,
}

/// A device. Its keys and its push address are no business of a help desk.
#[derive(JsonSchema, Serialize)]
#[schemars(rename = "Device")]
struct DeviceView<'a> {
    #[schemars(schema_with = "openapi::id")]
    device_id: String,
    name: &'a str,
    #[schemars(schema_with = "openapi::name")]
    app: &'a str,
    #[schemars(schema_with = "openapi::platform")]
    platform: &'static str,
    app_version: &'a str,
    os_version: &'a str,
    model: &'a str,
    #[schemars(schema_with = "openapi::device_status")]
    status: &'static str,
    #[schemars(schema_with = "openapi::push_kind")]
    push: &'static str,
    #[schemars(schema_with = "openapi::key_uses")]
    methods: Vec<String>,
    #[schemars(schema_with = "openapi::time")]
    created_at: String,
    #[schemars(schema_with = "openapi::time")]
    last_used_at: String,
}

impl<'a> DeviceView<'a> {
    fn of(device: &'a Device) -> Self {
        Self {
            device_id: device.id.to_string(),
            name: &device.profile.name,
            app: device.app.as_str(),
            platform: device.profile.platform.as_str(),
            app_version: device.profile.app_version.as_str(),
            os_version: &device.profile.os_version,
            model: &device.profile.model,
            status: device.status.as_str(),
            push: device.push.kind.as_str(),
            methods: device.keys.iter().map(|key| key.key_use.to_string()).collect(),
            created_at: rfc3339(device.created_at),
            last_used_at: rfc3339(device.last_used_at),
        }
    }
}

/// `GET /v1/admin/users/{user}`: his devices, removed ones too until their retention ends, and his last transactions,
/// both newest first. There is no register of users: one whom nobody enrolled has none of either.
pub(super) async fn show(state: Rc<DoorState>, request: Request) -> Reply {
    require(&state, &request, Role::Read)?;
    let query = Query::parse(request.query_string(), &["realm"])?;
    let user = user_of(&state.handle.config(), &segment(&request, 3)?, query.text("realm"))?;
    let devices = state.handle.devices(&user).await?;
    let locks = state.handle.locks(&user).await?;
    let last = last_transactions(&user);
    let page = state.handle.transactions(last).await?;
    let view = PageView {
        user: UserView::of(&user),
        devices: devices.iter().map(DeviceView::of).collect(),
        locks: locks.iter().map(LockView::of).collect(),
        transactions: page.transactions.iter().map(TransactionView::of).collect(),
    };
    Ok(private_json(StatusCode::OK, &view))
}

fn last_transactions(user: &User) -> TransactionQuery {
    TransactionQuery { user: Some(user.clone()), limit: LAST_TRANSACTIONS_MAX, ..TransactionQuery::default() }
}
