//! What each door says of itself: a document in OpenAPI 3.1, made from the table of calls that its routes are made
//! of, so that the two cannot differ.
//!
//! Schemas of replies are derived from the types that are replied; those of requests name the same limits as the code
//! that reads them. Statuses are not written down: a call names its error codes, and each code has one status.
//! Deliberately not here: a page to look at. The checked-in documents are in `api/openapi`, and a test compares them.

mod call;
mod document;
mod operation;
mod schema;
mod words;

pub use document::text;

pub(crate) use call::{Call, Verb};
#[cfg(test)]
pub(crate) use document::document;
pub(crate) use document::{About, served};
pub(crate) use operation::Operation;
pub(crate) use schema::{Schemas, fixed, one_line, text_lines};
pub(crate) use words::*;
