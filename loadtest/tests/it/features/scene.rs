//! A server of its own with a world, for one test: real binary, real storage, doubles of Apple and Google.
//!
//! The configuration's doors, storage and default providers are written by [`Installation`]; a test gives the realms,
//! types and apps that it is about. The first client has every right and may name everything.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use serde_json::Value;
use tempfile::TempDir;
use tocsin_loadtest::phone::{Phone, PhoneNetwork, PhoneProfile};
use tocsin_loadtest::{
    Handset, HttpClient, Installation, PhoneKind, Portal, Reply, Server, ServerOptions, StartFields,
};
use tocsin_mock::{World, WorldOptions};
use tocsin_model::TransactionId;

/// Longest wait for anything that is expected to come; a debug build on a busy machine fits in.
pub const SOON: Duration = Duration::from_secs(20);

/// What the tests take when they do not care: a realm, two types, an app for both platforms.
pub const CATALOGUE: &str = r#"
[realms.retail]
[types.login]
default_title = "Log in"
[types.payment]
default_title = "Pay"
message_max = 400
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
"#;

/// What a scene needs otherwise than the others.
#[derive(Clone, Debug, Default)]
pub struct SceneOptions {
    /// Realms, types and apps in place of [`CATALOGUE`].
    pub catalogue: Option<String>,
    /// Tables beside all others: clients, providers, `[engine]` is taken already.
    pub more: String,
    /// Keys of `[clients.portal]` beside its rights and grants.
    pub client: String,
}

/// A running server with its world.
pub struct Scene {
    pub world: World,
    pub installation: Installation,
    pub portal: Portal,
    pub http: HttpClient,
    phones: PhoneNetwork,
    server: Option<Server>,
    _folder: TempDir,
}

/// A reply with its body as JSON; `null` where there is none.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub reply: Reply,
    pub body: Value,
}

impl Answer {
    /// The body of a reply that must have this status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }

    /// A problem document that must have this status and code.
    #[track_caller]
    pub fn expect_problem(self, status: u16, code: &str) -> Value {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.body);
        self.body
    }
}

impl Scene {
    /// The standard scene.
    pub async fn open() -> Self {
        Self::with(SceneOptions::default()).await
    }

    /// A scene with these realms, types and apps.
    pub async fn of(catalogue: &str) -> Self {
        Self::with(SceneOptions { catalogue: Some(catalogue.to_owned()), ..SceneOptions::default() }).await
    }

    pub async fn with(options: SceneOptions) -> Self {
        let mut scene = Self::prepared(options).await;
        scene.start().await;
        scene
    }

    /// Everything but the server, which [`Scene::start`] starts.
    pub async fn prepared(options: SceneOptions) -> Self {
        let folder = TempDir::with_prefix("tocsin-feature-").expect("a folder");
        let world = World::start(WorldOptions::default()).await.expect("a world");
        let server_options = ServerOptions {
            catalogue: Some(options.catalogue.unwrap_or_else(|| CATALOGUE.to_owned())),
            client: format!(
                "rights = [\"transactions\", \"enrollments\", \"devices\", \"users\", \
                 \"custom_delivery\"]\n\
                 realms = [\"*\"]\napps = [\"*\"]\ntypes = [\"*\"]\n{}",
                options.client
            ),
            more: options.more,
            ..ServerOptions::default()
        };
        let installation =
            Installation::prepare(folder.path(), &world, &server_options).expect("an installation");
        let portal = Portal::new(installation.portal_url(), installation.credentials()).expect("a portal");
        Self {
            world,
            installation,
            portal,
            http: HttpClient::new(),
            phones: PhoneNetwork::new(),
            server: None,
            _folder: folder,
        }
    }

    /// Starts the server, at first or again.
    pub async fn start(&mut self) {
        let server = Server::start(&self.installation).await;
        self.server = Some(server.unwrap_or_else(|error| panic!("{error}\n{}", self.log())));
    }

