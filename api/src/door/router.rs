//! Which handler answers: the table of a door's calls as a tree of its paths.
//!
//! A path that has no template is 404, and a template answers any method that it does not have with 405 and `Allow`.
//! Letters, digits and `-._~` that a caller wrote as escapes lead to the same template as if he had not (RFC 3986,
//! section 6.2.2.2); parts that vary are decoded by whoever reads them.

use std::borrow::Cow;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use hyper::header::HeaderValue;
use tocsin_model::Problem;

use super::metrics::RouteMetrics;
use super::{DoorError, DoorMetrics, DoorName, DoorState, Payload, Reply, Request};
use crate::openapi::Call;

/// A call on its way to its handler.
pub(crate) struct Asked {
    pub(super) state: Rc<DoorState>,
    pub(super) request: Request,
    pub(super) payload: Payload,
}

/// A handler at work.
pub(crate) type Answering = LocalBoxFuture<'static, Reply>;

impl Asked {
    /// Has it answered from its head.
    pub(crate) fn by<A>(self, answer: impl FnOnce(Rc<DoorState>, Request) -> A) -> Answering
    where
        A: Future<Output = Reply> + 'static,
    {
        Box::pin(answer(self.state, self.request))
    }

    /// Has it answered by a handler that reads its body.
    pub(crate) fn with_body<A>(self, answer: impl FnOnce(Rc<DoorState>, Request, Payload) -> A) -> Answering
    where
        A: Future<Output = Reply> + 'static,
    {
        Box::pin(answer(self.state, self.request, self.payload))
    }
}

/// The paths of a door.
pub(super) struct Router {
    routes: matchit::Router<Route>,
    nowhere: RouteMetrics,
}

/// A path that a door has.
struct Route {
    calls: &'static [Call],
    allow: HeaderValue,
    metrics: RouteMetrics,
}

/// Where a call leads.
pub(super) struct Found<'r> {
    route: Option<&'r Route>,
    pub(super) metrics: &'r RouteMetrics,
}

impl Router {
    pub(super) fn new(door: DoorName, metrics: &DoorMetrics) -> Self {
        let mut routes = matchit::Router::new();
        for calls in door.calls().chunk_by(|call, next| call.path == next.path) {
            let methods: Vec<_> = calls.iter().flat_map(|call| call.verb.methods().iter().copied()).collect();
            let route = Route {
                calls,
                allow: HeaderValue::from_str(&methods.join(", "))
                    .expect("names of methods are visible ASCII"),
                metrics: metrics.of_route(door, Some(calls[0].path)),
            };
            routes.insert(calls[0].path, route).expect("no two paths of a table mean the same");
        }
        Self { routes, nowhere: metrics.of_route(door, None) }
    }

    /// Where a path leads.
    pub(super) fn find(&self, path: &str) -> Found<'_> {
        match self.routes.at(&without_needless_escapes(path)) {
            Ok(found) => Found { route: Some(found.value), metrics: &found.value.metrics },
            Err(_) => Found { route: None, metrics: &self.nowhere },
        }
    }
}

impl Found<'_> {
    /// Its handler, set to work.
    pub(super) fn answer(&self, asked: Asked) -> Result<Answering, DoorError> {
        let route = self.route.ok_or_else(Problem::not_found)?;
        let method = asked.request.method();
        let Some(call) = route.calls.iter().find(|call| call.verb.takes(method)) else {
            return Err(DoorError::http_method_not_allowed(route.allow.clone()));
        };
        Ok((call.answer)(asked))
    }
}

/// The handler's reply. A handler that panics has failed this call only: 500, and the panic hook has said where; what was
/// not read of the request is read by nobody.
pub(super) async fn kept_inside(answering: Answering) -> Reply {
    // What a call shares with others is behind locks and atomics of the engine, which survives panics of its own too.
    let caught = AssertUnwindSafe(answering).catch_unwind().await;
    caught.unwrap_or_else(|_| Err(DoorError::closing(Problem::internal())))
}

fn without_needless_escapes(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let mut parts = path.split('%');
    let mut plain = String::with_capacity(path.len());
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        match part.get(..2).and_then(unreserved) {
            Some(letter) => {
                plain.push(letter);
                plain.push_str(&part[2..]);
            }
            None => {
                plain.push('%');
                plain.push_str(part);
            }
        }
    }
    Cow::Owned(plain)
}

fn unreserved(digits: &str) -> Option<char> {
    let are_digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let byte = u8::from_str_radix(digits, 16).ok().filter(|_| are_digits)?;
    (byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)).then_some(char::from(byte))
}

#[cfg(test)]
mod tests {
    use prometheus::Registry;
    use tocsin_model::ErrorCode;

    use super::*;

    fn router(door: DoorName) -> Router {
        Router::new(door, &DoorMetrics::register(&Registry::new()).expect("a new registry"))
    }

    #[test]
    fn every_path_of_a_table_leads_to_itself() {
        for door in DoorName::ALL {
            let router = router(door);
            for call in door.calls() {
                let found = router.find(&call.path.replace(['{', '}'], "x"));
                assert_eq!(found.metrics.route(), call.path, "{door}");
            }
        }
    }

    #[test]
    fn what_is_no_path_of_the_table_leads_nowhere() {
        let router = router(DoorName::Portal);
        for path in [
            "",
            "/",
            "*",
            "/v1",
            "/v1/transactions/",
            "//v1/transactions",
            "/v1/users//devices",
            "/V1/transactions",
        ] {
            assert!(router.find(path).route.is_none(), "{path}");
        }
    }

    #[test]
    fn an_escaped_letter_is_the_letter_and_an_escaped_slash_parts_nothing() {
        let router = router(DoorName::Portal);
        let route = |path: &str| router.find(path).metrics.route();
        assert_eq!(route("/v1/%74ransactions"), "/v1/transactions");
        assert_eq!(route("/v1/users/a%2Fb%40c%C3%BC/devices"), "/v1/users/{user}/devices");
        assert_eq!(route("/v1%2Ftransactions"), "none");
        for path in ["/%", "/%4", "/%zz", "/%+1", "/%ü", "/a%C3%"] {
            assert_eq!(without_needless_escapes(path), path);
        }
    }

    #[tokio::test]
    async fn a_panic_is_told_as_an_internal_error_and_goes_no_further() {
        let reply = kept_inside(Box::pin(async { panic!("of a handler") })).await;
        assert_eq!(reply.map(drop), Err(DoorError::closing(Problem::internal())));
        assert_eq!(Problem::internal().code, ErrorCode::Internal);
    }
}
