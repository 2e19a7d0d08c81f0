//! Runs APNs, FCM and the token endpoint until standard input is closed, for clients of any language.
//!
//! `cargo run -p tocsin-mock --example world -- FOLDER [--fast]` writes the credentials into FOLDER and
//! prints one line of JSON with the addresses.

use std::path::PathBuf;

use serde_json::json;
use tocsin_mock::{MockError, Strictness, World, WorldOptions};

#[tokio::main]
async fn main() -> Result<(), MockError> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "mock-world".to_owned()));
    let mut options = WorldOptions::default();
    if arguments.next().as_deref() == Some("--fast") {
        options.strictness = Strictness::Fast;
    }
    let (team_id, key_id) = (options.team_id.clone(), options.key_id.clone());
    let world = World::start(options).await?;
    let files = world.write_credentials(&folder)?;
    let addresses = json!({
        "apns": world.apns.url(),
        "fcm": world.fcm.url(),
        "token_uri": world.fcm.token_uri(),
        "team_id": team_id,
        "key_id": key_id,
        "ca": files.ca,
        "apns_key": files.apns_key,
        "fcm_service_account": files.fcm_service_account,
    });
    println!("{addresses}");
    let closed = || std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
    let _bytes = tokio::task::spawn_blocking(closed).await;
    world.stop().await;
    Ok(())
}
