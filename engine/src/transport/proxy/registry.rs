//! Every proxy there is, once: whoever goes through the same one under the same name shares what is known of it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls_pki_types::ServerName;
use tocsin_config::{Login, NoProxy, ProxyScheme, ProxySettings};
use tocsin_model::Secret;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use super::fault::TunnelEnd;
use super::server::{Proxy, ProxyParts};
use crate::clock::Clock;
use crate::password::{self, PasswordFault};
use crate::transport::dialler::Dialler;
use crate::transport::{Application, TlsSetupError, client_config};

/// Hears how each attempt at a tunnel ended, with the proxy's `host:port`; of a new proxy first without an end.
pub type TunnelObserver = Arc<dyn Fn(&str, Option<TunnelEnd>) + Send + Sync>;

/// Why a proxy cannot be set up: each text names the file and what to do, and never what is in it.
#[derive(Debug, thiserror::Error)]
pub enum ProxySetupError {
    /// The file of the password cannot be read.
    #[error("cannot read {}: {reason}; put the file there and let the server's user read it", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        reason: std::io::Error,
    },
    /// The file holds something else.
    #[error("{} is not a password of 1 to 500 bytes in one line", path.display())]
    NotAPassword {
        /// Which file.
        path: PathBuf,
    },
    /// The host can be in no certificate.
    #[error("is a host that no certificate can carry, so that https to it cannot be")]
    Host,
    /// TLS to the proxy cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsSetupError),
}

impl ProxySetupError {
    /// The key of the proxy's table that is wrong, or names what is.
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NotAPassword { .. } => "password_file",
            Self::Host => "host",
            Self::Tls(_) => "ca_file",
        }
    }
}

/// The proxies of the process; clones share one list.
#[derive(Clone)]
pub struct Proxies(Arc<Shared>);

struct Shared {
    clock: Clock,
    observer: TunnelObserver,
    known: Mutex<Vec<Known>>,
}

/// A proxy with what it was made of. One that nobody goes through any more is forgotten.
struct Known {
    settings: ProxySettings,
    /// A hash of the password and of the file of authorities.
    secrets: [u8; 32],
    proxy: Weak<Proxy>,
}

/// Which hosts are reached through which proxy.
#[derive(Clone)]
pub struct ProxyRoute {
    proxy: Arc<Proxy>,
    no_proxy: NoProxy,
}

impl ProxyRoute {
    /// The proxy on the way to `host`, as it is written; `None` where the way is straight.
    pub fn proxy_to(&self, host: &str) -> Option<&Arc<Proxy>> {
        Some(&self.proxy).filter(|_| !self.no_proxy.covers(host))
    }
}

/// The same hosts by the very same proxy.
impl PartialEq for ProxyRoute {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.proxy, &other.proxy) && self.no_proxy == other.no_proxy
    }
}

impl Proxies {
    /// None yet.
    pub fn new(clock: Clock, observer: TunnelObserver) -> Self {
        Self(Arc::new(Shared { clock, observer, known: Mutex::default() }))
    }

    /// The same where nobody counts.
    pub fn uncounted(clock: Clock) -> Self {
        Self::new(clock, Arc::new(|_, _| ()))
    }

    /// The route of this configuration; `None` where there is no proxy in it. Connects to nothing yet.
    pub fn route(&self, settings: Option<&ProxySettings>) -> Result<Option<ProxyRoute>, ProxySetupError> {
        let Some(settings) = settings else { return Ok(None) };
        let password = settings.credentials.as_ref().map(self::password).transpose()?;
        let secrets = hash(password.as_ref(), settings.ca_file.as_deref());
        let no_proxy = settings.no_proxy.clone();
        let settings = ProxySettings { no_proxy: NoProxy::default(), ..settings.clone() };
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.proxy.strong_count() > 0);
        let same = known.iter().find(|one| one.settings == settings && one.secrets == secrets);
        if let Some(proxy) = same.and_then(|one| one.proxy.upgrade()) {
            return Ok(Some(ProxyRoute { proxy, no_proxy }));
        }
        let proxy = Arc::new(Proxy::new(self.0.parts(&settings, password.as_ref())?));
        known.push(Known { settings, secrets, proxy: Arc::downgrade(&proxy) });
        Ok(Some(ProxyRoute { proxy, no_proxy }))
    }
}

impl Shared {
    fn parts(
        &self,
        settings: &ProxySettings,
        password: Option<&Secret<String>>,
    ) -> Result<ProxyParts, ProxySetupError> {
        let ProxySettings { host, port, .. } = settings;
        let tls = match settings.scheme {
            ProxyScheme::Http => None,
            ProxyScheme::Https => {
                let config = client_config(settings.ca_file.as_deref(), Application::Http1)?;
                let name = ServerName::try_from(host.clone()).map_err(|_| ProxySetupError::Host)?;
                Some((TlsConnector::from(config), name))
            }
        };
        let pair = settings.credentials.as_ref().zip(password);
        let name = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        (self.observer)(&name, None);
        Ok(ProxyParts {
            name: name.into(),
            dialler: Dialler::new(host, *port),
            tls,
            authorization: pair.and_then(|(credentials, password)| basic(&credentials.username, password)),
            is_preemptive: settings.is_preemptive,
            clock: self.clock.clone(),
            observer: Arc::clone(&self.observer),
        })
    }
}

fn password(login: &Login) -> Result<Secret<String>, ProxySetupError> {
    password::read(&login.password).map_err(|fault| match fault {
        PasswordFault::Unreadable { path, reason } => ProxySetupError::Unreadable { path, reason },
        PasswordFault::NotAPassword { path } => ProxySetupError::NotAPassword { path },
    })
}

/// Base64 fits every header.
fn basic(username: &str, password: &Secret<String>) -> Option<HeaderValue> {
    let pair = Zeroizing::new(format!("{username}:{}", password.expose()));
    let mut value = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(&*pair))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// A file that cannot be read counts as an empty one; whoever needs it says so.
fn hash(password: Option<&Secret<String>>, ca_file: Option<&Path>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    let password = password.map_or(&b""[..], |password| password.expose().as_bytes());
    context.update(&(password.len() as u64).to_be_bytes());
    context.update(password);
    context.update(&ca_file.and_then(|path| std::fs::read(path).ok()).unwrap_or_default());
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}
