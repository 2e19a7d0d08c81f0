//! Reads a reply as it comes, in pieces cut anywhere. Pure: bytes in, a status and a body out.
//!
//! It reads what an HTTP/1.1 server sends to a plain call: a head, then a body with a length, in chunks, or none. It
//! keeps no bytes but the body's and those of a head or a chunk's line that has not come in whole.

use std::time::Duration;

use http::StatusCode;

use super::Lost;

/// Longest head.
const HEAD_BYTES_MAX: usize = 32 * 1_024;

/// Most fields of a head.
const FIELDS_MAX: usize = 48;

/// Largest body that is read.
const BODY_BYTES_MAX: usize = 1 << 20;

/// Longest line about a chunk.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// What is known of a reply so far.
#[derive(Debug, Default)]
pub(in crate::load) struct ReplyReader {
    state: State,
    /// Of a head or a line that has not come in whole.
    partial: Vec<u8>,
    head: Option<Head>,
    body: Vec<u8>,
    /// More came than belongs to this reply.
    is_overrun: bool,
}

/// What the head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::load) struct Head {
    pub(in crate::load) status: StatusCode,
    pub(super) retry_after: Option<Duration>,
    pub(super) keeps_alive: bool,
    body: BodyLength,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    Known(usize),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Head,
    Body {
        left: usize,
    },
    UntilClose,
    ChunkLine,
    Chunk {
        left: usize,
    },
    ChunkEnd,
    Trailer,
    Done,
}

impl ReplyReader {
    /// Takes in what came, of which nothing belongs to another reply.
    pub(super) fn feed(&mut self, input: &[u8]) -> Result<(), Lost> {
        self.is_overrun |= self.feed_one(input)? < input.len();
        Ok(())
    }

    /// Takes in what belongs to this reply, and says how much that is.
    pub(in crate::load) fn feed_one(&mut self, whole: &[u8]) -> Result<usize, Lost> {
        let mut input = whole;
        while !input.is_empty() {
            let taken = match self.state {
                State::Head => self.take_head(input)?,
                State::Body { left } => {
                    let taken = self.take_body(input, left)?;
                    self.state = if taken == left { State::Done } else { State::Body { left: left - taken } };
                    taken
                }
                State::Chunk { left } => {
                    let taken = self.take_body(input, left)?;
                    self.state =
                        if taken == left { State::ChunkEnd } else { State::Chunk { left: left - taken } };
                    taken
                }
                State::UntilClose => self.take_body(input, input.len())?,
                State::ChunkLine | State::ChunkEnd | State::Trailer => self.take_line(input)?,
                State::Done => break,
            };
            input = &input[taken..];
        }
        Ok(whole.len() - input.len())
    }

    /// The connection has ended; whether that is the end of the reply.
    pub(super) fn close(&mut self) -> bool {
        if self.state == State::UntilClose {
            self.state = State::Done;
        }
        self.is_done()
    }

    /// The reply is there in full.
    pub(in crate::load) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The head, as soon as it is there.
    pub(in crate::load) fn head(&self) -> Option<Head> {
        self.head
    }

    /// The connection may carry another call.
    pub(super) fn may_go_on(&self) -> bool {
        self.is_done() && !self.is_overrun && self.head.is_some_and(|head| head.keeps_alive)
    }

    /// What has come of the body since the last time.
    pub(in crate::load) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.body)
    }

    /// Takes the head if it is there in full, and says how much of the input was of it.
    fn take_head(&mut self, input: &[u8]) -> Result<usize, Lost> {
        let before = self.partial.len();
        // Mostly it comes in one piece and is read where it lies.
        let parsed = if before == 0 {
            parse_head(input)?
        } else {
            self.partial.extend_from_slice(input);
            parse_head(&self.partial)?
        };
        let Some((head, length)) = parsed else {
            if before == 0 {
                self.partial.extend_from_slice(input);
            }
            return if self.partial.len() > HEAD_BYTES_MAX { Err(Lost::TooLong) } else { Ok(input.len()) };
        };
        self.partial.clear();
        self.head = Some(head);
        self.state = match head.body {
            BodyLength::Known(0) => State::Done,
            BodyLength::Known(left) => State::Body { left },
            BodyLength::Chunked => State::ChunkLine,
            BodyLength::UntilClose => State::UntilClose,
        };
        Ok(length - before)
    }

    fn take_body(&mut self, input: &[u8], left: usize) -> Result<usize, Lost> {
        let taken = left.min(input.len());
        if self.body.len() + taken > BODY_BYTES_MAX {
            return Err(Lost::TooLong);
        }
        self.body.extend_from_slice(&input[..taken]);
        Ok(taken)
    }

    /// Takes a line of the chunked form.
    fn take_line(&mut self, input: &[u8]) -> Result<usize, Lost> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(input.len(), |end| end + 1);
        self.partial.extend_from_slice(&input[..taken]);
        if self.partial.len() > CHUNK_LINE_BYTES_MAX {
            return Err(Lost::TooLong);
        }
        if end.is_some() {
            let line = std::mem::take(&mut self.partial);
            self.state = self.after_line(line.trim_ascii_end())?;
        }
        Ok(taken)
    }

    fn after_line(&self, line: &[u8]) -> Result<State, Lost> {
        match self.state {
            State::ChunkLine => {
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let digits = std::str::from_utf8(digits.trim_ascii()).map_err(|_| Lost::Cut)?;
                match usize::from_str_radix(digits, 16).map_err(|_| Lost::Cut)? {
                    0 => Ok(State::Trailer),
                    left => Ok(State::Chunk { left }),
                }
            }
            State::ChunkEnd if line.is_empty() => Ok(State::ChunkLine),
            State::Trailer => Ok(if line.is_empty() { State::Done } else { State::Trailer }),
            _ => Err(Lost::Cut),
        }
    }
}

