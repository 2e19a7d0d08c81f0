//! Commands for a running server, by way of its ops door: one call over one connection, without redirects or
//! repetitions.
//!
//! The token comes from a file or from `TOCSIN_OPS_TOKEN`, never from the command line, which others on the machine can
//! read. It is sent over TLS, or in clear to this machine only.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use tocsin_engine::transport::{Application, client_config};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use zeroize::Zeroizing;

use crate::Exit;

/// Names the token where there is no file.
const TOKEN_VARIABLE: &str = "TOCSIN_OPS_TOKEN";

/// How long a connection and its handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the server may take: a backup of a large database, and a check of a long audit trail, take minutes.
const REPLY_TIMEOUT: Duration = Duration::from_secs(1_800);

/// Longest reply that is read, in bytes.
const REPLY_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// The ops door of a running server.
#[derive(Debug, Args)]
pub(super) struct OpsDoor {
    /// Ask the running server whose ops door is at this URL. Its token is in TOCSIN_OPS_TOKEN or a file.
    #[arg(long, value_name = "URL")]
    pub(super) url: Option<String>,
    /// A file with the token.
    #[arg(long, requires = "url", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The authorities that the door's certificate may be from, in place of the machine's.
    #[arg(long, requires = "url", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

/// Why a command was not done by a running server.
#[derive(Debug, thiserror::Error)]
enum RemoteError {
    #[error("{0}")]
    Setup(String),
    #[error("no connection to {origin}: {why}")]
    NoConnection { origin: String, why: String },
    #[error("{origin} gave no whole reply: {why}; look there whether it was done")]
    Cut { origin: String, why: String },
    #[error("the server refused: {0}")]
    Refused(String),
}

impl RemoteError {
    const fn exit(&self) -> Exit {
        match self {
            Self::Setup(_) => Exit::Configuration,
            Self::NoConnection { .. } | Self::Cut { .. } | Self::Refused(_) => Exit::Failed,
        }
    }
}

/// Makes a backup there, where the server keeps its backups.
pub(super) fn backup(door: &OpsDoor) -> Exit {
    finish(call(door, &Method::POST, "/v1/admin/backup"), |made| {
        super::print(&format!("{}: {} files, {} bytes\n", text(made, "folder"), made["files"], made["bytes"]))
    })
}

/// Has the server take its configuration over anew.
pub(super) fn reload(door: &OpsDoor) -> Exit {
    finish(call(door, &Method::POST, "/v1/admin/reload"), |reloaded| {
        let warnings = reloaded["warnings"].as_array().into_iter().flatten();
        warnings.filter_map(Value::as_str).for_each(|warning| eprintln!("{warning}"));
        super::print("The new configuration is in force.\n")
    })
}

/// Has the server check its audit trail.
pub(super) fn check_audit(door: &OpsDoor) -> Exit {
    finish(call(door, &Method::GET, "/v1/admin/audit/verify"), |checked| {
        if checked["sound"] != Value::Bool(true) {
            let fault = &checked["fault"];
            eprintln!("row {}: {}", fault["number"], text(fault, "what"));
            return Exit::Failed;
        }
        let (first, last) = (&checked["first"], &checked["last"]);
        let hash = text(checked, "hash");
        super::print(&format!("Rows {first} to {last} are what was stored. The last hash is {hash}.\n"))
    })
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

fn finish(called: Result<Value, RemoteError>, tell: impl FnOnce(&Value) -> Exit) -> Exit {
    match called {
        Ok(reply) => tell(&reply),
        Err(error) => {
            eprintln!("{error}");
            error.exit()
        }
    }
}

fn call(door: &OpsDoor, method: &Method, path: &str) -> Result<Value, RemoteError> {
    let url = door.url.as_deref().unwrap_or_default();
    let target = Target::parse(url)?;
    let authorization = authorization(door)?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, &target.authority)
        .header(AUTHORIZATION, authorization)
        .body(Empty::<Bytes>::new())
        .map_err(|error| RemoteError::Setup(error.to_string()))?;
    actix_rt::System::new().block_on(target.send(request, door.ca_file.as_deref()))
}

/// The header with the token, which no log shows.
fn authorization(door: &OpsDoor) -> Result<HeaderValue, RemoteError> {
    let setup = RemoteError::Setup;
    let token = match &door.token_file {
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| setup(format!("the token file {} cannot be read: {error}", path.display())))?,
        None => std::env::var(TOKEN_VARIABLE).map_err(|_| {
            setup(format!("set {TOKEN_VARIABLE} to a token of the ops door, or give --token-file"))
        })?,
    };
    let token = Zeroizing::new(token);
    let bearer = Zeroizing::new(format!("Bearer {}", token.trim()));
    let mut value = HeaderValue::try_from(bearer.as_str())
        .map_err(|_| setup("what was given as the token is none".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where the ops door is.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    is_tls: bool,
    host: String,
    port: u16,
    authority: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, RemoteError> {
        let wrong = || {
            let told = "--url must be http://HOST:PORT or https://HOST:PORT of the ops door, without a path";
            RemoteError::Setup(told.to_owned())
        };
        let uri: Uri = url.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(wrong()),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong());
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port, authority: authority.as_str().to_owned() })
    }

    fn origin(&self) -> String {
        format!("{}://{}", if self.is_tls { "https" } else { "http" }, self.authority)
    }

    fn no_connection(&self, why: impl ToString) -> RemoteError {
        RemoteError::NoConnection { origin: self.origin(), why: why.to_string() }
    }

    fn cut(&self, why: impl ToString) -> RemoteError {
        RemoteError::Cut { origin: self.origin(), why: why.to_string() }
    }

    async fn send(
        &self,
        request: Request<Empty<Bytes>>,
        ca_file: Option<&std::path::Path>,
    ) -> Result<Value, RemoteError> {
        let late = |_| self.no_connection(format!("none within {} s", CONNECT_TIMEOUT.as_secs()));
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting).await.map_err(late)?;
        let stream = connected.map_err(|error| self.no_connection(error))?;
        if !self.is_tls {
            let peer = stream.peer_addr().map_err(|error| self.no_connection(error))?;
            refuse_in_clear(peer.ip())?;
            return self.exchange(stream, request).await;
        }
        let config = client_config(ca_file, Application::Http1)
            .map_err(|error| RemoteError::Setup(error.to_string()))?;
        let name = ServerName::try_from(self.host.clone()).map_err(|error| self.no_connection(error))?;
        let handshake = TlsConnector::from(Arc::clone(&config)).connect(name, stream);
        let encrypted = tokio::time::timeout(CONNECT_TIMEOUT, handshake).await.map_err(late)?;
        self.exchange(encrypted.map_err(|error| self.no_connection(error))?, request).await
    }

    async fn exchange<S>(&self, stream: S, request: Request<Empty<Bytes>>) -> Result<Value, RemoteError>
    where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.no_connection(error))?;
        actix_rt::spawn(connection);
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|error| self.cut(error))?;
            let status = response.status();
            let body = Limited::new(response.into_body(), REPLY_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| self.cut(error))?.to_bytes()))
        };
        let late = |_| self.cut(format!("none within {} s", REPLY_TIMEOUT.as_secs()));
        let (status, body) = tokio::time::timeout(REPLY_TIMEOUT, exchange).await.map_err(late)??;
        let reply: Value =
            serde_json::from_slice(&body).map_err(|_| self.cut(format!("{status} without JSON")))?;
        if status.is_success() {
            return Ok(reply);
        }
        Err(RemoteError::Refused(format!("{} ({})", text(&reply, "detail"), text(&reply, "code"))))
    }
}

/// A token in clear goes no further than this machine.
fn refuse_in_clear(peer: IpAddr) -> Result<(), RemoteError> {
    if peer.is_loopback() {
        return Ok(());
    }
    let told = "http is for this machine only, because the token would be sent in clear; use https";
    Err(RemoteError::Setup(told.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_an_origin_and_nothing_more() {
        let target = Target::parse("https://[::1]:8442").expect("good");
        assert_eq!((target.is_tls, target.host.as_str(), target.port), (true, "::1", 8_442));
        let target = Target::parse("http://localhost/").expect("good");
        assert_eq!((target.is_tls, target.host.as_str(), target.port), (false, "localhost", 80));
        for bad in ["", "localhost:1", "ftp://a", "http://a/v1", "http://a/?x", "https://user@a", "/"] {
            assert!(Target::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_token_in_clear_goes_to_this_machine_only() {
        assert!(refuse_in_clear(IpAddr::from([127, 0, 0, 2])).is_ok());
        assert!(refuse_in_clear(IpAddr::from([10, 0, 0, 1])).is_err());
    }
}
