//! The double of a mail server as tests and demos hold it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::dialogue;
use super::record::MailLog;
use crate::sync::lock;
use crate::{MockError, ServerIdentity};

/// Most letters that are kept on record.
const RECORDS_MAX_DEFAULT: usize = 20_000;
/// Most sessions at once.
const SESSIONS_MAX: usize = 1_024;
/// Most troubles that wait to happen.
const TROUBLES_MAX: usize = 16_384;
/// Pause after a failed accept, so that a lack of descriptors does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// When TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpSecurity {
    /// With the first byte (RFC 8314).
    Implicit,
    /// After STARTTLS (RFC 3207).
    StartTls,
}

/// A point of the dialogue at which something can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpStage {
    /// In place of the greeting.
    Greeting,
    /// At STARTTLS.
    StartTls,
    /// At AUTH.
    Auth,
    /// At MAIL FROM.
    Sender,
    /// At RCPT TO.
    Recipient,
    /// At DATA.
    Data,
    /// When the letter has come.
    Content,
}

/// What goes wrong there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTrouble {
    /// This reply: 4yz for now, 5yz for ever. After 421 the connection is closed.
    Reply(u16),
    /// The connection is cut; nothing was processed.
    Cut,
    /// The letter is taken and the connection cut in place of the reply. Only when the letter has come.
    CutAfterProcessing,
    /// No reply.
    Silence,
    /// The reply comes this much later.
    Delay(Duration),
    /// The server says that it has no STARTTLS. Only there.
    NotOffered,
    /// A further reply stands in clear behind that to STARTTLS, as a man in the middle puts it there. Only there.
    InjectedReply,
}

/// How a [`SmtpServer`] is set up.
#[derive(Debug)]
pub struct SmtpOptions {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Its certificate, from [`crate::Authority::issue`].
    pub identity: ServerIdentity,
    /// When TLS begins.
    pub security: SmtpSecurity,
    /// User name and password that it demands; `None` takes mail from everybody.
    pub credentials: Option<(String, String)>,
    /// Most letters that are kept on record.
    pub records_max: usize,
}

impl SmtpOptions {
    /// A server on a free port of 127.0.0.1 that demands nothing.
    pub fn new(identity: ServerIdentity, security: SmtpSecurity) -> Self {
        Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            identity,
            security,
            credentials: None,
            records_max: RECORDS_MAX_DEFAULT,
        }
    }

    /// The same for a server that demands these.
    pub fn demanding(mut self, username: &str, password: &str) -> Self {
        self.credentials = Some((username.to_owned(), password.to_owned()));
        self
    }
}

/// What all sessions of a server share.
pub(super) struct Shared {
    pub(super) tls: TlsAcceptor,
    pub(super) security: SmtpSecurity,
    pub(super) credentials: Mutex<Option<(String, String)>>,
    pub(super) log: MailLog,
    troubles: Mutex<VecDeque<(SmtpStage, SmtpTrouble)>>,
    sessions: AtomicU64,
    refused_logins: AtomicU64,
    scripted_refusals: AtomicU64,
}

impl Shared {
    /// The next trouble of this stage, which is then over. That STARTTLS is not offered is for EHLO alone.
    pub(super) fn trouble(&self, stage: SmtpStage) -> Option<SmtpTrouble> {
        self.trouble_if(|at, trouble| at == stage && trouble != SmtpTrouble::NotOffered)
    }

    /// Whether STARTTLS is left out of what is offered, this once.
    pub(super) fn hides_starttls(&self) -> bool {
        self.trouble_if(|_, trouble| trouble == SmtpTrouble::NotOffered).is_some()
    }

    fn trouble_if(&self, wanted: impl Fn(SmtpStage, SmtpTrouble) -> bool) -> Option<SmtpTrouble> {
        let mut troubles = lock(&self.troubles);
        let index = troubles.iter().position(|(at, trouble)| wanted(*at, *trouble))?;
        troubles.remove(index).map(|(_, trouble)| trouble)
    }

