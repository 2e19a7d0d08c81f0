//! The demo goes as told.

use std::process::Command;

use super::ALONE;

#[test]
fn every_step_of_the_demo_goes_as_told() {
    let _alone = ALONE.blocking_lock();
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin-loadtest"))
        .arg("demo")
        .env_remove("KEEP")
        .output()
        .expect("the demo starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("All 19 steps went as told"), "{told}");
    assert!(!told.contains('\x1b'), "colours although this is no terminal: {told}");
}

#[test]
fn without_a_server_the_demo_says_how_to_get_one() {
    let output = Command::new(env!("CARGO_BIN_EXE_tocsin-loadtest"))
        .arg("demo")
        .env("TOCSIN_BIN", "/nowhere/tocsin")
        .output()
        .expect("the demo starts");
    let told = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("there is no tocsin binary at /nowhere/tocsin"), "{told}");
}
