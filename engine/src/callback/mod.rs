//! Callbacks: an outcome that is owed to a portal is posted until the portal has taken it.
//!
//! The storage keeps what is owed; it is written with the outcome and deleted by a 2xx. `outbox` with its `line`s
//! decides what is tried when, `sign` and `allow` are pure rules, `post` makes one try by the `way` to the portal, `body` says what is posted, `census` counts,
//! and `actor` is the shell around them. Nothing here knows the transactions' actors: their word that something is
//! owed crosses in the words of `protocol`.
//!
//! Invariants: a try keeps the `webhook-id` of the first one and has a timestamp of its own; redirects are never
//! followed; a connection is made to an address that was judged, never to a name (but for listed
//! names behind a proxy, see `way`); a slow host holds up its own
//! callbacks and no others.

mod actor;
mod allow;
mod body;
mod census;
mod line;
mod outbox;
mod post;
mod sign;
mod way;
#[cfg(test)]
mod way_tests;

pub(crate) use actor::{CallbackParts, Callbacks, start};
pub use allow::{NotAllowed, judge_start, may_connect};
pub use body::RenderView;
pub use post::Poster;
pub use sign::signatures;
pub use way::Destination;
