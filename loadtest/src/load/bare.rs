//! What the bare libraries reach on this machine, measured before a run: signatures of aws-lc-rs on one core, and an
//! actix-web server that only gives JSON back, loaded by this tool's own connections.

use std::cell::Cell;
use std::hint::black_box;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use actix_web::{App, HttpResponse, HttpServer, web};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, ParsedPublicKey,
};
use serde::{Deserialize, Serialize};
use tokio::task::{JoinSet, LocalSet};

use super::doors::{Authorization, Bounds, Call, Door};
use super::report::BareRates;
use super::target::Place;
use crate::LoadtestError;

/// How long signatures of one kind are made.
const SIGNING_TIME: Duration = Duration::from_millis(300);

/// How long the echo is called.
const ECHO_TIME: Duration = Duration::from_millis(1_500);

/// Connections that call the echo.
const ECHO_CONNECTIONS: usize = 64;

/// Longest wait for an echo.
const ECHO_DEADLINE: Duration = Duration::from_secs(5);

/// About as long as what a phone signs.
const MESSAGE: [u8; 400] = [b'm'; 400];

#[derive(Deserialize, Serialize)]
struct Echo {
    #[serde(rename = "type")]
    kind: String,
    user: String,
}

/// Measures them; takes some two seconds.
pub(super) async fn measure() -> Result<BareRates, LoadtestError> {
    let measured = tokio::task::spawn_blocking(|| {
        let (ecdsa_sign_per_s, ecdsa_verify_per_s) = signatures()?;
        let actix_echo_per_s = echo()?;
        Ok(BareRates { ecdsa_sign_per_s, ecdsa_verify_per_s, actix_echo_per_s })
    });
    measured.await.unwrap_or_else(|error| Err(LoadtestError::Unexpected(error.to_string())))
}

fn signatures() -> Result<(f64, f64), LoadtestError> {
    let unusable = || LoadtestError::Unexpected("no signature could be made".to_owned());
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| unusable())?;
    let random = SystemRandom::new();
    let signature = key.sign(&random, &MESSAGE).map_err(|_| unusable())?;
    let public = key.public_key().as_ref();
    let public = ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public).map_err(|_| unusable())?;
    let sign = rate_of(|| {
        let _ = black_box(key.sign(&random, black_box(&MESSAGE)));
    });
    let verify = rate_of(|| {
        let _ = black_box(public.verify_sig(black_box(&MESSAGE), signature.as_ref()));
    });
    Ok((sign, verify))
}

fn rate_of(mut once: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut count = 0_u32;
    while begun.elapsed() < SIGNING_TIME {
        (0..16).for_each(|_| once());
        count += 16;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// Replies per second of the echo on one thread, called from another.
fn echo() -> Result<f64, LoadtestError> {
    let (started, is_up) = mpsc::channel();
    let body = move || {
        let served = actix_web::rt::System::new().block_on(async move {
            let app = || App::new().route("/echo", web::post().to(give_back));
            let server = HttpServer::new(app).workers(1).disable_signals();
            let server = server.bind((Ipv4Addr::LOCALHOST, 0))?;
            let address = server.addrs().first().copied();
            let server = server.run();
            let _ = started.send((address, server.handle()));
            server.await
        });
        // Whoever waits for it learns that it is not up.
        drop(served);
    };
    let thread = thread::Builder::new().name("echo".to_owned()).spawn(body);
    let thread = thread.map_err(LoadtestError::io("start a thread"))?;
    let not_up = || LoadtestError::Unexpected("the bare echo did not start".to_owned());
    let (address, handle) = is_up.recv().map_err(|_| not_up())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(LoadtestError::io("start a runtime"))?;
    let rate = LocalSet::new().block_on(&runtime, call_echo(address.ok_or_else(not_up)?));
    runtime.block_on(handle.stop(false));
    // A panic over there has been printed.
    let _ = thread.join();
    rate
}

async fn give_back(echo: web::Json<Echo>) -> HttpResponse {
    HttpResponse::Created().json(echo.into_inner())
}

async fn call_echo(address: SocketAddr) -> Result<f64, LoadtestError> {
    let place = Place::of(&format!("http://{address}"), None)?;
    let bounds = Bounds { connections_max: ECHO_CONNECTIONS, held_max: ECHO_CONNECTIONS };
    let door = Rc::new(Door::new(place, bounds));
    let (begun, count) = (Instant::now(), Rc::new(Cell::new(0_u32)));
    let mut callers = JoinSet::new();
    for _ in 0..ECHO_CONNECTIONS {
        let (door, count) = (Rc::clone(&door), Rc::clone(&count));
        callers.spawn_local(async move {
            let call = Call::post("/echo", Authorization::None, r#"{"type":"login","user":"user-1234"}"#);
            while begun.elapsed() < ECHO_TIME {
                let reply = door.call(call, ECHO_DEADLINE).await.result;
                if reply.is_ok_and(|reply| reply.status.is_success()) {
                    count.set(count.get() + 1);
                }
            }
        });
    }
    while callers.join_next().await.is_some() {}
    Ok(f64::from(count.get()) / begun.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn all_three_are_measured() {
        let BareRates { ecdsa_sign_per_s, ecdsa_verify_per_s, actix_echo_per_s } = measure().await.unwrap();
        assert!(ecdsa_sign_per_s > 0.0 && ecdsa_verify_per_s > 0.0 && actix_echo_per_s > 0.0);
    }
}
