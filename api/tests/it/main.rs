//! The doors over real sockets, and the commands as processes.

mod admin;
mod bank;
mod boundaries;
mod commands;
mod device_input;
mod documents;
mod drain;
mod enrolment;
mod flow;
mod http;
mod http_rules;
mod limits;
mod operate;
mod ops;
mod package;
mod phone;
mod pki;
mod portal_access;
mod portal_input;
mod process;
mod raw;
mod sealed;
mod serve;
mod tls;
