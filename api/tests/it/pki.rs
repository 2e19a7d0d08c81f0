//! Certificates made for one test, and a client that speaks TLS and tells what it saw.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::{Request, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, HandshakeKind, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::http::SOON;

/// The keys of a door that speaks TLS.
pub const TLS: &str = "certificate_file = \"tls/door.pem\"\nkey_file = \"tls/door.key\"\n";

/// An authority.
pub struct Pki(CertifiedIssuer<'static, KeyPair>);

impl Pki {
    pub fn new() -> Self {
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().expect("a key"));
        Self(issuer.expect("an authority"))
    }

    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        parameters.distinguished_name.push(rcgen::DnType::CommonName, name);
        (parameters.signed_by(&key, &self.0).expect("signed").pem(), key.serialize_pem())
    }

    /// Writes a certificate for this host and its key as `folder/tls/FILE.pem` and `.key`.
    pub fn write_for(&self, folder: &Path, file: &str, host: &str) {
        let (certificate, key) = self.issue(host);
        fs::write(folder.join("tls").join(format!("{file}.pem")), certificate).expect("written");
        write_key(&folder.join("tls").join(format!("{file}.key")), &key);
    }

    /// Writes a door's certificate, its authority, and certificates of two clients into `folder/tls`.
    pub fn write(&self, folder: &Path) {
        let tls = folder.join("tls");
        fs::create_dir_all(&tls).expect("a folder");
        fs::write(tls.join("ca.pem"), self.0.pem()).expect("written");
        for (file, name) in
            [("door", "localhost"), ("shop", "shop.example.com"), ("other", "other.example.com")]
        {
            let (certificate, key) = self.issue(name);
            fs::write(tls.join(format!("{file}.pem")), certificate).expect("written");
            write_key(&tls.join(format!("{file}.key")), &key);
        }
    }
}

/// A file that nobody else may read.
pub fn write_key(path: &Path, pem: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::write(path, pem).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("our own file");
}

/// What a connection turned out to be.
#[derive(Debug)]
pub struct Seen {
    pub version: Version,
    pub status: u16,
    pub text: String,
    pub is_resumed: bool,
    pub certificate: CertificateDer<'static>,
}

/// A client that trusts the authority in `folder/tls/ca.pem`.
#[derive(Clone)]
pub struct TlsClient(ClientConfig);

impl TlsClient {
    pub fn new(folder: &Path) -> Self {
        Self::showing(folder, None)
    }

    /// One that shows the certificate `folder/tls/NAME.pem` where it is asked for one.
    pub fn showing(folder: &Path, name: Option<&str>) -> Self {
        let tls = folder.join("tls");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(tls.join("ca.pem")).expect("PEM")).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .expect("versions")
            .with_root_certificates(roots);
        Self(match name {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let chain = CertificateDer::from_pem_file(tls.join(format!("{name}.pem"))).expect("PEM");
                let key = PrivateKeyDer::from_pem_file(tls.join(format!("{name}.key"))).expect("PEM");
                builder.with_client_auth_cert(vec![chain], key).expect("a pair")
            }
        })
    }

    /// The same with these protocols of ALPN.
    pub fn speaking(mut self, protocols: &[&[u8]]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        self
    }

    /// The same that speaks TLS 1.2 only; it shares nothing with the first.
    pub fn of_tls12(folder: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(folder.join("tls/ca.pem")).expect("PEM");
        roots.add(ca).expect("an authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS12]).expect("1.2");
        Self(builder.with_root_certificates(roots).with_no_client_auth())
    }

    pub async fn connect(&self, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(self.0.clone()));
        let name = ServerName::try_from("localhost").expect("a name");
        tokio::time::timeout(SOON, connector.connect(name, stream)).await.expect("an end of the handshake")
    }

    /// A GET on a connection of its own. A refused certificate may show only here: in TLS 1.3 the client is done
    /// with the handshake before the server has looked.
    pub async fn get(&self, address: SocketAddr, path: &str, authorization: &str) -> Result<Seen, String> {
        let stream = self.connect(address).await.map_err(|error| error.to_string())?;
        let session = stream.get_ref().1;
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        let certificate = session.peer_certificates().expect("a certificate")[0].clone().into_owned();
        let request =
            Request::get(if is_http2 { format!("https://localhost{path}") } else { path.to_owned() })
                .header("authorization", authorization);
        let request = if is_http2 {
            request
        } else {
            request.header("host", "localhost").header("connection", "close")
        };
        let request = request.body(Empty::<Bytes>::new()).expect("a request");
        let io = TokioIo::new(stream);
        let failed = |error: hyper::Error| error.to_string();
        let reply = if is_http2 {
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.map_err(failed)?;
            actix_rt::spawn(async move { drop(connection.await) });
            tokio::time::timeout(SOON, sender.send_request(request)).await
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await.map_err(failed)?;
            actix_rt::spawn(async move { drop(connection.await) });
            tokio::time::timeout(SOON, sender.send_request(request)).await
        };
        let reply = reply.expect("a reply in time").map_err(failed)?;
        let (version, status) = (reply.version(), reply.status().as_u16());
        let body = reply.into_body().collect().await.map_err(failed)?.to_bytes();
        let text = String::from_utf8(body.to_vec()).expect("UTF-8");
        Ok(Seen { version, status, text, is_resumed, certificate })
    }
}
