//! What was begun for a caller goes on when he hangs up: what the engine has begun it must know as a whole.
//!
//! A call is polled where it stands, as any other; only one that is dropped in the midst becomes a task of its own.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tocsin_model::Problem;

use super::present::{PresentCall, present_call, within};

type Begun<T> = Pin<Box<dyn Future<Output = Result<T, Problem>>>>;

/// Runs a call to its end although its caller hangs up. Must be awaited on a thread of an actix system.
pub(crate) fn to_the_end<T: 'static>(
    call: impl Future<Output = Result<T, Problem>> + 'static,
) -> ToTheEnd<T> {
    ToTheEnd { call: Some(Box::pin(call)), present: present_call() }
}

/// A call that runs to its end.
pub(crate) struct ToTheEnd<T: 'static> {
    /// Nothing once it has ended.
    call: Option<Begun<T>>,
    present: Option<Rc<PresentCall>>,
}

impl<T: 'static> Future for ToTheEnd<T> {
    type Output = Result<T, Problem>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Out of its place while it is polled, so that a call that panics is not run once more.
        let Some(mut call) = self.call.take() else { return Poll::Pending };
        let polled = call.as_mut().poll(context);
        if polled.is_pending() {
            self.call = Some(call);
        }
        polled
    }
}

impl<T: 'static> Drop for ToTheEnd<T> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take() {
            actix_rt::spawn(within(self.present.take(), call));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::panic::AssertUnwindSafe;

    use futures_util::{FutureExt as _, poll};
    use tokio::task::yield_now;

    use super::*;

    /// Counts its end; waits for others once.
    async fn call(ended: Rc<Cell<u32>>) -> Result<&'static str, Problem> {
        yield_now().await;
        ended.set(ended.get() + 1);
        Ok("done")
    }

    #[actix_rt::test]
    async fn a_caller_who_stays_hears_of_the_end() {
        let ended = Rc::new(Cell::new(0));
        assert_eq!(to_the_end(call(Rc::clone(&ended))).await, Ok("done"));
        yield_now().await;
        assert_eq!(ended.get(), 1, "once");
    }

    #[actix_rt::test]
    async fn what_was_begun_ends_without_its_caller() {
        let ended = Rc::new(Cell::new(0));
        let mut begun = Box::pin(to_the_end(call(Rc::clone(&ended))));
        assert!(poll!(&mut begun).is_pending());
        drop(begun);
        while ended.get() == 0 {
            yield_now().await;
        }
    }

    #[test]
    fn a_thread_that_ends_ends_what_it_was_at() {
        /// Says that it was dropped.
        struct Dropped(Rc<Cell<bool>>);

        impl Drop for Dropped {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }

        let is_dropped = Rc::new(Cell::new(false));
        let held = Dropped(Rc::clone(&is_dropped));
        actix_rt::System::new().block_on(async move {
            actix_rt::spawn(to_the_end::<()>(async move {
                let _held = held;
                std::future::pending().await
            }));
            yield_now().await;
        });
        assert!(is_dropped.get());
    }

    #[actix_rt::test]
    async fn what_panicked_is_not_run_once_more() {
        let runs = Rc::new(Cell::new(0));
        let counted = Rc::clone(&runs);
        let call = to_the_end::<()>(async move {
            counted.set(counted.get() + 1);
            panic!("in the midst")
        });
        assert!(AssertUnwindSafe(call).catch_unwind().await.is_err());
        for _ in 0..10 {
            yield_now().await;
        }
        assert_eq!(runs.get(), 1);
    }
}
