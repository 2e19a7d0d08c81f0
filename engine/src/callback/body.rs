//! What is posted.

use std::sync::Arc;

use serde_json::json;
use tocsin_config::CallbackBody;
use tocsin_model::{Callback, Transaction};
use tocsin_storage::Store;

/// Writes the view of a transaction as the portal door replies it. The engine knows no JSON of the doors.
pub type RenderView = Arc<dyn Fn(&Transaction) -> Vec<u8> + Send + Sync>;

/// The body of a callback. A view that is asked for when its transaction is no longer kept shrinks to id and state.
pub(super) async fn body(
    callback: &Callback,
    kind: CallbackBody,
    store: &dyn Store,
    render: &RenderView,
) -> Vec<u8> {
    let id = callback.transaction_id.to_string();
    match kind {
        CallbackBody::Id => return json!({"id": id}).to_string().into_bytes(),
        CallbackBody::State => {}
        CallbackBody::Full => {
            if let Ok(Some(transaction)) = store.transaction(callback.transaction_id).await {
                return render(&transaction);
            }
        }
    }
    json!({"id": id, "state": callback.state.as_str()}).to_string().into_bytes()
}
