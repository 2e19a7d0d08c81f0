//! One session: commands in, replies out (RFC 5321), with whatever shall go wrong.

use std::io;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::letter::{self, Letter};
use super::record::MailRecord;
use super::server::{Shared, SmtpSecurity, SmtpStage, SmtpTrouble};
use crate::sync::lock;

/// Most of a command or letter that is read.
const BYTES_MAX: usize = 256 * 1_024;
/// How long a client may take for a TLS handshake, and for a command.
const PATIENCE: Duration = Duration::from_secs(60);
/// With this reply a server ends the session.
const CLOSING: u16 = 421;
/// The end of a letter.
const LETTER_END: &[u8] = b"\r\n.\r\n";

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A session and what is known of it.
struct Session<'a> {
    shared: &'a Shared,
    number: u64,
    stream: Box<dyn Stream>,
    received: Vec<u8>,
    is_encrypted: bool,
    has_greeted: bool,
    is_known: bool,
    from: Option<String>,
    to: Option<String>,
}

/// Serves a session until either side ends it.
pub(super) async fn serve(tcp: TcpStream, shared: &Shared, number: u64) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let is_implicit = shared.security == SmtpSecurity::Implicit;
    let stream: Box<dyn Stream> =
        if is_implicit { Box::new(handshake(shared, tcp).await?) } else { Box::new(tcp) };
    let mut session = Session {
        shared,
        number,
        stream,
        received: Vec::new(),
        is_encrypted: is_implicit,
        has_greeted: false,
        is_known: false,
        from: None,
        to: None,
    };
    if session.passes(SmtpStage::Greeting).await? {
        session.reply("220 double ESMTP").await?;
    }
    loop {
        let line = session.line().await?;
        session.command(&line).await?;
    }
}

