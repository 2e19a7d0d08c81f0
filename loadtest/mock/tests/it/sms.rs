//! The SMS gateways' doubles: a right message with one thing wrong, and what is answered.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use tocsin_mock::{
    Authority, Fault, GatewayAccess, GatewayForm, GatewayOptions, GatewayServer, Repeat, SmsRefusal,
    TwilioOptions, TwilioServer,
};

use super::client::{Answer, Client, DEADLINE};

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const TOKEN: &str = "secret-of-the-account";
const FORM: &str = "application/x-www-form-urlencoded";
const GOOD: &str = "To=%2B15055551234&From=%2B15005550006&Body=Code+123456&ValidityPeriod=60&StatusCallback=https%3A%2F%2Fx%2Fhook";

async fn twilio() -> (Authority, TwilioServer) {
    let authority = Authority::new().unwrap();
    let options = TwilioOptions::new(authority.issue().unwrap(), ACCOUNT, TOKEN);
    let server = TwilioServer::start(options).await.unwrap();
    (authority, server)
}

fn message(body: &str, password: &str, media_type: &str) -> Request<String> {
    let credential = STANDARD.encode(format!("{ACCOUNT}:{password}"));
    Request::post(format!("https://localhost/2010-04-01/Accounts/{ACCOUNT}/Messages.json"))
        .header("authorization", format!("Basic {credential}"))
        .header("content-type", media_type)
        .body(body.to_owned())
        .unwrap()
}

async fn ask(authority: &Authority, address: std::net::SocketAddr, request: Request<String>) -> Answer {
    let mut client = Client::connect(authority, address).await;
    client.send(request.map(Bytes::from)).await.unwrap()
}

async fn post(authority: &Authority, server: &TwilioServer, body: &str) -> (u16, u64) {
    let answer = ask(authority, server.addr(), message(body, TOKEN, FORM)).await;
    let code = answer.json()["code"].as_u64().unwrap_or_default();
    (answer.status.as_u16(), code)
}

#[tokio::test]
async fn a_right_message_is_taken_and_reported_with_a_signature() {
    let (authority, server) = twilio().await;
    assert_eq!(post(&authority, &server, GOOD).await, (201, 0));
    let taken = server.messages().taken();
    assert_eq!((taken.len(), taken[0].to(), taken[0].text()), (1, "+15055551234", "Code 123456"));
    let report = server.status_report(&taken[0], "undelivered", Some(30_003)).unwrap();
    assert_eq!(report.url, "https://x/hook");
    assert!(report.body.contains("MessageStatus=undelivered") && report.body.ends_with("ErrorCode=30003"));
}

#[tokio::test]
async fn what_twilio_refuses_is_refused() {
    let (authority, server) = twilio().await;
    let without = |field: &str| {
        let kept: Vec<_> = GOOD.split('&').filter(|pair| !pair.starts_with(field)).collect();
        kept.join("&")
    };
    for (body, code) in [
        (GOOD.replace("%2B15055551234", "0505"), 21_211),
        (without("To"), 21_211),
        (without("From"), 21_603),
        (format!("{GOOD}&MessagingServiceSid=MG1"), 21_603),
        (without("Body"), 21_602),
        (GOOD.replace("Code", &"x".repeat(1_600)), 21_617),
        (GOOD.replace("Period=60", "Period=0"), 21_623),
        (GOOD.replace("Period=60", "Period=36001"), 21_623),
        (GOOD.replace("https", "ftp"), 21_609),
    ] {
        assert_eq!(post(&authority, &server, &body).await, (400, code), "{body}");
    }
    let wrong = ask(&authority, server.addr(), message(GOOD, "another", FORM)).await;
    assert_eq!((wrong.status, wrong.json()["code"].as_u64()), (StatusCode::UNAUTHORIZED, Some(20_003)));
    let wrong = ask(&authority, server.addr(), message(GOOD, TOKEN, "application/json")).await;
    assert_eq!(wrong.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert!(server.messages().taken().is_empty());
}

#[tokio::test]
async fn a_scripted_refusal_is_for_its_number_and_hides_no_fault() {
    let (authority, server) = twilio().await;
    let refusal = SmsRefusal::twilio(20_429).after("2");
    server.faults().for_target("+15055551234", Repeat::Times(2), Fault::Refuse(refusal)).unwrap();
    let refused = ask(&authority, server.addr(), message(GOOD, TOKEN, FORM)).await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, Some("2")));
    let other = GOOD.replace("15055551234", "15055551235");
    assert_eq!(post(&authority, &server, &other).await, (201, 0));
    assert_eq!(post(&authority, &server, &GOOD.replace("From", "Form")).await, (400, 21_603));
    assert_eq!(post(&authority, &server, GOOD).await, (201, 0), "the script is used up");
}

#[tokio::test]
async fn a_gateway_takes_each_form_and_no_other() {
    let authority = Authority::new().unwrap();
    let text = r#"a "b" & <c>"#;
    for (form, media_type, query, body) in [
        (GatewayForm::Query, None, "?to=%2B15055551234&text=a+%22b%22+%26+%3Cc%3E", ""),
        (GatewayForm::Form, Some(FORM), "", "to=%2B15055551234&text=a+%22b%22+%26+%3Cc%3E"),
        (GatewayForm::Json, Some("application/json"), "", r#"{"to":"+15055551234","text":"a \"b\" & <c>"}"#),
        (
            GatewayForm::Xml,
            Some("application/xml; charset=utf-8"),
            "",
            "<sms><to>+15055551234</to><text>a &quot;b&quot; &amp; &lt;c&gt;</text></sms>",
        ),
    ] {
        let mut options = GatewayOptions::new(authority.issue().unwrap(), form);
        options.access = GatewayAccess::Bearer("token".to_owned());
        let server = GatewayServer::start(options).await.unwrap();
        let request = |body: &str, token: &str| {
            let method = if form == GatewayForm::Query { "GET" } else { "POST" };
            let mut builder = Request::builder()
                .method(method)
                .uri(format!("https://localhost/send{query}"))
                .header("authorization", format!("Bearer {token}"));
            if let Some(media_type) = media_type {
                builder = builder.header("content-type", media_type);
            }
            builder.body(body.to_owned()).unwrap()
        };
        assert_eq!(ask(&authority, server.addr(), request(body, "other")).await.status.as_u16(), 401);
        assert_eq!(ask(&authority, server.addr(), request(body, "token")).await.status.as_u16(), 200);
        let taken = server.messages().wait_for(1, |record| record.is_taken, DEADLINE).await.unwrap();
        assert_eq!((taken[0].to(), taken[0].text()), ("+15055551234", text), "{form:?}");
        if form != GatewayForm::Query {
            let broken = ask(&authority, server.addr(), request("<&%zz", "token")).await;
            assert!(broken.status.is_client_error(), "{form:?}");
        }
        server.stop().await;
    }
}
