//! The calls of a door: one table for its routes and for its document.

use hyper::Method;

use super::{Operation, Schemas};
use crate::door::{Answering, Asked};

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
    pub(crate) const fn methods(self) -> &'static [&'static str] {
        match self {
            Self::Get => &["GET"],
            Self::GetOrHead => &["GET", "HEAD"],
            Self::Post => &["POST"],
            Self::Put => &["PUT"],
            Self::Patch => &["PATCH"],
            Self::Delete => &["DELETE"],
        }
    }

    /// Whether a call by this method is meant.
    pub(crate) fn takes(self, method: &Method) -> bool {
        self.methods().contains(&method.as_str())
    }
}

/// A call: what answers it, and what the document says of it.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub(crate) verb: Verb,
    /// With `{name}` for each part that varies.
    pub(crate) path: &'static str,
    pub(crate) answer: fn(Asked) -> Answering,
    pub(super) about: fn(&mut Schemas) -> Operation,
}

impl Call {
    /// A call that `answer` answers. Calls of one path stand side by side in a door's table.
    pub(crate) const fn new(
        verb: Verb,
        path: &'static str,
        answer: fn(Asked) -> Answering,
        about: fn(&mut Schemas) -> Operation,
    ) -> Self {
        Self { verb, path, answer, about }
    }
}