    pub(super) fn login_refused(&self) {
        self.refused_logins.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused_by_script(&self) {
        self.scripted_refusals.fetch_add(1, Ordering::Relaxed);
    }
}

/// A mail server that takes submissions.
pub struct SmtpServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl SmtpServer {
    /// Starts on the caller's tokio runtime.
    pub async fn start(options: SmtpOptions) -> Result<Self, MockError> {
        let shared = Arc::new(Shared {
            tls: TlsAcceptor::from(options.identity.tls(&[])?),
            security: options.security,
            credentials: Mutex::new(options.credentials),
            log: MailLog::new(options.records_max),
            troubles: Mutex::default(),
            sessions: AtomicU64::new(0),
            refused_logins: AtomicU64::new(0),
            scripted_refusals: AtomicU64::new(0),
        });
        let listener = TcpListener::bind(options.address).await.map_err(MockError::io("bind the port"))?;
        let address = listener.local_addr().map_err(MockError::io("read the bound address"))?;
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, accepting: Mutex::new(Some(accepting)) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// What came.
    pub fn mails(&self) -> &MailLog {
        &self.shared.log
    }

    /// Sessions that were opened so far, those that failed included.
    pub fn sessions(&self) -> u64 {
        self.shared.sessions.load(Ordering::Relaxed)
    }

    /// Logins with a wrong user name or password so far.
    pub fn refused_logins(&self) -> u64 {
        self.shared.refused_logins.load(Ordering::Relaxed)
    }

    /// Refusals by the script so far, wherever in the dialogue they came.
    pub fn scripted_refusals(&self) -> u64 {
        self.shared.scripted_refusals.load(Ordering::Relaxed)
    }

    /// The next `count` times that the dialogue comes to this stage, this happens.
    pub fn script(&self, count: usize, stage: SmtpStage, trouble: SmtpTrouble) -> Result<(), MockError> {
        let mut troubles = lock(&self.shared.troubles);
        if troubles.len() + count > TROUBLES_MAX {
            return Err(MockError::Full { what: "the script of troubles", max: TROUBLES_MAX });
        }
        troubles.extend(std::iter::repeat_n((stage, trouble), count));
        Ok(())
    }

    /// Forgets every trouble that has not happened.
    pub fn calm(&self) {
        lock(&self.shared.troubles).clear();
    }

    /// Demands these from now on.
    pub fn demand(&self, username: &str, password: &str) {
        *lock(&self.shared.credentials) = Some((username.to_owned(), password.to_owned()));
    }

    /// Stops, cuts every session, and waits for the end.
    pub async fn stop(&self) {
        let accepting = lock(&self.accepting).take();
        if let Some(task) = accepting {
            task.abort();
            let _cancelled = task.await;
        }
    }

    /// Listens on the same port again.
    pub async fn accept_again(&self) -> Result<(), MockError> {
        let listener = TcpListener::bind(self.address).await.map_err(MockError::io("bind the port again"))?;
        *lock(&self.accepting) = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        Ok(())
    }
}

impl Drop for SmtpServer {
    fn drop(&mut self) {
        if let Some(task) = lock(&self.accepting).take() {
            task.abort();
        }
    }
}

impl std::fmt::Debug for SmtpServer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SmtpServer").field("address", &self.address).finish_non_exhaustive()
    }
}

/// The sessions are tasks of this one, so that they end with it.
async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut sessions = JoinSet::new();
    loop {
        while sessions.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((tcp, _)) if sessions.len() < SESSIONS_MAX => {
                let number = shared.sessions.fetch_add(1, Ordering::Relaxed) + 1;
                let shared = Arc::clone(&shared);
                sessions.spawn(async move {
                    // A session that is cut is over; what it was about is on record.
                    let _ended = dialogue::serve(tcp, &shared, number).await;
                });
            }
            Ok(_) => {}
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}
