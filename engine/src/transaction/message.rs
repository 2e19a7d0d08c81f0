//! The message with the code: composed from the record and the code keys, so that a repetition says the same.

use tocsin_model::Transaction;

use super::push::PushIds;
use crate::code::{CodeKeys, text_of};
use crate::protocol::CodeMessage;

/// The message of a transaction; `None` where it sends none, or where the key of its code is gone.
pub(super) fn compose(transaction: &Transaction, keys: &CodeKeys, push_ids: &PushIds) -> Option<CodeMessage> {
    let state = transaction.code()?;
    let address = state.address.clone()?;
    let code = keys.code(state.key, transaction.id, state.digits)?;
    let language = transaction.call_context.as_ref().and_then(|context| context.language.clone());
    Some(CodeMessage {
        transaction_id: transaction.id,
        push_id: push_ids.derive_for_code(transaction.id, transaction.resends.used),
        address,
        title: state.title.clone(),
        text: text_of(state, &code),
        expires_at: transaction.expires_at,
        language,
    })
}
