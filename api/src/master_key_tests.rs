use super::*;

const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F";
const BASE64: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn config(text: &str, folder: &Path) -> Config {
    Config::load_str(text, folder).expect("right").config
}

fn key_file(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("written");
    std::fs::set_permissions(folder.join(name), std::fs::Permissions::from_mode(0o600)).expect("ours");
}

#[test]
fn a_key_is_hex_or_base64_of_exactly_256_bits() {
    let expected: Vec<u8> = (0..32).collect();
    for text in [HEX, &HEX.to_lowercase(), &format!("  {HEX}\n"), BASE64, &format!("{BASE64}\r\n")] {
        assert_eq!(parse(text.as_bytes()).expect("a key").as_slice(), expected, "{text:?}");
    }
    let (short, long) = (&HEX[..62], format!("{HEX}00"));
    for text in ["", short, &long, &HEX.replace('a', "g"), &BASE64[..40], "AAAA", &BASE64.repeat(2)] {
        assert!(parse(text.as_bytes()).is_none(), "{text:?}");
    }
}

#[test]
fn a_file_a_variable_and_a_program_give_the_same_key() {
    let folder = tempfile::tempdir().expect("a folder");
    key_file(folder.path(), "key", HEX);
    let expected = MasterKey::new(&parse(HEX.as_bytes()).expect("a key")).id();
    let text = "[master_keys.main]\nfile = \"key\"\n";
    let sealer = sealer(&config(text, folder.path())).expect("fetched").expect("there");
    assert_eq!(sealer.key_id(), expected);
    let source = MasterKeySource::Command(words(&["/bin/sh", "-c", &format!("echo {HEX}; echo noise >&2")]));
    assert_eq!(fetch(&source).expect("fetched").id(), expected);
    // Cargo sets it for every test, so it is there and no key.
    let source = MasterKeySource::Environment("CARGO_PKG_NAME".to_owned());
    assert!(matches!(fetch(&source), Err(Fault::NoKey)));
    let source = MasterKeySource::Environment("SURELY_NOT_SET_ANYWHERE".to_owned());
    assert!(matches!(fetch(&source), Err(Fault::NoVariable(_))));
}

#[test]
fn a_check_looks_for_the_program_and_does_not_run_it() {
    let folder = tempfile::tempdir().expect("a folder");
    key_file(folder.path(), "data", HEX);
    let faults = |program: &str| {
        let text = format!("[master_keys.main]\ncommand = [\"{program}\", \"-c\", \"exit 1\"]\n");
        check(&config(&text, folder.path())).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert!(faults("/bin/sh").is_empty() && faults("sh").is_empty(), "what it would give is not known");
    let data = folder.path().join("data");
    for wrong in ["/nowhere/fetch-key", "/bin", data.to_str().expect("UTF-8")] {
        let found = faults(wrong);
        assert!(matches!(&found[..], [one] if one.contains(wrong)), "{wrong}: {found:?}");
    }
}

#[test]
fn without_master_keys_nothing_seals() {
    assert!(sealer(&config("", Path::new(""))).expect("nothing to fetch").is_none());
}

#[test]
fn a_program_that_does_not_end_or_fails_is_no_source() {
    let allowed = Duration::from_millis(50);
    let late = run(&words(&["/bin/sh", "-c", "exec sleep 1000"]), allowed);
    assert!(matches!(late, Err(Fault::Late)));
    let closed = run(&words(&["/bin/sh", "-c", "exec sleep 1000 >&-"]), allowed);
    assert!(matches!(closed, Err(Fault::Late)), "it has said all, but has not ended");
    let failed = run(&words(&["/bin/sh", "-c", &format!("echo {HEX}; exit 3")]), COMMAND_DEADLINE);
    assert!(matches!(failed, Err(Fault::Failed(status)) if status.code() == Some(3)));
    let missing = run(&words(&["/surely/not/there"]), allowed);
    assert!(matches!(missing, Err(Fault::NoCommand(_))));
}

#[test]
fn the_same_key_twice_is_told_and_no_error_holds_a_key() {
    let folder = tempfile::tempdir().expect("a folder");
    key_file(folder.path(), "one", HEX);
    key_file(folder.path(), "two", BASE64);
    let text = "[master_keys.one]\nfile = \"one\"\n[master_keys.two]\nfile = \"two\"\nold = true\n";
    let refused = sealer(&config(text, folder.path())).expect_err("refused");
    assert!(matches!(refused, MasterKeyError::Together(SealError::SameId(_))), "{refused}");
    let nearly = &HEX[..63];
    key_file(folder.path(), "one", nearly);
    let refused = sealer(&config(text, folder.path())).expect_err("refused").to_string();
    assert!(refused.contains("[master_keys.one]") && refused.contains("64 hex digits"), "{refused}");
    assert!(!refused.contains(nearly) && !refused.contains(&HEX[..16]), "{refused}");
    assert_eq!(check(&config(text, folder.path())).len(), 1);
}
