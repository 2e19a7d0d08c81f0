//! What a portal asks about its transactions and users: lists, methods, and the choice of a phone.

use serde_json::{Value, json};

use crate::bank::{Bank, id_of, with_bank, with_configured_bank};
use crate::http::Answer;
use crate::phone::{PhoneKey, enrolment_body, send_enrolment};

async fn get(bank: &Bank, path: &str) -> Answer {
    bank.portal("GET", path).send().await
}

fn ids(list: &Value) -> Vec<String> {
    list["items"].as_array().expect("items").iter().map(id_of).collect()
}

#[test]
fn a_clients_own_transactions_are_listed_newest_first_and_filtered() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let _other = bank.enrol("bob").await;
        let mut started = Vec::new();
        for user in ["alice", "bob", "alice"] {
            started.insert(0, id_of(&bank.start_login(user).await));
        }
        phone.decide(&started[0], "accept").await.expect(200);
        let foreign = json!({"type": "login", "user": "alice@retail"});
        bank.portal_as("other", "POST", "/v1/transactions").json(&foreign).send().await.expect(201);
        let [newest, of_bob, oldest] = [&started[0], &started[1], &started[2]].map(String::clone);
        for (query, expected) in [
            ("", vec![&newest, &of_bob, &oldest]),
            ("?user=alice", vec![&newest, &oldest]),
            ("?user=ALICE%40retail", vec![&newest, &oldest]),
            ("?user=bob&realm=retail", vec![&of_bob]),
            ("?user=nobody", vec![]),
            ("?state=accepted", vec![&newest]),
            ("?user=alice&state=pending", vec![&oldest]),
            ("?state=timeout", vec![]),
        ] {
            let list = get(&bank, &format!("/v1/transactions{query}")).await.expect(200);
            assert_eq!(ids(&list).iter().collect::<Vec<_>>(), expected, "{query}");
            assert!(list.get("next_cursor").is_none(), "{query}");
        }
        let list = get(&bank, "/v1/transactions?user=bob").await.expect(200);
        assert_eq!(list["items"][0], bank.view(&of_bob).await);
    });
}

#[test]
fn a_list_is_walked_by_a_cursor_that_fits_no_other_list() {
    with_bank(|bank| async move {
        let _phone = bank.enrol("alice").await;
        let mut started = Vec::new();
        for _ in 0..5 {
            started.insert(0, id_of(&bank.start_login("alice").await));
        }
        let (mut seen, mut path) = (Vec::new(), "/v1/transactions?user=alice&limit=2".to_owned());
        let mut first_cursor = None;
        loop {
            let page = get(&bank, &path).await.expect(200);
            seen.extend(ids(&page));
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            first_cursor.get_or_insert(cursor.to_owned());
            path = format!("/v1/transactions?user=alice&limit=2&cursor={cursor}");
            // What begins meanwhile is newer than the first page and does not shift the others.
            bank.start_login("alice").await;
        }
        assert_eq!(seen, started);
        let cursor = first_cursor.expect("several pages");
        for other in ["", "?user=bob", "?user=alice&state=pending"] {
            let sign = if other.is_empty() { "?" } else { "&" };
            let reply = get(&bank, &format!("/v1/transactions{other}{sign}cursor={cursor}")).await;
            reply.expect_problem(422, "invalid_field", Some("cursor"));
        }
        let foreign = format!("/v1/transactions?user=alice&cursor={cursor}");
        let reply = bank.portal_as("other", "GET", &foreign).send().await;
        reply.expect_problem(422, "invalid_field", Some("cursor"));
    });
}

#[test]
fn bad_parameters_of_a_list_are_refused_by_name() {
    with_bank(|bank| async move {
        for (query, status, code, field) in [
            ("limit=0", 422, "invalid_field", "limit"),
            ("limit=1001", 422, "invalid_field", "limit"),
            ("limit=x", 400, "invalid_request", "limit"),
            ("cursor=x", 422, "invalid_field", "cursor"),
            ("state=done", 422, "invalid_field", "state"),
            ("state=Pending", 422, "invalid_field", "state"),
            ("user=", 422, "invalid_field", "user"),
            ("user=a&user=b", 400, "invalid_request", "user"),
            ("realm=retail", 422, "field_required", "user"),
            ("from=1", 400, "unknown_field", "from"),
        ] {
            let reply = get(&bank, &format!("/v1/transactions?{query}")).await;
            reply.expect_problem(status, code, Some(field));
        }
        for limit in [1, 1_000] {
            get(&bank, &format!("/v1/transactions?limit={limit}")).await.expect(200);
        }
        let foreign = get(&bank, "/v1/transactions?user=alice&realm=staff").await;
        foreign.expect_problem(404, "not_found", None);
    });
}

