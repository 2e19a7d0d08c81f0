//! Who may import whom: the table of packages, held against what cargo says.

use std::collections::BTreeSet;
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// What each package of ours may import of ours, and for its tests.
const TABLE: &[(&str, &[&str], &[&str])] = &[
    ("tocsin-model", &[], &[]),
    ("tocsin-config", &["tocsin-model"], &[]),
    ("tocsin-storage", &["tocsin-model", "tocsin-config"], &[]),
    (
        "tocsin-engine",
        &["tocsin-model", "tocsin-config", "tocsin-storage"],
        &["tocsin-mock", "tocsin-engine"],
    ),
    ("tocsin-api", &["tocsin-model", "tocsin-config", "tocsin-storage", "tocsin-engine"], &["tocsin-mock"]),
    ("tocsin-mock", &[], &[]),
    ("tocsin-loadtest", &["tocsin-model", "tocsin-mock"], &[]),
    (
        "tocsin-bench",
        &[
            "tocsin-model",
            "tocsin-config",
            "tocsin-storage",
            "tocsin-engine",
            "tocsin-api",
            "tocsin-mock",
            "tocsin-loadtest",
        ],
        &[],
    ),
];

fn metadata() -> Metadata {
    let mut command = MetadataCommand::new();
    command
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .no_deps()
        .exec()
        .expect("metadata")
}

#[test]
fn packages_import_only_what_the_table_allows() {
    let metadata = metadata();
    let ours: BTreeSet<String> =
        metadata.workspace_packages().iter().map(|package| package.name.to_string()).collect();
    let known: BTreeSet<String> = TABLE.iter().map(|(name, _, _)| (*name).to_owned()).collect();
    assert_eq!(ours, known);
    for package in metadata.workspace_packages() {
        let (_, normal, dev) =
            TABLE.iter().find(|(name, _, _)| *name == package.name.as_str()).expect("a known package");
        for dependency in package.dependencies.iter().filter(|dependency| ours.contains(&dependency.name)) {
            let name = dependency.name.as_str();
            let allowed = normal.contains(&name)
                || (dependency.kind == DependencyKind::Development && dev.contains(&name));
            assert!(allowed, "{} imports {name} ({:?})", package.name, dependency.kind);
        }
    }
}

#[test]
fn the_engine_knows_no_database_and_no_http_server() {
    let reached = reached_by(&["-p", "tocsin-engine"]);
    for absent in ["rocksdb", "librocksdb-sys", "actix-web", "actix-http"] {
        assert!(!reached.contains(absent), "tocsin-engine reaches {absent}");
    }
    assert!(reached.contains("h2"), "the walk found nothing");
}

#[test]
fn the_doors_have_one_http_library() {
    let reached = reached_by(&["-p", "tocsin-api"]);
    for absent in ["actix-web", "actix-http", "actix-server"] {
        assert!(!reached.contains(absent), "tocsin-api reaches {absent}");
    }
    assert!(reached.contains("hyper") && reached.contains("actix-rt"), "the walk found nothing");
}

#[test]
fn the_model_is_free_of_actix_and_tokio() {
    let reached = reached_by(&["-p", "tocsin-model"]);
    for absent in ["actix", "actix-rt", "tokio"] {
        assert!(!reached.contains(absent), "tocsin-model reaches {absent}");
    }
}

#[test]
fn there_is_one_crypto_stack() {
    let reached = reached_by(&["--workspace"]);
    for absent in ["ring", "openssl", "openssl-sys", "native-tls"] {
        assert!(!reached.contains(absent), "{absent} is in the tree");
    }
    assert!(reached.contains("aws-lc-rs"), "the walk found nothing");
}

/// Everything that these packages are built and tested with on this machine. Asked of cargo as a command, because
/// its metadata also names optional packages that nothing turns on.
fn reached_by(packages: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .arg("tree")
        .args(packages)
        .args(["-e", "normal,build,dev", "--prefix", "none", "--format", "{p}"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
