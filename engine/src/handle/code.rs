//! Codes as portals bring and fetch them. Only the client that started a transaction may do either.

use std::sync::Arc;

use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, ClientId, CodeState, ErrorCode, OneTimeCode, Problem, State,
    Transaction, TransactionId,
};

use super::Handle;
use crate::code::is_right;
use crate::transaction::{Reply, Request};

impl Handle {
    /// Judges the code that a user typed at the portal: the right one ends the transaction as accepted, a wrong one is
    /// counted before it is told. The right one again is told the same.
    pub async fn try_code(
        &self,
        client: &ClientId,
        id: TransactionId,
        tried: OneTimeCode,
    ) -> Result<Arc<Transaction>, Problem> {
        let present = self.own(client, id).await?;
        let state = present.code().ok_or_else(has_no_code)?;
        let is_right = is_right(&self.code_of(&present, state)?, &tried);
        let request = if is_right { Request::Verify } else { Request::TryWrong };
        match self.ask(id, request).await? {
            Reply::View(transaction) => {
                self.metrics().code_tried(transaction.method, true);
                Ok(transaction)
            }
            Reply::TriesLeft(left) => {
                self.metrics().code_tried(present.method, false);
                Err(wrong_code(state, left))
            }
            Reply::Refused(problem) => Err(problem),
            Reply::SeenBefore(_) | Reply::Answered(_) => Err(Problem::internal()),
        }
    }

    /// The code of a pending transaction that its client delivers by itself. That it was handed out is in the audit
    /// trail before it is.
    pub async fn custom_code(&self, client: &ClientId, id: TransactionId) -> Result<OneTimeCode, Problem> {
        let present = self.own(client, id).await?;
        let state = present.code().filter(|code| code.is_custom()).ok_or_else(is_not_custom)?;
        if present.state.is_final() {
            return Err(Problem::transaction_final(present.state));
        }
        if self.clock().now() >= present.expires_at {
            return Err(Problem::transaction_final(State::Timeout));
        }
        let code = self.code_of(&present, state)?;
        let event = AuditEvent::new(AuditKind::CodeHandedOut, AuditActor::Client(client.clone()));
        self.note(event.transaction(&present)).await?;
        Ok(code)
    }

    fn code_of(&self, transaction: &Transaction, state: &CodeState) -> Result<OneTimeCode, Problem> {
        let code = self.0.surroundings.code_keys.code(state.key, transaction.id, state.digits);
        code.ok_or_else(|| {
            tracing::error!(transaction = %transaction.id, "the key of a code is gone; nobody can tell the code any more");
            Problem::internal()
        })
    }
}

fn wrong_code(state: &CodeState, left: u32) -> Problem {
    let problem = Problem::new(ErrorCode::WrongCode, "this is not the code of this transaction");
    if state.attempts.max == 0 { problem } else { problem.with_attempts_left(left) }
}

fn has_no_code() -> Problem {
    Problem::new(ErrorCode::InvalidField, "this transaction has no code").with_field("id")
}

fn is_not_custom() -> Problem {
    let detail = "the code of this transaction is not handed out; start it with delivery [\"custom\"]";
    Problem::new(ErrorCode::InvalidField, detail).with_field("id")
}
