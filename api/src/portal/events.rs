//! `GET /v1/transactions/{id}/events`: a transaction as server-sent events (the HTML standard, section 9.2).
//!
//! The present view comes first, then each change, several as one where they come faster than they are read; the
//! stream ends after the outcome, and at a shutdown. A caller who comes again says by `Last-Event-ID` what it has
//! seen; what is no revision says nothing. A stream holds one small state and writes one event at a time, so that a
//! caller who does not read costs no more than one who does.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use hyper::StatusCode;
use hyper::header::HeaderMap;
use tocsin_config::Right;
use tocsin_engine::{Heard, Observation};
use tocsin_model::{Problem, Transaction};

use super::caller::Caller;
use super::transactions::transaction_id;
use super::view::TransactionView;
use crate::door::{Content, DoorState, InFlight, Query, Reply, Request, private};

/// How long a stream is silent before a comment shows that it lives.
const COMMENT_INTERVAL: Duration = Duration::from_secs(15);

const LAST_EVENT_ID: &str = "last-event-id";

/// A stream on its way to a caller.
struct EventStream {
    state: Rc<DoorState>,
    observation: Observation,
    /// A stream is a call that is not answered yet, so a shutdown waits for its end.
    _in_flight: InFlight,
}

/// `GET /v1/transactions/{id}/events`
pub(super) async fn events(state: Rc<DoorState>, request: Request) -> Reply {
    let caller = Caller::with_right(&state, &request, Right::Transactions)?;
    let id = transaction_id(&request)?;
    Query::parse(request.query_string(), &[])?;
    let observation = state.handle.observe(&caller.id, id, last_seen(request.headers())).await?;
    let stream = EventStream { _in_flight: state.enter(), observation, state: state.clone() };
    Ok(private(StatusCode::OK, "text/event-stream", Content::Parts(Box::pin(stream.into_bytes()))))
}

fn last_seen(headers: &HeaderMap) -> Option<u32> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}

impl EventStream {
    fn into_bytes(self) -> impl Stream<Item = Bytes> {
        futures_util::stream::unfold(self, |mut stream| async move {
            let bytes = stream.next().await?;
            Some((bytes, stream))
        })
    }

    async fn next(&mut self) -> Option<Bytes> {
        let heard = tokio::select! {
            biased;
            heard = self.observation.next(COMMENT_INTERVAL) => heard,
            () = self.state.drain_begun() => Heard::End,
        };
        said(&heard, &self.state.public_url)
    }
}

/// What the caller is told; nothing ends the stream.
fn said(heard: &Heard, public_url: &str) -> Option<Bytes> {
    match heard {
        Heard::State(transaction) => event(transaction, public_url).ok(),
        Heard::Nothing => Some(Bytes::from_static(b":\n\n")),
        Heard::End => None,
    }
}

/// One event. JSON holds no line break, so its data is one line.
fn event(transaction: &Transaction, public_url: &str) -> Result<Bytes, Problem> {
    let view = TransactionView::of(transaction, public_url);
    let data = serde_json::to_string(&view).map_err(|_| Problem::internal())?;
    Ok(Bytes::from(format!("event: transaction\nid: {}\ndata: {data}\n\n", transaction.revision)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_comment_each_fifteen_seconds() {
        assert_eq!(said(&Heard::Nothing, ""), Some(Bytes::from_static(b":\n\n")));
        assert_eq!(said(&Heard::End, ""), None);
        assert_eq!(COMMENT_INTERVAL, Duration::from_secs(15));
    }
}
