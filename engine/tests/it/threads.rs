//! Where transactions live: on the thread that their start came in on, as long as that has not more than its share.

use std::time::Instant;

use tocsin_model::{ClientId, StartRequest, TransactionId};
use tokio::sync::oneshot;

use crate::fixture::{Bank, SOON, request, run};

/// Starts so many on the first of two threads; answers with their ids.
async fn begun_on_the_first(bank: &Bank, count: usize) -> Vec<TransactionId> {
    let (told, ids) = oneshot::channel();
    let handle = bank.handle.clone();
    let is_sent = bank.handle.threads()[0].spawn(async move {
        let mut ids = Vec::new();
        for _ in 0..count {
            let start = StartRequest { user: None, ..request("nobody", "qr") };
            ids.push(handle.start(start).await.expect("started").transaction.id);
        }
        told.send(ids).expect("awaited");
    });
    assert!(is_sent);
    ids.await.expect("started")
}

fn on_the_first(ids: &[TransactionId]) -> usize {
    ids.iter().filter(|id| id.as_bytes()[15] % 2 == 0).count()
}

async fn cancel(bank: &Bank, ids: &[TransactionId]) {
    let client: ClientId = "portal".parse().expect("valid");
    for id in ids {
        bank.handle.cancel(&client, *id).await.expect("cancelled");
    }
}

#[test]
fn a_thread_keeps_what_begins_there_up_to_its_share_of_all_that_live() {
    run(async {
        let bank = Bank::open("[engine]\narbiters = 2\nlinger_ms = 0").await;
        let many = begun_on_the_first(&bank, 300).await;
        // Five in eight and 64: what is above falls anywhere.
        let kept = on_the_first(&many);
        assert!((200..275).contains(&kept), "{kept} of 300");
        // What has ended lives nowhere, so that a few have room where they begin again.
        cancel(&bank, &many).await;
        let deadline = Instant::now() + SOON;
        loop {
            let few = begun_on_the_first(&bank, 40).await;
            cancel(&bank, &few).await;
            if on_the_first(&few) == 40 {
                break;
            }
            assert!(Instant::now() < deadline, "{} of 40", on_the_first(&few));
        }
    });
}
