//! What waits for files, which may hang with their disk, on a thread of its own that the end of the process does not wait for.

use std::io;

use tokio::sync::oneshot;

/// Runs `work` on a thread of this name; the error is of a machine that has no thread left, or of work that panicked.
pub(crate) async fn aside<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, told) = oneshot::channel();
    let run = move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    told.await.map_err(|_| io::Error::other(format!("{name} fell")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_rt::test]
    async fn it_answers_with_what_came_of_the_work_and_survives_its_panic() {
        let here = std::thread::current().id();
        let there = aside("work", || std::thread::current().id()).await.expect("done");
        assert_ne!(here, there);
        let fallen = aside("work", || -> u8 { panic!("in the midst") }).await.expect_err("it panicked");
        assert_eq!(fallen.to_string(), "work fell");
    }
}
