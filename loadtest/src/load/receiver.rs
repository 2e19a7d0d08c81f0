//! Where the server under load posts to: a portal that is called back, and a gateway that takes codes by SMS.
//!
//! Plain HTTP on loopback, and no more than a load needs: a callback's signature is checked by the tests, not here.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderValue, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::crowd::phone_of_number;
use super::phones::code_in;
use super::scenario::ProviderBehaviour;
use super::worker::Mail;
use crate::LoadtestError;

/// Largest body that is read.
const BODY_BYTES_MAX: usize = 1 << 16;

/// Path of the gateway.
const SMS_PATH: &str = "/sms";

/// Path of a worker's callbacks, before its index.
const CALLBACK_PATH: &str = "/callback/";

/// Where each worker's mail goes.
#[derive(Debug)]
pub(super) struct Letterboxes {
    boxes: Vec<mpsc::Sender<Mail>>,
    overflowed: AtomicU64,
}

impl Letterboxes {
    /// One for each worker.
    pub(super) fn new(boxes: Vec<mpsc::Sender<Mail>>) -> Self {
        Self { boxes, overflowed: AtomicU64::new(0) }
    }

    /// For the worker that has this phone. Mail that it has no room for is lost and counted.
    pub(super) fn to_phone(&self, phone: u32, mail: Mail) {
        let workers = u32::try_from(self.boxes.len()).unwrap_or(u32::MAX).max(1);
        self.to_worker(usize::try_from(phone % workers).unwrap_or_default(), mail);
    }

    fn to_worker(&self, index: usize, mail: Mail) {
        if self.boxes.get(index).is_none_or(|letterbox| letterbox.try_send(mail).is_err()) {
            self.overflowed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Mail that was lost so far.
    pub(super) fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }
}

/// Trouble at the gateway, for a share of the messages.
#[derive(Clone, Copy, Debug)]
pub(super) struct SmsTrouble {
    pub(super) behaviour: ProviderBehaviour,
    pub(super) per_mille: u16,
    /// Saved up for the next use, in thousandths.
    pub(super) saved: u16,
}

/// The running receiver.
#[derive(Debug)]
pub(super) struct Receiver {
    address: SocketAddr,
    letterboxes: Arc<Letterboxes>,
    sms_troubles: Mutex<Vec<SmsTrouble>>,
}

#[derive(Deserialize)]
struct Outcome<'a> {
    id: &'a str,
    state: &'a str,
}

#[derive(Deserialize)]
struct Sms {
    to: String,
    text: String,
}

impl Receiver {
    /// Starts on a free port of loopback, on the caller's runtime.
    pub(super) async fn start(letterboxes: Arc<Letterboxes>) -> Result<Arc<Self>, LoadtestError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .map_err(LoadtestError::io("listen for callbacks and codes"))?;
        let address = listener.local_addr().map_err(LoadtestError::io("listen for callbacks and codes"))?;
        let receiver = Arc::new(Self { address, letterboxes, sms_troubles: Mutex::default() });
        // Ends with the runtime.
        tokio::spawn(accept(listener, Arc::clone(&receiver)));
        Ok(receiver)
    }

    /// Where codes are sent.
    pub(super) fn sms_url(&self) -> String {
        format!("http://{}{SMS_PATH}", self.address)
    }

    /// Where the worker with this index is called back.
    pub(super) fn callback_url(&self, index: usize) -> String {
        format!("http://{}{CALLBACK_PATH}{index}", self.address)
    }

    /// What goes wrong with codes from now on.
    pub(super) fn trouble(&self, troubles: Vec<SmsTrouble>) {
        *self.sms_troubles.lock().unwrap_or_else(PoisonError::into_inner) = troubles;
    }

    async fn reply(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let path = request.uri().path().to_owned();
        let Ok(body) = Limited::new(request.into_body(), BODY_BYTES_MAX).collect().await else {
            return status(StatusCode::PAYLOAD_TOO_LARGE);
        };
        let body = body.to_bytes();
        if path == SMS_PATH {
            return self.take_sms(&body).await;
        }
        match path.strip_prefix(CALLBACK_PATH).and_then(|index| index.parse().ok()) {
            Some(index) => self.take_callback(index, &body),
            None => status(StatusCode::NOT_FOUND),
        }
    }

    fn take_callback(&self, index: usize, body: &[u8]) -> Response<Full<Bytes>> {
        let outcome = serde_json::from_slice::<Outcome<'_>>(body).ok();
        let Some((id, state)) = outcome.and_then(|outcome| Some((outcome.id.parse().ok()?, outcome.state)))
        else {
            return status(StatusCode::BAD_REQUEST);
        };
        self.letterboxes.to_worker(index, Mail::Callback { id, state: state.into() });
        status(StatusCode::NO_CONTENT)
    }

    async fn take_sms(&self, body: &[u8]) -> Response<Full<Bytes>> {
        match self.next_trouble() {
            Some(ProviderBehaviour::Outage) => return status(StatusCode::SERVICE_UNAVAILABLE),
            Some(ProviderBehaviour::TooMany { retry_after }) => {
                let mut refusal = status(StatusCode::TOO_MANY_REQUESTS);
                if let Some(pause) = retry_after {
                    refusal.headers_mut().insert(RETRY_AFTER, HeaderValue::from(pause.as_secs()));
                }
                return refusal;
            }
            Some(ProviderBehaviour::Slow { delay }) => tokio::time::sleep(delay).await,
            None => {}
        }
        let Some(sms) = serde_json::from_slice::<Sms>(body).ok() else {
            return status(StatusCode::BAD_REQUEST);
        };
        let (Some(phone), Some(code)) = (phone_of_number(&sms.to), code_in(&sms.text)) else {
            return status(StatusCode::UNPROCESSABLE_ENTITY);
        };
        self.letterboxes.to_phone(phone, Mail::Code { phone, code: code.into() });
        status(StatusCode::OK)
    }

    fn next_trouble(&self) -> Option<ProviderBehaviour> {
        let mut troubles = self.sms_troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.iter_mut().find_map(|trouble| {
            trouble.saved += trouble.per_mille.min(1_000);
            let is_due = trouble.saved >= 1_000;
            trouble.saved %= 1_000;
            is_due.then_some(trouble.behaviour)
        })
    }
}

async fn accept(listener: TcpListener, receiver: Arc<Receiver>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => drop(tokio::spawn(serve(stream, Arc::clone(&receiver)))),
            // No file descriptor for it; the caller tries again.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

async fn serve(stream: TcpStream, receiver: Arc<Receiver>) {
    let answer = |request| {
        let receiver = Arc::clone(&receiver);
        async move { Ok::<_, Infallible>(receiver.reply(request).await) }
    };
    // A caller that goes away is no concern of ours.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)).await;
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
