use tocsin_model::{CallbackPhase, CallbackUrl, State};

use super::*;

const BOUNDS: Bounds = Bounds { total_max: 8, per_host_max: 3 };
const NOW: UnixMs = UnixMs::new(1_000);
const LATER: UnixMs = UnixMs::new(2_000);

fn host(number: u8) -> CallbackHost {
    CallbackHost::from_bytes([number; 8])
}

fn id(number: u8) -> TransactionId {
    TransactionId::from_bytes([number; 16])
}

fn callback(number: u8) -> Callback {
    Callback {
        transaction_id: id(number),
        client: "portal".parse().expect("valid"),
        url: CallbackUrl::parse("https://a.example/").expect("valid"),
        state: State::Accepted,
        owed_at: NOW,
        tries: 0,
        last_fault: None,
        phase: CallbackPhase::Owed { next_try_at: NOW },
    }
}

fn due(numbers: &[u8], next_try_at: Option<UnixMs>) -> DueCallbacks {
    DueCallbacks { callbacks: numbers.iter().copied().map(callback).collect(), next_try_at }
}

fn tried(found: Vec<Callback>) -> Vec<TransactionId> {
    found.iter().map(|callback| callback.transaction_id).collect()
}

/// Hosts that are read at once, with the rows asked for.
fn looks(outbox: &mut Outbox) -> Vec<(CallbackHost, usize)> {
    std::iter::from_fn(|| outbox.next(NOW, BOUNDS)).map(|look| (look.host, look.limit)).collect()
}

#[test]
fn a_host_is_read_when_something_is_due_and_not_before() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), LATER);
    assert_eq!((outbox.next(NOW, BOUNDS), outbox.wake_at(NOW)), (None, Some(LATER)));
    assert_eq!(outbox.next(LATER, BOUNDS), Some(Look { host: host(1), limit: 3 }));
    assert_eq!((outbox.next(LATER, BOUNDS), outbox.wake_at(NOW)), (None, None));
    assert_eq!(tried(outbox.read(host(1), due(&[1], None), LATER)), [id(1)]);
    outbox.ended(host(1), id(1), true, None);
    assert_eq!((outbox.taken, outbox.hosts.len(), outbox.ready.len()), (0, 0, 0));
}

#[test]
fn a_host_has_no_more_tries_than_it_may() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    assert_eq!(outbox.read(host(1), due(&[1, 2, 3], Some(NOW)), NOW).len(), 3);
    assert_eq!(outbox.next(NOW, BOUNDS), None);
    outbox.ended(host(1), id(2), true, None);
    // The two in flight still stand in front.
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    assert_eq!(tried(outbox.read(host(1), due(&[1, 3, 4], Some(NOW)), NOW)), [id(4)]);
}

#[test]
fn all_hosts_together_have_no_more_tries_than_all_may() {
    let mut outbox = Outbox::default();
    (1..=4).for_each(|number| outbox.owed(host(number), NOW));
    assert_eq!(looks(&mut outbox), [(host(1), 3), (host(2), 3), (host(3), 2)]);
    outbox.read(host(1), due(&[], None), NOW);
    assert_eq!(looks(&mut outbox), [(host(4), 3)]);
}

#[test]
fn a_host_with_a_long_list_stands_behind_the_others_again() {
    let mut outbox = Outbox::default();
    let bounds = Bounds { total_max: 3, per_host_max: 3 };
    let (old, now) = (UnixMs::new(10), UnixMs::new(1_500));
    outbox.owed(host(1), old);
    outbox.owed(host(2), NOW);
    assert_eq!(outbox.next(now, bounds).map(|look| look.host), Some(host(1)));
    outbox.read(host(1), due(&[1, 2, 3], Some(old)), now);
    (1..=3).for_each(|number| outbox.ended(host(1), id(number), true, None));
    assert_eq!(outbox.next(now, bounds).map(|look| look.host), Some(host(2)));
}

#[test]
fn a_host_that_cannot_be_reached_gets_one_try_at_a_time() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW);
    looks(&mut outbox);
    outbox.read(host(1), due(&[1], Some(NOW)), NOW);
    outbox.ended(host(1), id(1), false, Some(LATER));
    assert_eq!(looks(&mut outbox), [(host(1), 1)]);
    outbox.read(host(1), due(&[2], Some(NOW)), NOW);
    assert_eq!(outbox.next(NOW, BOUNDS), None);
    outbox.ended(host(1), id(2), true, None);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
}

#[test]
fn hosts_that_cannot_be_reached_leave_half_to_the_others() {
    let mut outbox = Outbox::default();
    for number in 1..=6 {
        outbox.owed(host(number), NOW);
        let look = outbox.next(NOW, BOUNDS).expect("room");
        assert_eq!(look.host, host(number));
        outbox.read(look.host, due(&[number], Some(LATER)), NOW);
        outbox.ended(look.host, id(number), false, None);
    }
    assert_eq!(std::iter::from_fn(|| outbox.next(LATER, BOUNDS)).count(), 4);
    outbox.owed(host(9), LATER);
    assert_eq!(outbox.next(LATER, BOUNDS), Some(Look { host: host(9), limit: 3 }));
}

#[test]
fn what_was_settled_while_its_host_was_read_is_not_tried_again() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW);
    looks(&mut outbox);
    outbox.read(host(1), due(&[1], Some(NOW)), NOW);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    outbox.ended(host(1), id(1), true, None);
    assert_eq!(tried(outbox.read(host(1), due(&[1, 2], None), NOW)), [id(2)]);
}

#[test]
fn what_becomes_owed_while_its_host_is_read_is_read_again() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW);
    looks(&mut outbox);
    outbox.owed(host(1), NOW);
    assert_eq!(outbox.read(host(1), due(&[], None), NOW).len(), 0);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
}

#[test]
fn a_failed_look_is_repeated_and_gives_its_places_back() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW);
    looks(&mut outbox);
    outbox.unread(host(1), LATER);
    assert_eq!((outbox.taken, outbox.wake_at(NOW)), (0, Some(LATER)));
}

#[test]
fn the_table_of_hosts_is_bounded() {
    let mut outbox = Outbox::default();
    for number in 0..HOSTS_MAX as u64 + 5 {
        outbox.owed(CallbackHost::from_bytes(number.to_be_bytes()), LATER);
    }
    assert_eq!(outbox.hosts.len(), HOSTS_MAX);
}
