//! Forms at the portal door: flat fields, and credentials as the other way of authentication.

use serde_json::json;

use crate::bank::{Bank, id_of, secret_of, with_bank, with_configured_bank};
use crate::http::{Answer, Call};

const FORM: &str = "application/x-www-form-urlencoded";

fn credentials(client: &str, secret: &str) -> String {
    format!("client_id={client}&client_secret={}", secret.replace(' ', "+"))
}

fn own() -> String {
    credentials("portal", &secret_of("portal"))
}

async fn post(bank: &Bank, body: &str) -> Answer {
    Call::new("POST", bank.addresses().portal, "/v1/transactions").text(FORM, body.to_owned()).send().await
}

#[test]
fn a_form_starts_what_its_json_would() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let body = format!(
            "{}&type=login&user=Alice%40retail&title=Log+in%21&message=a%2Bb&ttl_s=30&device_id={}&app=bank&language=de",
            own(),
            phone.device_id
        );
        let view = post(&bank, &body).await.expect(201);
        assert_eq!(view["user"], json!({"id": "alice", "realm": "retail"}));
        assert_eq!((&view["shown"]["title"], &view["shown"]["message"]), (&json!("Log in!"), &json!("a+b")));
        assert_eq!((&view["ttl_ms"], &view["language"]), (&json!(30_000), &json!("de")));
    });
}

#[test]
fn a_form_and_its_json_are_one_call_to_an_idempotency_key() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let start = |call: Call| call.header("idempotency-key", "order-1").send();
        let json = bank.portal("POST", "/v1/transactions");
        let first =
            start(json.json(&json!({"type": "login", "user": "alice", "ttl_s": 30}))).await.expect(201);
        let form = Call::new("POST", bank.addresses().portal, "/v1/transactions");
        let again =
            start(form.text(FORM, format!("ttl_s=30&user=ALICE&type=login&{}", own()))).await.expect(200);
        assert_eq!(id_of(&again), id_of(&first));
    });
}

#[test]
fn an_enrolment_can_be_opened_by_a_form() {
    with_bank(|bank| async move {
        let call = Call::new("POST", bank.addresses().portal, "/v1/enrollments");
        let body = format!("user=alice&app=bank&ttl_s=60&{}", own());
        let opened = call.text(FORM, body).send().await.expect(201);
        assert!(opened["activation_code"].is_string(), "{opened}");
    });
}

#[test]
fn wrong_or_missing_credentials_in_a_form_are_401_and_all_look_the_same() {
    with_bank(|bank| async move {
        let secret = secret_of("portal").replace(' ', "+");
        let mut details = Vec::new();
        for who in [
            String::new(),
            "client_id=portal&".to_owned(),
            format!("client_secret={secret}&"),
            "client_id=portal&client_secret=wrong&".to_owned(),
            "client_id=portal&client_secret=&".to_owned(),
            format!("client_id=other&client_secret={secret}&"),
            format!("client_id=nobody&client_secret={secret}&"),
            format!("client_id=No+Name&client_secret={secret}&"),
        ] {
            let reply = post(&bank, &format!("{who}type=login&user=alice")).await;
            details.push(reply.expect_problem(401, "invalid_client", None)["detail"].clone());
        }
        details.dedup();
        assert_eq!(details.len(), 1);
    });
}

#[test]
fn credentials_in_header_and_form_must_be_the_same() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let both = |form: &str| {
            let call = bank.portal("POST", "/v1/transactions");
            call.text(FORM, format!("type=login&user=alice&{form}")).send()
        };
        for same in [String::new(), "client_id=portal".to_owned(), own()] {
            both(&same).await.expect(201);
        }
        for other in ["client_id=other", "client_secret=wrong", &credentials("other", &secret_of("other"))] {
            let problem = both(other).await.expect_problem(401, "invalid_client", None);
            assert!(problem["detail"].as_str().is_some_and(|text| text.contains("send one of the two")));
        }
        // A header that proves nothing is not saved by the form.
        let call = Call::new("POST", bank.addresses().portal, "/v1/transactions").basic("portal", "wrong");
        let reply = call.text(FORM, format!("type=login&user=alice&{}", own())).send().await;
        reply.expect_problem(401, "invalid_client", None);
    });
}

#[test]
fn credentials_are_fields_of_a_form_and_of_nothing_else() {
    with_bank(|bank| async move {
        let body = json!({"type": "login", "user": "a", "client_id": "portal", "client_secret": secret_of("portal")});
        let without = Call::new("POST", bank.addresses().portal, "/v1/transactions").json(&body);
        without.send().await.expect_problem(401, "invalid_client", None);
        bank.start(&body).await.expect_problem(400, "unknown_field", Some("client_id"));
    });
}

#[test]
fn a_form_is_read_as_strictly_as_json() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        for (fields, status, code, field) in [
            ("type=login&user=alice&nonsense=1", 400, "unknown_field", "nonsense"),
            ("type=login&user=alice&user=bob", 400, "invalid_request", "user"),
            ("type=login&user=%ff", 400, "invalid_request", "user"),
            ("type=login&user=%4", 400, "invalid_request", "user"),
            ("type=login&user=alice&ttl_s=soon", 400, "invalid_request", "ttl_s"),
            ("type=login&user=alice&ttl_s=", 400, "invalid_request", "ttl_s"),
            ("type=login&user=alice&ttl_s=-1", 400, "invalid_request", "ttl_s"),
            ("type=login&user=alice&ttl_s=1.5", 400, "invalid_request", "ttl_s"),
            ("type=login&user=alice&ttl_s=99999999999999999999", 422, "invalid_field", "ttl_s"),
            ("type=login&user=alice&ttl_s=61", 422, "invalid_field", "ttl_s"),
            ("type=login&user=alice&wait_s=301", 422, "invalid_field", "wait_s"),
            ("type=login&user=alice&details=x", 400, "invalid_request", "details"),
            ("type=login&user=alice&hidden_details=x", 400, "invalid_request", "hidden_details"),
            ("type=login&user=alice&context=x", 400, "invalid_request", "context"),
            ("type=login&user=alice&title=", 422, "invalid_field", "title"),
            ("type=login", 422, "field_required", "user"),
        ] {
            println!("{fields}");
            post(&bank, &format!("{fields}&{}", own())).await.expect_problem(status, code, Some(field));
        }
        assert!(bank.network.pushes().is_empty());
    });
}

#[test]
fn a_form_has_the_bounds_of_every_body_and_is_in_utf_8() {
    let small = |text: &str| text.replacen("[portal]", "[portal]\nbody_bytes_max = 1024", 1);
    with_configured_bank(small, |bank| async move {
        let long = format!("{}&type=login&user=alice&message={}", own(), "a".repeat(1_024));
        post(&bank, &long).await.expect_problem(413, "body_too_large", None);
        for media_type in
            ["application/x-www-form-urlencoded; charset=iso-8859-1", "multipart/form-data", "text/plain"]
        {
            let call = bank.portal("POST", "/v1/transactions").text(media_type, "type=login&user=alice");
            call.send().await.expect_problem(415, "unsupported_media_type", None);
        }
        let coded =
            bank.portal("POST", "/v1/transactions").text(FORM, "x").header("content-encoding", "gzip");
        coded.send().await.expect_problem(415, "unsupported_media_type", None);
    });
}
