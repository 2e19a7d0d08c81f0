//! One proxy under one user name, for everybody who goes through it.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::HeaderValue;
use rustls_pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::ask::{Asked, ask};
use super::fault::{ProxyFault, TunnelEnd};
use super::registry::TunnelObserver;
use super::standing::Standing;
use crate::clock::Clock;
use crate::transport::dialler::Dialler;
use crate::transport::{Wire, random_unit};

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
}

impl Proxy {
    pub(super) fn new(parts: ProxyParts) -> Self {
        Self { parts, standing: Mutex::default(), trial: tokio::sync::Mutex::new(()) }
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
        let _trial = if self.standing().is_proven() { None } else { Some(self.trial.lock().await) };
        self.may_send()?;
        if !self.parts.is_preemptive
            && let (Asked::Tunnel(wire), address) = self.ask(target, None).await?
        {
            return Ok((wire, address));
        }
        // Others may have been refused meanwhile.
        self.may_send()?;
        match self.ask(target, Some(authorization)).await {
            Ok((Asked::Tunnel(wire), address)) => {
                self.standing().taken();
                Ok((wire, address))
            }
            // tinyproxy answers 401 to a wrong password.
            Ok((Asked::AsksForBasic, _))
            | Err(ProxyFault::OtherAuthentication | ProxyFault::Refused(401)) => Err(self.refused()),
            // Whoever judges the host has let us in.
            Err(fault @ (ProxyFault::Refused(_) | ProxyFault::Upstream(_))) => {
                self.standing().taken();
                Err(fault)
            }
            Err(fault) => Err(fault),
        }
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
        let pause = self.standing().refused(self.parts.clock.instant(), random_unit());
        tracing::error!(
            proxy = %self.parts.name,
            pause_s = pause.as_secs(),
            "the proxy refuses our user name and password; it is left in peace so that no account is locked"
        );
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
