//! Prompt bombing: what keeps a stranger from wearing a user out, and from keeping him out.
//!
//! One test for each promise; each is told by the name of its function.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Approval, Matching};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_model::{Decision, TransactionId};

use super::Scene;
use super::approval::{assert_reply, fetch, view_path};
use super::operations::{operated_of, shown};
use super::scene::{Answer, SOON};

const TYPES: &str = r#"
[realms.retail]
[types.plain]
[types.login]
purpose = "login"
[types.loose]
purpose = "login"
number_match = "off"
[types.one]
pending_push = "reject"
[types.spaced]
push_gap_s = 3600
[types.told]
report_lock_s = 0
[types.told-briefly]
report_lock_s = 3600
[apps.bank.ios]
bundle_id = "com.example.bank"
[apps.bank.android]
package = "com.example.bank"
[apps.bank]
mode = "multiple"
"#;

const LADDER: &str = r#"
[realms.retail]
ladder_number_match_after = 2
ladder_other_method_after = 4
ladder_block_after = 6
ladder_block_s = 3600
[types.plain]
[types.again]
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;

async fn start(scene: &Scene, type_name: &str, user: &str) -> Answer {
    let body = json!({"type": type_name, "user": user});
    scene.portal("POST", "/v1/transactions", Some(&body)).await
}

fn id_of(view: &Value) -> TransactionId {
    view["id"].as_str().expect("an id").parse().expect("an id")
}

/// Starts one that must come to be.
async fn begun(scene: &Scene, type_name: &str, user: &str) -> Value {
    start(scene, type_name, user).await.expect(201)
}

async fn decide(phone: &Handset, id: TransactionId, decision: Decision, number: Option<&str>) {
    let challenge = fetch(phone, id).await;
    let reply = phone.phone.answer_by(&challenge, decision, Approval::Device, number).await;
    assert_eq!(reply.expect("a reply").status, 200);
}

/// Starts one and lets its user refuse it.
async fn refused(scene: &Scene, phone: &Handset) {
    let view = begun(scene, "plain", phone.user()).await;
    decide(phone, id_of(&view), Decision::Decline, None).await;
}

async fn locks(scene: &Scene, user: &str) -> Value {
    scene.portal("GET", &format!("/v1/users/{user}/locks"), None).await.expect(200)["items"].clone()
}

