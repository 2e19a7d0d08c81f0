//! The single calls of the traffic, each with what its reply means for the [`Ledger`](super::ledger::Ledger).

use std::sync::atomic::Ordering;

use serde_json::Value;
use tocsin_model::{Decision, State, TransactionId};

use super::crowd::Member;
use super::ledger::Moment;
use super::traffic::Traffic;
use crate::phone::{Challenge, PhoneError, PhoneReply};
use crate::portal::state_of;
use crate::{LoadtestError, TransactionView};

/// How a reply to an answer or a cancel reads.
enum Verdict {
    Done,
    Final(Option<State>),
    Busy,
    Other,
}

impl Traffic {
    /// The member's phone fetches, and sends these decisions all at once.
    pub(super) async fn answer(
        &self,
        member: usize,
        id: TransactionId,
        decisions: &[Decision],
    ) -> Result<(), LoadtestError> {
        let Some(Member { phone, .. }) = self.members.get(member) else { return Ok(()) };
        let sent = self.ledger().moment();
        let fetched = self.counted(async { Ok(phone.fetch(&id.to_string()).await?) }).await;
        let challenge = match fetched {
            Ok(challenge) => challenge,
            Err(error) => return self.fetch_refused(id, sent, error),
        };
        let answers = decisions.iter().map(|decision| self.sign_and_send(member, id, &challenge, *decision));
        futures_util::future::join_all(answers).await.into_iter().collect()
    }

    fn fetch_refused(
        &self,
        id: TransactionId,
        sent: Moment,
        error: LoadtestError,
    ) -> Result<(), LoadtestError> {
        let LoadtestError::Phone(PhoneError::Problem { status: 409, code, problem }) = &error else {
            return Err(error);
        };
        match final_state(problem) {
            Some(state) if code == "transaction_final" => {
                self.ledger().saw(id, sent, state);
                Ok(())
            }
            Some(_) | None => Err(error),
        }
    }

    async fn sign_and_send(
        &self,
        member: usize,
        id: TransactionId,
        challenge: &Challenge,
        decision: Decision,
    ) -> Result<(), LoadtestError> {
        let Some(Member { phone, .. }) = self.members.get(member) else { return Ok(()) };
        let jws = phone.sign_answer(&phone.answer_claims(challenge, decision)?)?;
        self.ledger().answering(id, member, &jws);
        self.send_answer(member, id, &jws).await
    }

    /// Sends an answer, for the first time or again, and enters what became of it.
    pub(super) async fn send_answer(
        &self,
        member: usize,
        id: TransactionId,
        jws: &str,
    ) -> Result<(), LoadtestError> {
        let Some(Member { phone, .. }) = self.members.get(member) else { return Ok(()) };
        self.counts.answers.fetch_add(1, Ordering::Relaxed);
        let sent = self.ledger().moment();
        let reply = self.counted(async { Ok(phone.send_answer(&id.to_string(), jws).await?) }).await?;
        let state = final_state(&Value::Object(reply.body.clone()));
        match (verdict(&reply), state) {
            (Verdict::Done, Some(state)) => self.ledger().answer_taken(id, sent, jws, state),
            (Verdict::Final(state), _) => self.ledger().answer_late(id, sent, jws, state),
            (Verdict::Busy, _) => {
                self.counts.busy.fetch_add(1, Ordering::Relaxed);
            }
            (Verdict::Done, None) | (Verdict::Other, _) => {
                self.ledger().contradict(format!("{id}: an answer was replied {reply:?}"));
            }
        }
        Ok(())
    }

    pub(super) async fn cancel(&self, id: TransactionId) -> Result<(), LoadtestError> {
        self.counts.cancels.fetch_add(1, Ordering::Relaxed);
        let sent = self.ledger().moment();
        match self.counted(self.portal.cancel(id)).await {
            Ok(view) if view.state == State::Cancelled => self.saw_view(id, sent, &view),
            Ok(view) => self.ledger().contradict(format!("{id}: cancelled, the state is {}", view.state)),
            Err(error) => match &error {
                LoadtestError::Problem(problem) if problem.code == "transaction_final" => {
                    match problem.state() {
                        Some(state) => self.ledger().saw(id, sent, state),
                        None => return Err(error),
                    }
                }
                _ => return Err(error),
            },
        }
        Ok(())
    }

    /// Reads a transaction that must exist.
    pub(super) async fn read(&self, id: TransactionId) -> Result<(), LoadtestError> {
        let sent = self.ledger().moment();
        match self.counted(self.portal.transaction(id)).await {
            Ok(view) => self.saw_view(id, sent, &view),
            Err(error) if error.problem_code() == Some("not_found") => {
                self.ledger().missed(id, &error.to_string());
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Enters a view that a call sent at `sent` was given.
    pub(super) fn saw_view(&self, id: TransactionId, sent: Moment, view: &TransactionView) {
        let mut ledger = self.ledger();
        ledger.saw(id, sent, view.state);
        if view.state == State::Timeout && view.ended_at.is_none_or(|end| end < view.expires_at) {
            ledger.contradict(format!("{id}: timeout at {:?}, due {:?}", view.ended_at, view.expires_at));
        }
    }
}

fn verdict(reply: &PhoneReply) -> Verdict {
    let code = reply.body.get("code").and_then(Value::as_str).unwrap_or_default();
    match (reply.status, code) {
        (200, _) => Verdict::Done,
        (409, "transaction_final") => Verdict::Final(final_state(&Value::Object(reply.body.clone()))),
        (429 | 503, _) => Verdict::Busy,
        _ => Verdict::Other,
    }
}

/// The final state that a reply tells.
fn final_state(reply: &Value) -> Option<State> {
    let text = |name: &str| reply.get(name).and_then(Value::as_str);
    state_of(text("state")?, text("reason")).filter(|state| state.is_final())
}
