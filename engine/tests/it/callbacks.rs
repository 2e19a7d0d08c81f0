//! Callbacks from their outcome to the portal's 2xx, against a strict receiver.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::json;
use tocsin_mock::{Authority, CallbackOptions, CallbackRecord, CallbackRefusal, CallbackServer, Fault};
use tocsin_model::{CallbackFault, CallbackUrl, ErrorCode, StartRequest, Transaction, TransactionId};
use tocsin_storage::{CallbackList, Store};

use crate::fixture::{Bank, SOON, login, run};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";

/// Portals under one authority.
struct World {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = Self {
            authority: Authority::new().expect("keys"),
            folder: tempfile::tempdir().expect("a folder"),
        };
        world.authority.write_ca_pem(&world.ca_file()).expect("written");
        world
    }

    fn ca_file(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }

    async fn portal(&self) -> CallbackServer {
        let identity = self.authority.issue().expect("a certificate");
        CallbackServer::start(CallbackOptions::new(identity, SECRET)).await.expect("a server")
    }
}

/// What follows the client's keys in the configuration.
fn settings(ca_file: &Path, client: &str, callbacks: &str) -> String {
    format!(
        "webhook_secrets = [\"{SECRET}\"]\ncallback_allow_list = false\ncallback_networks = [\"127.0.0.0/8\"]\n\
         {client}\n[callbacks]\nca_file = {ca_file:?}\nbackoff_first_ms = 20\nbackoff_longest_ms = 100\n{callbacks}\n"
    )
}

async fn bank(world: &World) -> Bank {
    open(&settings(&world.ca_file(), "", "")).await
}

async fn open(settings: &str) -> Bank {
    let bank = Bank::open(settings).await;
    bank.enrol("alice").await;
    bank
}

fn calling(url: &str) -> StartRequest {
    StartRequest { callback_url: Some(CallbackUrl::parse(url).expect("valid")), ..login("alice") }
}

fn client() -> tocsin_model::ClientId {
    "portal".parse().expect("valid")
}

/// A transaction that ends at once.
async fn owe(bank: &Bank, url: &str) -> TransactionId {
    let started = bank.handle.start(calling(url)).await.expect("started").transaction;
    cancel(bank, &started).await;
    started.id
}

async fn cancel(bank: &Bank, started: &Transaction) {
    bank.handle.cancel(&client(), started.id).await.expect("cancelled");
}

async fn taken(portal: &CallbackServer, count: usize) -> Vec<Arc<CallbackRecord>> {
    let found = portal.callbacks().wait_for(count, CallbackRecord::is_taken, SOON).await;
    found.unwrap_or_else(|error| panic!("{error}: {:?}", portal.callbacks().records()))
}

fn status(status: u16) -> Fault<CallbackRefusal> {
    Fault::Refuse(CallbackRefusal::Status(StatusCode::from_u16(status).expect("a status")))
}

async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so().await {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn until_metric(bank: &Bank, line: &str) {
    until(line, async || bank.handle.metrics_text().lines().any(|found| found == line)).await;
}

async fn until_settled(bank: &Bank) {
    until("nothing is owed", async || {
        bank.store.callbacks(CallbackList::Owed, None, 10).await.expect("read").callbacks.is_empty()
    })
    .await;
}

#[test]
fn a_redirect_is_not_followed_and_a_full_body_is_the_view() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let url = format!("{}/done", portal.url());
        let entry = format!("[clients.portal.callbacks.done]\nurl = \"{url}\"\nbody = \"full\"");
        let bank = open(&settings(&world.ca_file(), "", &entry)).await;
        let elsewhere = CallbackRefusal::Redirect("/elsewhere".to_owned());
        portal.faults().for_next(1, Fault::Refuse(elsewhere)).expect("room");
        let id = owe(&bank, &url).await;
        let taken = taken(&portal, 1).await;
        assert_eq!(taken[0].json(), json!({"id": id.to_string(), "full": true}));
        let records = portal.callbacks().records();
        let seen: Vec<_> = records.iter().map(|record| (record.path(), record.answered)).collect();
        assert_eq!(seen, [("/done", Some(307)), ("/done", Some(204))]);
        until_metric(&bank, "tocsin_callback_tries_total{result=\"redirect\"} 1").await;
        until_settled(&bank).await;
    });
}

