//! The tap driven frame by frame: one end of a pipe is the client, the test itself plays `h2`.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;

const PIPE_BYTES: usize = 64 * 1_024;
const FIRST_LIMIT: u32 = 1;
const FRAME_RST_STREAM: u8 = 3;
const FRAME_GOAWAY: u8 = 7;
const HEADERS_WITHOUT_END: [u8; HEAD_BYTES] = [0, 0, 0, 1, 0, 0, 0, 0, 1];
const CONTINUATION_WITH_END: [u8; HEAD_BYTES] = [0, 0, 0, 9, 4, 0, 0, 0, 1];
const SETTINGS_ACK: [u8; HEAD_BYTES] = [0, 0, 0, 4, 1, 0, 0, 0, 0];
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct Rig {
    tap: FrameTap<DuplexStream>,
    wire: WireHandle,
    client: DuplexStream,
}

/// A tap past its first SETTINGS.
async fn rig() -> Rig {
    let (server, client) = duplex(PIPE_BYTES);
    let (tap, wire) = FrameTap::new(server, FIRST_LIMIT);
    let mut rig = Rig { tap, wire, client };
    rig.write(&frame::settings_with_stream_limit(1_000)).await;
    assert_eq!(rig.sent(15).await, frame::settings_with_stream_limit(FIRST_LIMIT).as_ref());
    rig
}

impl Rig {
    async fn write(&mut self, bytes: &[u8]) {
        self.tap.write_all(bytes).await.unwrap();
        self.tap.flush().await.unwrap();
    }

    /// The next bytes that the client gets.
    async fn sent(&mut self, bytes: usize) -> Vec<u8> {
        let mut buffer = vec![0; bytes];
        self.client.read_exact(&mut buffer).await.unwrap();
        buffer
    }

    /// The types of all frames that the client gets until the server closes.
    async fn frames_until_close(mut self) -> Vec<u8> {
        self.tap.shutdown().await.unwrap();
        let mut rest = Vec::new();
        self.client.read_to_end(&mut rest).await.unwrap();
        let mut kinds = Vec::new();
        let mut rest = rest.as_slice();
        while let Some(head) = rest.first_chunk::<HEAD_BYTES>() {
            kinds.push(head[3]);
            rest = &rest[HEAD_BYTES + FrameHead::parse(head).length..];
        }
        kinds
    }
}

fn reset(stream: u8) -> Vec<u8> {
    vec![0, 0, 4, FRAME_RST_STREAM, 0, 0, 0, 0, stream, 0, 0, 0, 8]
}

#[tokio::test]
async fn the_first_settings_are_overwritten_even_byte_by_byte() {
    let (server, mut client) = duplex(PIPE_BYTES);
    let (mut tap, _wire) = FrameTap::new(server, FIRST_LIMIT);
    for byte in frame::settings_with_stream_limit(1_000) {
        tap.write_all(&[byte]).await.unwrap();
    }
    tap.flush().await.unwrap();
    let mut sent = [0; 15];
    client.read_exact(&mut sent).await.unwrap();
    assert_eq!(sent, frame::settings_with_stream_limit(FIRST_LIMIT).as_ref());
}

#[tokio::test]
async fn an_added_frame_waits_for_the_end_of_a_header_block() {
    let mut rig = rig().await;
    rig.write(&HEADERS_WITHOUT_END).await;
    assert!(rig.wire.announce_stream_limit(500));
    rig.write(&CONTINUATION_WITH_END).await;
    let expected =
        [&HEADERS_WITHOUT_END[..], &CONTINUATION_WITH_END, &frame::settings_with_stream_limit(500)].concat();
    assert_eq!(rig.sent(expected.len()).await, expected);
}

#[tokio::test]
async fn only_the_first_acknowledgement_reaches_h2() {
    let mut rig = rig().await;
    assert!(rig.wire.announce_stream_limit(500));
    let acknowledged = [PREFACE, &SETTINGS_ACK, &SETTINGS_ACK, &HEADERS_WITHOUT_END].concat();
    rig.client.write_all(&acknowledged).await.unwrap();
    let mut seen = vec![0; PREFACE.len() + 2 * HEAD_BYTES];
    rig.tap.read_exact(&mut seen).await.unwrap();
    assert_eq!(seen, [PREFACE, &SETTINGS_ACK, &HEADERS_WITHOUT_END].concat());
}

#[tokio::test]
async fn the_present_limit_is_not_announced_again() {
    let rig = rig().await;
    assert!(!rig.wire.announce_stream_limit(FIRST_LIMIT));
    assert!(rig.wire.announce_stream_limit(500));
    assert!(!rig.wire.announce_stream_limit(500));
}

#[tokio::test]
async fn added_frames_that_cannot_go_out_are_bounded() {
    let rig = rig().await;
    let taken = (0..200).filter(|limit| rig.wire.announce_stream_limit(1_000 + limit)).count();
    assert_eq!(taken, ADDED_FRAMES_MAX);
}

#[tokio::test]
async fn after_goaway_no_later_stream_begins() {
    let rig = rig().await;
    assert!(rig.wire.begin(3));
    assert_eq!(rig.wire.go_away(b"{}"), 3);
    assert!(rig.wire.begin(1) && !rig.wire.begin(5));
    assert_eq!(rig.wire.go_away(b"again"), 3);
}

#[tokio::test]
async fn resets_above_the_last_stream_of_goaway_are_kept_back() {
    let mut rig = rig().await;
    assert!(rig.wire.begin(3));
    rig.wire.go_away(b"{}");
    rig.write(&reset(5)).await;
    rig.write(&reset(1)).await;
    assert_eq!(rig.frames_until_close().await, [FRAME_GOAWAY, FRAME_RST_STREAM]);
}
