//! A simulated phone in its user's hand: the strict phone of the protocol with a push address in the mock world.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tocsin_mock::{PushLog, PushRecord, World};
use tocsin_model::{DeviceId, TransactionId};
use tokio::sync::mpsc;
use uuid::Uuid;

use crate::error::ensure;
use crate::phone::{Phone, PhoneNetwork, PhoneProfile};
use crate::server::{APP, BUNDLE_ID};
use crate::{LoadtestError, Portal};

/// Which kind of phone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhoneKind {
    /// Reached through APNs.
    Iphone,
    /// Reached through FCM.
    Android,
}

impl PhoneKind {
    /// What people call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iphone => "iPhone",
            Self::Android => "Android phone",
        }
    }

    /// The platform of the device protocol.
    pub const fn platform(self) -> &'static str {
        match self {
            Self::Iphone => "ios",
            Self::Android => "android",
        }
    }

    /// The network that pushes to it, as the doubles are called.
    pub const fn network(self) -> &'static str {
        match self {
            Self::Iphone => "APNs",
            Self::Android => "FCM",
        }
    }

    /// A push address as its maker would give it.
    pub fn new_target(self) -> String {
        let random = || Uuid::new_v4().simple().to_string();
        match self {
            Self::Iphone => format!("{}{}", random(), random()),
            Self::Android => format!("{}:APA91b{}", random(), random()),
        }
    }

    /// The `push` object of an enrolment.
    pub fn push_object(self, target: &str) -> Value {
        match self {
            Self::Iphone => json!({"kind": "apns", "value": target, "environment": "production"}),
            Self::Android => json!({"kind": "fcm_token", "value": target}),
        }
    }

    /// The record of the pushes of its network.
    pub fn pushes(self, world: &World) -> &PushLog {
        match self {
            Self::Iphone => world.apns.pushes(),
            Self::Android => world.fcm.pushes(),
        }
    }
}

/// An enrolled phone with its user.
pub struct Handset {
    /// The phone itself.
    pub phone: Phone,
    kind: PhoneKind,
    user: String,
    device_id: DeviceId,
    pushes: mpsc::Receiver<Arc<PushRecord>>,
    /// What came while the other kind of push was waited for.
    unread: Vec<Arc<PushRecord>>,
}

impl Handset {
    /// Lets `portal` open an enrolment for `user`, and a new phone of this kind follow it.
    pub async fn enrol(
        kind: PhoneKind,
        user: &str,
        world: &World,
        portal: &Portal,
        issuer: &str,
        network: &PhoneNetwork,
    ) -> Result<Self, LoadtestError> {
        Self::enrol_app(kind, user, APP, world, portal, issuer, network).await
    }

    /// As [`Handset::enrol`], a phone with another app.
    pub async fn enrol_app(
        kind: PhoneKind,
        user: &str,
        app: &str,
        world: &World,
        portal: &Portal,
        issuer: &str,
        network: &PhoneNetwork,
    ) -> Result<Self, LoadtestError> {
        let make = |profile| Phone::new(network.clone(), issuer, profile);
        Self::enrol_phone(kind, user, app, world, portal, make).await
    }

    /// As [`Handset::enrol`], a phone whose challenges are sealed.
    pub async fn enrol_sealed(
        kind: PhoneKind,
        user: &str,
        world: &World,
        portal: &Portal,
        issuer: &str,
        network: &PhoneNetwork,
    ) -> Result<Self, LoadtestError> {
        Self::enrol_with(kind, user, world, portal, issuer, network, Phone::with_encryption_key).await
    }

    /// As [`Handset::enrol`], a phone that is made ready first, such as with a PIN.
    pub async fn enrol_with(
        kind: PhoneKind,
        user: &str,
        world: &World,
        portal: &Portal,
        issuer: &str,
        network: &PhoneNetwork,
        make_ready: impl FnOnce(Phone) -> Phone,
    ) -> Result<Self, LoadtestError> {
        let make = |profile| make_ready(Phone::new(network.clone(), issuer, profile));
        Self::enrol_phone(kind, user, APP, world, portal, make).await
    }

