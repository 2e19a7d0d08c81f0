//! One session with a mail server: TLS, EHLO, AUTH, then letters one after the other.

use std::sync::atomic::{AtomicBool, Ordering};

use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use rustls_pki_types::ServerName;
use tocsin_config::MailSecurity;
use tokio_rustls::TlsConnector;

use super::credential::MECHANISMS;
use super::request::Letter;
use super::response::{Fault, Stage, Trouble};
use super::starttls;
use super::stream::MailStream;
use crate::transport::Dialler;

/// Letters of one session; servers put an end to longer ones.
const LETTERS_MAX: u32 = 100;

/// A mail server.
pub(super) struct Server {
    pub(super) dialler: Dialler,
    pub(super) tls: TlsConnector,
    /// The name of its certificate.
    pub(super) name: ServerName<'static>,
    pub(super) security: MailSecurity,
    /// What we call ourselves.
    pub(super) hello: String,
    pub(super) login: Option<Credentials>,
}

/// A session that letters can be sent in.
pub(super) struct Session {
    connection: AsyncSmtpConnection,
    letters: u32,
}

impl Server {
    /// Opens a session up to the login, which is [`Session::log_in`].
    pub(super) async fn open(&self) -> Result<Session, Fault> {
        let opening = |trouble| Fault { stage: Stage::Opening, trouble };
        let (mut tcp, _) = self.dialler.dial(None).await.map_err(|_| opening(Trouble::Unreachable))?;
        if self.security == MailSecurity::StartTls {
            starttls::ask(&mut tcp, &self.hello).await.map_err(opening)?;
        }
        let tls = self.tls.connect(self.name.clone(), tcp).await.map_err(|_| opening(Trouble::Tls))?;
        let stream = match self.security {
            MailSecurity::Implicit => MailStream::implicit(tls),
            MailSecurity::StartTls => MailStream::upgraded(tls),
        };
        let hello = ClientId::Domain(self.hello.clone());
        let connection = AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await;
        let connection = connection.map_err(|error| told(Stage::Opening, &error))?;
        Ok(Session { connection, letters: 0 })
    }
}

impl Session {
    /// Says who we are, by a mechanism that both sides have.
    pub(super) async fn log_in(&mut self, login: &Credentials) -> Result<(), Fault> {
        let info = self.connection.server_info();
        if !MECHANISMS.iter().any(|mechanism| info.supports_auth_mechanism(*mechanism)) {
            return Err(Fault { stage: Stage::Login, trouble: Trouble::NoLogin });
        }
        let answered = self.connection.auth(MECHANISMS, login).await;
        answered.map(drop).map_err(|error| told(Stage::Login, &error))
    }

    /// Whether another letter may go out in it: it lives, has not carried too many, and forgets what was begun.
    pub(super) async fn is_fit(&mut self) -> bool {
        self.letters < LETTERS_MAX && self.connection.command(Rset).await.is_ok()
    }

    /// Hands a letter over. `is_written` is set right before the letter itself is written.
    pub(super) async fn hand_over(&mut self, letter: &Letter, is_written: &AtomicBool) -> Result<(), Fault> {
        self.letters += 1;
        let sender = letter.envelope.from().cloned();
        self.say(Stage::Sender, Mail::new(sender, Vec::new())).await?;
        for recipient in letter.envelope.to() {
            self.say(Stage::Recipient, Rcpt::new(recipient.clone(), Vec::new())).await?;
        }
        self.say(Stage::Data, Data).await?;
        is_written.store(true, Ordering::Release);
        let answered = self.connection.message(&letter.bytes).await;
        answered.map(drop).map_err(|error| told(Stage::Content, &error))
    }

    /// Takes leave; whether the server hears it does not matter.
    pub(super) async fn end(mut self) {
        self.connection.abort().await;
    }

    async fn say(&mut self, stage: Stage, command: impl std::fmt::Display) -> Result<(), Fault> {
        self.connection.command(command).await.map(drop).map_err(|error| told(stage, &error))
    }
}

/// Nothing of the reply's text is kept: servers repeat addresses in it.
fn told(stage: Stage, error: &Error) -> Fault {
    let code = |code: lettre::transport::smtp::response::Code| {
        (code.severity as u16) * 100 + (code.category as u16) * 10 + code.detail as u16
    };
    let trouble = error.status().map_or(Trouble::Cut, |status| Trouble::Reply(code(status)));
    Fault { stage, trouble }
}