async fn metric(scene: &Scene, line: &str) -> bool {
    let text = scene.ops("GET", "/metrics", None, None).await;
    String::from_utf8_lossy(&text.reply.body).lines().any(|found| found == line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_type_without_a_purpose_has_many_up_to_the_users_limit() {
    let scene = Scene::of(TYPES).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for _ in 0..10 {
        let view = begun(&scene, "plain", "alice").await;
        assert_eq!((view["state"].as_str(), view.get("number")), (Some("pending"), None));
    }
    start(&scene, "plain", "alice").await.expect_problem(429, "rate_limited");
    let list = scene.portal("GET", "/v1/transactions?user=alice&state=pending", None).await.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reject_refuses_a_second_push_to_the_same_user_and_app() {
    let scene = Scene::of(TYPES).await;
    let (_alice, _bob) =
        (scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol(PhoneKind::Iphone, "bob").await);
    let first = begun(&scene, "one", "alice").await;
    start(&scene, "one", "alice").await.expect_problem(409, "pending_exists");
    begun(&scene, "one", "bob").await;
    // Of whatever type the other one is; and one that is handed out asks for no room on a screen.
    let many = begun(&scene, "plain", "alice").await;
    scene.portal("DELETE", &view_path(id_of(&first)), None).await.expect(200);
    start(&scene, "one", "alice").await.expect_problem(409, "pending_exists");
    let handed = json!({"type": "one", "user": "alice", "delivery": ["request_message"]});
    scene.portal("POST", "/v1/transactions", Some(&handed)).await.expect(201);
    scene.portal("DELETE", &view_path(id_of(&many)), None).await.expect(200);
    begun(&scene, "one", "alice").await;
    assert!(metric(&scene, "tocsin_fatigue_total{measure=\"rejected\"} 2").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_starts_at_the_same_moment_reject_lets_one_through() {
    let scene = Scene::of(TYPES).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let starts = futures_util::future::join_all((0..8).map(|_| start(&scene, "one", "alice"))).await;
    let statuses: Vec<u16> = starts.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 409).count(), 7, "{statuses:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_start_is_the_same_one_and_no_second_push() {
    let scene = Scene::of(TYPES).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let keyed = |body: &'static str| {
        let credentials = scene.installation.credentials();
        let pair = format!("{}:{}", credentials.client_id, credentials.secret);
        let basic = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
        let request = http::Request::post(format!("{}/v1/transactions", scene.installation.portal_url()))
            .header("authorization", format!("Basic {basic}"))
            .header("content-type", "application/json")
            .header("idempotency-key", "once");
        scene.call(request.body(bytes::Bytes::from(body)).expect("a request"))
    };
    const BODY: &str = r#"{"type":"one","user":"alice"}"#;
    let answers = futures_util::future::join_all((0..4).map(|_| keyed(BODY))).await;
    let mut ids: Vec<Value> = answers.into_iter().map(|answer| answer.body["id"].clone()).collect();
    ids.dedup();
    assert!(ids.len() == 1 && ids[0].is_string(), "{ids:?}");
    assert_eq!(phone.next_push(SOON).await.expect("a push").to_string(), ids[0]);
    let next = begun(&scene, "loose", "alice").await;
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id_of(&next), "no other came between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_supersedes_so_that_a_stranger_keeps_nobody_out() {
    let scene = Scene::of(TYPES).await;
    let mut phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let strangers = begun(&scene, "loose", "alice").await;
    assert_eq!(strangers.get("number"), None, "the type asks for none");
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id_of(&strangers));
    let before = fetch(&phone, id_of(&strangers)).await;
    assert!(before.replaces.is_empty());

    let own = begun(&scene, "loose", "alice").await;
    assert_eq!(scene.view(id_of(&strangers)).await["state"], "cancelled");
    // The new one goes out only with a number that is typed,
    let number = own["number"].as_str().expect("a number");
    assert_eq!(phone.next_push(SOON).await.expect("a push"), id_of(&own));
    let challenge = fetch(&phone, id_of(&own)).await;
    assert_eq!(challenge.matching, Matching::Type);
    // the phone can say that an earlier request was replaced,
    assert_eq!(challenge.replaces, [id_of(&strangers).to_string()]);
    // and the dead prompt goes.
    let closed = phone.next_closing(SOON).await.expect("a closing push");
    assert_eq!(closed, (id_of(&strangers), "cancelled".to_owned()));
    // What was superseded can be answered no more; what took its place can.
    let late = phone.phone.answer_by(&before, Decision::Accept, Approval::Device, None).await;
    assert_reply(&late.expect("a reply"), 409, "code", &json!("transaction_final"));
    decide(&phone, id_of(&own), Decision::Accept, Some(number)).await;
    assert_eq!(scene.outcome(id_of(&own)).await["state"], "accepted");
    assert!(metric(&scene, "tocsin_fatigue_total{measure=\"superseded\"} 1").await);
}

/// The user must see the number first, so a start that supersedes is answered at once with it: refused, a stranger who lets
/// a login wait would keep the user out of portals that hold the call.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_held_start_that_supersedes_is_answered_at_once_with_its_number() {
    let scene = Scene::of(TYPES).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let strangers = begun(&scene, "loose", "alice").await;
    // Held for that long it would end with the transaction.
    let held = json!({"type": "loose", "user": "alice", "wait_s": 300});
    let answer = scene.portal("POST", "/v1/transactions", Some(&held)).await;
    assert_eq!(answer.reply.headers.get("preference-applied"), None);
    let own = answer.expect(201);
    let number = own["number"].as_str().expect("a number");
    assert_eq!(own["state"], "pending");
    assert_eq!(scene.outcome(id_of(&strangers)).await["state"], "cancelled");
    decide(&phone, id_of(&own), Decision::Accept, Some(number)).await;
    assert_eq!(scene.outcome(id_of(&own)).await["state"], "accepted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_logins_at_the_same_moment_one_is_left_pending() {
    let scene = Scene::of(TYPES).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let starts = futures_util::future::join_all((0..8).map(|_| begun(&scene, "login", "alice"))).await;
    let mut states = Vec::new();
    for view in &starts {
        states.push(scene.view(id_of(view)).await["state"].as_str().expect("a state").to_owned());
    }
    assert_eq!(states.iter().filter(|state| *state == "pending").count(), 1, "{states:?}");
    assert_eq!(states.iter().filter(|state| *state == "cancelled").count(), 7, "{states:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_login_takes_no_payments_place() {
    let scene = Scene::of(TYPES).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let payment = begun(&scene, "plain", "alice").await;
    let login = begun(&scene, "login", "alice").await;
    assert_eq!(scene.view(id_of(&payment)).await["state"], "pending");
    assert!(fetch(&phone, id_of(&login)).await.replaces.is_empty());
}

/// Old and new stand in one batch: no crash leaves both, or none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_superseded_stands_after_a_crash() {
    let mut scene = Scene::of(TYPES).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let first = begun(&scene, "login", "alice").await;
    let second = begun(&scene, "login", "alice").await;
    scene.kill().await;
    scene.start().await;
    assert_eq!(scene.view(id_of(&first)).await["state"], "cancelled");
    assert_eq!(scene.view(id_of(&second)).await["state"], "pending");
    let challenge = fetch(&phone, id_of(&second)).await;
    assert_eq!(challenge.replaces, [id_of(&first).to_string()]);
    // What is pending is known after a restart, too.
    let third = begun(&scene, "login", "alice").await;
    assert_eq!(scene.view(id_of(&second)).await["state"], "cancelled");
    assert_eq!(scene.view(id_of(&third)).await["state"], "pending");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_to_a_user_keep_their_gap() {
    let mut scene = Scene::of(TYPES).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let first = begun(&scene, "plain", "alice").await;
    let refused = start(&scene, "spaced", "alice").await;
    assert!(refused.reply.headers.contains_key("retry-after"));
    let wait_ms = refused.expect_problem(429, "rate_limited")["retry_after_ms"].as_u64().expect("a wait");
    assert!((3_000_000..=3_600_000).contains(&wait_ms), "{wait_ms}");
    // Also behind one that has ended, and behind a restart.
    decide(&phone, id_of(&first), Decision::Accept, None).await;
    scene.kill().await;
    scene.start().await;
    start(&scene, "spaced", "alice").await.expect_problem(429, "rate_limited");
    let _other = scene.enrol(PhoneKind::Iphone, "bob").await;
    begun(&scene, "spaced", "bob").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ladder_goes_from_a_number_to_another_method_to_a_block() {
    let mut scene = Scene::of(LADDER).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for _ in 0..2 {
        assert_eq!(begun(&scene, "plain", "alice").await.get("number"), None);
        refused(&scene, &phone).await;
        let pending =
            scene.portal("GET", "/v1/transactions?user=alice&state=pending", None).await.expect(200);
        for item in pending["items"].as_array().expect("items") {
            scene.portal("DELETE", &view_path(id_of(item)), None).await.expect(200);
        }
    }
    // Two in a row: a number. What the portal withdrew itself counts for nothing.
    let numbered = begun(&scene, "plain", "alice").await;
    assert!(numbered["number"].is_string(), "{numbered}");
    assert_eq!(fetch(&phone, id_of(&numbered)).await.matching, Matching::Type);
    decide(&phone, id_of(&numbered), Decision::Decline, None).await;
    // The row outlives a crash.
    scene.kill().await;
    scene.start().await;
    let ignored = json!({"type": "plain", "user": "alice", "ttl_s": 6});
    let ignored = scene.portal("POST", "/v1/transactions", Some(&ignored)).await.expect(201);
    assert!(ignored["number"].is_string(), "{ignored}");
    assert_eq!(scene.outcome(id_of(&ignored)).await["state"], "timeout");
    // Four: no push at all, of whatever type.
    start(&scene, "again", "alice").await.expect_problem(422, "method_disabled");
    assert_eq!(locks(&scene, "alice").await, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_step_of_the_ladder_blocks_and_a_help_desk_ends_it() {
    let mut scene = Scene::of(&LADDER.replace("other_method_after = 4", "other_method_after = 0")).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for _ in 0..6 {
        refused(&scene, &phone).await;
    }
    let locked = start(&scene, "plain", "alice").await.expect_problem(403, "user_locked");
    assert!(locked["retry_after_ms"].as_u64().is_some_and(|wait| wait > 3_000_000), "{locked}");
    scene.kill().await;
    scene.start().await;
    start(&scene, "again", "alice").await.expect_problem(403, "user_locked");
    let held = locks(&scene, "alice").await;
    assert_eq!((held.as_array().map(Vec::len), &held[0]["reason"]), (Some(1), &json!("fatigue")));
    assert!(held[0]["since"].is_string() && held[0]["until"].is_string(), "{held}");
    scene.portal("DELETE", "/v1/users/alice/locks", None).await.expect(204);
    assert_eq!(locks(&scene, "alice").await, json!([]));
    assert_eq!(begun(&scene, "plain", "alice").await.get("number"), None, "the row begins anew");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_success_resets_the_ladder() {
    let scene = Scene::of(LADDER).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    refused(&scene, &phone).await;
    let second = begun(&scene, "plain", "alice").await;
    decide(&phone, id_of(&second), Decision::Accept, None).await;
    refused(&scene, &phone).await;
    assert_eq!(begun(&scene, "plain", "alice").await.get("number"), None, "one in a row");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_report_is_an_event_and_may_lock() {
    let scene = operated_of(TYPES).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let report = async |type_name: &str| {
        let view = begun(&scene, type_name, "alice").await;
        decide(&phone, id_of(&view), Decision::Report, None).await;
        assert_eq!(scene.outcome(id_of(&view)).await["state"], "reported");
    };
    report("plain").await;
    assert_eq!(locks(&scene, "alice").await, json!([]), "this type locks for nothing");
    report("told-briefly").await;
    let brief = locks(&scene, "alice").await;
    assert_eq!((&brief[0]["reason"], brief[0]["until"].is_string()), (&json!("reported"), true));
    start(&scene, "plain", "alice").await.expect_problem(403, "user_locked");
    scene.portal("DELETE", "/v1/users/alice/locks", None).await.expect(204);
    report("told").await;
    let held = locks(&scene, "alice").await;
    assert_eq!(held[0].get("until"), None, "until somebody removes it");
    let page = shown(&scene, "/v1/admin/users/alice?realm=retail").await;
    assert_eq!(page["locks"], held, "the help desk sees it");
    for (event, count) in [("fraud_reported", 3), ("user_locked", 2), ("user_unlocked", 1)] {
        let rows = shown(&scene, &format!("/v1/admin/audit?event={event}")).await;
        assert_eq!(rows["items"].as_array().map(Vec::len), Some(count), "{event}");
    }
    assert!(
        metric(&scene, "tocsin_transactions_ended_total{method=\"push\",state=\"reported\",type=\"told\"} 1")
            .await
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closing_push_clears_the_other_phones() {
    let scene = Scene::of(TYPES).await;
    let mut deciding = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut apple = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut google = scene.enrol(PhoneKind::Android, "alice").await;
    let view = begun(&scene, "plain", "alice").await;
    let id = id_of(&view);
    for phone in [&mut deciding, &mut apple, &mut google] {
        while phone.next_push(SOON).await.ok() != Some(id) {}
    }
    scene.until_relayed(id).await;
    decide(&deciding, id, Decision::Accept, None).await;
    for phone in [&mut apple, &mut google] {
        assert_eq!(phone.next_closing(SOON).await.expect("a closing push"), (id, "accepted".to_owned()));
    }
    let collapse = id.to_string();
    let records = scene.world.apns.pushes().records();
    let of_this: Vec<_> =
        records.iter().filter(|record| record.header("apns-collapse-id") == Some(&collapse)).collect();
    assert_eq!(of_this.len(), 3, "two prompts, one closing");
    let mut ids: Vec<_> = of_this.iter().map(|record| record.header("apns-id").expect("an id")).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 3, "each is a push of its own");
    // The deciding phone knows; what is withdrawn is cleared from all.
    let other = begun(&scene, "plain", "alice").await;
    scene.until_relayed(id_of(&other)).await;
    scene.portal("DELETE", &view_path(id_of(&other)), None).await.expect(200);
    for phone in [&mut deciding, &mut apple, &mut google] {
        let closed = phone.next_closing(SOON).await.expect("a closing push");
        assert_eq!(closed, (id_of(&other), "cancelled".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lock_calls_take_users_of_the_clients_realms() {
    let scene = Scene::of(TYPES).await;
    assert_eq!(locks(&scene, "nobody").await, json!([]));
    scene.portal("DELETE", "/v1/users/nobody/locks", None).await.expect(204);
    scene.portal("GET", "/v1/users/alice/locks?realm=moon", None).await.expect_problem(404, "not_found");
    scene.portal("GET", "/v1/users/alice/locks?page=1", None).await.expect_problem(400, "unknown_field");
}
