//! The phone's own record: read, changed, reached by another push address, left (section 4).

use serde_json::{Map, Value};

use super::error::PhoneError;
use super::session::Phone;

const DEVICE: &str = "/device/v1/device";
const PUSH: &str = "/device/v1/push";

impl Phone {
    /// What the server knows of it.
    pub async fn own_record(&self) -> Result<Map<String, Value>, PhoneError> {
        self.call("GET", DEVICE, Vec::new()).await?.expect(200)
    }

    /// Says anew what it is: name, version, language.
    pub async fn change_record(&self, changes: &Value) -> Result<Map<String, Value>, PhoneError> {
        self.call("PATCH", DEVICE, changes.to_string().into_bytes()).await?.expect(200)
    }

    /// Gives its new push address: the `push` object of the protocol.
    pub async fn move_push(&self, push: &Value) -> Result<Map<String, Value>, PhoneError> {
        self.call("PUT", PUSH, push.to_string().into_bytes()).await?.expect(200)
    }

    /// Leaves for good.
    pub async fn leave(&self) -> Result<(), PhoneError> {
        self.call("DELETE", DEVICE, Vec::new()).await?.expect(204).map(drop)
    }
}