async fn handshake<S: Stream>(shared: &Shared, stream: S) -> io::Result<impl Stream + use<S>> {
    tokio::time::timeout(PATIENCE, shared.tls.accept(stream)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

/// The session ends here.
fn over<T>() -> io::Result<T> {
    Err(io::ErrorKind::ConnectionAborted.into())
}

impl Session<'_> {
    async fn command(&mut self, line: &str) -> io::Result<()> {
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let is_open = self.is_encrypted && (self.is_known || lock(&self.shared.credentials).is_none());
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.greet(rest).await,
            "NOOP" => self.reply("250 fine").await,
            "QUIT" => {
                self.reply("221 bye").await?;
                over()
            }
            _ if !self.has_greeted => self.reply("503 say EHLO first").await,
            "STARTTLS" if !self.is_encrypted => self.start_tls().await,
            "AUTH" if !self.is_encrypted => self.reply("538 not in clear").await,
            "AUTH" => self.login(rest).await,
            "RSET" => {
                (self.from, self.to) = (None, None);
                self.reply("250 forgotten").await
            }
            "MAIL" if !self.is_encrypted => self.reply("530 STARTTLS first").await,
            "MAIL" if !is_open => self.reply("530 AUTH first").await,
            "MAIL" if self.from.is_some() => self.reply("503 one letter at a time").await,
            "MAIL" => match path(rest, "FROM:") {
                Some(from) if self.passes(SmtpStage::Sender).await? => {
                    self.from = Some(from);
                    self.reply("250 yes").await
                }
                Some(_) => Ok(()),
                None => self.reply("501 no sender").await,
            },
            "RCPT" if self.from.is_none() || self.to.is_some() => self.reply("503 not now").await,
            "RCPT" => match path(rest, "TO:") {
                Some(to) if self.passes(SmtpStage::Recipient).await? => {
                    self.to = Some(to);
                    self.reply("250 yes").await
                }
                Some(_) => Ok(()),
                None => self.reply("501 no recipient").await,
            },
            "DATA" => match (self.from.take(), self.to.take()) {
                (Some(from), Some(to)) => self.data(from, to).await,
                (from, _) => {
                    self.from = from;
                    self.reply("503 not now").await
                }
            },
            _ => self.reply("500 what?").await,
        }
    }

    async fn greet(&mut self, name: &str) -> io::Result<()> {
        if name.is_empty() || name.contains(char::is_whitespace) {
            return self.reply("501 who?").await;
        }
        self.has_greeted = true;
        let hides = !self.is_encrypted && self.shared.hides_starttls();
        let mut replies = vec!["250-double".to_owned()];
        if !self.is_encrypted && !hides {
            replies.push("250-STARTTLS".to_owned());
        }
        if self.is_encrypted && lock(&self.shared.credentials).is_some() {
            replies.push("250-AUTH PLAIN LOGIN".to_owned());
        }
        replies.push("250 SIZE 262144".to_owned());
        self.reply(&replies.join("\r\n")).await
    }

    async fn start_tls(&mut self) -> io::Result<()> {
        let trouble = self.shared.trouble(SmtpStage::StartTls);
        if !self.survives(trouble).await? {
            return Ok(());
        }
        let is_injected = trouble == Some(SmtpTrouble::InjectedReply);
        self.reply(if is_injected { "220 go\r\n250 injected" } else { "220 go" }).await?;
        if !self.received.is_empty() {
            return over();
        }
        let clear = std::mem::replace(&mut self.stream, Box::new(tokio::io::empty()));
        self.stream = Box::new(handshake(self.shared, clear).await?);
        (self.is_encrypted, self.has_greeted) = (true, false);
        Ok(())
    }

    async fn login(&mut self, rest: &str) -> io::Result<()> {
        if !self.passes(SmtpStage::Auth).await? {
            return Ok(());
        }
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let pair = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let text = if initial.is_empty() { self.ask("").await? } else { initial.to_owned() };
                plain(&text)
            }
            "LOGIN" => {
                let username =
                    if initial.is_empty() { self.ask("Username:").await? } else { initial.to_owned() };
                let password = self.ask("Password:").await?;
                base64_text(&username).zip(base64_text(&password))
            }
            _ => return self.reply("504 another mechanism").await,
        };
        let is_right = lock(&self.shared.credentials).clone().is_none_or(|demanded| Some(demanded) == pair);
        if !is_right {
            self.shared.login_refused();
            return self.reply("535 5.7.8 wrong").await;
        }
        self.is_known = true;
        self.reply("235 in").await
    }

    async fn ask(&mut self, prompt: &str) -> io::Result<String> {
        self.reply(&format!("334 {}", STANDARD.encode(prompt))).await?;
        self.line().await
    }

    async fn data(&mut self, from: String, to: String) -> io::Result<()> {
        if !self.passes(SmtpStage::Data).await? {
            return Ok(());
        }
        self.reply("354 go on").await?;
        let bytes = self.letter().await?;
        let read = letter::read(&bytes);
        let fault = match &read {
            Ok(letter) => letter::judge(letter, &to).err(),
            Err(fault) => Some(*fault),
        };
        let letter: Letter = read.unwrap_or_default();
        let trouble = self.shared.trouble(SmtpStage::Content);
        let is_processed =
            matches!(trouble, None | Some(SmtpTrouble::CutAfterProcessing | SmtpTrouble::Delay(_)));
        let is_taken = is_processed && fault.is_none();
        let record = MailRecord { session: self.number, fault, is_taken, from, to, letter };
        self.shared.log.keep(record);
        if !self.survives(trouble).await? {
            return Ok(());
        }
        match fault {
            Some(fault) => self.reply(&format!("554 {fault}")).await,
            None => self.reply("250 taken").await,
        }
    }

    /// The letter up to its end, its dots unstuffed.
    async fn letter(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let end = self.received.windows(LETTER_END.len()).position(|window| window == LETTER_END);
            if let Some(end) = end {
                let rest = self.received.split_off(end + LETTER_END.len());
                let mut letter = std::mem::replace(&mut self.received, rest);
                letter.truncate(end + 2);
                return Ok(unstuffed(&letter));
            }
            self.receive().await?;
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.received.windows(2).position(|window| window == b"\r\n") {
                let rest = self.received.split_off(end + 2);
                let line = std::mem::replace(&mut self.received, rest);
                return String::from_utf8(line[..end].to_vec())
                    .map_err(|_| io::ErrorKind::InvalidData.into());
            }
            self.receive().await?;
        }
    }

    async fn receive(&mut self) -> io::Result<()> {
        if self.received.len() > BYTES_MAX {
            return over();
        }
        let reading = self.stream.read_buf(&mut self.received);
        match tokio::time::timeout(PATIENCE, reading).await.map_err(|_| io::ErrorKind::TimedOut)?? {
            0 => over(),
            _ => Ok(()),
        }
    }

    /// Lets happen what shall go wrong at this stage. Whether the stage is reached after all.
    async fn passes(&mut self, stage: SmtpStage) -> io::Result<bool> {
        self.survives(self.shared.trouble(stage)).await
    }

    async fn survives(&mut self, trouble: Option<SmtpTrouble>) -> io::Result<bool> {
        match trouble {
            None | Some(SmtpTrouble::NotOffered | SmtpTrouble::InjectedReply) => Ok(true),
            Some(SmtpTrouble::Reply(code)) => {
                self.shared.refused_by_script();
                self.reply(&format!("{code} scripted")).await?;
                if code == CLOSING { over() } else { Ok(false) }
            }
            Some(SmtpTrouble::Cut | SmtpTrouble::CutAfterProcessing) => over(),
            Some(SmtpTrouble::Silence) => std::future::pending().await,
            Some(SmtpTrouble::Delay(delay)) => {
                tokio::time::sleep(delay).await;
                Ok(true)
            }
        }
    }

    async fn reply(&mut self, reply: &str) -> io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
        self.stream.flush().await
    }
}

/// The address of `FROM:<address>`, whatever parameters follow.
fn path(text: &str, word: &str) -> Option<String> {
    let begins = text.get(..word.len())?.eq_ignore_ascii_case(word);
    let inner = text.get(word.len()..)?.trim().strip_prefix('<')?;
    let (address, _) = inner.split_once('>')?;
    (begins && address.contains('@')).then(|| address.to_owned())
}

fn plain(text: &str) -> Option<(String, String)> {
    let decoded = base64_text(text)?;
    let mut parts = decoded.split('\0');
    let (_authorization, username, password) = (parts.next()?, parts.next()?, parts.next()?);
    Some((username.to_owned(), password.to_owned()))
}

fn base64_text(text: &str) -> Option<String> {
    String::from_utf8(STANDARD.decode(text.trim()).ok()?).ok()
}

fn unstuffed(letter: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(letter.len());
    let mut begins_line = true;
    for byte in letter {
        if !(begins_line && *byte == b'.') {
            plain.push(*byte);
        }
        begins_line = *byte == b'\n';
    }
    plain
}
