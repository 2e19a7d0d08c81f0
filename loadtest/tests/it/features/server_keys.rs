//! The server's own keys: whom they belong to, and what a phone makes of what they signed.

use std::collections::BTreeSet;

use serde_json::Value;
use tocsin_loadtest::phone::{PhoneError, Refusal};
use tocsin_loadtest::{Handset, PhoneKind};

use super::Scene;
use super::scene::{CATALOGUE, SceneOptions};

fn kids(handset: &Handset) -> BTreeSet<String> {
    handset.phone.server_keys().expect("enrolled").kids().map(str::to_owned).collect()
}

async fn two_phones(scene: &Scene) -> [Handset; 2] {
    [scene.enrol(PhoneKind::Iphone, "alice").await, scene.enrol(PhoneKind::Android, "bob").await]
}

/// Off: two phones hold the same server key. On: each its own, and each verifies its challenges and follows its set.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_006_unique_server_key() {
    let scene = Scene::open().await;
    let [alice, bob] = two_phones(&scene).await;
    assert_eq!(kids(&alice), kids(&bob));

    let catalogue =
        CATALOGUE.replacen("[apps.bank.ios]", "[apps.bank]\nunique_server_keys = true\n[apps.bank.ios]", 1);
    let scene = Scene::with(SceneOptions { catalogue: Some(catalogue), ..SceneOptions::default() }).await;
    let mut phones = two_phones(&scene).await;
    assert!(kids(&phones[0]).is_disjoint(&kids(&phones[1])), "{:?}", kids(&phones[0]));
    for handset in &mut phones {
        let transaction = scene.begin("login", handset.user()).await;
        let challenge = handset.phone.fetch(&transaction.to_string()).await.expect("verified");
        assert_eq!(challenge.transaction_id, transaction.to_string());
        let before = kids(handset);
        handset.phone.follow_server_keys().await.expect("its own set");
        assert_eq!(kids(handset), before);
    }
}

/// The phone verifies what it fetched with the key from its enrolment, and refuses it once a byte is another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetched_challenge_with_another_letter_is_refused_and_so_is_another_phones() {
    let scene = Scene::open().await;
    let alice = scene.enrol(PhoneKind::Android, "alice").await;
    let id = scene.begin("login", "alice").await.to_string();
    let path = format!("/device/v1/transactions/{id}");
    let item = alice.phone.call("GET", &path, Vec::new()).await.expect("a reply").body;
    let jws = item.get("challenge").and_then(Value::as_str).expect("a challenge");
    alice.phone.read_challenge(jws, Some(&id)).expect("verified");
    // One letter of each part; the first of a part never stands for stray bits.
    let parts: Vec<usize> = std::iter::once(0).chain(jws.match_indices('.').map(|(at, _)| at + 1)).collect();
    for at in parts.into_iter().map(|begin| begin + 8) {
        let mut changed = jws.as_bytes().to_vec();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("base64url");
        let refused = alice.phone.read_challenge(&changed, Some(&id));
        assert!(matches!(refused, Err(PhoneError::Refused(_))), "letter {at}");
    }
    let bob = scene.enrol(PhoneKind::Iphone, "bob").await;
    let refused = bob.phone.read_challenge(jws, Some(&id));
    assert!(matches!(refused, Err(PhoneError::Refused(Refusal::NotForUs))), "another phone's");
}
