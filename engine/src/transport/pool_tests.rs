//! The pool against peers that are told each frame. Time is paused: only timers move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tocsin_model::UnixMs;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::fake_peer::{FakePeers, Seen};
use super::*;
use crate::clock::Clock;

const CANCEL: u32 = 8;
const REFUSED_STREAM: u32 = 7;
const INTERNAL_ERROR: u32 = 2;

const LIMITS: PoolLimits = PoolLimits {
    connections_max: 2,
    queue_max: 100,
    connect_timeout: Duration::from_secs(3),
    ping_interval: Duration::from_secs(60),
    ping_timeout: Duration::from_secs(10),
};

type Reply = Result<Answer, SendError>;

fn pool_with(limits: PoolLimits, refusals: usize) -> (Arc<Pool>, FakePeers) {
    let (connector, peers) = FakePeers::new(refusals);
    let clock = Clock::starting_at(UnixMs::new(1_000_000));
    (Arc::new(Pool::new("test", connector, limits, clock)), peers)
}

fn pool() -> (Arc<Pool>, FakePeers) {
    pool_with(LIMITS, 0)
}

/// One connection at most, which makes the order of things certain.
fn narrow_pool() -> (Arc<Pool>, FakePeers) {
    pool_with(PoolLimits { connections_max: 1, ..LIMITS }, 0)
}

fn send_for(pool: &Arc<Pool>, time: Duration) -> JoinHandle<Reply> {
    let pool = pool.clone();
    tokio::spawn(async move {
        let body = || Bytes::from_static(b"{}");
        let request = || Request::post("https://push.example/3/device/00").body(body()).ok();
        let deadline = Instant::now() + time;
        let outgoing = Outgoing { request: &request, avoid: None, start_by: deadline, written: &|| () };
        pool.send(&outgoing, deadline).await
    })
}

fn send(pool: &Arc<Pool>) -> JoinHandle<Reply> {
    send_for(pool, Duration::from_secs(5))
}

fn send_many(pool: &Arc<Pool>, count: usize) -> Vec<JoinHandle<Reply>> {
    (0..count).map(|_| send(pool)).collect()
}

async fn reply(sending: JoinHandle<Reply>) -> Reply {
    sending.await.expect("no panic")
}

async fn error(sending: JoinHandle<Reply>) -> SendError {
    reply(sending).await.expect_err("no answer")
}

