//! `/v1/admin`: who may call it, and what it shows.

use serde_json::{Value, json};

use crate::bank::{secret_of, with_bank};
use crate::http::Call;

/// Everything that the role `read` may call.
const READ: [(&str, &str); 1] = [("GET", "/v1/admin/config")];

#[test]
fn every_call_needs_a_token_also_on_loopback() {
    with_bank(|bank| async move {
        let address = bank.addresses().ops;
        for (method, path) in READ {
            let unproven = [
                Call::new(method, address, path),
                Call::new(method, address, path).bearer("wrong"),
                Call::new(method, address, path).bearer(&format!("{} ", secret_of("watcher"))).bearer(""),
                Call::new(method, address, path).basic("watcher", &secret_of("watcher")),
                // A credential of another door.
                Call::new(method, address, path).bearer(&secret_of("portal")),
            ];
            for call in unproven {
                let reply = call.send().await;
                reply.expect_problem(401, "invalid_token", None);
                assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"tocsin\""), "{path}");
            }
        }
    });
}

#[test]
fn a_token_is_nothing_at_the_portal_door() {
    with_bank(|bank| async move {
        let path = "/v1/transactions/01913f00-0000-8000-8000-000000000000";
        let as_bearer = Call::new("GET", bank.addresses().portal, path).bearer(&secret_of("console"));
        as_bearer.send().await.expect_problem(401, "invalid_client", None);
        let as_secret =
            Call::new("GET", bank.addresses().portal, path).basic("console", &secret_of("console"));
        as_secret.send().await.expect_problem(401, "invalid_client", None);
    });
}

#[test]
fn who_may_read_and_who_may_operate_both_see() {
    with_bank(|bank| async move {
        for (method, path) in READ {
            for operator in ["watcher", "console"] {
                let reply = bank.admin(operator, method, path).send().await;
                reply.expect(200);
                assert_eq!(reply.header("cache-control"), Some("no-store"), "{path}");
            }
        }
    });
}

#[test]
fn the_configuration_is_shown_with_the_source_of_each_value_and_without_secrets() {
    with_bank(|bank| async move {
        let reply = bank.admin("watcher", "GET", "/v1/admin/config").send().await;
        let shown = reply.expect(200);
        let find = |key: &str| -> Value {
            let items = shown["items"].as_array().expect("a list");
            items.iter().find(|item| item["key"] == key).unwrap_or_else(|| panic!("no {key}")).clone()
        };
        assert_eq!(find("types.login.ttl_s")["value"], json!(60));
        assert!(
            find("types.login.ttl_s")["source"].as_str().expect("a text").contains("tocsin.toml:"),
            "{shown}"
        );
        assert_eq!(
            find("types.login.message_max"),
            json!({"key": "types.login.message_max", "value": 155, "source": "default"})
        );
        assert_eq!(find("clients.portal.types")["value"], json!(["login", "payment"]));
        assert_eq!(find("types.login.keep_for_polling")["value"], json!(false));
        assert_eq!(find("clients.portal.secret_sha256")["value"], "********");
        assert_eq!(find("ops.tokens.console.sha256")["value"], "********");
        let unknown = bank.admin("watcher", "GET", "/v1/admin/config?secrets=1").send().await;
        unknown.expect_problem(400, "unknown_field", Some("secrets"));
    });
}
