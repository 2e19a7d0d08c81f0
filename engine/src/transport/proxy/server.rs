//! One proxy under one user name, for everybody who goes through it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::ask::{Asked, ask};
use super::fault::{ProxyFault, TunnelEnd};
use super::registry::TunnelObserver;
use super::standing::Standing;
use super::turns::Turns;
use crate::clock::Clock;
use crate::transport::dialler::Dialler;
use crate::transport::{Wire, random_unit};

/// How long somebody waits for another to find out whether the credentials are good. A proxy that is silent for longer
/// has most likely taken them and waits for the host, which may be dead; nobody else's connection starves for that.
const TRIAL_PATIENCE: Duration = Duration::from_secs(1);

/// What a proxy is made of.
pub(super) struct ProxyParts {
    /// `host:port`, for the log and the metrics.
    pub(super) name: Box<str>,
    pub(super) dialler: Dialler,
    /// TLS to the proxy itself, with the name of its certificate.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) authorization: Option<HeaderValue>,
    pub(super) is_preemptive: bool,
    pub(super) clock: Clock,
    pub(super) observer: TunnelObserver,
}

/// A proxy that makes tunnels.
pub struct Proxy {
    parts: ProxyParts,
    standing: Mutex<Standing>,
    /// Held by whoever finds out whether the credentials are good: they are sent one by one until they are.
    trial: tokio::sync::Mutex<()>,
    /// Of each target that somebody asks for now.
    turns: Mutex<HashMap<Box<str>, Weak<Turns>>>,
}

impl Proxy {
    pub(super) fn new(parts: ProxyParts) -> Self {
        Self {
            parts,
            standing: Mutex::default(),
            trial: tokio::sync::Mutex::new(()),
            turns: Mutex::default(),
        }
    }

    /// A tunnel to `host`, unresolved, and the address of the proxy.
    pub async fn tunnel(&self, host: &str, port: u16) -> Result<(Wire, SocketAddr), ProxyFault> {
        let counted = Counted { proxy: self, end: TunnelEnd::Late };
        let target = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let ended = match &self.parts.authorization {
            None => self.without_credentials(&target).await,
            Some(authorization) => self.with_credentials(&target, authorization).await,
        };
        counted.ends(ended.as_ref().map_or_else(ProxyFault::end, |_| TunnelEnd::Made));
        ended
    }

    async fn without_credentials(&self, target: &str) -> Result<(Wire, SocketAddr), ProxyFault> {
        match self.ask(target, None).await? {
            (Asked::Tunnel(wire), address) => Ok((wire, address)),
            (Asked::AsksForBasic, _) => Err(ProxyFault::CredentialMissing),
        }
    }

    async fn with_credentials(
        &self,
        target: &str,
        authorization: &HeaderValue,
    ) -> Result<(Wire, SocketAddr), ProxyFault> {
        self.may_send()?;
        // Waits for nobody: nothing is sent that could be refused.
        if !self.parts.is_preemptive
            && let (Asked::Tunnel(wire), address) = self.ask(target, None).await?
        {
            return Ok((wire, address));
        }
        let turns = self.turns_to(target);
        let _turn = turns.take(|| self.standing().is_proven()).await;
        let _trial = self.trial().await;
        // Others may have been refused meanwhile.
        self.may_send()?;
        match self.ask(target, Some(authorization)).await {
            Ok((Asked::Tunnel(wire), address)) => {
                self.standing().taken(self.parts.clock.instant());
                Ok((wire, address))
            }
            // tinyproxy answers 401 to a wrong password.
            Ok((Asked::AsksForBasic, _))
            | Err(ProxyFault::OtherAuthentication | ProxyFault::Refused(401)) => Err(self.refused()),
            // Says nothing of them: a proxy may judge the host, or how often we come, before it looks at them.
            Err(fault) => Err(fault),
        }
    }

    async fn trial(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        if self.standing().is_proven() {
            return None;
        }
        let trial = timeout(TRIAL_PATIENCE, self.trial.lock()).await.ok();
        // Somebody may have found out meanwhile.
        trial.filter(|_| !self.standing().is_proven())
    }

    /// Those of one target are shared by all who ask for it, and never wait for another target.
    fn turns_to(&self, target: &str) -> Arc<Turns> {
        let mut known = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, turns| turns.strong_count() > 0);
        known.get(target).and_then(Weak::upgrade).unwrap_or_else(|| {
            let turns = Arc::new(Turns::new());
            known.insert(target.into(), Arc::downgrade(&turns));
            turns
        })
    }

    /// Each question has a connection of its own: most proxies close theirs with a 407.
    async fn ask(
        &self,
        target: &str,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Asked, SocketAddr), ProxyFault> {
        let (tcp, address) = self.parts.dialler.dial(None).await?;
        let wire = match &self.parts.tls {
            None => Wire::Plain(tcp),
            Some((tls, name)) => {
                let stream = tls.connect(name.clone(), tcp).await.map_err(ProxyFault::Tls)?;
                Wire::Wrapped(Box::new(stream))
            }
        };
        Ok((ask(wire, target, authorization).await?, address))
    }

    fn may_send(&self) -> Result<(), ProxyFault> {
        let may = self.standing().may_be_sent(self.parts.clock.instant());
        if may { Ok(()) } else { Err(ProxyFault::CredentialHeld) }
    }

    fn refused(&self) -> ProxyFault {
        if let Some(pause) = self.standing().refused(self.parts.clock.instant(), random_unit()) {
            tracing::error!(
                proxy = %self.parts.name,
                pause_s = pause.as_secs(),
                "the proxy refuses our user name and password; it is left in peace so that no account is locked"
            );
        }
        ProxyFault::CredentialRefused
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts how an attempt ended; one that is given up by its caller was late.
struct Counted<'a> {
    proxy: &'a Proxy,
    end: TunnelEnd,
}

impl Counted<'_> {
    fn ends(mut self, end: TunnelEnd) {
        self.end = end;
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        (self.proxy.parts.observer)(&self.proxy.parts.name, Some(self.end));
    }
}
