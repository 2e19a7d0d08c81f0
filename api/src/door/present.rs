//! Which call a thread is at, so that every line that is logged meanwhile names it.
//!
//! Spans of the log library could say the same, but are made, entered and left at every call, and lines are few. Here
//! a call leaves its name for whoever writes a line. What other threads do for a call names nobody.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;

use super::DoorName;
use super::request_id::RequestId;

/// What a line says of its call.
#[derive(Debug)]
pub(crate) struct PresentCall {
    pub(crate) door: DoorName,
    pub(crate) request_id: RequestId,
}

thread_local! {
    static PRESENT: RefCell<Option<Rc<PresentCall>>> = const { RefCell::new(None) };
}

/// The call that this thread is at.
pub(crate) fn present_call() -> Option<Rc<PresentCall>> {
    // A thread that ends may still log.
    PRESENT.try_with(|present| present.borrow().clone()).ok().flatten()
}

/// Works at a future as part of a call.
pub(crate) async fn within<F: Future>(call: Option<Rc<PresentCall>>, work: F) -> F::Output {
    let mut work = pin!(work);
    poll_fn(|context| {
        let _at = At::call(call.clone());
        work.as_mut().poll(context)
    })
    .await
}

/// The thread is at a call until this is dropped, then at the one before.
pub(super) struct At {
    before: Option<Rc<PresentCall>>,
}

impl At {
    pub(super) fn call(call: Option<Rc<PresentCall>>) -> Self {
        Self { before: PRESENT.replace(call) }
    }
}

impl Drop for At {
    fn drop(&mut self) {
        PRESENT.set(self.before.take());
    }
}

/// Does something as part of a call at the portal door with these headers.
#[cfg(test)]
pub(crate) fn in_a_call(headers: &hyper::header::HeaderMap, work: impl FnOnce()) {
    let request_id = RequestId::of(headers);
    let _at = At::call(Some(Rc::new(PresentCall { door: DoorName::Portal, request_id })));
    work();
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderMap;
    use tokio::task::yield_now;

    use super::*;

    fn call() -> Option<Rc<PresentCall>> {
        let request_id = RequestId::of(&HeaderMap::new());
        Some(Rc::new(PresentCall { door: DoorName::Portal, request_id }))
    }

    fn id(call: &Option<Rc<PresentCall>>) -> Option<&str> {
        call.as_deref().map(|call| call.request_id.as_str())
    }

    #[tokio::test]
    async fn a_thread_is_at_a_call_only_while_it_works_at_it() {
        let (one, other) = (call(), call());
        let work = |call: Option<Rc<PresentCall>>| {
            within(call.clone(), async move {
                for _ in 0..3 {
                    assert_eq!(id(&present_call()), id(&call));
                    yield_now().await;
                    assert_eq!(id(&present_call()), id(&call));
                }
            })
        };
        futures_util::future::join(work(one), work(other)).await;
        assert!(present_call().is_none());
    }
}
