//! What an HTTP/2 client of APNs sees on the wire: ALPN, stream limits, refused streams, restarts.

use bytes::Bytes;
use h2::Reason;
use http::Request;
use tocsin_mock::{Fault, Strictness};

use super::client::{Client, DEADLINE, begin_now, collect, tls};
use super::rig::{ApnsRig, DEVICE, Push};

fn request(rig: &ApnsRig) -> Request<Bytes> {
    rig.push_again()
}

#[tokio::test]
async fn a_client_that_offers_only_http_1_is_turned_away() {
    let rig = ApnsRig::start().await;
    assert!(tls(&rig.authority, rig.server.addr(), &[b"http/1.1"]).await.is_err());
}

#[tokio::test]
async fn a_client_that_does_not_know_the_authority_does_not_connect() {
    let rig = ApnsRig::start().await;
    let stranger = tocsin_mock::Authority::new().unwrap();
    assert!(tls(&stranger, rig.server.addr(), &[b"h2"]).await.is_err());
}

#[tokio::test]
async fn the_stream_limit_begins_at_one_and_rises_after_the_first_good_token() {
    let rig = ApnsRig::start().await;
    let mut client = Client::connect_with(&rig.authority, rig.server.addr(), 50).await;
    client.until_limit(1).await;
    assert_eq!(client.send(request(&rig)).await.unwrap().status.as_u16(), 200);
    client.until_limit(1_000).await;
    assert_eq!(rig.server.connections()[0].stream_limit, 1_000);
}

#[tokio::test]
async fn the_stream_limit_rises_with_a_good_token_even_if_the_push_is_bad() {
    let rig = ApnsRig::start_with(|options| options.stream_limit = 500).await;
    let mut client = rig.client().await;
    let answer = client.send(rig.push().body("").request()).await.unwrap();
    assert_eq!(answer.reason(), "PayloadEmpty");
    client.until_limit(500).await;
}

#[tokio::test]
async fn the_stream_limit_stays_at_one_after_a_bad_token() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    let answer = client.send(Push::new("no.good.token").request()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 403);
    client.send(Push::new("no.good.token").request()).await.unwrap();
    assert_eq!(rig.server.connections()[0].stream_limit, 1);
    assert_eq!(client.sender.current_max_send_streams(), 1);
}

#[tokio::test]
async fn a_burst_that_does_not_wait_for_the_limit_is_refused() {
    let rig = ApnsRig::start().await;
    rig.server.faults().for_next(1, Fault::NeverAnswer).unwrap();
    let mut client = Client::connect_with(&rig.authority, rig.server.addr(), 10).await;
    let held = begin_now(&mut client.sender, request(&rig)).unwrap();
    let burst: Vec<_> = (0..5).map(|_| begin_now(&mut client.sender, request(&rig)).unwrap()).collect();
    for response in burst {
        let error = collect(response).await.unwrap_err();
        assert_eq!(error.reason(), Some(Reason::REFUSED_STREAM));
    }
    drop(held);
    let traffic = rig.server.traffic();
    assert_eq!((traffic.streams_refused, traffic.streams_peak), (5, 1));
}

#[tokio::test]
async fn many_streams_run_at_once_when_the_limit_has_risen() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(request(&rig)).await.unwrap();
    client.until_limit(1_000).await;
    rig.server.faults().for_next(100, Fault::NeverAnswer).unwrap();
    let silent: Vec<_> = (0..100).map(|_| begin_now(&mut client.sender, request(&rig)).unwrap()).collect();
    let all_came = |push: &tocsin_mock::PushRecord| push.sequence == 101;
    rig.server.pushes().wait_for_push(all_came, DEADLINE).await.unwrap();
    assert_eq!(client.send(request(&rig)).await.unwrap().status.as_u16(), 200);
    assert_eq!(rig.server.traffic().streams_peak, 101);
    drop(silent);
}

#[tokio::test]
async fn a_stream_given_up_by_the_client_makes_room_for_another() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    rig.server.faults().for_next(1, Fault::NeverAnswer).unwrap();
    let silent = client.begin(request(&rig)).await.unwrap();
    rig.server.pushes().wait_for_push(|_| true, DEADLINE).await.unwrap();
    drop(silent);
    assert_eq!(client.send(request(&rig)).await.unwrap().status.as_u16(), 200);
    assert_eq!(rig.server.traffic().streams_refused, 0);
}

#[tokio::test]
async fn a_lowered_limit_is_seen_and_comes_back_with_the_next_accepted_push() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(request(&rig)).await.unwrap();
    client.until_limit(1_000).await;
    rig.server.faults().for_next(1, Fault::LowerStreamLimit).unwrap();
    assert_eq!(client.send(request(&rig)).await.unwrap().status.as_u16(), 200);
    client.until_limit(1).await;
    client.send(request(&rig)).await.unwrap();
    client.until_limit(1_000).await;
}

#[tokio::test]
async fn a_limit_announced_by_the_test_holds_until_the_next_announcement() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(request(&rig)).await.unwrap();
    client.until_limit(1_000).await;
    rig.server.announce_stream_limit(3);
    client.until_limit(3).await;
    client.send(request(&rig)).await.unwrap();
    assert_eq!(rig.server.connections()[0].stream_limit, 3);
}

#[tokio::test]
async fn a_restart_keeps_the_port() {
    let rig = ApnsRig::start().await;
    let mut before = rig.client().await;
    before.send(request(&rig)).await.unwrap();
    rig.server.restart().await.unwrap();
    assert!(before.send(request(&rig)).await.is_err(), "the old connection is cut");
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
    let traffic = rig.server.traffic();
    assert_eq!((traffic.connections, traffic.connections_open), (2, 1));
}

#[tokio::test]
async fn a_server_that_stops_accepting_still_serves_its_connections() {
    let rig = ApnsRig::start().await;
    let mut client = rig.client().await;
    client.send(request(&rig)).await.unwrap();
    rig.server.stop_accepting().await;
    assert!(tls(&rig.authority, rig.server.addr(), &[b"h2"]).await.is_err());
    assert_eq!(client.send(request(&rig)).await.unwrap().status.as_u16(), 200);
    rig.server.accept_again().await.unwrap();
    assert_eq!(rig.send(rig.push()).await.status.as_u16(), 200);
}

#[tokio::test]
async fn the_fast_form_takes_anything_and_keeps_no_record() {
    let rig = ApnsRig::start_with(|options| options.strictness = Strictness::Fast).await;
    let mut phone = rig.server.pushes().subscribe(DEVICE).unwrap();
    let mut client = rig.client().await;
    let answer = client.send(Push::new("nonsense").body("nonsense").request()).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    client.until_limit(1_000).await;
    assert_eq!(phone.recv().await.unwrap().payload().as_ref(), b"nonsense");
    assert_eq!((rig.server.pushes().records().len(), rig.server.pushes().accepted()), (0, 1));
}
