//! Thousands of held calls beside quick ones.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Request;
use serde_json::json;
use tocsin_loadtest::{Handset, PhoneKind};
use tocsin_model::{Decision, TransactionId};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::Scene;
use super::approval::fetch;
use super::scene::{CATALOGUE, SOON, SceneOptions};
use crate::ALONE;

/// Callers that wait.
const WAITERS: usize = 5_000;

/// How many of them for one transaction; the bound is 8.
const WAITERS_OF_A_TRANSACTION: usize = 8;

/// Transactions of one user; the bound is 10.
const TRANSACTIONS_OF_A_USER: usize = 10;

/// Most memory of one waiter: its connection with the buffers of the HTTP library, its call and its place in the
/// engine. The measured figure is printed.
const WAITER_BYTES_MAX: u64 = 48 * 1_024;

/// Quick calls whose times are compared.
const STATUS_CALLS: usize = 500;

/// How much slower the median of quick calls may be while all wait; idle connections cost a server nothing, so the
/// rest is the noise of a busy machine.
const SLOWER_MAX: f64 = 3.0;

/// Below this a ratio of medians says nothing.
const MEDIAN_FLOOR: Duration = Duration::from_millis(2);

/// How much slower the slowest hundredth may become: those few calls are the ones that a busy machine holds up.
const P99_SLOWER_MAX: f64 = 5.0;

/// Below this a ratio of slowest hundredths tells of the machine's scheduler and not of the server.
const P99_FLOOR: Duration = Duration::from_millis(20);

/// Longest time until all are there.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// The median and the 99th percentile of the time of a status call.
async fn status_times(scene: &Scene, id: TransactionId) -> (Duration, Duration) {
    let mut times = Vec::with_capacity(STATUS_CALLS);
    for _ in 0..STATUS_CALLS {
        let begun = Instant::now();
        scene.portal("GET", &format!("/v1/transactions/{id}"), None).await.expect(200);
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    (times[STATUS_CALLS / 2], times[STATUS_CALLS * 99 / 100 - 1])
}

/// How much longer than `alone` a call takes `among` others; times below `floor` count as `floor`.
fn slower(alone: Duration, among: Duration, floor: Duration) -> f64 {
    among.as_secs_f64() / alone.max(floor).as_secs_f64()
}

/// An old client's one call: it starts, is held, and gets the outcome that `phone` brings meanwhile.
async fn one_call(scene: &Scene, phone: &mut Handset) {
    let credentials = scene.installation.credentials();
    let pair = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.secret));
    let body = json!({"type": "login", "user": phone.user()}).to_string();
    let request = Request::post(format!("{}/v1/transactions", scene.installation.portal_url()))
        .header("authorization", format!("Basic {pair}"))
        .header("content-type", "application/json")
        .header("prefer", "wait=60")
        .body(body.into())
        .expect("a request");
    let approved = async {
        let id = phone.next_push(SOON).await.expect("a push");
        // Its call is held, so the last place is taken.
        until_waiting(scene, WAITERS).await;
        let challenge = fetch(phone, id).await;
        phone.phone.answer(&challenge, Decision::Accept).await.expect("taken");
        id
    };
    let (answer, id) = tokio::join!(scene.call(request), approved);
    assert_eq!(answer.reply.headers["preference-applied"], "wait=60");
    let view = answer.expect(200);
    assert_eq!((&view["state"], &view["id"]), (&json!("accepted"), &json!(id.to_string())), "{view}");
}

/// A call that is held, as a long poll or as a stream of events.
async fn wait_for(scene: &Scene, address: SocketAddr, id: TransactionId, how: &str) -> TcpStream {
    let credentials = scene.installation.credentials();
    let pair = STANDARD.encode(format!("{}:{}", credentials.client_id, credentials.secret));
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let call =
        format!("GET /v1/transactions/{id}{how} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {pair}\r\n\r\n");
    stream.write_all(call.as_bytes()).await.expect("sent");
    stream
}