    async fn enrol_phone(
        kind: PhoneKind,
        user: &str,
        app: &str,
        world: &World,
        portal: &Portal,
        make: impl FnOnce(PhoneProfile) -> Phone,
    ) -> Result<Self, LoadtestError> {
        let opened = portal.open_enrollment(user, app).await?;
        let code = opened.activation_code.as_deref();
        let code = code.ok_or_else(|| LoadtestError::Unexpected("an enrolment without a code".to_owned()))?;
        let target = kind.new_target();
        match kind {
            PhoneKind::Iphone => world.apns.devices().register(&target, BUNDLE_ID)?,
            PhoneKind::Android => world.fcm.registrations().register(&target),
        }
        // Before the server knows the address, so that no push can be missed.
        let pushes = kind.pushes(world).subscribe(&target)?;
        let profile = PhoneProfile {
            name: format!("{user}'s {}", kind.as_str()),
            platform: kind.platform(),
            app: app.to_owned(),
            push: kind.push_object(&target),
        };
        let mut phone = make(profile);
        phone.enrol(code).await?;
        let device_id = phone.device_id().and_then(|id| id.parse().ok());
        let device_id =
            device_id.ok_or_else(|| LoadtestError::Unexpected("a device id that is no UUID".to_owned()))?;
        let enrolled = portal.enrollment(opened.id).await?;
        ensure(enrolled.state == "completed" && enrolled.device_id == Some(device_id), || {
            format!("after the phone enrolled the portal sees {enrolled:?}")
        })?;
        Ok(Self { phone, kind, user: user.to_owned(), device_id, pushes, unread: Vec::new() })
    }

    /// Which kind of phone.
    pub fn kind(&self) -> PhoneKind {
        self.kind
    }

    /// Whose phone.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The id that the server gave it.
    pub fn device_id(&self) -> DeviceId {
        self.device_id
    }

    /// Waits for the next push and says for which transaction it is.
    pub async fn next_push(&mut self, deadline: Duration) -> Result<TransactionId, LoadtestError> {
        let record = self.next_record(deadline).await?;
        pushed_transaction(self.kind, &record)
            .ok_or_else(|| LoadtestError::Unexpected(format!("a push to {} names no transaction", self.user)))
    }

    /// Waits for the next push that is no closing one and shows it as the network got it.
    pub async fn next_record(&mut self, deadline: Duration) -> Result<Arc<PushRecord>, LoadtestError> {
        self.next_of(false, deadline).await
    }

    /// Waits for the next closing push and says which transaction has ended, and how.
    pub async fn next_closing(
        &mut self,
        deadline: Duration,
    ) -> Result<(TransactionId, String), LoadtestError> {
        let record = self.next_of(true, deadline).await?;
        let members = members(self.kind, &record).unwrap_or_default();
        let (id, state) = (members["t"].as_str().and_then(|id| id.parse().ok()), members["closed"].as_str());
        id.zip(state.map(str::to_owned))
            .ok_or_else(|| LoadtestError::Unexpected(format!("a closing push of {members}")))
    }

    /// Waits for the next push that closes a prompt, or for the next of another kind; the others wait.
    async fn next_of(&mut self, closing: bool, deadline: Duration) -> Result<Arc<PushRecord>, LoadtestError> {
        let kind = self.kind;
        let is_wanted = |record: &PushRecord| {
            members(kind, record).is_some_and(|members| members.get("closed").is_some()) == closing
        };
        if let Some(index) = self.unread.iter().position(|record| is_wanted(record)) {
            return Ok(self.unread.remove(index));
        }
        loop {
            let record = self.recv(deadline).await?;
            if is_wanted(&record) {
                return Ok(record);
            }
            self.unread.push(record);
        }
    }

    async fn recv(&mut self, deadline: Duration) -> Result<Arc<PushRecord>, LoadtestError> {
        let what = || format!("a push to {}'s {}", self.user, self.kind.as_str());
        match tokio::time::timeout(deadline, self.pushes.recv()).await {
            Ok(Some(record)) => Ok(record),
            Ok(None) => Err(LoadtestError::Unexpected(format!("the network of {} is gone", what()))),
            Err(_) => Err(LoadtestError::Deadline { what: what(), after: deadline }),
        }
    }
}

impl fmt::Debug for Handset {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Handset")
            .field("kind", &self.kind)
            .field("device_id", &self.device_id)
            .finish_non_exhaustive()
    }
}

/// The transaction that a push is for (section 5 of the device protocol).
pub(crate) fn pushed_transaction(kind: PhoneKind, record: &PushRecord) -> Option<TransactionId> {
    let members = members(kind, record)?;
    let is_first_version = members["v"] == "1" && members.get("closed").is_none();
    is_first_version.then(|| members["t"].as_str()?.parse().ok()).flatten()
}

/// What a push says to the app.
fn members(kind: PhoneKind, record: &PushRecord) -> Option<Value> {
    let payload = record.payload_json()?;
    Some(match kind {
        PhoneKind::Iphone => payload,
        PhoneKind::Android => payload["message"]["data"].clone(),
    })
}
