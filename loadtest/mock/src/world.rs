//! Everything outside at once, under one authority: for demos and end-to-end tests.
//!
//! It only puts the parts together; each is reached through its field.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use crate::{
    ApnsCredential, ApnsOptions, ApnsServer, Authority, FcmCredential, FcmOptions, FcmServer, MockClock,
    MockError, Strictness, Topics,
};

/// What a [`World`] is made for.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// The Apple team.
    pub team_id: String,
    /// The id of its signing key.
    pub key_id: String,
    /// The bundle ids that the key may push to.
    pub bundle_ids: Vec<String>,
    /// The Firebase project.
    pub project_id: String,
    /// Whether the servers check what they are sent.
    pub strictness: Strictness,
    /// The clock of all servers.
    pub clock: MockClock,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            team_id: "TEAM000001".to_owned(),
            key_id: "KEY0000001".to_owned(),
            bundle_ids: vec!["com.example.bank".to_owned()],
            project_id: "example-bank".to_owned(),
            strictness: Strictness::Strict,
            clock: MockClock::new(),
        }
    }
}

/// An authority, APNs, FCM with its token endpoint, and credentials for them.
#[derive(Debug)]
pub struct World {
    /// Who vouches for the servers.
    pub authority: Authority,
    /// Apple, production.
    pub apns: ApnsServer,
    /// Google.
    pub fcm: FcmServer,
    /// What a client needs for [`Self::apns`].
    pub apns_credential: ApnsCredential,
    /// What a client needs for [`Self::fcm`].
    pub fcm_credential: FcmCredential,
}

/// The files that a client is configured with.
#[derive(Clone, Debug)]
pub struct CredentialFiles {
    /// The authority's certificate, PEM.
    pub ca: PathBuf,
    /// The APNs signing key, PKCS#8 PEM (`.p8`).
    pub apns_key: PathBuf,
    /// The Google service account, JSON.
    pub fcm_service_account: PathBuf,
}

impl World {
    /// Starts everything on free ports of 127.0.0.1, on the caller's tokio runtime.
    pub async fn start(options: WorldOptions) -> Result<Self, MockError> {
        let authority = Authority::new()?;
        let apns_credential = ApnsCredential::generate(&options.team_id, &options.key_id)?;
        let fcm_credential = FcmCredential::generate(&options.project_id)?;
        let mut apns = ApnsOptions::new(authority.issue()?);
        apns.keys.push(apns_credential.key(Topics::Only(options.bundle_ids)));
        apns.strictness = options.strictness;
        apns.clock = options.clock.clone();
        let mut fcm = FcmOptions::new(authority.issue()?).with_account(fcm_credential.clone());
        fcm.strictness = options.strictness;
        fcm.clock = options.clock;
        Ok(Self {
            authority,
            apns: ApnsServer::start(apns).await?,
            fcm: FcmServer::start(fcm).await?,
            apns_credential,
            fcm_credential,
        })
    }

    /// Writes `ca.pem`, `apns-key.p8` and `fcm-service-account.json` into `folder`; the two with private
    /// keys are readable by their owner only.
    pub fn write_credentials(&self, folder: &Path) -> Result<CredentialFiles, MockError> {
        fs::create_dir_all(folder).map_err(MockError::io("make the folder for credentials"))?;
        let files = CredentialFiles {
            ca: folder.join("ca.pem"),
            apns_key: folder.join("apns-key.p8"),
            fcm_service_account: folder.join("fcm-service-account.json"),
        };
        self.authority.write_ca_pem(&files.ca)?;
        write_private(&files.apns_key, &self.apns_credential.private_key_pem)?;
        let account = self.fcm_credential.service_account_json(&self.fcm.token_uri());
        write_private(&files.fcm_service_account, &account)?;
        Ok(files)
    }

    /// Stops every server and waits for their end.
    pub async fn stop(&self) {
        self.apns.stop().await;
        self.fcm.stop().await;
    }
}

/// Writes a file that only its owner may read, in place of any that was there.
fn write_private(path: &Path, text: &str) -> Result<(), MockError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(MockError::io("replace a credential file")(error));
        }
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(MockError::io("open a credential file"))?;
    file.write_all(text.as_bytes()).map_err(MockError::io("write a credential file"))
}
