//! The double of a mail server, line by line.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tocsin_mock::{Authority, MockError, SmtpOptions, SmtpSecurity, SmtpServer, SmtpStage, SmtpTrouble};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::{DEADLINE, handshake, tls};

const HEAD: &str = "From: Bank <no-reply@bank.example>\r\nTo: ada@example.com\r\nDate: x\r\nSubject: Code\r\n\
                    Message-ID: <a.b@bank.example>\r\nAuto-Submitted: auto-generated\r\n\r\n";

/// A client that says what it is told to say.
struct Session<S>(S);

impl Session<TlsStream<TcpStream>> {
    /// Over TLS from the first byte, with the greeting and EHLO done.
    async fn open(authority: &Authority, server: &SmtpServer) -> Self {
        let mut session = Self::connect(authority, server).await;
        assert!(session.reply().await.starts_with("220 "));
        session.say("EHLO client").await;
        session
    }

    async fn connect(authority: &Authority, server: &SmtpServer) -> Self {
        Self(tls(authority, server.addr(), &[]).await.unwrap())
    }
}

impl Session<TcpStream> {
    /// In clear, with the greeting done.
    async fn open_in_clear(server: &SmtpServer) -> Self {
        let mut session = Self(TcpStream::connect(server.addr()).await.unwrap());
        assert!(session.reply().await.starts_with("220 "));
        session
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    /// Sends a line; the reply.
    async fn say(&mut self, line: &str) -> String {
        self.write(&format!("{line}\r\n")).await;
        self.reply().await
    }

    /// Sends these lines; the codes of the replies.
    async fn codes<const N: usize>(&mut self, lines: [&str; N]) -> [u16; N] {
        let mut codes = [0; N];
        for (line, code) in lines.into_iter().zip(&mut codes) {
            *code = self.say(line).await[..3].parse().unwrap();
        }
        codes
    }

    /// Submits a letter with this text to ada; the last reply.
    async fn submit(&mut self, text: &str) -> String {
        assert_eq!(
            self.codes(["MAIL FROM:<b@x.example>", "RCPT TO:<ada@example.com>", "DATA"]).await,
            [250, 250, 354]
        );
        self.say(&format!("{HEAD}{text}\r\n.")).await
    }

    async fn write(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
        self.0.flush().await.unwrap();
    }

    /// A whole reply; empty when the session is over.
    async fn reply(&mut self) -> String {
        let mut received = Vec::new();
        let reading =
            async { while !is_whole(&received) && self.0.read_buf(&mut received).await.unwrap_or(0) > 0 {} };
        tokio::time::timeout(DEADLINE, reading).await.expect("a reply in time");
        String::from_utf8(received).unwrap()
    }
}

/// Whether the last line is there, which has no hyphen behind its code.
fn is_whole(reply: &[u8]) -> bool {
    let text = String::from_utf8_lossy(reply);
    let last = text.strip_suffix("\r\n").and_then(|text| text.rsplit("\r\n").next().map(str::to_owned));
    last.is_some_and(|line| line.as_bytes().get(3) == Some(&b' '))
}

async fn start(change: impl FnOnce(SmtpOptions) -> SmtpOptions) -> (Authority, SmtpServer) {
    start_with(SmtpSecurity::Implicit, change).await
}

async fn start_with(
    security: SmtpSecurity,
    change: impl FnOnce(SmtpOptions) -> SmtpOptions,
) -> (Authority, SmtpServer) {
    let authority = Authority::new().unwrap();
    let options = change(SmtpOptions::new(authority.issue().unwrap(), security));
    (authority, SmtpServer::start(options).await.unwrap())
}

fn plain(username: &str, password: &str) -> String {
    format!("AUTH PLAIN {}", STANDARD.encode(format!("\0{username}\0{password}")))
}

#[tokio::test]
async fn letters_are_on_record_as_they_were_submitted() {
    let (authority, server) = start(|options| options).await;
    let mut session = Session::open(&authority, &server).await;
    for text in ["Code 123456", "..a line with a dot\r\n"] {
        assert!(session.submit(text).await.starts_with("250 "));
    }
    assert!(session.say("QUIT").await.starts_with("221 "));
    assert_eq!(session.reply().await, "", "and the session is over");
    let mails = server.mails().wait_for(2, |mail| mail.is_taken, DEADLINE).await.unwrap();
    let envelope = |at: usize| (mails[at].from.as_str(), mails[at].to.as_str(), mails[at].session);
    assert_eq!(envelope(0), ("b@x.example", "ada@example.com", 1));
    assert_eq!((mails[0].text(), mails[0].subject().as_str()), ("Code 123456", "Code"));
    assert_eq!(mails[1].text(), ".a line with a dot", "the dot that was put before it is gone");
    assert_eq!((mails[0].header("to"), mails[0].fault), (Some("ada@example.com"), None));
    assert_eq!(server.sessions(), 1);
}

#[tokio::test]
async fn a_letter_that_breaks_a_rule_is_refused_and_on_record() {
    let (authority, server) = start(|options| options).await;
    let mut session = Session::open(&authority, &server).await;
    for (text, part) in [("größe", "ASCII"), (&*"x".repeat(999), "too long")] {
        let told = session.submit(text).await;
        assert!(told.starts_with("554 ") && told.contains(part), "{told}");
    }
    let faults: Vec<_> =
        server.mails().records().iter().map(|mail| (mail.is_taken, mail.fault.is_some())).collect();
    assert_eq!(faults, [(false, true), (false, true)]);
}

#[tokio::test]
async fn commands_out_of_turn_are_refused() {
    let (authority, server) = start(|options| options).await;
    let mut session = Session::connect(&authority, &server).await;
    session.reply().await;
    assert_eq!(session.codes(["MAIL FROM:<a@b>", "EHLO", "EHLO a b", "NOOP"]).await, [503, 501, 501, 250]);
    assert_eq!(session.codes(["EHLO client", "RCPT TO:<a@b>", "DATA"]).await, [250, 503, 503]);
    assert_eq!(
        session.codes(["MAIL FROM:nobody", "MAIL FROM:<a@b>", "MAIL FROM:<a@b>"]).await,
        [501, 250, 503]
    );
    assert_eq!(
        session.codes(["RCPT TO:<>", "DATA", "RCPT TO:<a@b>", "RCPT TO:<a@b>"]).await,
        [501, 503, 250, 503]
    );
    assert_eq!(session.codes(["RSET", "DATA", "STARTTLS", "HELP"]).await, [250, 503, 500, 500]);
    assert!(server.mails().records().is_empty());
}

#[tokio::test]
async fn nothing_but_starttls_is_taken_in_clear() {
    let (authority, server) =
        start_with(SmtpSecurity::StartTls, |options| options.demanding("tocsin", "word")).await;
    let mut clear = Session::open_in_clear(&server).await;
    let offered = clear.say("EHLO client").await;
    assert!(offered.contains("STARTTLS") && !offered.contains("AUTH"), "{offered}");
    assert_eq!(clear.codes([&plain("tocsin", "word"), "MAIL FROM:<a@b>", "STARTTLS"]).await, [538, 530, 220]);
    let mut session = Session(handshake(&authority, clear.0, &[]).await.unwrap());
    assert_eq!(session.codes(["MAIL FROM:<a@b>"]).await, [503], "what was said in clear is forgotten");
    let offered = session.say("EHLO client").await;
    assert!(offered.contains("AUTH PLAIN LOGIN") && !offered.contains("STARTTLS"), "{offered}");
    assert_eq!(session.codes([&plain("tocsin", "word")]).await, [235]);
    assert!(session.submit("Code 1").await.starts_with("250 "));
}

#[tokio::test]
async fn starttls_is_hidden_or_followed_by_bytes_of_somebody_else_when_told_so() {
    let (_authority, server) = start_with(SmtpSecurity::StartTls, |options| options).await;
    let open = async || {
        let mut session = Session::open_in_clear(&server).await;
        let offered = session.say("EHLO client").await;
        (session, offered)
    };
    server.script(1, SmtpStage::StartTls, SmtpTrouble::NotOffered).unwrap();
    let (_session, offered) = open().await;
    assert!(!offered.contains("STARTTLS"), "{offered}");
    server.script(1, SmtpStage::StartTls, SmtpTrouble::InjectedReply).unwrap();
    let (mut session, offered) = open().await;
    assert!(offered.contains("STARTTLS"), "once only: {offered}");
    assert_eq!(session.say("STARTTLS").await, "220 go\r\n250 injected\r\n");
}

#[tokio::test]
async fn who_may_send_is_known_by_name_and_password() {
    let (authority, server) = start(|options| options.demanding("tocsin", "word")).await;
    let mut session = Session::open(&authority, &server).await;
    assert_eq!(session.codes(["MAIL FROM:<a@b>"]).await, [530]);
    for wrong in [plain("tocsin", "other"), plain("eve", "word"), "AUTH PLAIN %".to_owned()] {
        assert_eq!(session.codes([&wrong, "MAIL FROM:<a@b>"]).await, [535, 530], "{wrong}");
    }
    assert_eq!(session.codes(["AUTH CRAM-MD5"]).await, [504]);
    assert_eq!(server.refused_logins(), 3);
    let (name, word) = (STANDARD.encode("tocsin"), STANDARD.encode("word"));
    assert_eq!(session.codes(["AUTH LOGIN", &name, &word]).await, [334, 334, 235]);
    assert!(session.submit("Code 1").await.starts_with("250 "));
    server.demand("tocsin", "new");
    let mut later = Session::open(&authority, &server).await;
    assert_eq!(later.codes([&plain("tocsin", "word"), &plain("tocsin", "new")]).await, [535, 235]);
}

#[tokio::test]
async fn a_scripted_reply_stands_where_it_was_put_and_moves_nothing_on() {
    let (authority, server) = start(|options| options.demanding("tocsin", "word")).await;
    let mut session = Session::open(&authority, &server).await;
    let login = plain("tocsin", "word");
    for (stage, code) in [
        (SmtpStage::Auth, 454),
        (SmtpStage::Sender, 550),
        (SmtpStage::Recipient, 450),
        (SmtpStage::Data, 451),
        (SmtpStage::Content, 552),
    ] {
        server.script(1, stage, SmtpTrouble::Reply(code)).unwrap();
    }
    assert_eq!(session.codes([&login, "MAIL FROM:<a@b>", &login]).await, [454, 530, 235]);
    assert_eq!(session.codes(["MAIL FROM:<a@b>", "RCPT TO:<ada@example.com>"]).await, [550, 503]);
    assert_eq!(
        session.codes(["MAIL FROM:<a@b>", "RCPT TO:<ada@example.com>", "DATA"]).await,
        [250, 450, 503]
    );
    assert_eq!(session.codes(["RCPT TO:<ada@example.com>", "DATA", "DATA"]).await, [250, 451, 503]);
    assert!(session.submit("Code 1").await.starts_with("552 "));
    assert!(session.submit("Code 2").await.starts_with("250 "), "the script is used up");
    let taken: Vec<_> =
        server.mails().records().iter().map(|mail| (mail.is_taken, mail.text().to_owned())).collect();
    assert_eq!(taken, [(false, "Code 1".to_owned()), (true, "Code 2".to_owned())]);
    assert_eq!((server.scripted_refusals(), server.refused_logins()), (5, 0));
}

#[tokio::test]
async fn a_server_that_closes_says_so_and_is_gone() {
    let (authority, server) = start(|options| options).await;
    server.script(1, SmtpStage::Greeting, SmtpTrouble::Reply(421)).unwrap();
    let mut session = Session::connect(&authority, &server).await;
    assert!(session.reply().await.starts_with("421 "));
    assert_eq!(session.reply().await, "");
    Session::open(&authority, &server).await;
}

#[tokio::test]
async fn a_connection_is_cut_before_or_after_the_letter_is_taken() {
    let (authority, server) = start(|options| options).await;
    for (trouble, is_taken) in [(SmtpTrouble::Cut, false), (SmtpTrouble::CutAfterProcessing, true)] {
        server.script(1, SmtpStage::Content, trouble).unwrap();
        let mut session = Session::open(&authority, &server).await;
        assert_eq!(session.submit("Code 1").await, "", "{trouble:?}");
        assert_eq!(server.mails().records().last().unwrap().is_taken, is_taken, "{trouble:?}");
    }
    server.script(1, SmtpStage::Data, SmtpTrouble::Cut).unwrap();
    let mut session = Session::open(&authority, &server).await;
    assert_eq!(session.codes(["MAIL FROM:<a@b>", "RCPT TO:<ada@example.com>"]).await, [250, 250]);
    assert_eq!(session.say("DATA").await, "");
    assert_eq!(server.mails().records().len(), 2, "there was no letter");
}

#[tokio::test]
async fn a_slow_server_answers_in_the_end_and_a_silent_one_never() {
    let (authority, server) = start(|options| options.demanding("tocsin", "word")).await;
    let delay = Duration::from_millis(30);
    for stage in [SmtpStage::Auth, SmtpStage::Content] {
        server.script(1, stage, SmtpTrouble::Delay(delay)).unwrap();
    }
    let mut session = Session::open(&authority, &server).await;
    let begun = std::time::Instant::now();
    assert_eq!(session.codes([&plain("tocsin", "word")]).await, [235]);
    assert!(session.submit("Code 1").await.starts_with("250 "));
    assert!(begun.elapsed() >= 2 * delay);
    server.script(1, SmtpStage::Sender, SmtpTrouble::Silence).unwrap();
    session.write("MAIL FROM:<a@b>\r\n").await;
    assert!(tokio::time::timeout(delay, session.reply()).await.is_err());
    server.stop().await;
    assert_eq!(session.reply().await, "", "sessions end with the server");
    server.accept_again().await.unwrap();
    Session::open(&authority, &server).await;
}

#[tokio::test]
async fn what_it_keeps_and_reads_is_bounded() {
    let (authority, server) = start(|options| SmtpOptions { records_max: 2, ..options }).await;
    let mut session = Session::open(&authority, &server).await;
    for text in ["Code 1", "Code 2", "Code 3"] {
        session.submit(text).await;
    }
    let kept: Vec<_> = server.mails().records().iter().map(|mail| mail.text().to_owned()).collect();
    assert_eq!(kept, ["Code 2", "Code 3"], "the oldest is forgotten");

    let lines = format!("{}\r\n", "x".repeat(70)).repeat(5_000);
    assert_eq!(session.codes(["MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA"]).await, [250, 250, 354]);
    // The server may hang up in the midst of it.
    let _cut = session.0.write_all(lines.as_bytes()).await;
    assert_eq!(session.reply().await, "", "nobody reads a letter without end");

    let full = server.script(1_000_000, SmtpStage::Data, SmtpTrouble::Cut);
    assert!(matches!(full, Err(MockError::Full { .. })));
    server.script(1, SmtpStage::Sender, SmtpTrouble::Cut).unwrap();
    server.calm();
    let mut session = Session::open(&authority, &server).await;
    assert!(session.submit("Code 4").await.starts_with("250 "), "nothing goes wrong any more");
}

#[tokio::test]
async fn debug_shows_neither_addresses_nor_texts() {
    let (authority, server) = start(|options| options.demanding("tocsin", "secret word")).await;
    let mut session = Session::open(&authority, &server).await;
    session.say(&plain("tocsin", "secret word")).await;
    session.submit("Code 123456").await;
    let shown = format!("{server:?} {:?} {:?}", server.mails(), server.mails().records());
    assert!(!shown.contains("123456") && !shown.contains("ada") && !shown.contains("secret"), "{shown}");
}
