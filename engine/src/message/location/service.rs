//! Places from a server that is asked by HTTP.
//!
//! One GET for an address, within one time-out from look-up to the end of the answer; there is no second try. An answer is
//! believed for a while. A server that fails several times in a row is left alone for some seconds, so that starts are not
//! held up one after the other.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Request, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value};
use tocsin_config::{FieldPath, LocationService};
use tocsin_model::DurationMs;
use tokio::sync::Semaphore;

use super::cache::Cache;
use super::{LocationFault, OriginSetupError, Place, place};
use crate::clock::Clock;
use crate::provider::Breaker;
use crate::transport::{
    Application, Connector, Endpoint, HttpAnswer, HttpClient, HttpFault, HttpLimits, ProxyRoute, Unsent,
};

/// Longest answer in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;
/// Failures in a row after which nobody is asked, and for how long.
const FAILURES_MAX: u32 = 5;
const PAUSE: DurationMs = DurationMs::from_seconds(10);

/// A server that knows places.
pub(super) struct Service {
    parts: Parts,
    question: Question,
    fields: [FieldPath; 3],
    client: Arc<HttpClient>,
    tended: OnceLock<()>,
    time_limit: Duration,
    room: Semaphore,
    cache: Mutex<Cache>,
    breaker: Mutex<Breaker>,
    clock: Clock,
}

/// What a service is made of.
#[derive(PartialEq)]
struct Parts {
    settings: LocationService,
    /// A hash of the file of authorities.
    authorities: Option<[u8; 32]>,
    route: Option<ProxyRoute>,
}

impl Parts {
    fn of(settings: &LocationService, route: Option<&ProxyRoute>) -> Self {
        let authorities = settings.ca_file.as_ref().and_then(|file| std::fs::read(file).ok());
        let authorities = authorities.map(|bytes| {
            let mut hash = [0; 32];
            hash.copy_from_slice(digest(&SHA256, &bytes).as_ref());
            hash
        });
        Self { settings: settings.clone(), authorities, route: route.cloned() }
    }
}

/// What is asked, but for the address.
struct Question {
    /// Path and query, before and behind the address.
    around: (String, String),
    authorization: Option<HeaderValue>,
}

impl Service {
    /// Sets the client up; connects to nothing.
    pub(super) fn new(
        settings: &LocationService,
        clock: &Clock,
        route: Option<&ProxyRoute>,
    ) -> Result<Self, OriginSetupError> {
        // Taken first, so that a file that changes meanwhile counts as changed later.
        let parts = Parts::of(settings, route);
        let of_url = |reason: &dyn fmt::Display| setup_error("origin.service.url", reason);
        let (origin, path) = origin_and_path(&settings.url);
        let endpoint = Endpoint::parse_or_loopback(origin).map_err(|error| of_url(&error))?;
        let connector = Connector::new(Arc::new(endpoint), settings.ca_file.as_deref(), Application::Http1)
            .map_err(|error| setup_error("origin.service.ca_file", &error))?
            .by(route);
        let limits = HttpLimits {
            connections_max: settings.calls_in_flight_max,
            connect_timeout: settings.timeout.to_std(),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let client = HttpClient::new(connector, limits, clock.clone()).map_err(|error| of_url(&error))?;
        Ok(Self {
            parts,
            question: Question::new(&path, settings)?,
            fields: [settings.country_code.clone(), settings.region.clone(), settings.city.clone()],
            client: Arc::new(client),
            tended: OnceLock::new(),
            time_limit: settings.timeout.to_std(),
            room: Semaphore::new(settings.calls_in_flight_max),
            cache: Mutex::new(Cache::new(settings.cache_life.to_std(), settings.cache_entries_max)),
            breaker: Mutex::new(Breaker::new(FAILURES_MAX, PAUSE)),
            clock: clock.clone(),
        })
    }

    /// Whether a new one of these would be the same.
    pub(super) fn is_of(&self, settings: &LocationService, route: Option<&ProxyRoute>) -> bool {
        self.parts == Parts::of(settings, route)
    }

    /// Where this address is, and whether that was `found` now or `cached`.
    pub(super) async fn place_of(&self, address: IpAddr) -> Result<(Place, &'static str), LocationFault> {
        if let Some(place) = lock(&self.cache).get(address, self.clock.instant()) {
            return Ok((place, "cached"));
        }
        let _room = self.room.try_acquire().map_err(|_| LocationFault::Busy)?;
        if !lock(&self.breaker).allows(self.clock.now()) {
            return Err(LocationFault::Paused);
        }
        let asked = self.ask(address).await;
        let is_healthy = !asked.as_ref().is_err_and(|fault| fault.is_trouble());
        lock(&self.breaker).record(is_healthy, self.clock.now());
        let place = asked?;
        lock(&self.cache).keep(address, place.clone(), self.clock.instant());
        Ok((place, "found"))
    }

    async fn ask(&self, address: IpAddr) -> Result<Place, LocationFault> {
        self.tend();
        let request = self.question.about(address).map_err(|_| LocationFault::Unreachable)?;
        let deadline = self.clock.instant() + self.time_limit;
        let answer = self.client.send(request, deadline, &|| {}).await.map_err(fault_of)?;
        self.read(&answer)
    }

    /// Quiet connections are given up by a task that ends with this value.
    fn tend(&self) {
        self.tended.get_or_init(|| {
            let client = Arc::clone(&self.client);
            tokio::spawn(async move { client.tend().await });
        });
    }

    fn read(&self, answer: &HttpAnswer) -> Result<Place, LocationFault> {
        if answer.status != StatusCode::OK {
            return Err(LocationFault::Status);
        }
        if !answer.body_is_whole {
            return Err(LocationFault::Malformed);
        }
        let object: Map<String, Value> =
            serde_json::from_slice(&answer.body).map_err(|_| LocationFault::Malformed)?;
        let [country_code, region, city] = self.fields.each_ref().map(|path| text_at(&object, path));
        place(country_code, region, city)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.client.close();
    }
}

/// Neither the URL nor the key is printed.
impl fmt::Debug for Service {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Service").field("time_limit", &self.time_limit).finish_non_exhaustive()
    }
}

