use super::*;

use std::sync::atomic::AtomicUsize;

use tocsin_storage::memory::{MemoryOptions, MemoryStore};

use crate::provider::TokenShelf;

const MINUTE: Duration = Duration::from_secs(60);

/// Makes numbered tokens, each in a tenth of a second, until told to fail.
#[derive(Clone, Default)]
struct Press(Arc<PressState>);

#[derive(Default)]
struct PressState {
    made: AtomicUsize,
    asked: AtomicUsize,
    at_once: AtomicUsize,
    fails: AtomicBool,
}

impl Mint for Press {
    const REPLACED_AGE_MIN: DurationMs = DurationMs::from_seconds(20 * 60);

    fn credential(&self) -> Option<[u8; 32]> {
        Some([1; 32])
    }

    async fn mint(&self, _now: UnixMs) -> Result<Minted, MintError> {
        self.0.asked.fetch_add(1, Ordering::Relaxed);
        assert_eq!(self.0.at_once.fetch_add(1, Ordering::Relaxed), 0, "two at a time");
        sleep(Duration::from_millis(100)).await;
        self.0.at_once.fetch_sub(1, Ordering::Relaxed);
        if self.0.fails.load(Ordering::Relaxed) {
            return Err(MintError::Unavailable);
        }
        let number = self.0.made.fetch_add(1, Ordering::Relaxed) + 1;
        Ok(Minted {
            authorization: HeaderValue::from_str(&format!("bearer {number}")).expect("ascii"),
            refresh_age: DurationMs::from_seconds(45 * 60),
            expiry_age: DurationMs::from_seconds(58 * 60),
        })
    }
}

fn cache() -> (Press, Arc<TokenCache<Press>>) {
    let press = Press::default();
    let clock = Clock::starting_at(UnixMs::new(1_000_000));
    (press.clone(), Arc::new(TokenCache::new(press, clock, None)))
}

fn text(token: &Result<Arc<Token>, MintError>) -> &str {
    token.as_ref().map_or("none", |token| token.authorization.to_str().expect("ascii"))
}

#[tokio::test(start_paused = true)]
async fn two_hundred_at_once_have_one_token_made() {
    let (press, cache) = cache();
    let waiting: Vec<_> = (0..200)
        .map(|_| {
            let cache = cache.clone();
            tokio::spawn(async move { cache.get().await })
        })
        .collect();
    for task in waiting {
        assert_eq!(text(&task.await.expect("no panic")), "bearer 1");
    }
    assert_eq!(press.0.asked.load(Ordering::Relaxed), 1);
    assert_eq!(cache.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn an_ageing_token_is_used_while_the_next_one_is_made() {
    let (_, cache) = cache();
    cache.get().await.expect("made");
    sleep(46 * MINUTE).await;
    assert_eq!(text(&cache.get().await), "bearer 1", "nobody waits");
    sleep(MINUTE).await;
    assert_eq!(text(&cache.get().await), "bearer 2");
}

#[tokio::test(start_paused = true)]
async fn the_old_token_stays_while_making_fails_and_tries_are_spaced() {
    let (press, cache) = cache();
    cache.get().await.expect("made");
    press.0.fails.store(true, Ordering::Relaxed);
    sleep(46 * MINUTE).await;
    for _ in 0..1_000 {
        assert_eq!(text(&cache.get().await), "bearer 1");
        sleep(Duration::from_millis(10)).await;
    }
    let tries = press.0.asked.load(Ordering::Relaxed) - 1;
    assert!((2..=8).contains(&tries), "{tries} tries in ten seconds");
    sleep(15 * MINUTE).await;
    assert_eq!(cache.get().await.err(), Some(MintError::Unavailable), "it has expired");
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_everybodys_answer_until_the_next_try() {
    let (press, cache) = cache();
    press.0.fails.store(true, Ordering::Relaxed);
    for _ in 0..50 {
        assert_eq!(cache.get().await.err(), Some(MintError::Unavailable));
    }
    assert_eq!(press.0.asked.load(Ordering::Relaxed), 1);
    press.0.fails.store(false, Ordering::Relaxed);
    sleep(3 * Duration::from_secs(1)).await;
    assert_eq!(text(&cache.get().await), "bearer 1");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_had_it() {
    let (press, cache) = cache();
    let refused = cache.get().await.expect("made");
    sleep(25 * MINUTE).await;
    let renewing: Vec<_> = (0..50)
        .map(|_| {
            let (cache, refused) = (cache.clone(), refused.clone());
            tokio::spawn(async move { cache.renew(&refused).await })
        })
        .collect();
    for task in renewing {
        assert_eq!(text(&task.await.expect("no panic")), "bearer 2");
    }
    assert_eq!(text(&cache.renew(&refused).await), "bearer 2", "a late one gets the new one too");
    assert_eq!(press.0.asked.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_young_token_is_not_replaced_however_often_it_is_refused() {
    let (press, cache) = cache();
    let refused = cache.get().await.expect("made");
    sleep(19 * MINUTE).await;
    for _ in 0..10 {
        assert_eq!(text(&cache.renew(&refused).await), "bearer 1");
    }
    assert_eq!(press.0.asked.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_gives_up_does_not_stop_the_making() {
    let (_, cache) = cache();
    let impatient = tokio::time::timeout(Duration::from_millis(1), cache.get()).await;
    assert!(impatient.is_err());
    assert_eq!(text(&cache.get().await), "bearer 1");
    assert_eq!(cache.counts(), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_fresh_without_traffic() {
    let (_, cache) = cache();
    let keeper = cache.clone();
    let keeping = tokio::spawn(async move { keeper.keep_fresh().await });
    sleep(100 * MINUTE).await;
    assert_eq!(cache.counts(), (3, 0));
    keeping.abort();
}

/// A process that starts at this moment of a machine's life, with a disk that outlives it.
fn process(disk: &Arc<MemoryStore>, press: &Press, now: UnixMs) -> TokenCache<Press> {
    let shelf = TokenShelf::sealed_in(Arc::clone(disk) as _);
    let provider = "apns-main".parse().expect("a name");
    TokenCache::new(press.clone(), Clock::starting_at(now), shelf.place(&provider, press.credential()))
}

#[tokio::test(start_paused = true)]
async fn a_restart_takes_the_last_token_up_until_it_is_to_be_replaced() {
    let start = UnixMs::new(1_000_000);
    let minutes = |count: u64| start.plus(DurationMs::from_seconds(60 * count));
    let disk = Arc::new(MemoryStore::new(MemoryOptions::new(Arc::new(move || start))));
    let press = Press::default();
    let first = process(&disk, &press, start);
    assert_eq!(text(&first.get().await), "bearer 1");
    let second = process(&disk, &press, minutes(10));
    let token = second.get().await.expect("kept");
    assert!(token.authorization.is_sensitive());
    assert_eq!((token.authorization.as_bytes(), second.counts()), (&b"bearer 1"[..], (0, 0)));
    assert_eq!(text(&second.renew(&token).await), "bearer 1", "too young, also when it is refused");
    let third = process(&disk, &press, minutes(30));
    let refused = third.get().await.expect("kept");
    assert_eq!(text(&third.renew(&refused).await), "bearer 2");
    assert_eq!(text(&process(&disk, &press, minutes(40)).get().await), "bearer 2", "kept in its place");
    assert_eq!(text(&process(&disk, &press, minutes(80)).get().await), "bearer 3");
}
