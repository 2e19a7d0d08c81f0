//! Apps: their versions, what their enrolments ask, and what a switch makes idle.

use tocsin_config::{Config, Confirmation, EnrolmentMode, Requirement};
use tocsin_model::{AppVersion, Platform};

use crate::fixture::{SMALL, assert_only_fault, folder, line_of, load, small_with, warnings};

fn version(text: &str) -> AppVersion {
    AppVersion::new(text).expect("valid")
}

/// Two credentials of Apple with one key, and versions of the app that differ.
const VERSIONED: &str = "
[providers.apns-sandbox]
kind = \"apns\"
environment = \"sandbox\"
team_id = \"TEAM000001\"
key_id = \"KEY0000001\"
key_file = \"credentials/apns-main.p8\"
[apps.bank.ios.versions.old]
from = \"1.0\"
enabled = false
[apps.bank.ios.versions.beta]
from = \"2.10\"
provider = \"apns-sandbox\"
bundle_id = \"com.example.bank.beta\"
[apps.bank.ios.versions.v2]
from = \"2.0\"
";

#[test]
fn a_version_belongs_to_the_last_that_begins_at_or_below_it() {
    let config = load(&format!("{SMALL}{VERSIONED}")).config;
    let app = config.apps.values().next().expect("an app");
    let ios = app.ios.as_ref().expect("an iOS app");
    let push_by = |text: &str| {
        let found = ios.push_by(&version(text));
        found.map(|(id, provider)| (id.to_owned(), provider.to_string()))
    };
    let main = Some(("com.example.bank".to_owned(), "apns-main".to_owned()));
    let beta = Some(("com.example.bank.beta".to_owned(), "apns-sandbox".to_owned()));
    let cases = [
        ("0.9", main.clone()),
        ("1.0", None),
        ("1.99", None),
        ("2.0", main.clone()),
        ("2.9.9", main.clone()),
        ("2.10", beta.clone()),
        ("3", beta),
    ];
    for (text, expected) in cases {
        assert_eq!(push_by(text), expected, "{text}");
        assert_eq!(app.is_version_enabled(Platform::Ios, &version(text)), expected.is_some(), "{text}");
    }
    for platform in [Platform::Android, Platform::Other] {
        assert!(app.is_version_enabled(platform, &version("1.0")), "{platform:?}");
    }
}

#[test]
fn a_version_begins_somewhere_of_its_own_and_names_a_provider_of_its_kind() {
    let with = |lines: &str| format!("{SMALL}[apps.bank.ios.versions.one]\n{lines}");
    let text = with("enabled = false\n");
    let line = line_of(&text, "versions.one");
    assert_only_fault(&text, line, "apps.bank.ios.versions.one.from", "is missing");
    let text = with("from = \"2.0\"\n[apps.bank.ios.versions.two]\nfrom = \"2\"\n");
    assert_only_fault(
        &text,
        line_of(&text, "from = \"2\""),
        "apps.bank.ios.versions.two.from",
        "begins there too",
    );
    let text = with("from = \"2.0\"\nprovider = \"fcm-main\"\n");
    let line = line_of(&text, "provider = \"fcm-main\"");
    assert_only_fault(&text, line, "apps.bank.ios.versions.one.provider", "needs one of kind \"apns\"");
    let text = with("from = \"2.0\"\npackage = \"com.example.bank\"\n");
    let line = line_of(&text[SMALL.len()..], "package = ") + SMALL.lines().count();
    assert_only_fault(&text, line, "apps.bank.ios.versions.one.package", "unknown key");
}

#[test]
fn an_app_without_a_bundle_id_has_its_own_name() {
    let text = small_with("bundle_id = \"com.example.bank\"\n", "");
    let config = load(&text).config;
    let app = config.apps.values().next().expect("an app");
    assert_eq!(app.ios.as_ref().expect("an iOS app").id, "bank");
    let text = format!("{SMALL}[apps.my_bank.ios]\n");
    let line = line_of(&text, "my_bank");
    assert_only_fault(&text, line, "apps.my_bank.ios.bundle_id", "can be a bundle id");
}

#[test]
fn an_app_says_what_its_enrolments_ask() {
    let keys = "[apps.bank]\nmode = \"override\"\nrequires = \"accepted_transaction\"\nconfirm = \"number\"\n\
                activation_host = \"app.example.com\"\nactivation_scheme = \"com.example.bank\"\n";
    let config = load(&small_with("[apps.bank.ios]", &format!("{keys}[apps.bank.ios]"))).config;
    let app = config.apps.values().next().expect("an app");
    assert_eq!(app.mode, EnrolmentMode::Override);
    assert_eq!((app.requires, app.confirm), (Requirement::AcceptedTransaction, Confirmation::Number));
    assert_eq!(app.activation_host.as_deref(), Some("app.example.com"));
    assert_eq!(app.activation_scheme, "com.example.bank");
    assert!(app.enrolment_rules().confirms_number && !app.has_takeover_risk());
}

fn warned(app: &str) -> Vec<String> {
    let text = small_with("[apps.bank.ios]", &format!("[apps.bank]\n{app}\n[apps.bank.ios]"));
    let folder = folder();
    let loaded = Config::load_str(&text, folder.path()).expect("right");
    loaded.warnings.into_iter().map(|warning| warning.key).collect()
}

#[test]
fn a_code_that_is_all_it_takes_is_warned_of_and_twice_where_it_takes_a_user_over() {
    assert_eq!(warned("mode = \"single\""), ["apps.bank"]);
    for mode in ["override", "multiple"] {
        assert_eq!(warned(&format!("mode = \"{mode}\"")), ["apps.bank", "apps.bank.mode"]);
        for guard in ["requires = \"accepted_transaction\"", "confirm = \"number\""] {
            assert_eq!(warned(&format!("mode = \"{mode}\"\n{guard}")), Vec::<String>::new());
        }
    }
}

#[test]
fn what_a_switch_makes_idle_is_reported_and_nothing_else() {
    let keys = "[apps.bank]\nmode = \"override\"\nactivation_ttl_s = 60\n[apps.bank.ios]";
    let text = small_with("[apps.bank.ios]", keys);
    let inert = |switch: &str| {
        let text = format!("{text}[switches]\n{switch} = false\n[types.pay]\nresends_max = 1\n");
        let loaded = load(&text);
        let apps = loaded.config.apps.len();
        let found = warnings(loaded).into_iter().filter(|found| found.message.contains("inert"));
        (apps, found.map(|warning| warning.key).collect::<Vec<_>>())
    };
    let of_apps = ["apps.bank.mode", "apps.bank.activation_ttl_s"].map(str::to_owned).to_vec();
    assert_eq!(inert("enrollment"), (1, of_apps));
    assert_eq!(inert("sending"), (1, vec!["types.pay.resends_max".to_owned()]));
    assert_eq!(inert("service"), (1, vec![]));
    let off = warnings(load(&format!("{SMALL}[switches]\nservice = false\n")));
    assert_eq!(off.iter().map(|warning| warning.key.as_str()).collect::<Vec<_>>(), ["switches.service"]);
}
