//! A portal's part of a flow: it starts a transaction, tries again if it may, and waits for the outcome in its way.
//!
//! A refusal for now while it waits is honoured and counted, and it goes on waiting: a portal must learn the end of
//! what it has started.

use std::fmt::Write as _;
use std::rc::Rc;
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use tocsin_model::State;
use uuid::Uuid;

use super::crowd::{phone_number_of, user_of};
use super::doors::{Authorization, Call, Called, Lost, OpenReply, Reply};
use super::meter::{Outcome, Stage};
use super::plan::{PlannedAnswer, Waiting};
use super::worker::{Flow, Worker, state_text};
use crate::portal::state_of;

/// Longest wait for a reply that is not held.
const REPLY_DEADLINE: Duration = Duration::from_secs(30);

/// Pause before a wait whose connection was lost is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(100);

/// How long after a transaction's end its portal still hopes to be told.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longest event of a stream.
const EVENT_BYTES_MAX: usize = 1 << 18;

#[derive(Deserialize)]
struct View<'a> {
    id: &'a str,
    state: &'a str,
    #[serde(default)]
    reason: Option<&'a str>,
}

/// A transaction as a portal sees it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    id: Uuid,
    state: State,
}

/// What is wrong, in a word.
type Word = Box<str>;

/// What a try of a start came to.
enum Tried {
    Created(Seen),
    /// For now, with the pause that it asks for.
    Refused(Word, Duration),
    Failed(Word),
}

impl Flow {
    /// Its start waits for the outcome. One that sends a code cannot: its portal must ask for the code meanwhile.
    pub(super) fn is_held(&self) -> bool {
        self.plan.waiting == Waiting::Sync && !self.plan.by_sms
    }

    /// Whether it may end so, and then whether its time says something of the server.
    fn judge(&self, end: State, has_fallback: bool) -> Option<bool> {
        let is_timed = self.plan.delay.is_zero();
        let by_code = self.plan.by_sms || has_fallback;
        match (self.plan.answer, end) {
            (PlannedAnswer::Accept, State::Accepted) | (PlannedAnswer::Refuse, State::Declined) => {
                Some(is_timed)
            }
            (PlannedAnswer::Ignore, State::Timeout) => Some(false),
            // A code cannot be refused, only left alone.
            (PlannedAnswer::Refuse, State::Timeout) if by_code => Some(false),
            _ => None,
        }
    }
}

impl Worker {
    /// The whole of it; counts the flow's end.
    pub(super) async fn be_a_portal(self: &Rc<Self>, flow: &Rc<Flow>) {
        let Some(seen) = self.start(flow).await else { return };
        if flow.plan.waiting == Waiting::Absent {
            return self.leave(flow).await;
        }
        let end = if seen.state == State::Pending { self.wait(flow, seen.id).await } else { Ok(seen.state) };
        let count = |outcome| self.record(Stage::Flow, flow.intended, flow.sent.get(), outcome);
        let state = match end {
            Ok(state) => state,
            Err(word) => return count(Outcome::Failed(&word)),
        };
        self.reached(state);
        if let Some(sent) = flow.answer_sent.get() {
            self.record(Stage::WaiterTold, sent, sent, Outcome::Done);
        }
        match flow.judge(state, self.briefing.scenario.flows.sms_fallback_after.is_some()) {
            Some(true) => count(Outcome::Done),
            Some(false) => count(Outcome::Untimed),
            None => count(Outcome::Failed(&state_text(state))),
        }
    }

    /// Nobody waits for the end: the flow is over when the transaction is stored and its push is at the network.
    async fn leave(&self, flow: &Flow) {
        let pushed = async {
            while !flow.is_pushed.get() {
                flow.bell.notified().await;
            }
        };
        let count = |outcome| self.record(Stage::Flow, flow.intended, flow.sent.get(), outcome);
        match tokio::time::timeout(PATIENCE, pushed).await {
            Ok(()) => {
                self.left_pending();
                count(Outcome::Done);
            }
            Err(_) => count(Outcome::Failed("never_pushed")),
        }
    }

