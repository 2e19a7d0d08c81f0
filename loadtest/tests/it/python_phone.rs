//! The phone in Python, written from the device protocol's document alone, against a real server.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;
use tocsin_loadtest::phone::PhoneNetwork;
use tocsin_loadtest::{
    Handset, Installation, OTHER_APP, PhoneKind, Portal, Server, ServerOptions, StartFields, TYPE_LOGIN,
};
use tocsin_mock::{World, WorldOptions};
use tocsin_model::State;

use super::ALONE;

const USER: &str = "alice";

/// The phone's folder in the repository.
const PHONE_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/device-protocol");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_phone_in_python_enrols_lists_fetches_and_approves() {
    let _alone = ALONE.lock().await;
    let folder = TempDir::new().expect("a folder");
    let python = PythonPhone::new(folder.path());
    let world = World::start(WorldOptions::default()).await.expect("a world");
    let installation =
        Installation::prepare(folder.path(), &world, &ServerOptions::default()).expect("an installation");
    let server = Server::start(&installation).await.expect("a server");
    let portal = Portal::new(installation.portal_url(), installation.credentials()).expect("a portal");
    let (issuer, network) = (installation.device_url(), PhoneNetwork::new());
    // A transaction needs a phone that can be pushed to; the one in Python only asks.
    Handset::enrol(PhoneKind::Iphone, USER, &world, &portal, issuer, &network).await.expect("an iPhone");

    let opened = portal.open_enrollment(USER, OTHER_APP).await.expect("an enrolment");
    let code = opened.activation_code.as_deref().expect("a code");
    let enrolled = python.run(&["enrol", "--issuer", issuer, "--code", code, "--app", OTHER_APP]);
    let device_id = portal.enrollment(opened.id).await.expect("the enrolment").device_id.expect("a device");
    assert_eq!(enrolled["device_id"], device_id.to_string());

    let fields = StartFields {
        details: vec![("To".to_owned(), "Müller & Söhne \"GmbH\"\u{1f512}".to_owned())],
        ..StartFields::new(TYPE_LOGIN, USER)
    };
    let id = portal.start(&fields, None).await.expect("a transaction").view.id;
    let listed = python.run(&["list"]);
    assert_eq!(listed[0]["id"], id.to_string());
    assert_eq!(listed[0]["shown"]["details"][0]["value"], fields.details[0].1);
    assert_eq!(python.run(&["fetch", &id.to_string()])["sub"], id.to_string());
    assert_eq!(portal.transaction(id).await.expect("the view").state, State::Pending);

    assert_eq!(python.run(&["answer", &id.to_string(), "accept"])["state"], "accepted");
    let view = portal.wait(id, 10, None).await.expect("the outcome");
    assert_eq!(view.state, State::Accepted);
    assert_eq!(view.answer.map(|answer| answer.device_id), Some(device_id));
    assert!(server.stop().await.expect("the end of the server").success());
}

#[test]
fn the_phone_in_python_agrees_with_the_vectors() {
    let folder = TempDir::new().expect("a folder");
    let output = PythonPhone::new(folder.path()).start(&["vectors", "vectors.json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// `phone.py` with a state file of its own.
pub struct PythonPhone {
    python: PathBuf,
    state: PathBuf,
}

impl PythonPhone {
    pub fn new(folder: &Path) -> Self {
        let python = python();
        let has_modules =
            Command::new(&python).args(["-c", "import jwcrypto, cryptography, pyhpke"]).output();
        let advice = format!(
            "run `scripts/setup python`, or name by PHONE_PYTHON a python3 that has what {PHONE_FOLDER}/requirements.txt lists"
        );
        match has_modules {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("{}\n{advice}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => panic!("{}: {error}\n{advice}", python.display()),
        }
        Self { python, state: folder.join("phone.json") }
    }

    fn start(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.python);
        // -B: no compiled files beside the sources.
        command.current_dir(PHONE_FOLDER).args(["-B", "phone.py", "--state"]).arg(&self.state);
        command.args(arguments).output().expect("python starts")
    }

    /// What the phone printed, if all went well.
    pub fn run(&self, arguments: &[&str]) -> Value {
        let output = self.start(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    /// What the phone said when it or the server would not.
    pub fn refused(&self, arguments: &[&str]) -> String {
        let output = self.start(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

/// Runs a script of the protocol's folder.
pub fn run_python(arguments: &[&str]) -> Output {
    let mut command = Command::new(python());
    // -B: no compiled files beside the sources.
    command.current_dir(PHONE_FOLDER).arg("-B").args(arguments).output().expect("python starts")
}

/// `PHONE_PYTHON`, or the Python that `scripts/setup` prepares.
pub fn python() -> PathBuf {
    if let Some(named) = std::env::var_os("PHONE_PYTHON") {
        return named.into();
    }
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).unwrap_or_default();
    cache.join("tocsin/python/bin/python")
}
