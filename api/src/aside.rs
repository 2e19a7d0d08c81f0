//! What waits for files, which may hang with their disk, on a thread of its own that nobody waits for longer than it may take,
//! nor at the end of the process.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Runs `work` on a thread of this name. The error is of work that takes longer than `time_limit`, which goes on unheard, of work
/// that panicked, or of a machine that has no thread left.
pub(crate) async fn aside<T: Send + 'static>(
    name: &str,
    time_limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let (done, told) = oneshot::channel();
    let run = move || {
        // Whoever asked may have gone.
        let _ = done.send(work());
    };
    std::thread::Builder::new().name(name.to_owned()).spawn(run)?;
    match timeout(time_limit, told).await {
        Ok(told) => told.map_err(|_| io::Error::other("a fault of the program")),
        Err(_) => {
            let seconds = time_limit.as_secs();
            Err(io::Error::other(format!(
                "it took longer than {seconds} s; look whether the disk of its files hangs"
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[actix_rt::test]
    async fn it_answers_with_what_came_of_the_work_and_survives_its_panic() {
        let here = std::thread::current().id();
        let there = aside("work", SOON, || std::thread::current().id()).await.expect("done");
        assert_ne!(here, there);
        let fallen = aside("work", SOON, || -> u8 { panic!("in the midst") }).await.expect_err("it panicked");
        assert_eq!(fallen.to_string(), "a fault of the program");
    }

    #[actix_rt::test]
    async fn work_that_hangs_is_not_waited_for() {
        let (release, released) = mpsc::channel::<()>();
        let late = aside("work", Duration::from_millis(20), move || released.recv().is_ok()).await;
        assert!(late.is_err_and(|error| error.to_string().contains("took longer")));
        // It hung until now.
        release.send(()).expect("it waits");
    }
}
