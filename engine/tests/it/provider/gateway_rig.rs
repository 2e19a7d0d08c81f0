//! One driver of an SMS gateway and the gateway's double, on the loopback interface.

use std::sync::Arc;
use std::time::Duration;

use tocsin_config::{
    AnswerRules, BodyFormat, GatewayAccess as Access, GatewayMethod, HttpSmsProvider, ProviderLimits,
    StatusRange, Template, TwilioProvider, TwilioSender,
};
use tocsin_engine::clock::Clock;
use tocsin_engine::protocol::{CodeMessage, Parcel};
use tocsin_engine::provider::{Driver, DriverReport, http_sms_driver, twilio_driver};
use tocsin_mock::{
    Fault, FaultScript, GatewayAccess, GatewayForm, GatewayOptions, GatewayServer, SmsLog, SmsRefusal,
    Traffic, TwilioOptions, TwilioServer,
};
use tocsin_model::{
    CodeAddress, CodeText, DurationMs, Partition, PhoneNumber, PushId, Sending, TransactionId, UnixMs,
};
use tokio::task::JoinHandle;

use super::ground::{self, Ground, Refusal, any_refusal, script};

pub(super) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(super) const AUTH_TOKEN: &str = "token-of-the-account";
pub(super) const ISSUER: &str = "https://push.example.com";

/// The gateway under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gateway {
    Twilio,
    Http,
}

/// How a rig is set up.
#[derive(Clone, Copy)]
pub(super) struct GatewayRigOptions {
    pub(super) limits: fn(&mut ProviderLimits),
    /// Whether the driver trusts another authority than the server's.
    pub(super) trusts_others: bool,
    /// Whether a message with an unknown outcome is sent again.
    pub(super) resend_unknown: bool,
    /// How the templated gateway wants its messages.
    pub(super) form: GatewayForm,
}

impl Default for GatewayRigOptions {
    fn default() -> Self {
        let form = GatewayForm::Form;
        Self { limits: |_| (), trusts_others: false, resend_unknown: false, form }
    }
}

enum Server {
    Twilio(TwilioServer),
    Http(GatewayServer),
}

pub(super) struct GatewayRig {
    pub(super) driver: Arc<dyn Driver>,
    pub(super) clock: Clock,
    server: Server,
    _ground: Ground,
}

impl GatewayRig {
    pub(super) async fn start(which: Gateway) -> Self {
        Self::start_with(which, GatewayRigOptions::default()).await
    }

    pub(super) async fn start_with(which: Gateway, options: GatewayRigOptions) -> Self {
        let ground = Ground::new(options.limits, options.trusts_others);
        let (driver, server) = match which {
            Gateway::Twilio => twilio(&ground, options).await,
            Gateway::Http => http(&ground, options).await,
        };
        Self { driver, clock: ground.clock.clone(), server, _ground: ground }
    }

    /// The message with this number, good for half a minute.
    pub(super) fn message(&self, number: u8) -> CodeMessage {
        let created_at = UnixMs::new(1_000);
        let partition = Partition::new(0).expect("six bits");
        CodeMessage {
            transaction_id: TransactionId::compose(created_at, partition, [number; 16]),
            sending: Sending { fell_back_at: UnixMs::new(0), resends_used: 0, gateway: 0 },
            push_id: PushId::from_digest(&[number; 32]),
            address: CodeAddress::Phone(phone(number)),
            prefix: None,
            title: None,
            text: CodeText::new(format!("Your code is {:06}", u32::from(number) * 1_001)),
            expires_at: self.clock.now().plus(DurationMs::from_seconds(30)),
            language: None,
        }
    }

    pub(super) async fn deliver(&self, message: &CodeMessage) -> DriverReport {
        ground::deliver(&*self.driver, &Parcel::Code(Box::new(message.clone()))).await
    }

    /// Delivers in a task of its own.
    pub(super) fn spawn(&self, message: CodeMessage) -> JoinHandle<DriverReport> {
        ground::spawn(&self.driver, Parcel::Code(Box::new(message)))
    }

    pub(super) fn faults(&self) -> &FaultScript<SmsRefusal> {
        match &self.server {
            Server::Twilio(server) => server.faults(),
            Server::Http(server) => server.faults(),
        }
    }

    /// The next `times` requests are refused.
    pub(super) fn refuse(&self, times: u32, refusal: Refusal) {
        let status = |status: u16| SmsRefusal::status(http::StatusCode::from_u16(status).expect("a status"));
        let is_twilio = matches!(self.server, Server::Twilio(_));
        let refusal = match refusal {
            Refusal::Internal => status(500),
            Refusal::Unavailable if is_twilio => SmsRefusal::twilio(20_503),
            Refusal::Unavailable => status(503),
            Refusal::Throttled if is_twilio => SmsRefusal::twilio(20_429).after("1"),
            Refusal::Throttled => status(429).after("1"),
            Refusal::Unauthenticated if is_twilio => SmsRefusal::twilio(20_003),
            Refusal::Unauthenticated => status(401),
        };
        script(self.faults(), times, Fault::Refuse(refusal));
    }

