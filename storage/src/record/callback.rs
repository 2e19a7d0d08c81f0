//! The disk form of a callback that is owed or dead. It holds all that a try needs, so that it outlives its
//! transaction's record.

use minicbor::{Decode, Encode};
use tocsin_model::{Callback, CallbackPhase, CallbackUrl, State, Transaction, TransactionId, UnixMs};

use super::transaction::{from_state, to_state};
use super::{Malformed, code, name};

/// A callback on disk. Owed and dead ones stand under keys of different kinds.
#[derive(Encode, Decode)]
#[cbor(map)]
pub(crate) struct CallbackRecord<'a> {
    #[b(0)]
    client: &'a str,
    #[b(1)]
    url: &'a str,
    #[n(2)]
    state: u8,
    #[n(3)]
    failure_reason: Option<u8>,
    #[n(4)]
    owed_at_ms: u64,
    #[n(5)]
    next_try_at_ms: Option<u64>,
    #[n(6)]
    dead_since_ms: Option<u64>,
    #[n(7)]
    tries: u32,
    #[n(8)]
    last_fault: Option<u8>,
}

impl<'a> CallbackRecord<'a> {
    pub(crate) fn new(callback: &'a Callback) -> Self {
        let (state, failure_reason) = from_state(callback.state);
        let (next_try_at, dead_since) = match callback.phase {
            CallbackPhase::Owed { next_try_at } => (Some(next_try_at), None),
            CallbackPhase::Dead { since } => (None, Some(since)),
        };
        Self {
            client: callback.client.as_str(),
            url: callback.url.as_str(),
            state,
            failure_reason,
            owed_at_ms: callback.owed_at.get(),
            next_try_at_ms: next_try_at.map(UnixMs::get),
            dead_since_ms: dead_since.map(UnixMs::get),
            tries: callback.tries,
            last_fault: callback.last_fault.map(code::from_callback_fault),
        }
    }

    pub(crate) fn into_model(self, transaction_id: TransactionId) -> Result<Callback, Malformed> {
        let phase = match (self.next_try_at_ms, self.dead_since_ms) {
            (Some(next_try_at), None) => CallbackPhase::Owed { next_try_at: UnixMs::new(next_try_at) },
            (None, Some(since)) => CallbackPhase::Dead { since: UnixMs::new(since) },
            _ => return Err(Malformed("it holds a callback that is neither owed nor dead")),
        };
        Ok(Callback {
            transaction_id,
            client: name(self.client)?,
            url: callback_url(self.url)?,
            state: final_state(self.state, self.failure_reason)?,
            owed_at: UnixMs::new(self.owed_at_ms),
            tries: self.tries,
            last_fault: self.last_fault.map(code::to_callback_fault).transpose()?,
            phase,
        })
    }
}

/// What a transaction that ended owes its portal, if anything.
pub(crate) fn owed_by(ended: &Transaction) -> Option<Callback> {
    let url = ended.callback_url.clone()?;
    let owed_at = ended.ended_at.unwrap_or(ended.expires_at);
    Some(Callback {
        transaction_id: ended.id,
        client: ended.client.clone(),
        url,
        state: ended.state,
        owed_at,
        tries: 0,
        last_fault: None,
        phase: CallbackPhase::Owed { next_try_at: owed_at },
    })
}

pub(super) fn callback_url(text: &str) -> Result<CallbackUrl, Malformed> {
    CallbackUrl::parse(text).map_err(|_| Malformed("it holds a callback URL that is none"))
}

fn final_state(state: u8, failure_reason: Option<u8>) -> Result<State, Malformed> {
    let state = to_state(state, failure_reason)?;
    if state.is_final() { Ok(state) } else { Err(Malformed("it holds a callback without an outcome")) }
}
