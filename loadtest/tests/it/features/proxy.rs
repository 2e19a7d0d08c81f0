//! The proxy on the way out.

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_mock::{Authority, CallbackOptions, CallbackServer, Fault, ProxyOptions, ProxyServer, SmsRefusal};

use super::Scene;
use super::operations::{edit, operated, operated_as, refused, reload, tocsin};
use super::scene::{SOON, SceneOptions};
use super::sms::Texting;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The port that counts where none is configured, at a loopback address that no other test process has.
fn own_address() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    SocketAddr::from((Ipv4Addr::new(127, high.max(1), middle, low.clamp(2, 254)), 8080))
}

async fn proxy(options: ProxyOptions) -> ProxyServer {
    ProxyServer::start(options).await.expect("a proxy")
}

/// A login whose push arrives.
async fn pushed(scene: &Scene, phone: &mut Handset) {
    let id = scene.begin("login", phone.user()).await;
    let push = phone.next_push(SOON).await;
    assert_eq!(push.unwrap_or_else(|error| panic!("{error}: {}", scene.log())), id);
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
}

/// A code that both gateways are asked to send, since the first one refuses it.
async fn texted(texting: &Texting) {
    texting.twilio.faults().for_next(1, Fault::Refuse(SmsRefusal::twilio(21_408))).expect("room");
    let before = texting.local.messages().taken().len();
    let begun = texting.begin("two").await;
    let view = texting.until(&begun, |view| view["delivery"][0]["status"] == "relayed").await;
    assert_eq!(
        (&view["delivery"][0]["provider"], texting.twilio.faults().pending()),
        (&json!("sms-local"), 0)
    );
    assert_eq!(texting.local.messages().taken().len(), before + 1);
}

/// The `host:port` of a URL.
fn authority_of(url: &str) -> &str {
    url.trim_start_matches("https://").split('/').next().expect("an authority")
}

/// Of each request since the last look whether it had credentials, and how it was answered.
fn news(proxy: &ProxyServer, seen: &mut usize) -> Vec<(bool, Option<u16>)> {
    let records = proxy.log().records();
    assert!(records.iter().all(|record| record.fault.is_none()), "{records:?}");
    let news = records[*seen..].iter().map(|record| (record.has_credentials, record.answered)).collect();
    *seen = records.len();
    news
}

async fn metrics(scene: &Scene) -> String {
    let reply = scene.ops("GET", "/metrics", None, None).await.reply.body;
    String::from_utf8_lossy(&reply).into_owned()
}

/// Off by default and with a host alone; enabled, pushes, access tokens and text messages go by CONNECT through http at
/// port 8080. The credentials go with the first request when they are preemptive, else after a 407 and not before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_043_proxy() {
    let address = own_address();
    let proxy = proxy(ProxyOptions { address, ..ProxyOptions::default() }).await;
    let (texting, mut seen) = (Texting::open("").await, 0);
    let scene = &texting.scene;
    let mut phones =
        [scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol(PhoneKind::Android, "bob").await];
    let host = format!("host = \"{}\"\nno_proxy = []\n", address.ip());
    edit(scene, "[providers.apns-main]", &format!("[proxy]\n{host}\n[providers.apns-main]"));
    reload(scene).await;
    for phone in &mut phones {
        pushed(scene, phone).await;
    }
    texted(&texting).await;
    assert!(news(&proxy, &mut seen).is_empty(), "off: no CONNECT");

    edit(scene, "[proxy]\n", "[proxy]\nenabled = true\n");
    reload(scene).await;
    for phone in &mut phones {
        pushed(scene, phone).await;
    }
    texted(&texting).await;
    let records = proxy.log().records();
    assert!(records.iter().all(|record| record.is_let_through() && !record.has_credentials), "{records:?}");
    let world = &scene.world;
    let networks = [world.apns.url(), world.fcm.url(), world.fcm.token_uri()];
    let gateways = [texting.twilio.url(), texting.local.url()];
    for url in networks.into_iter().chain(gateways) {
        let target = authority_of(&url);
        assert!(records.iter().any(|record| record.target == target), "{target}: {records:?}");
    }
    seen = records.len();

    proxy.demand("tocsin", "s3cret");
    let credentials = "[proxy]\nusername = \"tocsin\"\npassword = \"s3cret\"\npreemptive = true\n";
    edit(scene, "[proxy]\n", credentials);
    reload(scene).await;
    pushed(scene, &mut phones[0]).await;
    let asked = news(&proxy, &mut seen);
    assert!(!asked.is_empty() && asked.iter().all(|one| *one == (true, Some(200))), "{asked:?}");

    edit(scene, "preemptive = true", "preemptive = false");
    reload(scene).await;
    pushed(scene, &mut phones[0]).await;
    proxy.log().wait_for(seen + 2, |_| true, SOON).await.expect("two requests");
    let asked = news(&proxy, &mut seen);
    assert_eq!(asked[0], (false, Some(407)), "{asked:?}");
    assert!(asked.contains(&(true, Some(200))), "{asked:?}");
    assert!(asked.iter().all(|one| [(false, Some(407)), (true, Some(200))].contains(one)), "{asked:?}");

    let shown = String::from_utf8_lossy(&tocsin(scene, &["config"], &[]).stdout).into_owned();
    for line in ["port = 8080 # default", "scheme = \"http\" # default", "password = \"********\""] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    assert!(!shown.contains("s3cret") && !scene.log().contains("s3cret"));
    assert!(
        metrics(scene)
            .await
            .contains(&format!("tocsin_proxy_tunnels_total{{proxy=\"{address}\",result=\"made\"}}"))
    );

    edit(scene, "[proxy]\nusername", "[proxy]\n#username");
    assert!(refused(scene).await.contains("proxy.username"));
    edit(scene, "[proxy]\n#username", "[proxy]\nusername");
    // Off again, nobody needs the proxy.
    edit(scene, "enabled = true", "enabled = false");
    proxy.stop().await;
    reload(scene).await;
    for phone in &mut phones {
        pushed(scene, phone).await;
    }
    texted(&texting).await;
}