async fn all_answered(sendings: Vec<JoinHandle<Reply>>) {
    for sending in sendings {
        assert_eq!(reply(sending).await.expect("answered").status, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn no_stream_opens_before_the_peers_first_settings() {
    let (pool, mut peers) = pool();
    let sending = send(&pool);
    let mut peer = peers.accept().await;
    assert!(peer.is_quiet().await);
    peer.greet(1).await;
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert_eq!(reply(sending).await.expect("answered").status, 200);
}

#[tokio::test(start_paused = true)]
async fn streams_follow_the_limit_up_and_down() {
    let (pool, mut peers) = narrow_pool();
    let sendings = send_many(&pool, 9);
    let mut peer = peers.accept_with(1).await;
    let first = peer.request().await;
    assert!(peer.is_quiet().await);
    peer.limit(4).await;
    let mut open = peer.requests(3).await;
    open.push(first);
    assert!(peer.is_quiet().await);
    peer.limit(1).await;
    for stream in &open[..3] {
        peer.respond(*stream).await;
    }
    assert!(peer.is_quiet().await, "one is still open");
    peer.respond(open[3]).await;
    for _ in 0..5 {
        let stream = peer.request().await;
        assert!(peer.is_quiet().await);
        peer.respond(stream).await;
    }
    all_answered(sendings).await;
    assert_eq!(peer.peak, 4);
}

#[tokio::test(start_paused = true)]
async fn what_lies_above_the_last_id_of_goaway_is_sent_again_and_the_rest_is_answered() {
    let (pool, mut peers) = narrow_pool();
    let sendings = send_many(&pool, 3);
    let mut first = peers.accept_with(10).await;
    assert_eq!(first.requests(3).await, [1, 3, 5]);
    first.go_away(1).await;
    let mut second = peers.accept_with(10).await;
    for stream in second.requests(2).await {
        second.respond(stream).await;
    }
    first.respond(1).await;
    all_answered(sendings).await;
    let stats = pool.stats().snapshot();
    assert_eq!((stats.goaways, stats.resent_unprocessed), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stream_below_the_last_id_that_is_cut_afterwards_is_unknown() {
    let (pool, mut peers) = narrow_pool();
    let below = send(&pool);
    let mut first = peers.accept_with(10).await;
    assert_eq!(first.request().await, 1);
    let above = send(&pool);
    assert_eq!(first.request().await, 3);
    first.go_away(1).await;
    drop(first);
    assert!(matches!(error(below).await, SendError::Unknown(Interruption::Cut { .. })));
    let mut second = peers.accept_with(10).await;
    let stream = second.request().await;
    second.respond(stream).await;
    assert!(reply(above).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_sent_again() {
    let (pool, mut peers) = narrow_pool();
    let sending = send(&pool);
    let mut peer = peers.accept_with(10).await;
    let stream = peer.request().await;
    peer.reset(stream, REFUSED_STREAM).await;
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(sending).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_refuses_every_stream_is_unavailable() {
    let (pool, mut peers) = narrow_pool();
    let sending = send(&pool);
    let mut peer = peers.accept_with(10).await;
    for _ in 0..5 {
        let stream = peer.request().await;
        peer.reset(stream, REFUSED_STREAM).await;
    }
    assert_eq!(error(sending).await, SendError::Unsent(Unsent::Unavailable));
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_stream_reset_for_another_reason_is_unknown_and_not_repeated() {
    let (pool, mut peers) = narrow_pool();
    let sending = send(&pool);
    let mut peer = peers.accept_with(10).await;
    let stream = peer.request().await;
    peer.reset(stream, INTERNAL_ERROR).await;
    assert!(matches!(error(sending).await, SendError::Unknown(Interruption::Cut { .. })));
    assert!(peer.is_quiet().await);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_cancels_the_stream_and_the_connection_must_prove_itself() {
    let (pool, mut peers) = narrow_pool();
    let slow = send(&pool);
    let mut peer = peers.accept_with(10).await;
    let stream = peer.request().await;
    assert!(matches!(error(slow).await, SendError::Unknown(Interruption::TimedOut { .. })));
    let next = send(&pool);
    let (mut asked, mut was_cancelled) = (None, false);
    while asked.is_none() || !was_cancelled {
        match peer.next().await {
            Seen::Ping(payload) => asked = Some(payload),
            Seen::Reset(reset, code) => was_cancelled = (reset, code) == (stream, CANCEL),
            Seen::SettingsAck => (),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(peer.is_quiet().await, "no stream goes to a doubted connection");
    peer.pong(asked.expect("seen")).await;
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(next).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_asked_and_lives_on_its_answer() {
    let (pool, mut peers) = narrow_pool();
    let sending = send(&pool);
    let mut peer = peers.accept_with(10).await;
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(sending).await.is_ok());
    let idle_since = Instant::now();
    for round in 1..=2 {
        let payload = peer.ping().await;
        assert!(idle_since.elapsed() >= round * LIMITS.ping_interval);
        peer.pong(payload).await;
    }
    assert_eq!(pool.stats().snapshot().connections_open, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_no_ping_is_dead_and_its_streams_are_unknown() {
    let (pool, mut peers) = narrow_pool();
    let sending = send_for(&pool, Duration::from_secs(500));
    let mut peer = peers.accept_with(10).await;
    peer.request().await;
    peer.ping().await;
    assert!(matches!(error(sending).await, SendError::Unknown(Interruption::Cut { .. })));
    peer.closed().await;
    assert_eq!(pool.stats().snapshot().pings_lost, 1);
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_is_answered_at_once() {
    let (pool, mut peers) = pool_with(PoolLimits { queue_max: 2, connections_max: 1, ..LIMITS }, 0);
    let waiting = send_many(&pool, 2);
    let mut peer = peers.accept().await;
    assert_eq!(pool.stats().snapshot().queue_length, 2);
    let began = Instant::now();
    assert_eq!(error(send(&pool)).await, SendError::Unsent(Unsent::Busy));
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(pool.stats().snapshot().refused_busy, 1);
    peer.greet(10).await;
    for stream in peer.requests(2).await {
        peer.respond(stream).await;
    }
    all_answered(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_finds_no_stream_in_time_is_late_and_unsent() {
    let (pool, mut peers) = narrow_pool();
    let holder = send_for(&pool, Duration::from_secs(50));
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    assert_eq!(error(send(&pool)).await, SendError::Unsent(Unsent::Late));
    assert_eq!(pool.stats().snapshot().queue_length, 0);
    peer.respond(stream).await;
    assert!(reply(holder).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_may_not_start_any_more_is_late_before_its_deadline() {
    let (pool, mut peers) = narrow_pool();
    let holder = send_for(&pool, Duration::from_secs(50));
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    let (sender, began) = (pool.clone(), Instant::now());
    let request = || Request::post("https://push.example/").body(Bytes::new()).ok();
    let (start_by, deadline) = (began + Duration::from_secs(2), began + Duration::from_secs(9));
    let outgoing = Outgoing { request: &request, avoid: None, start_by, written: &|| () };
    let sent = sender.send(&outgoing, deadline).await;
    assert_eq!(sent.expect_err("late"), SendError::Unsent(Unsent::Late));
    assert_eq!(began.elapsed().as_secs(), 2);
    peer.respond(stream).await;
    assert!(reply(holder).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn without_a_connection_requests_fail_as_soon_as_none_can_come_in_time() {
    let (pool, mut peers) = pool_with(LIMITS, usize::MAX);
    let began = Instant::now();
    assert_eq!(error(send(&pool)).await, SendError::Unsent(Unsent::Unavailable));
    assert!(began.elapsed() < Duration::from_secs(5), "not at the deadline but before");
    assert!(peers.none_within(Duration::from_secs(1)).await);
    assert!(pool.stats().snapshot().connects_failed >= 2);
}

#[tokio::test(start_paused = true)]
async fn a_request_outlasts_one_failed_attempt() {
    let (pool, mut peers) = pool_with(LIMITS, 1);
    let sending = send(&pool);
    let began = Instant::now();
    let mut peer = peers.accept_with(1).await;
    assert!(began.elapsed() >= Duration::from_secs(1), "attempts are spaced");
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(sending).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_speaks_no_http2_counts_as_a_failed_connection() {
    let (pool, mut peers) = pool();
    let sending = send_for(&pool, Duration::from_millis(900));
    peers.accept().await.garbage().await;
    assert_eq!(error(sending).await, SendError::Unsent(Unsent::Unavailable));
    assert_eq!(pool.stats().snapshot().connects_failed, 1);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_never_sends_settings_is_given_up() {
    let (pool, mut peers) = pool();
    let sending = send(&pool);
    let mut silent = peers.accept().await;
    silent.closed().await;
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(sending).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_finishes_its_streams_and_refuses_new_ones() {
    let (pool, mut peers) = narrow_pool();
    let running = send(&pool);
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    let waiting = send(&pool);
    tokio::time::sleep(Duration::from_millis(10)).await;
    pool.close();
    assert_eq!(error(waiting).await, SendError::Unsent(Unsent::Closed));
    assert_eq!(error(send(&pool)).await, SendError::Unsent(Unsent::Closed));
    peer.respond(stream).await;
    assert!(reply(running).await.is_ok());
    peer.closed().await;
    assert_eq!(pool.stats().snapshot().connections_open, 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_pool_closes_its_connections() {
    let (pool, mut peers) = pool();
    let keeper = pool.clone();
    let keeping = tokio::spawn(async move { keeper.keep_open().await });
    let mut peer = peers.accept_with(1).await;
    assert!(peer.is_quiet().await);
    keeping.abort();
    assert!(keeping.await.is_err());
    drop(pool);
    peer.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_kept_open_connects_without_traffic_and_after_goaway() {
    let (pool, mut peers) = pool();
    let keeper = pool.clone();
    let keeping = tokio::spawn(async move { keeper.keep_open().await });
    let mut first = peers.accept_with(1).await;
    let sending = send(&pool);
    let stream = first.request().await;
    first.respond(stream).await;
    assert!(reply(sending).await.is_ok());
    first.go_away(stream).await;
    let began = Instant::now();
    let mut second = peers.accept_with(1).await;
    assert_eq!(began.elapsed(), Duration::ZERO);
    first.closed().await;
    assert!(second.is_quiet().await);
    pool.close();
    keeping.await.expect("ends with the pool");
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_dropped_cancels_its_stream_and_frees_its_permit() {
    let (pool, mut peers) = narrow_pool();
    let dropped = send(&pool);
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    let next = send(&pool);
    dropped.abort();
    loop {
        match peer.next().await {
            Seen::Reset(reset, CANCEL) if reset == stream => break,
            Seen::SettingsAck => (),
            other => panic!("unexpected {other:?}"),
        }
    }
    let stream = peer.request().await;
    peer.respond(stream).await;
    assert!(reply(next).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_retired_connection_finishes_what_it_has_and_gets_nothing_new() {
    let (pool, mut peers) = pool();
    let warm_up = send(&pool);
    let mut first = peers.accept_with(10).await;
    let stream = first.request().await;
    first.respond(stream).await;
    let retired = reply(warm_up).await.expect("answered").connection;
    let running = send(&pool);
    let stream = first.request().await;
    pool.retire(retired);
    let next = send(&pool);
    let mut second = peers.accept_with(10).await;
    let on_second = second.request().await;
    second.respond(on_second).await;
    first.respond(stream).await;
    assert!(reply(running).await.is_ok());
    assert_ne!(reply(next).await.expect("answered").connection, retired);
    first.closed().await;
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_up_to_its_bound_and_a_cut_one_leaves_the_status() {
    let (pool, mut peers) = narrow_pool();
    let (large, cut) = (send(&pool), send(&pool));
    let mut peer = peers.accept_with(10).await;
    let streams = peer.requests(2).await;
    peer.respond_with(streams[0], &[b'x'; 20_000]).await;
    peer.respond_with(streams[1], b"{\"reason\"").await;
    peer.reset(streams[1], INTERNAL_ERROR).await;
    assert_eq!(reply(large).await.expect("answered").body.len(), 16 * 1024);
    let answer = reply(cut).await.expect("answered");
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 9));
}

#[tokio::test(start_paused = true)]
async fn written_is_told_when_the_request_was_handed_over_and_not_before() {
    let (pool, mut peers) = narrow_pool();
    let written = Arc::new(AtomicUsize::new(0));
    let (counter, sender) = (written.clone(), pool.clone());
    let sending = tokio::spawn(async move {
        let request = || Request::post("https://push.example/").body(Bytes::new()).ok();
        let tell = || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let start_by = Instant::now() + Duration::from_secs(5);
        sender.send(&Outgoing { request: &request, avoid: None, start_by, written: &tell }, start_by).await
    });
    let mut peer = peers.accept().await;
    assert!(peer.is_quiet().await);
    assert_eq!(written.load(Ordering::Relaxed), 0);
    peer.greet(1).await;
    let stream = peer.request().await;
    assert_eq!(written.load(Ordering::Relaxed), 1);
    peer.respond(stream).await;
    assert!(reply(sending).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_made_when_it_is_written_and_not_while_it_waits() {
    let (pool, mut peers) = narrow_pool();
    let made = Arc::new(AtomicUsize::new(0));
    let holder = send(&pool);
    let mut peer = peers.accept_with(1).await;
    let stream = peer.request().await;
    let (counter, sender) = (made.clone(), pool.clone());
    let waiting = tokio::spawn(async move {
        let request = || {
            counter.fetch_add(1, Ordering::Relaxed);
            Request::post("https://push.example/").body(Bytes::new()).ok()
        };
        let start_by = Instant::now() + Duration::from_secs(5);
        sender.send(&Outgoing { request: &request, avoid: None, start_by, written: &|| () }, start_by).await
    });
    assert!(peer.is_quiet().await);
    assert_eq!((pool.stats().snapshot().queue_length, made.load(Ordering::Relaxed)), (1, 0));
    peer.respond(stream).await;
    let stream = peer.request().await;
    assert_eq!(made.load(Ordering::Relaxed), 1);
    peer.respond(stream).await;
    assert!(reply(waiting).await.is_ok() && reply(holder).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_is_the_callers_fault_and_is_not_sent() {
    let (pool, mut peers) = narrow_pool();
    let sender = pool.clone();
    let sending = tokio::spawn(async move {
        let forbidden = || Request::post("https://push.example/").header("connection", "close");
        let request = || forbidden().body(Bytes::new()).ok();
        let start_by = Instant::now() + Duration::from_secs(5);
        sender.send(&Outgoing { request: &request, avoid: None, start_by, written: &|| () }, start_by).await
    });
    let mut peer = peers.accept_with(1).await;
    assert_eq!(error(sending).await, SendError::Unsent(Unsent::Malformed));
    assert!(peer.is_quiet().await);
}