/// The head and its length, if it is there in full.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Lost> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        // What is no HTTP ends the connection.
        Err(_) => return Err(Lost::Cut),
    };
    let status = response.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Lost::Cut)?;
    let mut head = Head {
        status,
        retry_after: None,
        keeps_alive: response.version == Some(1),
        body: BodyLength::UntilClose,
    };
    for field in response.headers.iter() {
        let text = || std::str::from_utf8(field.value).unwrap_or_default().trim();
        if field.name.eq_ignore_ascii_case("content-length") {
            head.body = BodyLength::Known(text().parse().map_err(|_| Lost::Cut)?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            head.body = BodyLength::Chunked;
        } else if field.name.eq_ignore_ascii_case("retry-after") {
            head.retry_after = text().parse().ok().map(Duration::from_secs);
        } else if field.name.eq_ignore_ascii_case("connection") {
            head.keeps_alive = !text().eq_ignore_ascii_case("close");
        }
    }
    if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
        head.body = BodyLength::Known(0);
    }
    Ok(Some((head, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads it whole, cut into pieces of this size.
    fn read(text: &str, piece: usize) -> ReplyReader {
        let mut reader = ReplyReader::default();
        text.as_bytes().chunks(piece).for_each(|piece| reader.feed(piece).unwrap());
        reader
    }

    #[test]
    fn a_reply_reads_the_same_wherever_it_is_cut() {
        let plain = "HTTP/1.1 201 Created\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        let chunked =
            "HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n";
        for text in [plain, chunked] {
            for piece in 1..=text.len() {
                let mut reader = read(text, piece);
                assert!(reader.is_done() && reader.may_go_on(), "{piece}");
                assert_eq!(reader.head().unwrap().status, StatusCode::CREATED);
                assert_eq!(reader.take(), b"hello");
            }
        }
    }

    #[test]
    fn a_refusal_tells_its_pause_and_a_reply_that_ends_the_connection_is_the_last() {
        let reader =
            read("HTTP/1.1 503 Busy\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", 9);
        assert_eq!(reader.head().unwrap().retry_after, Some(Duration::from_secs(7)));
        assert!(reader.is_done() && !reader.may_go_on());
        let mut endless = read("HTTP/1.1 200 OK\r\n\r\nabc", 100);
        assert!(!endless.is_done() && endless.close());
        assert_eq!(endless.take(), b"abc");
    }

    #[test]
    fn what_is_cut_overrun_or_no_http_is_told() {
        assert!(!read("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel", 100).close());
        let mut overrun = read("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab", 100);
        assert!(overrun.is_done() && !overrun.may_go_on());
        assert_eq!(overrun.take(), b"a");
        assert_eq!(ReplyReader::default().feed(b"SSH-2.0-x\r\n\r\n"), Err(Lost::Cut));
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", BODY_BYTES_MAX + 1);
        let mut reader = read(&long, 4_096);
        assert_eq!(reader.feed(&vec![0; BODY_BYTES_MAX + 1]), Err(Lost::TooLong));
        let mut chunked = read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", 4_096);
        assert_eq!(chunked.feed(b"zz\r\n"), Err(Lost::Cut));
    }

    #[test]
    fn replies_behind_each_other_are_read_one_by_one() {
        let one = "HTTP/1.1 404 No\r\ncontent-length: 2\r\n\r\n{}";
        let two = format!("{one}{one}");
        let mut reader = ReplyReader::default();
        assert_eq!(reader.feed_one(two.as_bytes()), Ok(one.len()));
        assert!(reader.is_done() && reader.may_go_on());
        let none = "HTTP/1.1 204 No\r\n\r\n";
        assert_eq!(ReplyReader::default().feed_one(format!("{none}{one}").as_bytes()), Ok(none.len()));
    }

    #[test]
    fn a_stream_is_taken_piece_by_piece() {
        let mut reader = read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n", 7);
        assert_eq!(reader.take(), b"one");
        reader.feed(b"3\r\ntwo\r\n").unwrap();
        assert_eq!(reader.take(), b"two");
        assert!(!reader.is_done());
        reader.feed(b"0\r\n\r\n").unwrap();
        assert!(reader.may_go_on());
    }
}