/// A table of a provider's own counts for it alone, whatever the table of all says: by another proxy, or by none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_goes_by_a_proxy_of_its_own() {
    let (general, own) = (proxy(ProxyOptions::default()).await, proxy(ProxyOptions::default()).await);
    let scene = operated().await;
    let mut phones =
        [scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol(PhoneKind::Android, "bob").await];
    let to = |proxy: &ProxyServer| {
        format!("enabled = true\nhost = \"127.0.0.1\"\nport = {}\nno_proxy = []\n", proxy.addr().port())
    };
    edit(&scene, "[providers.apns-main]", &format!("[proxy]\n{}[providers.apns-main]", to(&general)));
    edit(&scene, "[realms.retail]", &format!("[providers.apns-main.proxy]\n{}[realms.retail]", to(&own)));
    reload(&scene).await;
    for phone in &mut phones {
        pushed(&scene, phone).await;
    }
    let asked = |proxy: &ProxyServer| -> BTreeSet<String> {
        proxy.log().records().iter().map(|record| record.target.clone()).collect()
    };
    let targets = |urls: &[String]| -> BTreeSet<String> {
        urls.iter().map(|url| authority_of(url).to_owned()).collect()
    };
    let world = &scene.world;
    assert_eq!(asked(&own), targets(&[world.apns.url()]));
    assert_eq!(asked(&general), targets(&[world.fcm.url(), world.fcm.token_uri()]));

    edit(
        &scene,
        "[providers.apns-main.proxy]\nenabled = true",
        "[providers.apns-main.proxy]\nenabled = false",
    );
    reload(&scene).await;
    let before = own.log().records().len();
    pushed(&scene, &mut phones[0]).await;
    assert_eq!(own.log().records().len(), before);
    assert_eq!(asked(&general), targets(&[world.fcm.url(), world.fcm.token_uri()]), "it goes straight");
}

/// Callbacks go straight where they use no proxy, though pushes do; a reload leads those that come on the other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callbacks_use_the_proxy_or_not_from_a_reload_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new().expect("an authority");
    let ca_file = folder.path().join("ca.pem");
    authority.write_ca_pem(&ca_file).expect("a file");
    let identity = authority.issue().expect("a certificate");
    let portal = CallbackServer::start(CallbackOptions::new(identity, SECRET)).await.expect("a portal");
    let proxy = proxy(ProxyOptions::default()).await;
    let url = format!("{}/done", portal.url());
    let more = format!(
        "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\nno_proxy = []\n\
         [callbacks]\nuse_proxy = false\nca_file = {}\nbackoff_first_ms = 100\n\
         [clients.portal.callbacks.done]\nurl = \"{url}\"\n",
        proxy.addr().port(),
        Value::from(ca_file.to_string_lossy())
    );
    let client = format!("webhook_secrets = [\"{SECRET}\"]\ncallback_networks = [\"127.0.0.0/8\"]\n");
    let scene = operated_as(SceneOptions { client, more, ..SceneOptions::default() }).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let target = authority_of(&url);
    let ways = [(false, 0), (true, 1), (false, 1)];
    for (number, (uses_proxy, through_proxy)) in ways.into_iter().enumerate() {
        if number > 0 {
            edit(&scene, &format!("use_proxy = {}", !uses_proxy), &format!("use_proxy = {uses_proxy}"));
            reload(&scene).await;
        }
        let start = json!({"type": "login", "user": "alice", "callback_url": url});
        let view = scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
        let id = view["id"].as_str().expect("an id");
        scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
        let taken =
            portal.callbacks().wait_for(number + 1, tocsin_mock::CallbackRecord::is_taken, SOON).await;
        taken.unwrap_or_else(|error| panic!("{error}: {}", scene.log()));
        let asked = proxy.log().records().iter().filter(|record| record.target == target).count();
        assert_eq!(asked, through_proxy, "use_proxy = {uses_proxy}");
    }
}

