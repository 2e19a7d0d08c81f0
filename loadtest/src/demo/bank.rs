//! How the bank of the demo has configured its server.

use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use tocsin_mock::{ApnsCredential, TwilioOptions, TwilioServer};

use crate::server::new_secret;
use crate::{APP, BUNDLE_ID, LoadtestError, ServerOptions, TYPE_BRIEF, TYPE_LOGIN};

/// A login that is matched by a number.
pub(super) const TYPE_SIGN_IN: &str = "sign-in";
/// A login that begins without a user.
pub(super) const TYPE_QR: &str = "qr-login";
/// A login by phone, or by a code where there is none.
pub(super) const TYPE_ANYWHERE: &str = "login-anywhere";
/// Wrong codes that a login by a code survives, and one more.
pub(super) const CODE_ATTEMPTS_MAX: u32 = 3;
/// The bank's account at Twilio.
const TWILIO_ACCOUNT: &str = "AC00000000000000000000000000000001";
/// Where the token of that account is kept.
pub(super) const TWILIO_TOKEN_FILE: &str = "credentials/twilio-token";
/// A payment that takes a PIN.
pub(super) const TYPE_TRANSFER: &str = "transfer";
/// Wrong PINs that a phone survives, and one more.
pub(super) const PIN_ATTEMPTS_MAX: u32 = 3;

/// What the two sides of the ops door and of callbacks share.
pub(super) struct Secrets {
    /// The operator's token.
    pub(super) token: String,
    /// The portal's webhook secret.
    pub(super) webhook: String,
    /// The token of the account at Twilio.
    pub(super) twilio: String,
}

impl Secrets {
    pub(super) fn generate() -> Result<Self, LoadtestError> {
        let webhook = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, new_secret()?);
        Ok(Self { token: new_secret()?, webhook: format!("whsec_{webhook}"), twilio: new_secret()? })
    }
}

/// The account at Twilio, as Twilio knows it.
pub(super) fn twilio_account(secrets: &Secrets, identity: tocsin_mock::ServerIdentity) -> TwilioOptions {
    TwilioOptions::new(identity, TWILIO_ACCOUNT, &secrets.twilio)
}

/// The configuration of a server that sends codes by `twilio`, and calls back at `callback_url`, whose authority is in
/// `ca_file`.
pub(super) fn options(
    secrets: &Secrets,
    twilio: &TwilioServer,
    callback_url: &str,
    ca_file: &Path,
) -> ServerOptions {
    ServerOptions {
        catalogue: Some(catalogue()),
        client: client(secrets),
        more: more(secrets, callback_url, ca_file) + &twilio_provider(twilio),
        ..ServerOptions::default()
    }
}

fn catalogue() -> String {
    format!(
        r#"
[realms.retail]

[types.{TYPE_LOGIN}]
default_title = "Log in"
default_message = "Do you want to log in to your bank?"

[types.{TYPE_BRIEF}]
default_title = "Log in"
default_message = "Do you want to log in to your bank? Be quick."
ttl_s = 2

[types.{TYPE_SIGN_IN}]
purpose = "login"
report_lock_s = 0
default_title = "Log in"
default_message = "Type the number that your bank's page shows."

[types.{TYPE_QR}]
method = "otp"
apps = ["{APP}"]
realms = ["retail"]

[types.{TYPE_ANYWHERE}]
default_title = "Log in"
default_message = "Do you want to log in to your bank?"
fallback = "code"

[types.code]
method = "sms"
attempts_max = {CODE_ATTEMPTS_MAX}
resends_max = 1
default_message = "Your code for the bank: {{code}}"

[types.{TYPE_TRANSFER}]
keys = ["pin"]
default_title = "Pay"
default_message = "Do you want to pay 250.00 EUR to Ada?"

[apps.{APP}]
pin_attempts_max = {PIN_ATTEMPTS_MAX}
[apps.{APP}.ios]
bundle_id = "{BUNDLE_ID}"
[apps.{APP}.android]
package = "{BUNDLE_ID}"

"#
    )
}

fn client(secrets: &Secrets) -> String {
    format!(
        "rights = [\"transactions\", \"enrollments\", \"devices\", \"users\"]\nrealms = [\"*\"]\napps = [\"*\"]\n\
         types = [\"*\"]\nwebhook_secrets = [\"{}\"]\ncallback_networks = [\"127.0.0.0/8\"]\n",
        secrets.webhook
    )
}

fn more(secrets: &Secrets, callback_url: &str, ca_file: &Path) -> String {
    let ca_file = serde_json::Value::from(ca_file.to_string_lossy());
    let hash = digest(&SHA256, secrets.token.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!(
        "\n[clients.portal.callbacks.outcomes]\nurl = \"{callback_url}\"\n\n\
         [callbacks]\nca_file = {ca_file}\nbackoff_first_ms = 200\nbackoff_longest_ms = 500\n\n\
         [ops.tokens.operator]\nsha256 = \"{hash}\"\nrole = \"operate\"\n"
    )
}

fn twilio_provider(twilio: &TwilioServer) -> String {
    format!(
        "\n[sms]\ncountry_prefixes = [\"+1\"]\n\n\
         [providers.twilio-main]\nkind = \"twilio\"\ndefault = true\naccount_sid = \"{TWILIO_ACCOUNT}\"\n\
         auth_token_file = \"{TWILIO_TOKEN_FILE}\"\nfrom = \"+15005550006\"\nendpoint = \"{}\"\n\
         ca_file = \"credentials/ca.pem\"\nstatus_reports = false\n",
        twilio.url()
    )
}

/// The table of a second provider beside the first, and where it looks for its key.
pub(super) fn second_provider(name: &str, credential: &ApnsCredential, endpoint: &str) -> (String, String) {
    let ApnsCredential { team_id, key_id, .. } = credential;
    let key_file = format!("credentials/{key_id}.p8");
    let table = format!(
        "[providers.{name}]\nkind = \"apns\"\nteam_id = \"{team_id}\"\nkey_id = \"{key_id}\"\n\
         key_file = \"{key_file}\"\nendpoint = \"{endpoint}\"\nca_file = \"credentials/ca.pem\"\n"
    );
    (table, key_file)
}