    /// Ends the server by `kill -9`.
    pub async fn kill(&mut self) {
        self.server.take().expect("a running server").kill().await.expect("it is gone");
    }

    /// Ends the server by SIGTERM and waits for its drain.
    pub async fn stop(&mut self) {
        self.server.take().expect("a running server").stop().await.expect("it ended in order");
    }

    /// The running server.
    pub fn server(&self) -> &Server {
        self.server.as_ref().expect("a running server")
    }

    pub fn folder(&self) -> &Path {
        self.installation.folder()
    }

    /// The end of the server's log.
    pub fn log(&self) -> String {
        self.installation.end_of_log()
    }

    /// A new phone of `user` with the app `bank`.
    pub async fn enrol(&self, kind: PhoneKind, user: &str) -> Handset {
        let issuer = self.installation.device_url();
        Handset::enrol(kind, user, &self.world, &self.portal, issuer, &self.phones)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A new phone of `user` with the app `bank`, whose challenges are sealed.
    pub async fn enrol_sealed(&self, kind: PhoneKind, user: &str) -> Handset {
        let issuer = self.installation.device_url();
        Handset::enrol_sealed(kind, user, &self.world, &self.portal, issuer, &self.phones)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A new iPhone of `user` with the app `app`, whose bundle id the double of Apple knows.
    pub async fn enrol_app(&self, app: &str, user: &str) -> Handset {
        let issuer = self.installation.device_url();
        Handset::enrol_app(PhoneKind::Iphone, user, app, &self.world, &self.portal, issuer, &self.phones)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// The same for a phone that is made ready first, such as with a PIN.
    pub async fn enrol_with(
        &self,
        kind: PhoneKind,
        user: &str,
        make_ready: impl FnOnce(Phone) -> Phone,
    ) -> Handset {
        let (issuer, portal) = (self.installation.device_url(), &self.portal);
        Handset::enrol_with(kind, user, &self.world, portal, issuer, &self.phones, make_ready)
            .await
            .unwrap_or_else(|error| panic!("{error}\n{}", self.log()))
    }

    /// A phone that has no push address and is not enrolled yet.
    pub fn phone_of(&self, user: &str) -> Phone {
        let profile = PhoneProfile {
            name: format!("{user}'s phone"),
            platform: "other",
            app: "bank".to_owned(),
            push: serde_json::json!({"kind": "none"}),
        };
        Phone::new(self.phones(), self.installation.device_url(), profile)
    }

    /// What phones call through.
    pub fn phones(&self) -> PhoneNetwork {
        self.phones.clone()
    }

    /// Starts a transaction that must come to be.
    pub async fn begin(&self, type_name: &str, user: &str) -> TransactionId {
        let started = self.portal.start(&StartFields::new(type_name, user), None).await;
        started.unwrap_or_else(|error| panic!("{error}\n{}", self.log())).view.id
    }

    /// A call at the portal door by the first client, with JSON.
    pub async fn portal(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let credentials = self.installation.credentials();
        let pair = format!("{}:{}", credentials.client_id, credentials.secret);
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.installation.portal_url()))
            .header("authorization", format!("Basic {}", STANDARD.encode(pair)));
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string().into()),
            None => request.body(Bytes::new()),
        };
        self.call(request.expect("a request")).await
    }

    /// A call at the ops door, with a bearer token where there is one.
    pub async fn ops(&self, method: &str, path: &str, token: Option<&str>, body: Option<&Value>) -> Answer {
        let mut request =
            Request::builder().method(method).uri(format!("{}{path}", self.installation.ops_url()));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string().into()),
            None => request.body(Bytes::new()),
        };
        self.call(request.expect("a request")).await
    }

    /// A call as it is.
    pub async fn call(&self, request: Request<Bytes>) -> Answer {
        let reply = self.http.call(request, SOON).await;
        let reply = reply.unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        let body = serde_json::from_slice(&reply.body).unwrap_or(Value::Null);
        Answer { status: reply.status.as_u16(), reply, body }
    }
}
