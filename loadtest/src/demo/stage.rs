//! All that stands behind the demo: the outside world, the server, the portal, its operator and phones.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, StatusCode};

use tempfile::TempDir;
use tocsin_mock::{Authority, CallbackOptions, CallbackServer, TwilioServer, World, WorldOptions};
use tocsin_model::{State, TransactionId};
use tokio::task::JoinHandle;

use super::bank::{self, Secrets};
use super::teller::Teller;
use crate::http_client::HttpClient;
use crate::phone::PhoneNetwork;
use crate::portal::refused;
use crate::{Handset, Installation, LoadtestError, PhoneKind, Portal, Server, StartFields, TransactionView};

/// Longest wait for a push to arrive.
pub(super) const PUSH_DEADLINE: Duration = Duration::from_secs(10);

/// How long a long poll asks to be held.
pub(super) const LONG_POLL_S: u64 = 10;

/// Longest wait for the reply of the ops door.
const OPS_DEADLINE: Duration = Duration::from_secs(10);

/// The stage.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) installation: Installation,
    pub(super) portal: Portal,
    pub(super) phones: PhoneNetwork,
    /// The gateway of codes by SMS.
    pub(super) twilio: TwilioServer,
    /// The portal's side of callbacks.
    pub(super) receiver: CallbackServer,
    operator_token: String,
    server: Option<Server>,
    /// Removed when the demo ends.
    _folder: TempDir,
}

impl Stage {
    /// Starts the world and the server.
    pub(super) async fn set(teller: &Teller) -> Result<Self, LoadtestError> {
        let folder = TempDir::with_prefix("tocsin-demo-").map_err(LoadtestError::io("make a folder"))?;
        let world = World::start(WorldOptions::default()).await?;
        teller.say("Apple", format_args!("a double of APNs listens at {}", world.apns.url()));
        teller.say("Google", format_args!("a double of FCM listens at {}", world.fcm.url()));
        let secrets = Secrets::generate()?;
        let account = bank::twilio_account(&secrets, world.authority.issue()?);
        let twilio = TwilioServer::start(account).await?;
        teller.say("Twilio", format_args!("a double of its messages listens at {}", twilio.url()));
        let authority = Authority::new()?;
        let ca_file = folder.path().join("portal-ca.pem");
        authority.write_ca_pem(&ca_file)?;
        let receiver =
            CallbackServer::start(CallbackOptions::new(authority.issue()?, &secrets.webhook)).await?;
        let options = bank::options(&secrets, &twilio, &callback_url(&receiver), &ca_file);
        let installation = Installation::prepare(folder.path(), &world, &options)?;
        write_secret(&installation.folder().join(bank::TWILIO_TOKEN_FILE), &secrets.twilio)?;
        let portal = Portal::new(installation.portal_url(), installation.credentials())?;
        let mut stage = Self {
            world,
            installation,
            portal,
            phones: PhoneNetwork::new(),
            twilio,
            receiver,
            operator_token: secrets.token,
            server: None,
            _folder: folder,
        };
        stage.start_server(teller).await?;
        Ok(stage)
    }

    pub(super) async fn start_server(&mut self, teller: &Teller) -> Result<(), LoadtestError> {
        let server = Server::start(&self.installation).await?;
        let (pid, time) = (server.pid(), server.started_in().as_millis());
        let (portal, device) = (self.installation.portal_url(), self.installation.device_url());
        teller.say("server", format_args!("process {pid} is ready after {time} ms"));
        teller.say("server", format_args!("portals reach it at {portal}, phones at {device}"));
        self.server = Some(server);
        Ok(())
    }

    /// Ends the server as a crash would.
    pub(super) async fn kill_server(&mut self, teller: &Teller) -> Result<(), LoadtestError> {
        let server = self.take_server()?;
        let pid = server.pid();
        server.kill().await?;
        teller.say("server", format_args!("kill -9 {pid}: gone"));
        Ok(())
    }

    /// The running server.
    pub(super) fn take_server(&mut self) -> Result<Server, LoadtestError> {
        self.server.take().ok_or_else(|| LoadtestError::Unexpected("the server is not running".to_owned()))
    }