#[test]
fn a_callback_whose_window_is_over_is_dead_and_can_be_redelivered() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = open(&settings(&world.ca_file(), "", "window_s = 1")).await;
        portal.faults().for_all(status(500)).expect("room");
        let id = owe(&bank, &portal.url()).await;
        until_metric(&bank, "tocsin_callbacks_dead 1").await;
        until_metric(&bank, "tocsin_callbacks_died_total 1").await;
        let dead = bank.handle.callbacks(CallbackList::Dead, None, 10).await.expect("a list");
        assert_eq!(dead.items.iter().map(|callback| callback.transaction_id).collect::<Vec<_>>(), [id]);
        assert!(bank.handle.callbacks(CallbackList::Owed, None, 10).await.expect("a list").items.is_empty());
        portal.faults().clear();
        let first = &portal.callbacks().records()[0];
        let seconds = |record: &CallbackRecord| {
            record.header("webhook-timestamp").and_then(|text| text.parse::<u64>().ok()).expect("a number")
        };
        until("another second", async || bank.clock.now().seconds() > seconds(first)).await;
        bank.handle.redeliver_callback("ann".parse().expect("valid"), id).await.expect("it is dead");
        let taken = taken(&portal, 1).await;
        assert_eq!(taken[0].header("webhook-id"), first.header("webhook-id"));
        assert!(seconds(&taken[0]) > seconds(first), "a fresh timestamp");
        until_settled(&bank).await;
        let problem = bank
            .handle
            .redeliver_callback("ann".parse().expect("valid"), id)
            .await
            .expect_err("it was taken");
        assert_eq!(problem.code, ErrorCode::NotFound);
        until_metric(&bank, "tocsin_callbacks_dead 0").await;
    });
}

#[test]
fn an_address_that_became_private_for_the_client_is_not_connected_to() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = bank(&world).await;
        let started = bank.handle.start(calling(&portal.url())).await.expect("started").transaction;
        let bank = bank.restart_with(|text| text.replace("127.0.0.0/8", "10.0.0.0/8")).await;
        cancel(&bank, &started).await;
        until("a try", async || {
            bank.handle.metrics_text().contains("tocsin_callback_tries_total{result=\"address_refused\"}")
        })
        .await;
        assert!(portal.callbacks().records().is_empty());
        let problem = bank.handle.start(calling(&portal.url())).await.expect_err("not listed any more");
        assert_eq!((problem.code, problem.field.as_deref()), (ErrorCode::InvalidField, Some("callback_url")));
    });
}

#[test]
fn a_url_that_left_the_allow_list_is_called_no_more_and_its_callbacks_are_dead() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let url = format!("{}/done", portal.url());
        let entry = format!("[clients.portal.callbacks.done]\nurl = \"{url}\"");
        let listed =
            settings(&world.ca_file(), "", &entry).replace("allow_list = false", "allow_list = true");
        let bank = open(&listed).await;
        portal.faults().for_all(status(503)).expect("room");
        let id = owe(&bank, &url).await;
        portal.callbacks().wait_for(1, |_| true, SOON).await.expect("a try");
        bank.reload_with(|text| text.replace("/done\"", "/other\"")).await;
        until_metric(&bank, "tocsin_callbacks_dead 1").await;
        until_metric(&bank, "tocsin_callback_tries_total{result=\"not_allowed\"} 1").await;
        let dead = bank.handle.callbacks(CallbackList::Dead, None, 10).await.expect("a list").items;
        assert_eq!(dead[0].last_fault, Some(CallbackFault::NotAllowed));
        // A redelivery changes nothing.
        let tries = portal.callbacks().records().len();
        bank.handle.redeliver_callback("ops".parse().expect("valid"), id).await.expect("it is dead");
        until_metric(&bank, "tocsin_callback_tries_total{result=\"not_allowed\"} 2").await;
        assert_eq!(portal.callbacks().records().len(), tries);
        // Listed again, it is delivered.
        portal.faults().clear();
        bank.reload_with(str::to_owned).await;
        until_metric(&bank, "tocsin_callbacks_dead 1").await;
        bank.handle.redeliver_callback("ops".parse().expect("valid"), id).await.expect("it is dead");
        taken(&portal, 1).await;
    });
}

#[test]
fn a_client_without_a_secret_is_called_again_once_it_has_one() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = bank(&world).await;
        let started = bank.handle.start(calling(&portal.url())).await.expect("started").transaction;
        let secrets = format!("webhook_secrets = [\"{SECRET}\"]");
        bank.reload_with(|text| text.replace(&secrets, "")).await;
        cancel(&bank, &started).await;
        until("a try", async || {
            bank.handle.metrics_text().contains("tocsin_callback_tries_total{result=\"configuration\"}")
        })
        .await;
        bank.reload_with(str::to_owned).await;
        taken(&portal, 1).await;
    });
}

