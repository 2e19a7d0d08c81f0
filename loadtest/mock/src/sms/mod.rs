//! Doubles of SMS gateways: Twilio's Messages API, and a gateway whose form the tests choose.
//!
//! Both are strict: a request without the right credential, with a number that is none, or of another form is refused as
//! the real ones do, and stands in the record as refused. Twilio's double makes status reports with Twilio's signature;
//! sending them is the test's part.

mod gateway;
mod record;
mod refusal;
mod server;
mod status;
mod twilio;

pub use gateway::{GatewayAccess, GatewayForm, GatewayOptions, GatewayServer};
pub use record::{SmsLog, SmsRecord};
pub use refusal::SmsRefusal;
pub use server::SmsServer;
pub use status::StatusReport;
pub use twilio::{TwilioOptions, TwilioServer};
