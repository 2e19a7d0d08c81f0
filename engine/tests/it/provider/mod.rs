//! The drivers of APNs and FCM against strict doubles of both, and our HTTP/2 against a foreign server.

mod apns;
mod conformance;
mod fcm;
mod nghttpd;
mod rig;
