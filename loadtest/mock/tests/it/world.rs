//! Everything at once, and the files a client is configured with.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use tocsin_mock::{World, WorldOptions};

use super::client::Client;
use super::rig::{Push, apns_token};

#[tokio::test]
async fn a_world_takes_a_push_signed_with_its_own_credential() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let mut client = Client::connect(&world.authority, world.apns.addr()).await;
    let token = apns_token(&world.apns_credential, world.apns.clock().now_s());
    assert_eq!(client.send(Push::new(&token).request()).await.unwrap().status.as_u16(), 200);
    world.stop().await;
    assert!(client.send(Push::new(&token).request()).await.is_err());
}

#[tokio::test]
async fn the_credential_files_are_complete_and_private() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let files = world.write_credentials(folder.path()).unwrap();
    let files_again = world.write_credentials(folder.path()).unwrap();
    assert_eq!(files.ca, files_again.ca);
    assert_eq!(std::fs::read_to_string(&files.ca).unwrap(), world.authority.ca_pem());
    let account = std::fs::read_to_string(&files.fcm_service_account).unwrap();
    let account: Value = serde_json::from_str(&account).unwrap();
    assert_eq!(account["token_uri"], world.fcm.token_uri());
    assert_eq!(account["type"], "service_account");
    for private in [&files.apns_key, &files.fcm_service_account] {
        assert_eq!(std::fs::metadata(private).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn debug_of_a_world_shows_no_key() {
    let world = World::start(WorldOptions::default()).await.unwrap();
    let shown = format!("{world:?}");
    assert!(shown.contains("TEAM000001") && !shown.contains("PRIVATE KEY"), "{shown}");
}
