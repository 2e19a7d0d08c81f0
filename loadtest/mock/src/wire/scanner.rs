//! Walks a byte stream frame by frame while copying it.
//!
//! It sees heads, never payloads, and takes chunks cut anywhere.

use bytes::BytesMut;

use super::frame::{FrameHead, HEAD_BYTES, PREFACE_BYTES};

/// Whether a frame is copied or left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passage {
    Copy,
    LeaveOut,
}

/// The position in one direction of a connection.
#[derive(Debug)]
pub(super) struct FrameScanner {
    preface_left: usize,
    head: [u8; HEAD_BYTES],
    head_filled: usize,
    payload_left: usize,
    passage: Passage,
    in_header_block: bool,
}

impl FrameScanner {
    /// A scanner of what the client sends, which begins with the preface.
    pub(super) fn of_client() -> Self {
        Self { preface_left: PREFACE_BYTES, ..Self::of_server() }
    }

    /// A scanner of what the server sends.
    pub(super) fn of_server() -> Self {
        Self {
            preface_left: 0,
            head: [0; HEAD_BYTES],
            head_filled: 0,
            payload_left: 0,
            passage: Passage::Copy,
            in_header_block: false,
        }
    }

    /// Whether another frame may be put in here.
    pub(super) fn is_at_boundary(&self) -> bool {
        self.preface_left == 0 && self.head_filled == 0 && self.payload_left == 0 && !self.in_header_block
    }

    /// Copies `input` to `output`, except frames that `judge` leaves out.
    pub(super) fn copy(
        &mut self,
        mut input: &[u8],
        output: &mut BytesMut,
        mut judge: impl FnMut(&FrameHead) -> Passage,
    ) {
        while !input.is_empty() {
            let taken = if self.preface_left > 0 {
                let taken = self.preface_left.min(input.len());
                output.extend_from_slice(&input[..taken]);
                self.preface_left -= taken;
                taken
            } else if self.payload_left > 0 {
                self.copy_payload(input, output)
            } else {
                self.copy_head(input, output, &mut judge)
            };
            input = &input[taken..];
        }
    }

    fn copy_payload(&mut self, input: &[u8], output: &mut BytesMut) -> usize {
        let taken = self.payload_left.min(input.len());
        if self.passage == Passage::Copy {
            output.extend_from_slice(&input[..taken]);
        }
        self.payload_left -= taken;
        taken
    }

    fn copy_head(
        &mut self,
        input: &[u8],
        output: &mut BytesMut,
        judge: &mut impl FnMut(&FrameHead) -> Passage,
    ) -> usize {
        let taken = (HEAD_BYTES - self.head_filled).min(input.len());
        self.head[self.head_filled..self.head_filled + taken].copy_from_slice(&input[..taken]);
        self.head_filled += taken;
        if self.head_filled == HEAD_BYTES {
            let head = FrameHead::parse(&self.head);
            self.head_filled = 0;
            self.payload_left = head.length;
            self.in_header_block = head.leaves_header_block_open().unwrap_or(self.in_header_block);
            self.passage = judge(&head);
            if self.passage == Passage::Copy {
                output.extend_from_slice(&self.head);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::{go_away, settings_with_stream_limit};
    use super::*;

    #[test]
    fn a_left_out_frame_is_gone_wherever_the_chunks_are_cut() {
        let settings = settings_with_stream_limit(7);
        let go_away = go_away(5, b"bye");
        let whole = [settings.as_ref(), go_away.as_ref(), settings.as_ref()].concat();
        for cut in 0..whole.len() {
            let mut scanner = FrameScanner::of_server();
            let mut output = BytesMut::new();
            let mut judge = |head: &FrameHead| {
                if head.length == 6 { Passage::LeaveOut } else { Passage::Copy }
            };
            scanner.copy(&whole[..cut], &mut output, &mut judge);
            scanner.copy(&whole[cut..], &mut output, &mut judge);
            assert_eq!(output.as_ref(), go_away.as_ref(), "cut at {cut}");
            assert!(scanner.is_at_boundary());
        }
    }

    #[test]
    fn an_open_header_block_is_no_boundary() {
        let mut scanner = FrameScanner::of_server();
        let mut output = BytesMut::new();
        let headers_without_end = [0, 0, 0, 1, 0, 0, 0, 0, 1];
        scanner.copy(&headers_without_end, &mut output, |_| Passage::Copy);
        assert!(!scanner.is_at_boundary());
        let continuation_with_end = [0, 0, 0, 9, 4, 0, 0, 0, 1];
        scanner.copy(&continuation_with_end, &mut output, |_| Passage::Copy);
        assert!(scanner.is_at_boundary());
    }
}
