//! Stops the server of a session and starts it again over what it has stored.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};

use super::Session;
use crate::http_client::json_type;
use crate::load::crowd::user_of;
use crate::load::target::Own;
use crate::{HttpClient, LoadtestError, Server};

/// Longest wait for a server that starts again.
const RESTART_DEADLINE: Duration = Duration::from_secs(300);

/// How often it is tried meanwhile.
const RESTART_POLL: Duration = Duration::from_millis(5);

/// How long a restart took.
pub(in crate::load) struct Restarted {
    /// Until a start was answered.
    pub(in crate::load) answered: Duration,
    /// Until all that was open had its actor again.
    pub(in crate::load) recovered: Duration,
}

impl Session {
    /// Stops the server and starts it again; the time from the start of its process until a start of a transaction is
    /// answered.
    pub(in crate::load) async fn restart(&mut self) -> Result<Restarted, LoadtestError> {
        let foreign = || LoadtestError::Unexpected("the server is not ours to stop".to_owned());
        let Own { server, installation } = self.stage.target.own.take().ok_or_else(foreign)?;
        server.stop().await?;
        let begun = Instant::now();
        let server = Server::spawn(&installation)?;
        let own = self.stage.target.own.insert(Own { server, installation });
        let request = || {
            let body = format!(r#"{{"type":"{}","user":"{}"}}"#, self.stage.target.push_type, user_of(0));
            http::Request::post(format!("{}/v1/transactions", self.stage.target.portal_url))
                .header(AUTHORIZATION, self.stage.target.reach.authorization.clone())
                .header(CONTENT_TYPE, json_type())
                .body(Bytes::from(body))
                .map_err(|error| LoadtestError::Unexpected(error.to_string()))
        };
        let readyz = || {
            let request = http::Request::get(format!("{}/readyz", own.installation.ops_url()));
            request.body(Bytes::new()).map_err(|error| LoadtestError::Unexpected(error.to_string()))
        };
        let (http, mut answered) = (HttpClient::new(), None);
        loop {
            let call = if answered.is_none() { request()? } else { readyz()? };
            let reply = http.call(call, RESTART_DEADLINE).await;
            match (answered, reply) {
                (None, Ok(reply)) if reply.status == http::StatusCode::CREATED => {
                    answered = Some(begun.elapsed());
                }
                (Some(answered), Ok(reply)) if tells_recovered(&reply.body) => {
                    return Ok(Restarted { answered, recovered: begun.elapsed() });
                }
                _ => {}
            }
            own.server.check_alive(&own.installation, "at its restart")?;
            if begun.elapsed() > RESTART_DEADLINE {
                let what = "a call after the restart".to_owned();
                return Err(LoadtestError::Deadline { what, after: RESTART_DEADLINE });
            }
            tokio::time::sleep(RESTART_POLL).await;
        }
    }
}

/// Whether the server says at `/readyz` that all that was open has its actor again.
fn tells_recovered(body: &[u8]) -> bool {
    let told: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    told.is_some_and(|told| told["recovered"] == true)
}
