//! The event stream of a transaction, as a portal's library reads it: one block of lines for each event.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;

use super::TransactionView;
use crate::LoadtestError;
use crate::error::ensure;

/// Longest event that is read.
const EVENT_BYTES_MAX: usize = 256 * 1_024;

/// An open stream.
pub struct EventStream {
    body: Incoming,
    unread: Vec<u8>,
}

/// One event.
#[derive(Clone, Debug)]
pub struct TransactionEvent {
    /// The revision, for `Last-Event-ID`.
    pub id: u32,
    /// The transaction as it was then.
    pub view: TransactionView,
}

impl std::fmt::Debug for EventStream {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("EventStream").finish_non_exhaustive()
    }
}

impl EventStream {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, unread: Vec::new() }
    }

    /// The next event; `None` when the stream has ended.
    pub async fn next(&mut self, deadline: Duration) -> Result<Option<TransactionEvent>, LoadtestError> {
        let late = || LoadtestError::Deadline { what: "the next event".to_owned(), after: deadline };
        tokio::time::timeout(deadline, self.read()).await.unwrap_or_else(|_| Err(late()))
    }

    async fn read(&mut self) -> Result<Option<TransactionEvent>, LoadtestError> {
        loop {
            while let Some(block) = self.take_block() {
                if let Some(event) = parse(&block)? {
                    return Ok(Some(event));
                }
            }
            ensure(self.unread.len() <= EVENT_BYTES_MAX, || "an event has no end".to_owned())?;
            match self.body.frame().await {
                Some(Ok(frame)) => self.unread.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Some(Err(error)) => {
                    return Err(LoadtestError::Unexpected(format!("the event stream was cut: {error}")));
                }
                None => {
                    ensure(self.unread.is_empty(), || "the stream ended within an event".to_owned())?;
                    return Ok(None);
                }
            }
        }
    }

    /// Takes all up to the next empty line.
    fn take_block(&mut self) -> Option<String> {
        let end = self.unread.windows(2).position(|pair| pair == b"\n\n")?;
        let block: Vec<u8> = self.unread.drain(..end + 2).collect();
        Some(String::from_utf8_lossy(&block).into_owned())
    }
}

/// The event of a block; `None` when it holds only a comment.
fn parse(block: &str) -> Result<Option<TransactionEvent>, LoadtestError> {
    let value = |name: &str| {
        let mut lines = block.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": ").map(str::to_owned))
    };
    if block.lines().all(|line| line.is_empty() || line.starts_with(':')) {
        return Ok(None);
    }
    let wrong = |what: &str| LoadtestError::Unexpected(format!("an event {what}: {block}"));
    ensure(value("event").as_deref() == Some("transaction"), || format!("not a transaction's: {block}"))?;
    let id = value("id").and_then(|id| id.parse().ok()).ok_or_else(|| wrong("without a revision"))?;
    let data = value("data").ok_or_else(|| wrong("without data"))?;
    let view =
        serde_json::from_str(&data).map_err(|error| wrong(&format!("that cannot be read ({error})")))?;
    Ok(Some(TransactionEvent { id, view }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_no_event_and_a_block_that_is_not_one_is_refused() {
        assert!(parse(": still here\n\n").expect("a comment").is_none());
        for wrong in ["event: other\nid: 1\ndata: {}\n\n", "event: transaction\ndata: {}\n\n", "data: {}\n\n"]
        {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
