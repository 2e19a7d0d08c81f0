//! The files that a server is started with: binary, configuration, credentials, secret, data folder and log.
//!
//! Ports and data folder stay the same over all starts, so that the issuer does and enrolled phones stay enrolled.

use std::env;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tocsin_mock::{CredentialFiles, World};

use super::ports::free_ports;
use crate::LoadtestError;
use crate::portal::PortalCredentials;

/// The app of the configuration.
pub const APP: &str = "bank";
/// An app of its own, so that a user may have a second phone.
pub const OTHER_APP: &str = "desk";
/// The bundle id and package name of both.
pub const BUNDLE_ID: &str = "com.example.bank";
/// The type with a minute to live.
pub const TYPE_LOGIN: &str = "login";
/// The type that shows a time-out soon.
pub const TYPE_BRIEF: &str = "brief";

/// Longest end of the log that an error tells.
const LOG_BYTES_SHOWN: usize = 4_096;

/// What a test needs otherwise than the demo.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    /// Life of a transaction of type `login` in seconds.
    pub login_ttl_s: u64,
    /// Life of a transaction of type `brief` in seconds.
    pub brief_ttl_s: u64,
    /// Pending transactions of one user.
    pub transactions_per_user_max: u32,
    /// How long a final transaction stays in memory, in milliseconds.
    pub linger_ms: u64,
    /// What is logged.
    pub log_filter: &'static str,
    /// Realms, types and apps in place of the demo's.
    pub catalogue: Option<String>,
    /// The keys of the client's table beside its secret.
    pub client: String,
    /// Tables beside all others.
    pub more: String,
    /// A server in place of [`find_server`]'s.
    pub binary: Option<PathBuf>,
    /// The ports of the doors for portals, phones and operators; free ones where there are none.
    pub ports: Option<[u16; 3]>,
    /// Files with the certificate and the key of the doors for portals and phones; plain HTTP where there are none.
    pub door_certificate: Option<[PathBuf; 2]>,
    /// Further keys of `[portal]`.
    pub portal_keys: String,
    /// Further keys of `[device]`.
    pub device_keys: String,
    /// Further keys of `[engine]`.
    pub engine_keys: String,
    /// Further keys of both providers of pushes.
    pub provider_keys: String,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            login_ttl_s: 60,
            brief_ttl_s: 2,
            transactions_per_user_max: 10,
            linger_ms: 5_000,
            log_filter: "info",
            catalogue: None,
            client: standard_client(),
            more: String::new(),
            binary: None,
            ports: None,
            door_certificate: None,
            portal_keys: String::new(),
            device_keys: String::new(),
            engine_keys: String::new(),
            provider_keys: String::new(),
        }
    }
}

/// What a server is started with, and where it is found.
#[derive(Debug)]
pub struct Installation {
    binary: PathBuf,
    folder: PathBuf,
    portal_url: String,
    device_url: String,
    ops_url: String,
    credentials: PortalCredentials,
}

impl Installation {
    /// Writes the files into `folder`, for a server that pushes into `world`.
    pub fn prepare(folder: &Path, world: &World, options: &ServerOptions) -> Result<Self, LoadtestError> {
        let ports = options.ports.map_or_else(free_ports, Ok)?;
        let [portal, device, ops] = ports.map(|port| format!("127.0.0.1:{port}"));
        let scheme = if options.door_certificate.is_some() { "https" } else { "http" };
        let certificate = options.door_certificate.as_ref().map(door_certificate).unwrap_or_default();
        let [portal_keys, device_keys] =
            [&options.portal_keys, &options.device_keys].map(|keys| format!("{certificate}{keys}"));
        let installation = Self {
            binary: options.binary.clone().map_or_else(find_server, Ok)?,
            folder: folder.to_owned(),
            credentials: PortalCredentials { client_id: "portal".to_owned(), secret: new_secret()? },
            portal_url: format!("{scheme}://{portal}"),
            device_url: format!("{scheme}://{device}"),
            ops_url: format!("http://{ops}"),
        };
        let files = world.write_credentials(&folder.join("credentials"))?;
        let text = [
            doors(&[("portal", portal, &portal_keys), ("device", device, &device_keys), ("ops", ops, "")]),
            bounds(options),
            options.catalogue.clone().unwrap_or_else(|| catalogue(options)),
            providers(world, &files, &options.provider_keys),
            client(&installation.credentials, &options.client),
            options.more.clone(),
        ];
        fs::write(installation.config_file(), text.concat())
            .map_err(LoadtestError::io("write the configuration"))?;
        Ok(installation)
    }

    /// Base URL of the portal door.
    pub fn portal_url(&self) -> &str {
        &self.portal_url
    }

    /// Base URL of the device door, the issuer.
    pub fn device_url(&self) -> &str {
        &self.device_url
    }

    /// Base URL of the ops door.
    pub fn ops_url(&self) -> &str {
        &self.ops_url
    }

    /// What the portal proves itself with.
    pub fn credentials(&self) -> &PortalCredentials {
        &self.credentials
    }

    /// The folder of all files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The server.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Its configuration.
    pub fn config_file(&self) -> PathBuf {
        self.folder.join("tocsin.toml")
    }