/// Enrols a phone with the app `desk`, beside that with `bank`.
async fn enrol_desk(bank: &Bank, user: &str) -> String {
    let body = json!({"user": user, "app": "desk"});
    let opened = bank.portal_as("other", "POST", "/v1/enrollments").json(&body).send().await.expect(201);
    let key = PhoneKey::generate();
    let mut body = enrolment_body(opened["activation_code"].as_str().expect("a code"), &key);
    body["app"] = json!("desk");
    let enrolled = send_enrolment(bank.addresses().device, &bank.issuer, &key, &body).await.expect(201);
    enrolled["device_id"].as_str().expect("an id").to_owned()
}

#[test]
fn the_methods_of_a_user_are_the_types_that_would_work_now() {
    with_bank(|bank| async move {
        let path = "/v1/users/alice/methods";
        assert_eq!(get(&bank, path).await.expect(200), json!({"items": []}));
        let phone = bank.enrol("alice").await;
        let methods = |names: &[&str], devices: &[&str]| {
            let item = |name| json!({"type": name, "method": "push", "device_ids": devices});
            json!({"items": names.iter().map(item).collect::<Vec<_>>()})
        };
        let own = methods(&["login", "payment"], &[&phone.device_id]);
        assert_eq!(get(&bank, path).await.expect(200), own);
        let desk = enrol_desk(&bank, "alice").await;
        assert_eq!(get(&bank, path).await.expect(200), own, "a foreign app does not exist");
        let all = bank.portal_as("other", "GET", path).send().await.expect(200);
        assert_eq!(all, methods(&["login", "payment", "vault"], &[&desk, &phone.device_id]));
        let none = bank.portal_as("reader", "GET", path).send().await.expect(200);
        assert_eq!(none, json!({"items": []}));
        let device = format!("/v1/users/alice/devices/{}", phone.device_id);
        bank.portal("DELETE", &device).send().await.expect(204);
        assert_eq!(get(&bank, path).await.expect(200), json!({"items": []}));
        get(&bank, "/v1/users/alice/methods?realm=staff").await.expect_problem(404, "not_found", None);
    });
}

fn asking(text: &str) -> String {
    text.replace("[types.payment]", "[types.payment]\ndevice_choice = \"ask\"")
}

#[test]
fn a_type_that_asks_lists_the_phones_and_takes_the_one_that_is_named() {
    with_configured_bank(asking, |bank| async move {
        let phone = bank.enrol("alice").await;
        let start = |more: Value| {
            let mut body = json!({"type": "payment", "user": "alice"});
            more.as_object().expect("an object").iter().for_each(|(name, value)| body[name] = value.clone());
            bank.portal_as("other", "POST", "/v1/transactions").json(&body).send()
        };
        start(json!({})).await.expect(201);
        let desk = enrol_desk(&bank, "alice").await;
        let problem = start(json!({})).await.expect_problem(422, "device_required", Some("device_id"));
        let device =
            |id: &str, app| json!({"device_id": id, "name": "Alice's phone", "platform": "ios", "app": app});
        assert_eq!(problem["devices"], json!([device(&desk, "desk"), device(&phone.device_id, "bank")]));
        let pushes = bank.network.pushes().len();
        let named = start(json!({"device_id": desk})).await.expect(201);
        assert_eq!(named["delivery"].as_array().map(Vec::len), Some(1));
        assert_eq!(named["delivery"][0]["device_id"], desk.as_str());
        let by_app = start(json!({"app": "bank"})).await.expect(201);
        assert_eq!(by_app["delivery"][0]["device_id"], phone.device_id.as_str());
        bank.until_pushed(pushes + 2).await;
        // Another type asks nobody: both are pushed.
        let both = bank
            .portal_as("other", "POST", "/v1/transactions")
            .json(&json!({"type": "login", "user": "alice"}));
        assert_eq!(both.send().await.expect(201)["delivery"].as_array().map(Vec::len), Some(2));
    });
}

#[test]
fn where_the_user_calls_from_is_told_back_and_shown_to_nobody() {
    with_bank(|bank| async move {
        let phone = bank.enrol("alice").await;
        let context =
            json!({"ip_address": "::ffff:203.0.113.7", "user_agent": "Firefox", "session_id": "s-1"});
        let body = json!({"type": "login", "user": "alice", "language": "de-CH", "context": context});
        let view = bank.start(&body).await.expect(201);
        let told = json!({"ip_address": "203.0.113.7", "user_agent": "Firefox", "session_id": "s-1"});
        assert_eq!((&view["context"], &view["language"]), (&told, &json!("de-CH")));
        assert!(view["shown"].get("context").is_none(), "{view}");
        let id = id_of(&view);
        phone.decide(&id, "accept").await.expect(200);
        assert_eq!(bank.view(&id).await["context"], told);
        // Nothing is found by it: the same session makes another transaction.
        assert_ne!(id_of(&bank.start(&body).await.expect(201)), id);
        let bare = bank.start(&json!({"type": "login", "user": "alice", "context": {}})).await.expect(201);
        assert!(bare.get("context").is_none() && bare.get("language").is_none(), "{bare}");
    });
}
