//! The calls of a door: one table for its routes and for its document.

use actix_web::Route;
use actix_web::guard::{Any, Get, Head};
use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};

use super::{Operation, Schemas};
use crate::door::only;

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    /// GET.
    Get,
    /// GET, and HEAD as well: load balancers like to ask with it.
    GetOrHead,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// PATCH.
    Patch,
    /// DELETE.
    Delete,
}

impl Verb {
    /// The methods, as in the `Allow` header.
    pub(super) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET"],
            Self::GetOrHead => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
        }
    }

    fn guard(self, route: Route) -> Route {
        match self {
            Self::Get => route.method(Method::GET),
            Self::GetOrHead => route.guard(Any(Get()).or(Head())),
            Self::Post => route.method(Method::POST),
            Self::Put => route.method(Method::PUT),
            Self::Patch => route.method(Method::PATCH),
            Self::Delete => route.method(Method::DELETE),
        }
    }
}

/// A call: what answers it, and what the document says of it.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(super) verb: Verb,
    /// With `{name}` for each part that varies.
    pub(super) path: &'static str,
    answer: fn() -> Route,
    pub(super) about: fn(&mut Schemas) -> Operation,
}

impl Call {
    /// A call that `answer` answers. Calls of one path stand side by side in a door's table.
    pub(crate) const fn new(
        verb: Verb,
        path: &'static str,
        answer: fn() -> Route,
        about: fn(&mut Schemas) -> Operation,
    ) -> Self {
        Self { verb, path, answer, about }
    }
}

/// Makes the routes of a door. A path answers any other method with 405.
pub(crate) fn mount(config: &mut ServiceConfig, calls: &[Call]) {
    for calls in calls.chunk_by(|call, next| call.path == next.path) {
        let methods: Vec<_> = calls.iter().flat_map(|call| call.verb.methods().iter().copied()).collect();
        let resource = web::resource(calls[0].path).default_service(only(&methods.join(", ")));
        let resource =
            calls.iter().fold(resource, |resource, call| resource.route(call.verb.guard((call.answer)())));
        config.service(resource);
    }
}