    /// What all its starts have logged.
    pub fn log_file(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    pub(super) fn ready_file(&self) -> PathBuf {
        self.folder.join("ready.json")
    }

    pub(super) fn open_log(&self) -> Result<Stdio, LoadtestError> {
        let file: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())
            .map_err(LoadtestError::io("open the server's log"))?;
        Ok(file.into())
    }

    /// The end of the log, for an error.
    pub fn end_of_log(&self) -> String {
        let log = fs::read(self.log_file()).unwrap_or_default();
        let end = &log[log.len().saturating_sub(LOG_BYTES_SHOWN)..];
        String::from_utf8_lossy(end).into_owned()
    }
}

/// The server: `TOCSIN_BIN`, or `tocsin` beside this executable; test executables lie one folder deeper.
pub fn find_server() -> Result<PathBuf, LoadtestError> {
    if let Some(named) = env::var_os("TOCSIN_BIN") {
        let named = PathBuf::from(named);
        let absolute = named.canonicalize();
        return absolute.map_err(|_| LoadtestError::NoServerBinary { looked: vec![named] });
    }
    let own = env::current_exe().map_err(LoadtestError::io("find this executable"))?;
    let looked: Vec<PathBuf> = own.ancestors().skip(1).take(2).map(|folder| folder.join("tocsin")).collect();
    let found = looked.iter().find(|path| path.is_file()).cloned();
    found.ok_or(LoadtestError::NoServerBinary { looked })
}

/// 256 random bits.
pub(crate) fn new_secret() -> Result<String, LoadtestError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| LoadtestError::Unexpected("the system gave no random numbers".to_owned()))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

fn door_certificate([certificate, key]: &[PathBuf; 2]) -> String {
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    format!("certificate_file = {}\nkey_file = {}\n", quoted(certificate), quoted(key))
}

fn doors(doors: &[(&str, String, &str)]) -> String {
    let table =
        |(door, address, keys): &(&str, String, &str)| format!("[{door}]\naddress = \"{address}\"\n{keys}\n");
    doors.iter().map(table).collect()
}

fn bounds(options: &ServerOptions) -> String {
    let ServerOptions { transactions_per_user_max, linger_ms, log_filter, engine_keys, .. } = options;
    format!(
        "[log]\nfilter = \"{log_filter}\"\nformat = \"text\"\n\n\
         [storage]\npath = \"data\"\n\n\
         [engine]\ntransactions_per_user_max = {transactions_per_user_max}\n\
         linger_ms = {linger_ms}\ndrain_grace_s = 5\n{engine_keys}\n"
    )
}

/// The realm, the types and the apps.
fn catalogue(options: &ServerOptions) -> String {
    let ServerOptions { login_ttl_s, brief_ttl_s, .. } = options;
    format!(
        "[realms.retail]\nstarts_per_user_per_minute_max = 1000000\n\n\
         [types.{TYPE_LOGIN}]\ndefault_title = \"Log in\"\n\
         default_message = \"Do you want to log in to your bank?\"\nttl_s = {login_ttl_s}\n\n\
         [types.{TYPE_BRIEF}]\ndefault_title = \"Log in\"\n\
         default_message = \"Do you want to log in to your bank? Be quick.\"\nttl_s = {brief_ttl_s}\n\n\
         [apps.{APP}.ios]\nbundle_id = \"{BUNDLE_ID}\"\n\n\
         [apps.{APP}.android]\npackage = \"{BUNDLE_ID}\"\n\n\
         [apps.{OTHER_APP}.ios]\nbundle_id = \"{BUNDLE_ID}\"\n\n"
    )
}

fn providers(world: &World, files: &CredentialFiles, keys: &str) -> String {
    let (team_id, key_id) = (&world.apns_credential.team_id, &world.apns_credential.key_id);
    let quoted = |path: &Path| serde_json::Value::from(path.to_string_lossy()).to_string();
    let (ca, apns_key) = (quoted(&files.ca), quoted(&files.apns_key));
    let (apns_url, fcm_url) = (world.apns.url(), world.fcm.url());
    let service_account = quoted(&files.fcm_service_account);
    format!(
        "[providers.apns-main]\nkind = \"apns\"\ndefault = true\nteam_id = \"{team_id}\"\n\
         key_id = \"{key_id}\"\nkey_file = {apns_key}\nendpoint = \"{apns_url}\"\nca_file = {ca}\n{keys}\n\
         [providers.fcm-main]\nkind = \"fcm\"\ndefault = true\nservice_account_file = {service_account}\n\
         endpoint = \"{fcm_url}\"\nca_file = {ca}\n{keys}\n"
    )
}

/// What the demo's portal may do.
fn standard_client() -> String {
    format!(
        "rights = [\"transactions\", \"enrollments\", \"devices\"]\nrealms = [\"retail\"]\n\
         apps = [\"{APP}\", \"{OTHER_APP}\"]\ntypes = [\"{TYPE_LOGIN}\", \"{TYPE_BRIEF}\"]\n"
    )
}

fn client(credentials: &PortalCredentials, keys: &str) -> String {
    let hash = digest(&SHA256, credentials.secret.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[clients.{}]\nsecret_sha256 = \"{hash}\"\n{keys}", credentials.client_id)
}
