//! The documents of the doors: checked in as they are generated, served, and true of the routes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;
use tocsin_api::door::DoorName;
use tocsin_api::openapi;

use crate::bank::{Bank, with_bank};
use crate::http::Call;

/// Each door with its document as it is generated.
fn documents() -> [(DoorName, String); 3] {
    DoorName::ALL.map(|door| (door, openapi::text(door)))
}

#[test]
fn the_documents_that_are_checked_in_are_those_that_are_generated() {
    for (door, text) in documents() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("openapi/{door}-v1.json"));
        let checked_in = fs::read_to_string(&file).unwrap_or_default();
        assert!(
            checked_in == text,
            "api/openapi/{door}-v1.json is not what the code says; look at the difference after\n    \
             cargo run -p tocsin-api -- openapi {door} > api/openapi/{door}-v1.json"
        );
    }
}

/// The calls of a document: its paths with their methods.
fn calls(document: &Value) -> Vec<(String, BTreeSet<String>)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods =
        |item: &Value| item.as_object().expect("an item").keys().map(|key| key.to_uppercase()).collect();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

fn at(bank: &Bank, door: DoorName, method: &str, path: &str) -> Call {
    let addresses = bank.addresses();
    let address = match door {
        DoorName::Portal => addresses.portal,
        DoorName::Device => addresses.device,
        DoorName::Ops => addresses.ops,
    };
    Call::new(method, address, path)
}

#[test]
fn each_door_serves_its_document_to_those_who_may_call() {
    with_bank(|bank| async move {
        let served = [
            (DoorName::Portal, bank.portal_as("reader", "GET", "/v1/openapi.json").send().await),
            (DoorName::Device, bank.device("GET", "/device/v1/openapi.json").send().await),
            (DoorName::Ops, bank.admin("watcher", "GET", "/v1/admin/openapi.json").send().await),
        ];
        for (door, reply) in served {
            reply.expect(200);
            assert_eq!(reply.header("content-type"), Some("application/json"), "{door}");
            assert_eq!(reply.text, openapi::text(door), "{door}");
        }
        let nobody = bank.portal("GET", "/v1/openapi.json").basic("reader", "wrong").send().await;
        nobody.expect_problem(401, "invalid_client", None);
        bank.ops("/v1/admin/openapi.json").send().await.expect_problem(401, "invalid_token", None);
    });
}

#[test]
fn every_path_has_exactly_the_documented_methods() {
    with_bank(|bank| async move {
        for (door, text) in documents() {
            let document = serde_json::from_str(&text).expect("JSON");
            for (path, methods) in calls(&document) {
                let path = path.replace(['{', '}'], "");
                for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
                    let reply = at(&bank, door, method, &path).send().await;
                    let allowed: BTreeSet<String> =
                        reply.header("allow").unwrap_or_default().split(", ").map(str::to_owned).collect();
                    match methods.contains(method) {
                        true => assert_ne!(reply.status, 405, "{door} {method} {path}"),
                        false => {
                            assert_eq!((reply.status, &allowed), (405, &methods), "{door} {method} {path}")
                        }
                    }
                }
            }
        }
    });
}

#[test]
fn parts_of_paths_are_parameters_and_every_call_has_a_name_of_its_own() {
    for (door, text) in documents() {
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let mut names = BTreeSet::new();
        for (path, item) in document["paths"].as_object().expect("paths") {
            let parts: BTreeSet<&str> =
                path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')).collect();
            for (method, operation) in item.as_object().expect("an item") {
                let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
                let of_path: BTreeSet<&str> = parameters
                    .iter()
                    .filter(|parameter| parameter["in"] == "path")
                    .filter_map(|parameter| parameter["name"].as_str())
                    .collect();
                assert_eq!(of_path, parts, "{door} {method} {path}");
                let name = operation["operationId"].as_str().expect("a name").to_owned();
                assert!(names.insert(name), "{door} {method} {path}");
            }
        }
    }
}
