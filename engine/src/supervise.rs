//! Keeps a panic inside the actor that raised it.
//!
//! actix's own `Supervisor` does not survive a panic, so the context is polled inside `catch_unwind`. An actor
//! either ends by its fault, and its supervisor is told ([`run_once`]), or comes back with a fresh value and the
//! same address after a back-off ([`run_restarting`]). Messages queued behind a panic are answered by the fresh
//! value; whoever waited for the one that raised it gets `Closed`, and must treat it as unknown and ask again.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use actix::dev::ContextFut;
use actix::{Actor, ActorContext, Context, Supervised};

/// How an actor ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// By itself: it was told to stop, or nobody can reach it any more.
    Stopped,
    /// A handler panicked.
    Fault,
}

type Running<A> = ContextFut<A, Context<A>>;

/// Runs an actor to its end and says how it ended; after a fault the value is dropped, never reused.
///
/// Written out instead of as an `async fn`, which would keep room for the actor twice: there is one of these
/// for each open transaction.
pub(crate) fn run_once<A, F>(running: Running<A>, on_exit: F) -> RunOnce<A, F>
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(ExitStatus) + Unpin,
{
    RunOnce { guarded: Guarded { running: Some(running) }, on_exit: Some(on_exit) }
}

/// The life of an actor that is not restarted.
pub(crate) struct RunOnce<A: Actor<Context = Context<A>>, F> {
    guarded: Guarded<A>,
    on_exit: Option<F>,
}

impl<A, F> Future for RunOnce<A, F>
where
    A: Actor<Context = Context<A>>,
    F: FnOnce(ExitStatus) + Unpin,
{
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<()> {
        let exit = std::task::ready!(self.guarded.poll_once(task));
        // The mailbox goes first: whoever is told of the exit finds the address disconnected.
        self.guarded.discard();
        if let Some(on_exit) = self.on_exit.take() {
            on_exit(exit);
        }
        Poll::Ready(())
    }
}

/// Runs an actor whose faults restart it: [`Supervised::restarting`] must put a fresh value in place.
/// `before_restart` is told the number of faults in a row and answers with the back-off.
pub(crate) async fn run_restarting<A>(running: Running<A>, mut before_restart: impl FnMut(u32) -> Duration)
where
    A: Actor<Context = Context<A>> + Supervised,
{
    let mut guarded = Guarded { running: Some(running) };
    let mut faults_in_a_row = 0;
    loop {
        let started = tokio::time::Instant::now();
        if std::future::poll_fn(|task| guarded.poll_once(task)).await == ExitStatus::Stopped {
            return;
        }
        if started.elapsed() > CALM {
            faults_in_a_row = 0;
        }
        faults_in_a_row += 1;
        tokio::time::sleep(before_restart(faults_in_a_row)).await;
        let connected = guarded.running.as_mut().is_some_and(ContextFut::restart);
        if !connected {
            return;
        }
    }
}

/// An actor that ran this long without a fault starts counting anew.
const CALM: Duration = Duration::from_secs(60);

/// Polls the actor; a panic is its output. The context is kept, so that it can be restarted.
struct Guarded<A: Actor<Context = Context<A>>> {
    running: Option<Running<A>>,
}

impl<A: Actor<Context = Context<A>>> Guarded<A> {
    /// actix polls a context once more when it is dropped; after a fault that must not run the broken value.
    fn discard(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.ctx().terminate();
            let _ = catch_unwind(AssertUnwindSafe(move || drop(running)));
        }
    }

    fn poll_once(&mut self, task: &mut TaskContext<'_>) -> Poll<ExitStatus> {
        let Some(running) = self.running.as_mut() else {
            return Poll::Ready(ExitStatus::Stopped);
        };
        // The value that panicked is replaced or dropped before anything else is done with it.
        match catch_unwind(AssertUnwindSafe(|| Pin::new(running).poll(task))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(ExitStatus::Stopped),
            Err(_) => Poll::Ready(ExitStatus::Fault),
        }
    }
}

impl<A: Actor<Context = Context<A>>> Drop for Guarded<A> {
    fn drop(&mut self) {
        self.discard();
    }
}
