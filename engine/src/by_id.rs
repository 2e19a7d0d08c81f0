//! Tables by the ids of transactions.

use dashmap::DashMap;
use tocsin_model::TransactionId;

/// Something of each open transaction. Ids are drawn by us, so nobody chooses which ones meet: a fast hash will do.
pub(crate) type ById<V> = DashMap<TransactionId, V, foldhash::fast::RandomState>;
