//! `kill -9` at random points: every acknowledged create, outcome and wrong try is still there.

use super::line::Line;
use super::promise::Promises;
use super::random::Random;
use super::{Orders, PATIENCE, reopen, start};

/// Kills of an ordinary run; the variable asks for more.
const KILLS: u64 = 6;
const KILLS_VARIABLE: &str = "TOCSIN_STORAGE_KILLS";
const SEED_VARIABLE: &str = "TOCSIN_STORAGE_SEED";

/// Acknowledgements after which a child is killed at the latest.
const LINES_MAX: u64 = 1_500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

#[tokio::test]
async fn what_was_acknowledged_outlives_kill_9() {
    let seed = number(SEED_VARIABLE).unwrap_or_else(|| {
        std::time::SystemTime::UNIX_EPOCH.elapsed().map_or(1, |elapsed| elapsed.as_secs())
    });
    println!("{SEED_VARIABLE}={seed} repeats this run");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut promises = Promises::default();
    for kill in 0..number(KILLS_VARIABLE).unwrap_or(KILLS) {
        // The durability is in turn, since a killed process keeps what the kernel has.
        let durability = if kill % 2 == 0 { "sync" } else { "os" };
        let orders = Orders { folder: folder.path(), durability, seed: random.next(), rounds: None };
        run_and_kill(&orders, random.below(LINES_MAX), &mut promises);
        promises.check(&reopen(folder.path()), &format!("kill {kill}")).await;
    }
    assert!(!promises.is_empty(), "no child came to acknowledge anything");
}

/// Kills a child behind `lines` of its lines; the first is the one before it opens the database.
fn run_and_kill(orders: &Orders<'_>, lines: u64, promises: &mut Promises) {
    let mut watched = start(orders, |_| {});
    let mut heard = 0;
    loop {
        let line = watched.lines.recv_timeout(PATIENCE).expect("the child goes on until it is killed");
        let Ok(line) = line.parse::<Line>() else { continue };
        assert!(!matches!(line, Line::Failed(_) | Line::Done(_)), "a child without a fault said {line}");
        promises.note(line);
        if heard == lines {
            break;
        }
        heard += 1;
    }
    watched.child.kill().expect("it is killed");
    watched.child.wait().expect("it is gone");
    // What it wrote before its death was heard by its callers, too.
    watched.lines.iter().filter_map(|line| line.parse().ok()).for_each(|line| promises.note(line));
}