/// A wrong password is sent once, whoever goes through the proxy, and an operator can see it; a right one counts at the
/// next reload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_not_hammered() {
    let proxy = proxy(ProxyOptions::default().demanding("tocsin", "right")).await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("proxy-password");
    fs::write(&file, "wrong\n").expect("written");
    let more = format!(
        "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\nno_proxy = []\nusername = \"tocsin\"\n\
         preemptive = true\npassword_file = {}\n",
        proxy.addr().port(),
        Value::from(file.to_string_lossy())
    );
    let scene = operated_as(SceneOptions { more, ..SceneOptions::default() }).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let id = scene.begin("login", "alice").await;
    let path = format!("/v1/transactions/{id}?wait_s=15");
    let view = scene.portal("GET", &path, None).await.expect(200);
    assert_eq!(
        (&view["state"], &view["reason"]),
        (&json!("failed"), &json!("provider_unavailable")),
        "{view}"
    );
    let records = proxy.log().records();
    assert_eq!(records.len(), 1, "{records:?}");
    assert!(metrics(&scene).await.contains("result=\"credential_refused\"} 1"));
    assert!(scene.log().contains("refuses our user name and password"), "{}", scene.log());

    fs::write(&file, "right\n").expect("written");
    reload(&scene).await;
    pushed(&scene, &mut phone).await;
    assert!(proxy.log().records()[1..].iter().all(|record| record.is_let_through()));
    assert!(!scene.log().contains("wrong\n") && !scene.log().contains("dG9jc2lu"), "{}", scene.log());
}

/// A listed portal whose name only the proxy knows is called back through it; pushes to hosts of `no_proxy` go straight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_callback_goes_through_the_proxy_by_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new().expect("an authority");
    let ca_file = folder.path().join("ca.pem");
    authority.write_ca_pem(&ca_file).expect("a file");
    let identity = authority.issue_for(&["portal.invalid"]).expect("a certificate");
    let portal = CallbackServer::start(CallbackOptions::new(identity, SECRET)).await.expect("a portal");
    let proxy = proxy(ProxyOptions::default().finding("portal.invalid", portal.addr())).await;
    let url = format!("https://portal.invalid:{}/done", portal.addr().port());
    let more = format!(
        "[proxy]\nenabled = true\nhost = \"127.0.0.1\"\nport = {}\n\
         [callbacks]\nca_file = {}\nbackoff_first_ms = 100\n\
         [clients.portal.callbacks.done]\nurl = \"{url}\"\n",
        proxy.addr().port(),
        Value::from(ca_file.to_string_lossy())
    );
    let client = format!("webhook_secrets = [\"{SECRET}\"]\n");
    let scene = Scene::with(SceneOptions { client, more, ..SceneOptions::default() }).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    pushed(&scene, &mut phone).await;
    let start = json!({"type": "login", "user": "alice", "callback_url": url});
    let view = scene.portal("POST", "/v1/transactions", Some(&start)).await.expect(201);
    let id = view["id"].as_str().expect("an id");
    scene.portal("DELETE", &format!("/v1/transactions/{id}"), None).await.expect(200);
    let taken = portal.callbacks().wait_for(1, tocsin_mock::CallbackRecord::is_taken, SOON).await;
    let taken = taken.unwrap_or_else(|error| panic!("{error}: {}", scene.log()));
    assert_eq!(taken[0].json(), json!({"id": id}));
    let records = proxy.log().records();
    let target = format!("portal.invalid:{}", portal.addr().port());
    assert_eq!(
        records.iter().map(|record| &record.target).collect::<Vec<_>>(),
        [&target],
        "pushes go straight"
    );
}