#[test]
fn a_certificate_of_another_authority_is_not_trusted() {
    run(async {
        let (world, stranger) = (World::new(), World::new());
        let portal = stranger.portal().await;
        let bank = bank(&world).await;
        owe(&bank, &portal.url()).await;
        until("a try", async || {
            bank.handle.metrics_text().contains("tocsin_callback_tries_total{result=\"tls\"}")
        })
        .await;
        assert!(portal.callbacks().records().is_empty());
    });
}

#[test]
fn while_a_secret_rotates_either_one_verifies() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let text = settings(&world.ca_file(), "", "");
        let both = text.replace(&format!("\"{SECRET}\""), &format!("\"{SECRET}\", \"{OTHER}\""));
        let bank = open(&both).await;
        owe(&bank, &portal.url()).await;
        taken(&portal, 1).await;
        portal.know(&[OTHER]);
        owe(&bank, &portal.url()).await;
        taken(&portal, 2).await;
        assert!(portal.callbacks().records().iter().all(|record| record.fault.is_none()));
    });
}

#[test]
fn a_host_that_hangs_holds_up_only_its_own() {
    run(async {
        let world = World::new();
        let (slow, quick) = (world.portal().await, world.portal().await);
        let bank =
            open(&settings(&world.ca_file(), "", "tries_per_host_max = 2\ntry_timeout_ms = 60000")).await;
        slow.faults().for_all(Fault::NeverAnswer).expect("room");
        for _ in 0..4 {
            owe(&bank, &slow.url()).await;
        }
        slow.callbacks().wait_for(2, |_| true, SOON).await.expect("its own two");
        owe(&bank, &quick.url()).await;
        taken(&quick, 1).await;
        assert_eq!(slow.callbacks().records().len(), 2);
        until_metric(&bank, "tocsin_callback_tries_in_flight 2").await;
    });
}

/// More hosts than the table of a client holds.
const MANY_HOSTS: u16 = 1_010;

#[test]
fn many_hosts_that_cannot_be_reached_hold_up_no_other() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let text = settings(&world.ca_file(), "", "");
        let patient = text.replace("backoff_first_ms = 20", "backoff_first_ms = 60000");
        let bank = open(&patient.replace("backoff_longest_ms = 100", "backoff_longest_ms = 60000")).await;
        // Whatever may listen at one of these ports is no portal.
        for port in 1..=MANY_HOSTS {
            owe(&bank, &format!("https://127.99.99.99:{port}/")).await;
        }
        let tries = |line: &str| -> Option<u16> {
            line.strip_prefix("tocsin_callback_tries_total{")?.split_once("} ")?.1.parse().ok()
        };
        until("all were tried", async || {
            bank.handle.metrics_text().lines().filter_map(tries).sum::<u16>() == MANY_HOSTS
        })
        .await;
        owe(&bank, &portal.url()).await;
        taken(&portal, 1).await;
    });
}

#[test]
fn no_answer_in_time_is_a_failed_try() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = open(&settings(&world.ca_file(), "", "try_timeout_ms = 100")).await;
        portal.faults().for_next(1, Fault::NeverAnswer).expect("room");
        owe(&bank, &portal.url()).await;
        taken(&portal, 1).await;
        until_metric(&bank, "tocsin_callback_tries_total{result=\"timeout\"} 1").await;
    });
}

#[test]
fn what_is_owed_outlives_a_restart_and_a_fall_of_the_actor() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = bank(&world).await;
        portal.faults().for_all(status(503)).expect("room");
        owe(&bank, &portal.url()).await;
        portal.callbacks().wait_for(1, |_| true, SOON).await.expect("a try");
        let bank = bank.restart().await;
        portal.faults().clear();
        taken(&portal, 1).await;
        assert!(bank.handle.inject_callback_fault());
        owe(&bank, &portal.url()).await;
        taken(&portal, 2).await;
        until_metric(&bank, "tocsin_actor_faults_total{actor=\"callback\"} 1").await;
    });
}

#[test]
fn a_drain_lets_a_try_in_flight_end() {
    run(async {
        let world = World::new();
        let portal = world.portal().await;
        let bank = bank(&world).await;
        portal.faults().for_next(1, Fault::Delay(Duration::from_millis(300))).expect("room");
        owe(&bank, &portal.url()).await;
        portal.callbacks().wait_for(1, |_| true, SOON).await.expect("a try");
        let store = Arc::clone(&bank.store);
        bank.engine.drain().await;
        let owed = store.callbacks(CallbackList::Owed, None, 10).await.expect("read");
        assert!(owed.callbacks.is_empty(), "{owed:?}");
    });
}
