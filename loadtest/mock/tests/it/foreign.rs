//! Client libraries of other makers push into the doubles: what they send as Apple and Google take it, the doubles take.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;
use tocsin_mock::{World, WorldOptions};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/foreign");

/// `PHONE_PYTHON`, or the Python that `scripts/setup` prepares for every test that needs one.
fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("PHONE_PYTHON") {
        return named.into();
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(std::env::var_os("HOME").expect("a home folder")).join(".cache");
    cache.unwrap_or_else(home).join("tocsin/python/bin/python")
}

/// Runs a script with these arguments; answers with the line of JSON that it prints.
async fn told(script: &str, arguments: Value) -> Value {
    let mut command = Command::new(python());
    command.arg(format!("{FOLDER}/{script}")).arg(arguments.to_string());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ran");
    let output = output.expect("scripts/setup python has prepared a Python");
    let (printed, said) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    serde_json::from_str(printed.trim()).unwrap_or_else(|error| panic!("{error}: {printed}\n{said}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn aioapns_pushes_through_the_double_of_apns() {
    let (world, folder) = (World::start(WorldOptions::default()).await.unwrap(), TempDir::new().unwrap());
    let files = world.write_credentials(folder.path()).unwrap();
    let (known, other): (Vec<String>, String) =
        ((1..=4).map(|n| format!("{n:064x}")).collect(), "ff".repeat(32));
    for token in &known {
        world.apns.devices().register(token, "com.example.bank").unwrap();
    }
    world.apns.devices().unregister(&other, world.apns.clock().now_s() * 1_000).unwrap();
    let replies = told(
        "push_by_aioapns.py",
        json!({
            "apns": world.apns.url(), "apns_key": files.apns_key, "ca": files.ca, "topic": "com.example.bank",
            "team_id": world.apns_credential.team_id, "key_id": world.apns_credential.key_id,
            "tokens": [&known[0], &known[1], &known[2], &known[3], &other],
        }),
    )
    .await;
    let statuses: Vec<&str> =
        replies.as_array().unwrap().iter().filter_map(|reply| reply["status"].as_str()).collect();
    assert_eq!(statuses, ["200", "200", "200", "200", "410"], "{replies}");
    assert_eq!(replies[4]["reason"], "Unregistered", "{replies}");
    let records = world.apns.pushes().records();
    assert_eq!(records.len(), 5);
    for (record, reply) in records.iter().zip(replies.as_array().unwrap()).take(1) {
        assert_eq!(record.header("apns-id"), reply["id"].as_str());
    }
    assert_eq!(world.apns.pushes().accepted(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn firebase_admin_pushes_through_the_double_of_fcm() {
    let (world, folder) = (World::start(WorldOptions::default()).await.unwrap(), TempDir::new().unwrap());
    let files = world.write_credentials(folder.path()).unwrap();
    world.fcm.registrations().unregister("b:APA91bGone").unwrap();
    let replies = told(
        "push_by_firebase_admin.py",
        json!({
            "fcm": world.fcm.url(), "fcm_service_account": files.fcm_service_account, "ca": files.ca,
            "targets": [{"token": "a:APA91bToken"}, {"fid": "cdEFghIJklMNopQRstUV01"}, {"token": "b:APA91bGone"}],
        }),
    )
    .await;
    for taken in [&replies[0], &replies[1]] {
        assert!(
            taken["name"].as_str().is_some_and(|name| name.starts_with("projects/example-bank/messages/")),
            "{replies}"
        );
    }
    assert_eq!(replies[2], json!({"error": "UnregisteredError", "status": 404}), "{replies}");
    assert_eq!(world.fcm.pushes().accepted(), 2);
}
