//! 405 for a path that exists with other methods.

use actix_web::{Route, web};

use super::{DoorError, Reply};

/// The default of a resource whose methods are `allow`, as in the `Allow` header.
pub(crate) fn only(allow: &'static str) -> Route {
    web::to(move || async move { Reply::Err(DoorError::http_method_not_allowed(allow)) })
}
