//! 405 for a path that exists with other methods.

use actix_web::http::header::HeaderValue;
use actix_web::{Route, web};

use super::{DoorError, Reply};

/// The default of a resource whose methods are `allow`, as in the `Allow` header.
pub(crate) fn only(allow: &str) -> Route {
    let allow = HeaderValue::from_str(allow).expect("names of methods are visible ASCII");
    web::to(move || {
        let allow = allow.clone();
        async move { Reply::Err(DoorError::http_method_not_allowed(allow)) }
    })
}
