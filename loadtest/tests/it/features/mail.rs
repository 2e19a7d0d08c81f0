//! Codes by e-mail.

use std::path::Path;

use serde_json::{Value, json};
use tocsin_mock::{Authority, MailRecord, SmtpOptions, SmtpSecurity, SmtpServer, SmtpStage, SmtpTrouble};

use super::Scene;
use super::codes::{everything_told, raise_log, readable, tells_code, wrong};
use super::operations::operated_as;
use super::scene::{SOON, SceneOptions};

const CATALOGUE: &str = r#"
[realms.retail]
[types.mail]
method = "email"
attempts_max = 3
digits = 8
resends_max = 1
resend_gap_s = 0
default_title = "Your code"
default_message = "Your code is {code}. Tell it to nobody."
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;

const ADDRESS: &str = "ada.lovelace@example.com";

/// The code in a letter.
fn code_of(mail: &MailRecord) -> String {
    let text = mail.text().strip_prefix("Your code is ").and_then(|rest| rest.split_once('.'));
    let (code, _) = text.expect("a code");
    assert!(code.len() == 8 && code.bytes().all(|byte| byte.is_ascii_digit()));
    code.to_owned()
}

async fn begin(scene: &Scene) -> Value {
    let start = json!({"type": "mail", "user": "alice", "email": ADDRESS});
    scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201)
}

async fn call(scene: &Scene, view: &Value, what: &str, body: Value) -> Value {
    let path = format!("/v1/transactions/{}/{what}", view["id"].as_str().expect("an id"));
    let answer = scene.portal("POST", &path, Some(&body)).await;
    json!({"status": answer.status, "body": answer.body})
}

/// A mail server, and the table of the provider that sends by it. Files that the table names are in `folder`.
pub(super) async fn post_office(folder: &Path) -> (SmtpServer, String) {
    let authority = Authority::new().expect("an authority");
    let ca_file = folder.join("mail-ca.pem");
    authority.write_ca_pem(&ca_file).expect("a file");
    let options = SmtpOptions::new(authority.issue().expect("a certificate"), SmtpSecurity::StartTls);
    let server = SmtpServer::start(options.demanding("tocsin", "s3cret")).await.expect("a mail server");
    let provider = format!(
        "[providers.mail-main]\nkind = \"smtp\"\ndefault = true\nhost = \"localhost\"\nport = {}\n\
         security = \"starttls\"\nusername = \"tocsin\"\npassword = \"s3cret\"\nca_file = {}\n\
         sender = \"no-reply@bank.example\"\nsender_name = \"The Bank\"\n",
        server.addr().port(),
        Value::from(ca_file.to_string_lossy())
    );
    (server, provider)
}

/// The mail server gets a letter with the code, the code counts, and a resend says the same one; a mailbox that is refused
/// ends the transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_119_email_otp() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, more) = post_office(folder.path()).await;
    let catalogue = Some(CATALOGUE.to_owned());
    let scene = Scene::with(SceneOptions { catalogue, more, ..SceneOptions::default() }).await;

    let view = begin(&scene).await;
    assert_eq!(view["method"], "email", "{view}");
    let mails = server.mails().wait_for(1, |mail| mail.is_taken, SOON).await;
    let mails = mails.unwrap_or_else(|error| panic!("{error}: {}", scene.log()));
    let code = code_of(&mails[0]);
    assert_eq!((mails[0].to.as_str(), mails[0].subject().as_str()), (ADDRESS, "Your code"));
    // The server's word that it took the letter may still be on its way.
    let id = view["id"].as_str().and_then(|id| id.parse().ok());
    scene.until_relayed(id.expect("an id")).await;
    let resent = call(&scene, &view, "resend", json!({})).await;
    assert_eq!(resent["status"], 200, "{resent}");
    let mails = server.mails().wait_for(2, |mail| mail.is_taken, SOON).await.expect("another letter");
    assert_eq!(code_of(&mails[1]), code, "the same code");
    assert_ne!(mails[0].header("message-id"), mails[1].header("message-id"), "another letter");
    let refused = call(&scene, &view, "code", json!({"code": wrong(&code)})).await;
    assert_eq!(
        (&refused["status"], &refused["body"]["attempts_left"]),
        (&json!(422), &json!(2)),
        "{refused}"
    );
    let taken = call(&scene, &view, "code", json!({"code": code})).await;
    assert_eq!((&taken["status"], &taken["body"]["state"]), (&json!(200), &json!("accepted")), "{taken}");
    assert_eq!(taken["body"]["delivery"][0]["provider"], "mail-main", "{taken}");

    server.script(1, SmtpStage::Recipient, SmtpTrouble::Reply(550)).expect("room");
    let view = begin(&scene).await;
    let path = format!("/v1/transactions/{}?wait_s=15", view["id"].as_str().expect("an id"));
    let ended = scene.portal("GET", &path, None).await.expect(200);
    assert_eq!(ended["state"], "failed", "{ended}");
    assert_eq!(ended["delivery"][0]["reason"], "address_refused", "{ended}");

    let metrics = scene.ops("GET", "/metrics", None, None).await.reply.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    assert!(
        metrics.contains("tocsin_provider_answers_total{provider=\"mail-main\",reason=\"550\"} 1"),
        "{metrics}"
    );
}

/// The log at its loudest, metrics, trail and lists tell neither a code that was mailed nor where it went, taken or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_that_is_mailed_is_told_by_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let (server, more) = post_office(folder.path()).await;
    let catalogue = Some(CATALOGUE.to_owned());
    let scene = operated_as(SceneOptions { catalogue, more, ..SceneOptions::default() }).await;
    raise_log(&scene).await;
    let (mut codes, mut told) = (Vec::new(), String::new());
    for (count, trouble) in [None, Some(SmtpTrouble::CutAfterProcessing)].into_iter().enumerate() {
        if let Some(trouble) = trouble {
            server.script(1, SmtpStage::Content, trouble).expect("room");
        }
        let view = begin(&scene).await;
        let mails = server.mails().wait_for(count + 1, |_| true, SOON).await.expect("a letter");
        let code = code_of(&mails[count]);
        assert!(tells_code(&readable(mails[count].text()), &code));
        told.push_str(&call(&scene, &view, "code", json!({"code": wrong(&code)})).await.to_string());
        told.push_str(&call(&scene, &view, "code", json!({"code": code})).await.to_string());
        codes.extend([wrong(&code), code]);
    }
    server.script(1, SmtpStage::Recipient, SmtpTrouble::Reply(550)).expect("room");
    let view = begin(&scene).await;
    let path = format!("/v1/transactions/{}?wait_s=15", view["id"].as_str().expect("an id"));
    assert_eq!(scene.portal("GET", &path, None).await.expect(200)["state"], "failed");
    told.push_str(&everything_told(&scene).await);
    for code in &codes {
        assert!(!tells_code(&told, code), "{code} was told");
    }
    assert!(!told.to_ascii_lowercase().contains("lovelace"), "the address was told");
}
