//! How a transaction reaches a phone.

use tocsin_loadtest::PhoneKind;

use super::Scene;
use super::scene::SOON;

/// Two users, two phones: each push goes to its own user's phone only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_159_device_addressing() {
    let scene = Scene::open().await;
    let mut alice = scene.enrol(PhoneKind::Iphone, "alice").await;
    let mut bob = scene.enrol(PhoneKind::Android, "bob").await;

    let for_alice = scene.begin("login", "alice").await;
    assert_eq!(alice.next_push(SOON).await.expect("a push"), for_alice);
    let for_bob = scene.begin("login", "bob").await;
    assert_eq!(bob.next_push(SOON).await.expect("a push"), for_bob);

    assert_eq!(scene.world.apns.pushes().records().len(), 1);
    assert_eq!(scene.world.fcm.pushes().records().len(), 1);
    let view = scene.portal("GET", &format!("/v1/transactions/{for_bob}"), None).await.expect(200);
    assert_eq!(view["delivery"].as_array().map(Vec::len), Some(1), "{view}");
}
