//! Through proxies that are not ours: Debian's squid and tinyproxy, each with a user name and a password.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use tempfile::TempDir;
use tocsin_engine::clock::Clock;
use tocsin_engine::transport::{Outgoing, Pool, PoolLimits, ProxyFault};

use super::rig::{Ends, Outside, PATIENCE, refused, settings};

const USERNAME: &str = "tocsin";
const PASSWORD: &str = "s3cret-word";
/// Through one tunnel, as many at a time as the network lets.
const REQUESTS: usize = 50;
/// A free port may be taken by another process before the proxy has it.
const STARTS_MAX: usize = 5;

#[derive(Clone, Copy)]
enum Kind {
    Squid,
    Tinyproxy,
}

/// A proxy of Debian's that lets nobody but [`USERNAME`] through, and only to one port.
struct Debian {
    process: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Debian {
    fn start(kind: Kind, only_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // squid lays its root's rights down before it writes its files.
        open_to_all(folder.path());
        for _ in 0..STARTS_MAX {
            let address = free_address();
            let mut process = match kind {
                Kind::Squid => squid(folder.path(), address, only_port),
                Kind::Tinyproxy => tinyproxy(folder.path(), address, only_port),
            };
            if listens(&mut process, address) {
                return Self { process, address, folder };
            }
        }
        panic!("the proxy does not start: {}", read(folder.path(), "errors"));
    }

    fn log(&self) -> String {
        read(self.folder.path(), "log") + &read(self.folder.path(), "errors")
    }
}

impl Drop for Debian {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _reaped = self.process.wait();
    }
}

#[tokio::test]
async fn http2_goes_through_squid_with_basic_authentication() {
    requests_go_through(Kind::Squid).await;
}

#[tokio::test]
async fn http2_goes_through_tinyproxy_with_basic_authentication() {
    requests_go_through(Kind::Tinyproxy).await;
}

#[tokio::test]
async fn squid_refuses_a_wrong_password_and_another_port() {
    refusals_are_told(Kind::Squid).await;
}

#[tokio::test]
async fn tinyproxy_refuses_a_wrong_password_and_another_port() {
    refusals_are_told(Kind::Tinyproxy).await;
}

async fn requests_go_through(kind: Kind) {
    let outside = Outside::start().await;
    let port = outside.network.addr().port();
    let proxy = Debian::start(kind, port);
    for is_preemptive in [false, true] {
        let ends = Ends::default();
        let settings = settings(proxy.address, &keys(PASSWORD, is_preemptive));
        let connector = outside.connector_to("localhost", &ends.proxies(), &settings);
        let limits = PoolLimits {
            connections_max: 1,
            queue_max: REQUESTS,
            connect_timeout: PATIENCE,
            ping_interval: PATIENCE,
            ping_timeout: PATIENCE,
        };
        let pool = Pool::new("debian", connector, limits, Clock::system());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        for number in 0..REQUESTS {
            let url = format!("https://localhost:{port}/3/device/{number:064x}");
            let body = || Bytes::from_static(b"{\"aps\":{}}");
            let request = || Request::post(&*url).body(body()).ok();
            let outgoing = Outgoing { request: &request, avoid: None, start_by: deadline, written: &|| () };
            let answer = pool.send(&outgoing, deadline).await;
            let answer = answer.unwrap_or_else(|error| panic!("{error}: {}", proxy.log()));
            assert_eq!(answer.status.as_u16(), 403, "the double of Apple misses a token: {answer:?}");
        }
        assert_eq!(ends.words(), ["made"], "{}", proxy.log());
    }
}

async fn refusals_are_told(kind: Kind) {
    let outside = Outside::start().await;
    let port = outside.network.addr().port();
    let proxy = Debian::start(kind, port);
    for is_preemptive in [false, true] {
        let proxies = Ends::default().proxies();
        let wrong = settings(proxy.address, &keys("another-word", is_preemptive));
        let connector = outside.connector_to("localhost", &proxies, &wrong);
        let fault = refused(&connector).await;
        assert!(matches!(fault, ProxyFault::CredentialRefused), "{fault}: {}", proxy.log());
        assert!(matches!(refused(&connector).await, ProxyFault::CredentialHeld));
    }
    let strict = Debian::start(kind, port.wrapping_add(1).max(1));
    let right = settings(strict.address, &keys(PASSWORD, true));
    let connector = outside.connector_to("localhost", &Ends::default().proxies(), &right);
    let fault = refused(&connector).await;
    assert!(matches!(fault, ProxyFault::Refused(403)), "{fault}: {}", strict.log());
}

fn keys(password: &str, is_preemptive: bool) -> String {
    format!("username = \"{USERNAME}\"\npassword = \"{password}\"\npreemptive = {is_preemptive}")
}

fn squid(folder: &Path, address: SocketAddr, only_port: u16) -> Child {
    let helper = folder.join("helper");
    let script = format!(
        "while read -r user word; do\n\
         if [ \"$user\" = {USERNAME} ] && [ \"$word\" = {PASSWORD} ]; then echo OK; else echo ERR; fi\ndone\n"
    );
    std::fs::write(&helper, script).expect("written");
    let shown = folder.display();
    let text = format!(
        "http_port {address}\nvisible_hostname double\npid_filename none\nshutdown_lifetime 0 seconds\n\
         auth_param basic program /bin/sh {}\nauth_param basic children 1\nauth_param basic realm double\n\
         acl known proxy_auth REQUIRED\nacl tunnel method CONNECT\nacl there port {only_port}\n\
         http_access deny !tunnel\nhttp_access deny !known\nhttp_access allow there\nhttp_access deny all\n\
         cache deny all\ncache_log {shown}/log\naccess_log none\ncoredump_dir {shown}\nnetdb_filename none\n",
        helper.display()
    );
    std::fs::write(folder.join("squid.conf"), text).expect("written");
    let configuration = folder.join("squid.conf");
    spawn(folder, "squid", &["-N", "-f", &configuration.to_string_lossy()])
}

fn tinyproxy(folder: &Path, address: SocketAddr, only_port: u16) -> Child {
    let text = format!(
        "Listen {}\nPort {}\nTimeout 60\nMaxClients 20\nLogLevel Connect\nLogFile \"{}/log\"\n\
         BasicAuth {USERNAME} {PASSWORD}\nConnectPort {only_port}\n",
        address.ip(),
        address.port(),
        folder.display()
    );
    std::fs::write(folder.join("tinyproxy.conf"), text).expect("written");
    let configuration = folder.join("tinyproxy.conf");
    spawn(folder, "tinyproxy", &["-d", "-c", &configuration.to_string_lossy()])
}

fn spawn(folder: &Path, package: &str, arguments: &[&str]) -> Child {
    let errors = std::fs::File::create(folder.join("errors")).expect("a file");
    let spawned = Command::new(found(package))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors)
        .spawn();
    spawned.unwrap_or_else(|error| panic!("{package}: {error}; scripts/setup python installs it"))
}

/// Where a server's program is: Debian keeps some in folders that the path of an ordinary user leaves out.
fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/local/sbin", "/usr/sbin"].map(PathBuf::from));
    let mut programs = folders.map(|folder| folder.join(program));
    programs.find(|file| file.is_file()).unwrap_or_else(|| program.into())
}

/// Whether it takes connections; `false` when it ended instead.
fn listens(process: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if process.try_wait().expect("a child").is_some() {
            return false;
        }
        if TcpStream::connect(address).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("bound")
}

fn open_to_all(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o777)).expect("our own folder");
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read(folder.join(name))
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default()
}
