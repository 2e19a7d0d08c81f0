//! Many calls at once, a bounded number at a time.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use crate::LoadtestError;

/// Does `work` for each index below `count` by `workers` tasks; answers with the results in the order of the indices.
/// The first error ends it.
pub(super) async fn in_parallel<T, Work, Doing>(
    workers: usize,
    count: usize,
    work: Work,
) -> Result<Vec<T>, LoadtestError>
where
    T: Send + 'static,
    Work: Fn(usize) -> Doing + Clone + Send + 'static,
    Doing: Future<Output = Result<T, LoadtestError>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..workers.min(count) {
        let (next, work) = (Arc::clone(&next), work.clone());
        tasks.spawn(async move {
            let mut done = Vec::new();
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return Ok::<_, LoadtestError>(done);
                }
                done.push((index, work(index).await?));
            }
        });
    }
    let mut results = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        let part = ended.map_err(|error| LoadtestError::Unexpected(format!("a worker ended: {error}")))?;
        results.extend(part?);
    }
    results.sort_unstable_by_key(|(index, _)| *index);
    Ok(results.into_iter().map(|(_, result)| result).collect())
}
