//! The message with the code: composed from the record and the code keys, so that a repetition says the same.

use tocsin_config::SmsRules;
use tocsin_model::{CodeAddress, Transaction};

use super::push::PushIds;
use crate::code::{CodeKeys, text_of};
use crate::protocol::CodeMessage;

/// The message of a transaction; `None` where it sends none, or where the key of its code is gone.
pub(super) fn compose(
    transaction: &Transaction,
    keys: &CodeKeys,
    push_ids: &PushIds,
    rules: &SmsRules,
) -> Option<CodeMessage> {
    let (state, sending) = (transaction.code()?, transaction.sending()?);
    let address = state.address.clone()?;
    let code = keys.code(state.key, transaction.id, state.digits)?;
    let language = transaction.call_context.as_ref().and_then(|context| context.language.clone());
    let prefix = match &address {
        CodeAddress::Phone(number) => rules.prefix_of(number).cloned(),
        CodeAddress::Email(_) => None,
    };
    Some(CodeMessage {
        transaction_id: transaction.id,
        sending,
        push_id: push_ids.derive_for_code(transaction.id, sending),
        address,
        prefix,
        title: state.title.clone(),
        text: text_of(state, &code),
        expires_at: transaction.expires_at,
        language,
    })
}
