//! Doubles of what knows places: a server that is asked by HTTP, and files in the format of MaxMind.
//!
//! The server answers `GET` with a JSON object, and keeps what it was asked. The files are small but whole, so that any
//! reader of the format takes them.

mod database;
mod place;
mod server;
mod service;

pub use database::CityDatabase;
pub use place::MockPlace;
pub use server::{LocationOptions, LocationServer};
pub use service::{LocationCall, LocationRefusal};