    /// Starts the transaction, with the tries that the scenario allows. A start that came to nothing is counted as
    /// the flow's end.
    async fn start(self: &Rc<Self>, flow: &Rc<Flow>) -> Option<Seen> {
        let retries = self.briefing.scenario.portals.retries;
        let body = self.start_body(flow);
        let key =
            (retries.tries_max > 0).then(|| format!("{}.{}", self.briefing.run_id.simple(), flow.number));
        let mut call = Call::post("/v1/transactions", self.portal_authorization(), &body);
        call.idempotency_key = key.as_deref();
        let mut tries = 0;
        loop {
            let Called { sent, result } = self.portal.call(call, self.start_deadline(flow)).await;
            let tried = read_start(result);
            let count = |stage, outcome| self.record(stage, flow.intended, sent, outcome);
            let pause = match &tried {
                Tried::Created(seen) => {
                    count(Stage::Create, if flow.is_held() { Outcome::Untimed } else { Outcome::Done });
                    self.named(flow, seen.id);
                    return Some(*seen);
                }
                Tried::Refused(word, asked) => {
                    count(Stage::Create, Outcome::Refused(word));
                    if retries.honours_retry_after { retries.pause.max(*asked) } else { retries.pause }
                }
                Tried::Failed(word) => {
                    count(Stage::Create, Outcome::Failed(word));
                    retries.pause
                }
            };
            if tries >= retries.tries_max {
                match &tried {
                    Tried::Refused(word, _) => count(Stage::Flow, Outcome::Refused(word)),
                    Tried::Failed(word) => count(Stage::Flow, Outcome::Failed(word)),
                    Tried::Created(_) => {}
                }
                return None;
            }
            tries += 1;
            self.retried();
            tokio::time::sleep(pause).await;
        }
    }

