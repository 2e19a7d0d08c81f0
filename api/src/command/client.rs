//! `tocsin client new NAME`

use std::io::Write as _;

use tocsin_config::NewClient;
use tocsin_model::ClientId;

use crate::Exit;

/// Prints the block to standard output, where it can be appended to the file, and the secret to standard error, so
/// that it does not end up there.
pub(super) fn new(name: &ClientId) -> Exit {
    let client = match NewClient::generate(name) {
        Ok(client) => client,
        Err(error) => {
            eprintln!("{error}");
            return Exit::Failed;
        }
    };
    if let Err(error) = write!(std::io::stdout(), "{}", client.block) {
        eprintln!("cannot print the block, so the secret is of no use: {error}");
        return Exit::Failed;
    }
    eprintln!(
        "What callbacks of {name} are signed with; it stands in the block too:\n{}",
        client.webhook_secret.expose()
    );
    eprintln!("The secret of {name}, shown only now:\n{}", client.secret.expose());
    Exit::Done
}
