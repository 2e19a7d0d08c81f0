//! Ports that stay free while the server is down.

use std::net::{Ipv4Addr, TcpListener};

use crate::LoadtestError;

/// Where ports are taken from: below those that the system gives to outgoing connections, so that none of them takes
/// the server's port while it is down.
const FIRST_PORT: u16 = 10_240;
const LAST_PORT: u16 = 32_767;

/// How many ports are tried.
const TRIES_MAX: usize = 1_000;

/// Three different free ports of 127.0.0.1.
pub(super) fn free_ports() -> Result<[u16; 3], LoadtestError> {
    // All are held until the last is found, so that they differ.
    let mut held: Vec<(u16, TcpListener)> = Vec::new();
    for _ in 0..TRIES_MAX {
        let port = random_port()?;
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            held.push((port, listener));
        }
        if let [(portal, _), (device, _), (ops, _)] = held[..] {
            return Ok([portal, device, ops]);
        }
    }
    Err(LoadtestError::Unexpected(format!("no three free ports of {TRIES_MAX} tried")))
}

fn random_port() -> Result<u16, LoadtestError> {
    let mut bytes = [0; 4];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| LoadtestError::Unexpected("the system gave no random numbers".to_owned()))?;
    let span = u32::from(LAST_PORT - FIRST_PORT) + 1;
    let offset = u32::from_be_bytes(bytes) % span;
    Ok(FIRST_PORT + u16::try_from(offset).expect("the span fits into sixteen bits"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_different_ports_outside_the_range_of_outgoing_connections_are_found() {
        let mut ports = free_ports().unwrap();
        assert!(ports.iter().all(|port| (FIRST_PORT..=LAST_PORT).contains(port)));
        ports.sort_unstable();
        assert!(ports[0] < ports[1] && ports[1] < ports[2]);
    }
}
