//! Says that the server is ready: a line in the log, and a file for whoever started it with port 0.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::json;

use crate::door::Addresses;

/// Logs the bound addresses and writes them to `ready_file`, if one is wanted, in one step: a reader finds the
/// whole file or none.
pub(crate) fn announce(addresses: Addresses, issuer: &str, ready_file: Option<&Path>) -> io::Result<()> {
    if let Some(path) = ready_file {
        let text = json!({
            "portal": addresses.portal.to_string(),
            "device": addresses.device.to_string(),
            "ops": addresses.ops.to_string(),
            "issuer": issuer,
        });
        let mut beside = path.as_os_str().to_owned();
        beside.push(".new");
        fs::write(&beside, format!("{text}\n"))?;
        fs::rename(&beside, path)?;
    }
    tracing::info!(
        portal = %addresses.portal,
        device = %addresses.device,
        ops = %addresses.ops,
        issuer,
        "ready"
    );
    Ok(())
}