async fn until_waiting(scene: &Scene, count: usize) {
    let begun = Instant::now();
    let line = format!("tocsin_waiters {count}");
    loop {
        let metrics = scene.ops("GET", "/metrics", None, None).await.reply.body;
        if String::from_utf8_lossy(&metrics).lines().any(|found| found == line) {
            return;
        }
        assert!(begun.elapsed() < READY_DEADLINE, "never {line}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Opens as many as may wait, so many for each transaction; answers with them and what each costs above `bytes_before`.
async fn all_waiting(
    scene: &Scene,
    ids: &[TransactionId],
    how: &str,
    bytes_before: u64,
) -> (Vec<TcpStream>, u64) {
    let address: SocketAddr =
        scene.installation.portal_url().trim_start_matches("http://").parse().expect("an address");
    let mut waiting = Vec::with_capacity(WAITERS);
    for number in 0..WAITERS {
        waiting.push(wait_for(scene, address, ids[number / WAITERS_OF_A_TRANSACTION], how).await);
    }
    until_waiting(scene, WAITERS).await;
    let bytes = scene.server().resident_bytes().expect("the memory").saturating_sub(bytes_before);
    (waiting, bytes / WAITERS as u64)
}

/// A server whose first client may hold as many streams as calls.
async fn patient() -> Scene {
    let catalogue = CATALOGUE.replace("[types.login]", "[types.login]\nttl_s = 3600");
    let options = SceneOptions { catalogue: Some(catalogue), ..SceneOptions::default() };
    let mut scene = Scene::prepared(options).await;
    let text = fs::read_to_string(scene.installation.config_file()).expect("a configuration");
    let streams = format!("[engine]\nevent_streams_per_client_max = {WAITERS}\n");
    let changed = text.replacen("[engine]\n", &streams, 1);
    assert_ne!(changed, text);
    fs::write(scene.installation.config_file(), changed).expect("written");
    scene.start().await;
    scene
}

/// Five thousand calls held at the door: quick calls stay quick, each waiter costs what is known, and a client of one
/// call gets its outcome among them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn row_086_wait_policy() {
    let _alone = ALONE.lock().await;
    let scene = patient().await;
    let transactions = WAITERS.div_ceil(WAITERS_OF_A_TRANSACTION);
    let mut ids = Vec::with_capacity(transactions);
    let mut phones = Vec::new();
    for user in 0..transactions.div_ceil(TRANSACTIONS_OF_A_USER) {
        let user = format!("user-{user}");
        phones.push(scene.enrol(PhoneKind::Iphone, &user).await);
        for _ in 0..TRANSACTIONS_OF_A_USER.min(transactions - ids.len()) {
            ids.push(scene.begin("login", &user).await);
        }
    }
    let mut phone = scene.enrol(PhoneKind::Iphone, "one-call").await;
    let (alone, p99_alone) = status_times(&scene, ids[0]).await;
    let bytes_before = scene.server().resident_bytes().expect("the memory");
    let (mut waiting, each) = all_waiting(&scene, &ids, "?wait_s=300", bytes_before).await;
    let (among, p99_among) = status_times(&scene, ids[0]).await;
    println!(
        "{WAITERS} waiters: {each} bytes each; median of a status call {alone:?} alone, {among:?} among them; p99 \
         {p99_alone:?} and {p99_among:?}"
    );
    assert!(each <= WAITER_BYTES_MAX, "{each} bytes");
    let median_slower = slower(alone, among, MEDIAN_FLOOR);
    assert!(median_slower <= SLOWER_MAX, "{median_slower:.2} times slower");
    let p99_slower = slower(p99_alone, p99_among, P99_FLOOR);
    assert!(p99_slower <= P99_SLOWER_MAX, "the slowest hundredth is {p99_slower:.2} times slower");
    // One of them gives its place to an old client's one call.
    drop(waiting.pop());
    until_waiting(&scene, WAITERS - 1).await;
    one_call(&scene, &mut phone).await;
    // Those who wait are told, and those who hang up give their places back.
    let path = format!("/v1/transactions/{}", ids[0]);
    scene.portal("DELETE", &path, None).await.expect(200);
    let mut told = [0; 1_024];
    let read = waiting[0].read(&mut told).await.expect("a reply");
    assert!(String::from_utf8_lossy(&told[..read]).starts_with("HTTP/1.1 200"), "{read} bytes");
    drop(waiting);
    until_waiting(&scene, 0).await;
    // An event stream costs no more, also where nobody reads what it says.
    ids[0] = scene.begin("login", "user-0").await;
    let (streams, each) = all_waiting(&scene, &ids, "/events", bytes_before).await;
    println!("{WAITERS} event streams: {each} bytes each");
    assert!(each <= WAITER_BYTES_MAX, "{each} bytes");
    drop(streams);
    until_waiting(&scene, 0).await;
}