    /// Fails with its last words if the server has ended by itself.
    pub(super) fn check_server(&mut self) -> Result<(), LoadtestError> {
        let Self { server, installation, .. } = self;
        server.as_mut().map_or(Ok(()), |server| server.check_alive(installation, "during the demo"))
    }

    pub(super) async fn enrol(&self, kind: PhoneKind, user: &str) -> Result<Handset, LoadtestError> {
        let issuer = self.installation.device_url();
        Handset::enrol(kind, user, &self.world, &self.portal, issuer, &self.phones).await
    }

    pub(super) async fn enrol_with_pin(
        &self,
        kind: PhoneKind,
        user: &str,
        pin: &str,
    ) -> Result<Handset, LoadtestError> {
        let issuer = self.installation.device_url();
        Handset::enrol_with(kind, user, &self.world, &self.portal, issuer, &self.phones, |phone| {
            phone.with_pin(pin)
        })
        .await
    }

    /// Holds a long poll for the outcome.
    pub(super) fn long_poll(&self, id: TransactionId) -> HeldCall {
        let portal = self.portal.clone();
        HeldCall(tokio::spawn(async move { portal.wait(id, LONG_POLL_S, None).await }))
    }

    /// Starts a transaction by a call that is held for the outcome.
    pub(super) fn held_start(&self, fields: StartFields) -> HeldCall {
        let portal = self.portal.clone();
        HeldCall(tokio::spawn(async move { portal.start_and_wait(&fields, LONG_POLL_S).await }))
    }

    /// Where the portal is called back.
    pub(super) fn callback_url(&self) -> String {
        callback_url(&self.receiver)
    }

    /// The text of the server's configuration.
    pub(super) fn configuration(&self) -> Result<String, LoadtestError> {
        fs::read_to_string(self.installation.config_file())
            .map_err(LoadtestError::io("read the configuration"))
    }

    /// Writes it anew; the server goes by it after a reload.
    pub(super) fn set_configuration(&self, text: &str) -> Result<(), LoadtestError> {
        fs::write(self.installation.config_file(), text).map_err(LoadtestError::io("write the configuration"))
    }

    /// Writes a file beside the configuration.
    pub(super) fn write_file(&self, name: &str, text: &str) -> Result<(), LoadtestError> {
        fs::write(self.installation.folder().join(name), text).map_err(LoadtestError::io("write a file"))
    }

    /// The operator asks the server to take the configuration as it stands.
    pub(super) async fn reload(&self) -> Result<(), LoadtestError> {
        let request = Request::post(format!("{}/v1/admin/reload", self.installation.ops_url()))
            .header(AUTHORIZATION, format!("Bearer {}", self.operator_token))
            .body(Bytes::new())
            .map_err(|error| LoadtestError::Unexpected(error.to_string()))?;
        let reply = HttpClient::new().call(request, OPS_DEADLINE).await?;
        if reply.status == StatusCode::OK { Ok(()) } else { Err(refused(&reply)) }
    }
}

fn write_secret(path: &Path, secret: &str) -> Result<(), LoadtestError> {
    fs::write(path, secret).map_err(LoadtestError::io("write a secret"))?;
    fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(LoadtestError::io("keep a secret to us"))
}

fn callback_url(receiver: &CallbackServer) -> String {
    format!("{}/outcomes", receiver.url())
}

/// A call that is held.
pub(super) struct HeldCall(JoinHandle<Result<TransactionView, LoadtestError>>);

impl HeldCall {
    /// What it returned.
    pub(super) async fn returned(self) -> Result<TransactionView, LoadtestError> {
        self.0.await.unwrap_or_else(|error| Err(LoadtestError::Unexpected(error.to_string())))
    }

    /// What it returned, which must have this state.
    pub(super) async fn returned_with(self, state: State) -> Result<TransactionView, LoadtestError> {
        let view = self.returned().await?;
        super::steps::expect_state(&view, state)?;
        Ok(view)
    }
}