    /// The next `times` requests meet this fault of the wire.
    pub(super) fn disturb(&self, times: u32, fault: Fault<std::convert::Infallible>) {
        script(self.faults(), times, any_refusal(fault));
    }

    pub(super) fn log(&self) -> &SmsLog {
        match &self.server {
            Server::Twilio(server) => server.messages(),
            Server::Http(server) => server.messages(),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        match &self.server {
            Server::Twilio(server) => server.traffic(),
            Server::Http(server) => server.traffic(),
        }
    }

    pub(super) async fn stop_server(&self) {
        match &self.server {
            Server::Twilio(server) => server.stop().await,
            Server::Http(server) => server.stop().await,
        }
    }

    pub(super) async fn start_server_again(&self) {
        match &self.server {
            Server::Twilio(server) => server.accept_again().await,
            Server::Http(server) => server.accept_again().await,
        }
        .expect("the port is free");
    }

    pub(super) fn twilio(&self) -> &TwilioServer {
        match &self.server {
            Server::Twilio(server) => server,
            Server::Http(_) => panic!("this rig has another gateway"),
        }
    }
}

pub(super) fn phone(number: u8) -> PhoneNumber {
    PhoneNumber::parse(&format!("+1505555{:04}", u32::from(number))).expect("a number")
}

async fn twilio(ground: &Ground, options: GatewayRigOptions) -> (Arc<dyn Driver>, Server) {
    let server = TwilioServer::start(TwilioOptions::new(ground.identity(), ACCOUNT, AUTH_TOKEN)).await;
    let server = server.expect("started");
    let provider = TwilioProvider {
        endpoint: server.url(),
        ca_file: Some(ground.ca_file.clone()),
        account_sid: ACCOUNT.to_owned(),
        auth_token_file: ground.file("secret", AUTH_TOKEN),
        api_key: None,
        sender: TwilioSender::From("+15005550006".to_owned()),
        status_reports: true,
        resend_unknown: options.resend_unknown,
    };
    let name = "twilio-main".parse().expect("a name");
    let clock = ground.clock.clone();
    let driver = twilio_driver(&name, &provider, &ground.limits, clock, Some(ISSUER), None);
    (driver.expect("set up"), Server::Twilio(server))
}

async fn http(ground: &Ground, options: GatewayRigOptions) -> (Arc<dyn Driver>, Server) {
    let mut server = GatewayOptions::new(ground.identity(), options.form);
    server.access = GatewayAccess::Bearer(AUTH_TOKEN.to_owned());
    let server = GatewayServer::start(server).await.expect("started");
    let url = server.url();
    let path_at = url.rfind('/').expect("a path");
    let (base_url, path) = url.split_at(path_at);
    let (target, http_method, body_format, body) = match options.form {
        GatewayForm::Query => {
            let query = "?to={to}&text={text}&from={from}&ref={ref}";
            (format!("{path}{query}"), GatewayMethod::Get, BodyFormat::Form, None)
        }
        GatewayForm::Form => {
            let body = "to={to}&text={text}&from={from}&ref={ref}";
            (path.to_owned(), GatewayMethod::Post, BodyFormat::Form, Some(body))
        }
        GatewayForm::Json => {
            let body = r#"{"to":"{to}","text":"{text}","from":"{from}","ref":"{ref}"}"#;
            (path.to_owned(), GatewayMethod::Post, BodyFormat::Json, Some(body))
        }
        GatewayForm::Xml => {
            let body = "<sms><to>{to}</to><text>{text}</text><from>{from}</from><ref>{ref}</ref></sms>";
            (path.to_owned(), GatewayMethod::Post, BodyFormat::Xml, Some(body))
        }
    };
    let template = |text: &str| Template::parse(text).expect("a template");
    let provider = HttpSmsProvider {
        base_url: base_url.to_owned(),
        target: template(&target),
        http_method,
        body_format,
        body: body.map(template),
        headers: vec![("x-account".to_owned(), "7".to_owned())],
        access: Access::Token { file: ground.file("secret", AUTH_TOKEN), header: None },
        from: "Bank & Co".to_owned(),
        ca_file: Some(ground.ca_file.clone()),
        rules: AnswerRules {
            pointer: None,
            success_statuses: vec![StatusRange::parse("2xx").expect("a class")],
            success_pattern: None,
            permanent_statuses: vec![StatusRange::parse("422").expect("a status")],
            permanent_pattern: None,
            unclear_statuses: Vec::new(),
        },
        resend_unknown: options.resend_unknown,
    };
    let name = "sms-local".parse().expect("a name");
    let driver = http_sms_driver(&name, &provider, &ground.limits, ground.clock.clone(), None);
    (driver.expect("set up"), Server::Http(server))
}

/// Longer than the impatient wait.
pub(super) const IMPATIENT: Duration = Duration::from_millis(500);
