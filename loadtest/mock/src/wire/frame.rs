//! HTTP/2 frame heads (RFC 9113, section 4.1) and the few frames that are written here by hand.

use bytes::{BufMut, Bytes, BytesMut};

/// Length of a frame head.
pub(super) const HEAD_BYTES: usize = 9;
/// Length of the client's preface.
pub(super) const PREFACE_BYTES: usize = 24;

const TYPE_DATA: u8 = 0x0;
const TYPE_HEADERS: u8 = 0x1;
const TYPE_RST_STREAM: u8 = 0x3;
const TYPE_SETTINGS: u8 = 0x4;
const TYPE_PUSH_PROMISE: u8 = 0x5;
const TYPE_GOAWAY: u8 = 0x7;
const TYPE_CONTINUATION: u8 = 0x9;
const FLAG_ACK_OR_END_STREAM: u8 = 0x1;
const FLAG_END_HEADERS: u8 = 0x4;
const SETTING_MAX_CONCURRENT_STREAMS: u16 = 0x3;
const SETTING_BYTES: usize = 6;

/// The nine bytes before each payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameHead {
    pub(super) length: usize,
    kind: u8,
    flags: u8,
    pub(super) stream: u32,
}

impl FrameHead {
    pub(super) fn parse(bytes: &[u8; HEAD_BYTES]) -> Self {
        let [length_high, length_middle, length_low, kind, flags, s0, s1, s2, s3] = *bytes;
        Self {
            length: u32::from_be_bytes([0, length_high, length_middle, length_low]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & 0x7fff_ffff,
        }
    }

    pub(super) fn is_headers(&self) -> bool {
        self.kind == TYPE_HEADERS
    }

    pub(super) fn is_reset(&self) -> bool {
        self.kind == TYPE_RST_STREAM
    }

    pub(super) fn is_settings_ack(&self) -> bool {
        self.kind == TYPE_SETTINGS && self.flags & FLAG_ACK_OR_END_STREAM != 0
    }

    pub(super) fn ends_stream(&self) -> bool {
        matches!(self.kind, TYPE_DATA | TYPE_HEADERS) && self.flags & FLAG_ACK_OR_END_STREAM != 0
    }

    /// Whether a header block goes on after this frame, so that no other frame may stand between;
    /// `None` for frames that are no part of one.
    pub(super) fn leaves_header_block_open(&self) -> Option<bool> {
        matches!(self.kind, TYPE_HEADERS | TYPE_PUSH_PROMISE | TYPE_CONTINUATION)
            .then_some(self.flags & FLAG_END_HEADERS == 0)
    }
}

/// A SETTINGS frame with nothing but MAX_CONCURRENT_STREAMS.
pub(super) fn settings_with_stream_limit(limit: u32) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + SETTING_BYTES);
    put_head(&mut frame, SETTING_BYTES, TYPE_SETTINGS);
    frame.put_u16(SETTING_MAX_CONCURRENT_STREAMS);
    frame.put_u32(limit);
    frame.freeze()
}

/// A GOAWAY frame with code NO_ERROR.
pub(super) fn go_away(last_stream: u32, debug_data: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + 8 + debug_data.len());
    put_head(&mut frame, 8 + debug_data.len(), TYPE_GOAWAY);
    frame.put_u32(last_stream);
    frame.put_u32(0);
    frame.put_slice(debug_data);
    frame.freeze()
}

/// Writes `limit` over the stream limit in a whole SETTINGS frame; false if it names none.
pub(super) fn overwrite_stream_limit(frame: &mut [u8], limit: u32) -> bool {
    let mut found = false;
    for setting in frame[HEAD_BYTES..].chunks_exact_mut(SETTING_BYTES) {
        if setting[..2] == SETTING_MAX_CONCURRENT_STREAMS.to_be_bytes() {
            setting[2..].copy_from_slice(&limit.to_be_bytes());
            found = true;
        }
    }
    found
}

fn put_head(frame: &mut BytesMut, length: usize, kind: u8) {
    frame.put_uint(length as u64, 3);
    frame.put_u8(kind);
    frame.put_u8(0);
    frame.put_u32(0);
}
