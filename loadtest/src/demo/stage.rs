//! All that stands behind the demo: the outside world, the server, the portal and two phones.

use std::time::Duration;

use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};
use tocsin_model::{State, TransactionId};
use tokio::task::JoinHandle;

use super::teller::Teller;
use crate::phone::PhoneNetwork;
use crate::{
    Handset, Installation, LoadtestError, PhoneKind, Portal, Server, ServerOptions, TransactionView,
};

/// Longest wait for a push to arrive.
pub(super) const PUSH_DEADLINE: Duration = Duration::from_secs(10);

/// How long a long poll asks to be held.
pub(super) const LONG_POLL_S: u64 = 10;

/// The stage.
pub(super) struct Stage {
    pub(super) world: World,
    pub(super) installation: Installation,
    pub(super) portal: Portal,
    pub(super) phones: PhoneNetwork,
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
        let installation = Installation::prepare(folder.path(), &world, &ServerOptions::default())?;
        let portal = Portal::new(installation.portal_url(), installation.credentials())?;
        let mut stage =
            Self { world, installation, portal, phones: PhoneNetwork::new(), server: None, _folder: folder };
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

    /// Holds a long poll for the outcome.
    pub(super) fn long_poll(&self, id: TransactionId) -> LongPoll {
        let portal = self.portal.clone();
        LongPoll(tokio::spawn(async move { portal.wait(id, LONG_POLL_S, None).await }))
    }
}

/// A long poll that is held.
pub(super) struct LongPoll(JoinHandle<Result<TransactionView, LoadtestError>>);

impl LongPoll {
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
