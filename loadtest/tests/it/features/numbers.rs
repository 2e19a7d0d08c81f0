//! Number matching: what ties an approval to the portal's screen.

use serde_json::{Value, json};
use tocsin_loadtest::phone::{Approval, Challenge, Matching};
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_model::Decision;

use super::Scene;
use super::approval::{KEYS, assert_reply, fetch, view_path};

/// Types by what they say of the purpose and of the number.
const NUMBERS: &str = r#"
[realms.retail]
[types.quiet]
[types.login]
purpose = "login"
[types.loose]
purpose = "login"
number_match = "off"
[types.chosen]
purpose = "login"
number_match = "choose"
[types.typed]
number_match = "type"
[apps.bank.ios]
bundle_id = "com.example.bank"
"#;

/// The number stands on the portal's screen only, or among three on the phone; it may be asked for and not be let go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_matched_and_a_wrong_one_is_final() {
    let scene = Scene::of(KEYS).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    let number = async |phone: &Handset, challenge: &Challenge, number: Option<&str>| {
        phone.phone.answer_by(challenge, Decision::Accept, Approval::Device, number).await.expect("a reply")
    };
    let id = scene.begin("entry", "alice").await;
    let shown = scene.view(id).await["number"].as_str().expect("a number").to_owned();
    assert!(shown.len() == 2 && shown.bytes().all(|byte| byte.is_ascii_digit()), "{shown}");
    let challenge = fetch(&phone, id).await;
    assert_eq!(challenge.matching, Matching::Type);
    assert_reply(&number(&phone, &challenge, None).await, 422, "code", &json!("field_required"));
    assert_eq!(scene.view(id).await["attempts"]["used"], 0);
    assert_reply(&number(&phone, &challenge, Some(&shown)).await, 200, "state", &json!("accepted"));

    let id = scene.begin("choose", "alice").await;
    let right = scene.view(id).await["number"].as_str().expect("a number").to_owned();
    let challenge = fetch(&phone, id).await;
    let Matching::Choose(numbers) = &challenge.matching else { panic!("{challenge:?}") };
    assert!(numbers.contains(&right));
    let wrong = numbers.iter().find(|number| **number != right).expect("another one");
    let reply = number(&phone, &challenge, Some(wrong)).await;
    assert_reply(&reply, 200, "reason", &json!("wrong_number"));
    let again = number(&phone, &challenge, Some(&right)).await;
    assert_reply(&again, 200, "reason", &json!("wrong_number"));
    assert_eq!(scene.outcome(id).await["reason"], "wrong_number");

    let start =
        |type_name: &str, rule: &str| json!({"type": type_name, "user": "alice", "number_match": rule});
    for (type_name, rule) in [("entry", "choose"), ("entry", "off"), ("choose", "off"), ("plain", "loud")] {
        let refused = scene.portal("POST", "/v1/transactions", Some(&start(type_name, rule))).await;
        assert_eq!(refused.expect_problem(422, "invalid_field")["field"], "number_match");
    }
    let tightened = scene.portal("POST", "/v1/transactions", Some(&start("plain", "type"))).await.expect(201);
    assert!(tightened["number"].is_string(), "{tightened}");
}

/// What a type says wins; a login that says nothing has its number typed, anything else has none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_number_is_asked_for_by_purpose_by_type_and_by_caller() {
    let scene = Scene::of(NUMBERS).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for (type_name, asked, expected) in [
        ("quiet", None, "off"),
        ("login", None, "type"),
        ("loose", None, "off"),
        ("chosen", None, "choose"),
        ("typed", None, "type"),
        ("quiet", Some("off"), "off"),
        ("quiet", Some("choose"), "choose"),
        ("loose", Some("type"), "type"),
        ("chosen", Some("choose"), "choose"),
        ("chosen", Some("type"), "type"),
        ("typed", Some("type"), "type"),
    ] {
        let mut body = json!({"type": type_name, "user": "alice"});
        asked.into_iter().for_each(|rule| body["number_match"] = json!(rule));
        let view = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
        let id = view["id"].as_str().expect("an id").parse().expect("an id");
        let challenge = fetch(&phone, id).await;
        let matched = match &challenge.matching {
            Matching::Off => "off",
            Matching::Choose(numbers) => {
                let different: std::collections::BTreeSet<&String> = numbers.iter().collect();
                assert_eq!((numbers.len(), different.len()), (3, 3), "{numbers:?}");
                "choose"
            }
            Matching::Type => "type",
        };
        assert_eq!(matched, expected, "{body}");
        assert_eq!(view.get("number").is_some(), expected != "off", "{view}");
        scene.portal("DELETE", &view_path(id), None).await.expect(200);
    }
    for (type_name, looser) in [("typed", "choose"), ("login", "off"), ("chosen", "off")] {
        let body = json!({"type": type_name, "user": "alice", "number_match": looser});
        let refused = scene.portal("POST", "/v1/transactions", Some(&body)).await;
        assert_eq!(refused.expect_problem(422, "invalid_field")["field"], "number_match");
    }
}

/// The user must see the number first, so a start with one is never held; nothing is stored, nothing is pushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_with_a_number_is_not_held() {
    let scene = Scene::of(NUMBERS).await;
    let _phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for body in [
        json!({"type": "login", "user": "alice", "wait_s": 5}),
        json!({"type": "chosen", "user": "alice", "wait_s": 1}),
        json!({"type": "quiet", "user": "alice", "wait_s": 5, "number_match": "choose"}),
    ] {
        let refused = scene.portal("POST", "/v1/transactions", Some(&body)).await;
        assert_eq!(refused.expect_problem(422, "wait_not_possible")["field"], "wait_s");
    }
    let list = scene.portal("GET", "/v1/transactions?user=alice", None).await.expect(200);
    assert_eq!(list["items"], json!([]));
    assert!(scene.world.apns.pushes().records().is_empty());
    // No wait at all is no wait; shown first, it can be waited for.
    let body = json!({"type": "login", "user": "alice", "wait_s": 0});
    let view = scene.portal("POST", "/v1/transactions", Some(&body)).await.expect(201);
    let path = format!("/v1/transactions/{}?wait_s=1", view["id"].as_str().expect("an id"));
    assert_eq!(scene.portal("GET", &path, None).await.expect(200)["number"], view["number"]);
}

/// Refusing needs no number, and a number that comes with it changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_refuses_needs_no_number() {
    let scene = Scene::of(NUMBERS).await;
    let phone = scene.enrol(PhoneKind::Iphone, "alice").await;
    for (decision, number, state) in
        [(Decision::Decline, None, "declined"), (Decision::Report, Some("00"), "reported")]
    {
        let id = scene.begin("login", "alice").await;
        let challenge = fetch(&phone, id).await;
        let reply = phone.phone.answer_by(&challenge, decision, Approval::Device, number).await;
        assert_reply(&reply.expect("a reply"), 200, "state", &json!(state));
        let view = scene.outcome(id).await;
        assert_eq!((&view["state"], view.get("reason")), (&json!(state), None::<&Value>), "{view}");
    }
}