impl Question {
    fn new(path: &str, settings: &LocationService) -> Result<Self, OriginSetupError> {
        let key = settings.key.as_ref().map(|key| key.expose().as_str());
        let escaped =
            key.map(|key| utf8_percent_encode(key, NON_ALPHANUMERIC).to_string()).unwrap_or_default();
        let (before, behind) = path.split_once("{ip}").unwrap_or((path, ""));
        let with_key = |part: &str| part.replace("{key}", &escaped);
        let bearer = key.filter(|_| !path.contains("{key}"));
        let bearer = bearer.map(|key| HeaderValue::try_from(format!("Bearer {key}"))).transpose();
        let mut authorization = bearer.map_err(|_| {
            setup_error(
                "origin.service.key",
                &"it cannot be sent as a bearer token; it must be visible ASCII",
            )
        })?;
        authorization.iter_mut().for_each(|value| value.set_sensitive(true));
        Ok(Self { around: (with_key(before), with_key(behind)), authorization })
    }

    fn about(&self, address: IpAddr) -> Result<Request<Bytes>, http::Error> {
        let (before, behind) = &self.around;
        let mut request = Request::get(format!("{before}{address}{behind}"))
            .header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        request.body(Bytes::new())
    }
}

fn setup_error(key: &'static str, reason: &dyn fmt::Display) -> OriginSetupError {
    OriginSetupError { key: key.to_owned(), reason: reason.to_string() }
}

/// `https://host:port` and the rest from its slash on.
fn origin_and_path(url: &str) -> (&str, String) {
    let host = url.find("://").map_or(0, |end| end + 3);
    let end = url[host..].find('/').map_or(url.len(), |slash| host + slash);
    (&url[..end], url[end..].to_owned())
}

fn text_at<'v>(object: &'v Map<String, Value>, path: &FieldPath) -> Option<&'v str> {
    let mut names = path.names();
    let first = object.get(names.next()?)?;
    names.try_fold(first, |value, name| value.get(name))?.as_str()
}

fn fault_of(fault: HttpFault) -> LocationFault {
    match fault {
        HttpFault::TimedOut => LocationFault::Timeout,
        HttpFault::Unsent(Unsent::Busy) => LocationFault::Busy,
        HttpFault::Unsent(_) | HttpFault::Cut => LocationFault::Unreachable,
    }
}

/// A panic of another holder cannot leave half a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "service_tests.rs"]
mod tests;
