//! A driver for a mail server, and letters for it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tocsin_config::{Login, MailSecurity, PasswordSource, ProviderLimits, SmtpProvider};
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::{CodeMessage, Parcel};
use tocsin_engine::provider::{Driver, DriverReport, SmtpDriver};
use tocsin_mock::{SmtpOptions, SmtpSecurity, SmtpServer};
use tocsin_model::{
    CodeAddress, CodeText, DurationMs, EmailAddress, Partition, PhoneNumber, PushId, Secret, Sending,
    TransactionId, UnixMs,
};

use crate::provider::ground::{self, Ground};

pub const CODE: &str = "73915";
pub const PASSWORD: &str = "s3cret word";

/// How a rig is set up.
#[derive(Clone, Copy)]
pub struct RigOptions {
    pub security: SmtpSecurity,
    /// Whether the server demands a login, and whether ours is right.
    pub login: Option<bool>,
    pub limits: fn(&mut ProviderLimits),
    pub trusts_others: bool,
}

impl Default for RigOptions {
    fn default() -> Self {
        let security = SmtpSecurity::Implicit;
        Self { security, login: None, limits: |_| (), trusts_others: false }
    }
}

pub struct Rig {
    pub driver: Arc<dyn Driver>,
    pub server: SmtpServer,
    pub clock: Clock,
    _ground: Ground,
}

impl Rig {
    pub async fn start() -> Self {
        Self::start_with(RigOptions::default()).await
    }

    pub async fn start_with(options: RigOptions) -> Self {
        let ground = Ground::new(options.limits, options.trusts_others);
        let mut server = SmtpOptions::new(ground.identity(), options.security);
        if options.login.is_some() {
            server = server.demanding("tocsin", PASSWORD);
        }
        let server = SmtpServer::start(server).await.expect("a server");
        let word = if options.login == Some(false) { "wrong word" } else { PASSWORD };
        let security = match options.security {
            SmtpSecurity::Implicit => MailSecurity::Implicit,
            SmtpSecurity::StartTls => MailSecurity::StartTls,
        };
        let provider = provider(
            server.addr().port(),
            security,
            options.login.map(|_| word),
            Some(ground.ca_file.clone()),
        );
        let driver = driver(&provider, &ground.limits, &ground.clock);
        Self { driver, server, clock: ground.clock.clone(), _ground: ground }
    }

    /// The letter with this number, good for half a minute.
    pub fn letter(&self, number: u8) -> CodeMessage {
        letter(&self.clock, number)
    }

    pub async fn deliver(&self, letter: CodeMessage) -> DriverReport {
        deliver(&*self.driver, letter).await
    }

    /// What the driver has counted under this reason.
    pub fn counted(&self, reason: &str) -> u64 {
        let answers = self.driver.snapshot().answers;
        let found = answers.iter().find(|(known, _)| *known == reason);
        found.unwrap_or_else(|| panic!("{reason} is no reason")).1
    }
}

pub fn provider(
    port: u16,
    security: MailSecurity,
    password: Option<&str>,
    ca_file: Option<PathBuf>,
) -> SmtpProvider {
    SmtpProvider {
        host: "localhost".to_owned(),
        port,
        security,
        login: password.map(|password| Login {
            username: "tocsin".to_owned(),
            password: PasswordSource::Value(Secret::new(password.to_owned())),
        }),
        sender: EmailAddress::parse("no-reply@bank.example").expect("an address"),
        sender_name: Some("The Bank".to_owned()),
        hello: "tocsin.bank.example".to_owned(),
        ca_file,
    }
}

pub fn driver(provider: &SmtpProvider, limits: &ProviderLimits, clock: &Clock) -> Arc<dyn Driver> {
    let name = "mail-main".parse().expect("a name");
    Arc::new(SmtpDriver::new(&name, provider, limits, clock.clone()).expect("set up"))
}

pub async fn deliver(driver: &dyn Driver, letter: CodeMessage) -> DriverReport {
    ground::deliver(driver, &Parcel::Code(Box::new(letter))).await
}

pub fn letter(clock: &Clock, number: u8) -> CodeMessage {
    let partition = Partition::new(0).expect("six bits");
    CodeMessage {
        transaction_id: TransactionId::compose(UnixMs::new(1_000), partition, [number; 16]),
        sending: Sending { fell_back_at: UnixMs::new(0), resends_used: 0, gateway: 0 },
        push_id: PushId::from_digest(&[number; 32]),
        address: CodeAddress::Email(EmailAddress::parse(&format!("user-{number}@example.com")).expect("one")),
        prefix: None,
        title: Some("Your code — Ваш код".into()),
        text: CodeText::new(format!("Your code is {CODE}.\n.\nDo not tell it to anybody: ü.")),
        expires_at: clock.now().plus(DurationMs::from_seconds(30)),
        language: Some("en".into()),
    }
}

/// The same for a telephone, which no mail server reaches.
pub fn sms(clock: &Clock) -> CodeMessage {
    let number = PhoneNumber::parse("+15055551234").expect("a number");
    CodeMessage { address: CodeAddress::Phone(number), ..letter(clock, 1) }
}

/// A certificate for localhost with its key, PEM.
pub fn write_certificate(folder: &Path) -> PathBuf {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let certificate = folder.join("certificate.pem");
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    certificate
}