    fn start_body(&self, flow: &Flow) -> String {
        let briefing = &self.briefing;
        let flows = &briefing.scenario.flows;
        let type_name = if flow.plan.by_sms { &briefing.code_type } else { &briefing.push_type };
        let mut body = format!(r#"{{"type":"{type_name}","user":"{}""#, user_of(flow.plan.phone));
        if flow.plan.by_sms || flows.sms_fallback_after.is_some() {
            let number = phone_number_of(flow.plan.phone);
            // A string cannot fail to be written to.
            let _ = write!(body, r#","phone_number":"{number}""#);
        }
        match flow.plan.waiting {
            Waiting::Sync if flow.is_held() => drop(write!(body, r#","wait_s":{}"#, self.wait_s())),
            Waiting::Callback => {
                let url =
                    usize::try_from(self.index).ok().and_then(|index| briefing.callback_urls.get(index));
                let _ = write!(body, r#","callback_url":"{}""#, url.map_or("", |url| url));
            }
            Waiting::Sync | Waiting::LongPoll | Waiting::Events | Waiting::Absent => {}
        }
        body.push('}');
        body
    }

    fn start_deadline(&self, flow: &Flow) -> Duration {
        if flow.is_held() { REPLY_DEADLINE + self.briefing.scenario.portals.wait } else { REPLY_DEADLINE }
    }

    fn wait_s(&self) -> u64 {
        self.briefing.scenario.portals.wait.as_secs().max(1)
    }

    /// Who the portal is.
    pub(super) fn portal_authorization(&self) -> Authorization<'_> {
        Authorization::Basic(&self.briefing.authorization)
    }

    async fn wait(&self, flow: &Flow, id: Uuid) -> Result<State, Word> {
        let longest = self.briefing.scenario.flows.ttl + PATIENCE;
        let waited = tokio::time::timeout(longest, async {
            match flow.plan.waiting {
                Waiting::Sync | Waiting::LongPoll | Waiting::Absent => self.poll(id).await,
                Waiting::Events => self.follow(id).await,
                Waiting::Callback => match be_called_back(flow).await {
                    Some(state) => Ok(state),
                    // It says that there is an end, and a portal reads why.
                    None => self.poll(id).await,
                },
            }
        });
        waited.await.unwrap_or_else(|_| Err("never_told".into()))
    }

    /// Long polls, one after the other.
    async fn poll(&self, id: Uuid) -> Result<State, Word> {
        let wait_s = self.wait_s();
        let deadline = Duration::from_secs(wait_s) + REPLY_DEADLINE;
        let path = format!("/v1/transactions/{id}?wait_s={wait_s}");
        loop {
            let call = Call::get(&path, self.portal_authorization());
            let Called { sent, result } = self.portal.call_held(call, deadline).await;
            match result {
                Ok(reply) if reply.status == StatusCode::OK => {
                    let seen = read_view(&reply.body)?;
                    if seen.state != State::Pending {
                        return Ok(seen.state);
                    }
                }
                Ok(reply) => self.be_patient(sent, &reply).await?,
                Err(lost) => self.reopen(sent, lost).await,
            }
        }
    }

    /// Event streams, one after the other.
    async fn follow(&self, id: Uuid) -> Result<State, Word> {
        let path = format!("/v1/transactions/{id}/events");
        loop {
            let call = Call::get(&path, self.portal_authorization());
            let Called { sent, result } = self.portal.open(call, REPLY_DEADLINE).await;
            match result {
                Ok(Ok(mut open)) => {
                    if let Some(state) = read_events(&mut open).await? {
                        return Ok(state);
                    }
                    self.reopen(sent, Lost::Cut).await;
                }
                Ok(Err(reply)) => self.be_patient(sent, &reply).await?,
                Err(lost) => self.reopen(sent, lost).await,
            }
        }
    }

    /// Waits as a refusal for now asks; any other reply is an end of waiting.
    async fn be_patient(&self, sent: Duration, reply: &Reply) -> Result<(), Word> {
        let Some(pause) = reply.asks_to_wait() else {
            self.record(Stage::WaiterTold, sent, sent, Outcome::Failed(reply.code()));
            return Err(reply.code().into());
        };
        self.record(Stage::WaiterTold, sent, sent, Outcome::Refused(reply.code()));
        tokio::time::sleep(pause).await;
        Ok(())
    }

    async fn reopen(&self, sent: Duration, lost: Lost) {
        self.record(Stage::WaiterTold, sent, sent, Outcome::Failed(lost.word()));
        tokio::time::sleep(REOPEN_PAUSE).await;
    }
}

/// The final state, where a callback names it in full: one that failed has a reason, which it does not tell.
async fn be_called_back(flow: &Flow) -> Option<State> {
    loop {
        if let Some(word) = flow.called_back.borrow_mut().take() {
            return state_of(&word, None);
        }
        flow.bell.notified().await;
    }
}

/// The final state that a stream tells; `None` when it ends without.
async fn read_events(open: &mut OpenReply<'_>) -> Result<Option<State>, Word> {
    let mut unread: Vec<u8> = Vec::new();
    while let Some(data) = open.next().await {
        unread.extend_from_slice(&data);
        while let Some(end) = unread.windows(2).position(|pair| pair == b"\n\n") {
            let block: Vec<u8> = unread.drain(..end + 2).collect();
            let mut lines = block[..].split(|byte| *byte == b'\n');
            let data = lines.find_map(|line| line.strip_prefix(b"data: "));
            if let Some(seen) = data.map(read_view).transpose()?
                && seen.state != State::Pending
            {
                return Ok(Some(seen.state));
            }
        }
        if unread.len() > EVENT_BYTES_MAX {
            return Err("event_too_long".into());
        }
    }
    Ok(None)
}

fn read_start(result: Result<Reply, Lost>) -> Tried {
    let reply = match result {
        Ok(reply) => reply,
        Err(lost) => return Tried::Failed(lost.word().into()),
    };
    if matches!(reply.status, StatusCode::CREATED | StatusCode::OK) {
        return read_view(&reply.body).map_or_else(Tried::Failed, Tried::Created);
    }
    match reply.asks_to_wait() {
        Some(pause) => Tried::Refused(reply.code().into(), pause),
        None => Tried::Failed(reply.code().into()),
    }
}

fn read_view(body: &[u8]) -> Result<Seen, Word> {
    let view: View<'_> = serde_json::from_slice(body).map_err(|_| Word::from("view_unreadable"))?;
    let state = state_of(view.state, view.reason).ok_or_else(|| Word::from("state_unknown"))?;
    let id = view.id.parse().map_err(|_| Word::from("view_unreadable"))?;
    Ok(Seen { id, state })
}
