use tocsin_model::{CallbackFault, CallbackUrl, State};

use super::super::line::HOSTS_PER_CLIENT_MAX;
use super::*;

const BOUNDS: Bounds = Bounds { total_max: 8, per_host_max: 3 };
const NOW: UnixMs = UnixMs::new(1_000);
const LATER: UnixMs = UnixMs::new(2_000);

fn host(number: u8) -> CallbackHost {
    host_of(1, number.into())
}

fn host_of(client: u8, number: u64) -> CallbackHost {
    let mut bytes = [client; 16];
    bytes[8..].copy_from_slice(&number.to_be_bytes());
    CallbackHost::from_bytes(bytes)
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
    outbox.owed(host(1), LATER, NOW);
    assert_eq!((outbox.next(NOW, BOUNDS), outbox.wake_at(NOW)), (None, Some(LATER)));
    assert_eq!(outbox.next(LATER, BOUNDS), Some(Look { host: host(1), from: LATER, limit: 3 }));
    assert_eq!((outbox.next(LATER, BOUNDS), outbox.wake_at(NOW)), (None, None));
    assert_eq!(tried(outbox.read(host(1), due(&[1], None), LATER, BOUNDS)), [id(1)]);
    outbox.ended(host(1), id(1), true, None);
    assert_eq!((outbox.taken, outbox.lines.len()), (0, 0));
}

#[test]
fn a_host_has_no_more_tries_than_it_may() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    assert_eq!(outbox.read(host(1), due(&[1, 2, 3], Some(NOW)), NOW, BOUNDS).len(), 3);
    assert_eq!(outbox.next(NOW, BOUNDS), None);
    outbox.ended(host(1), id(2), true, None);
    // The two in flight still stand in front.
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    assert_eq!(tried(outbox.read(host(1), due(&[1, 3, 4], Some(NOW)), NOW, BOUNDS)), [id(4)]);
}

#[test]
fn all_hosts_together_have_no_more_tries_than_all_may() {
    let mut outbox = Outbox::default();
    (1..=4).for_each(|number| outbox.owed(host(number), NOW, NOW));
    assert_eq!(looks(&mut outbox), [(host(1), 3), (host(2), 3), (host(3), 2)]);
    outbox.read(host(1), due(&[], None), NOW, BOUNDS);
    assert_eq!(looks(&mut outbox), [(host(4), 3)]);
}

#[test]
fn a_host_with_a_long_list_stands_behind_the_others_again() {
    let mut outbox = Outbox::default();
    let bounds = Bounds { total_max: 3, per_host_max: 3 };
    let (old, now) = (UnixMs::new(10), UnixMs::new(1_500));
    outbox.owed(host(1), old, NOW);
    outbox.owed(host(2), NOW, NOW);
    assert_eq!(outbox.next(now, bounds).map(|look| look.host), Some(host(1)));
    outbox.read(host(1), due(&[1, 2, 3], Some(old)), now, BOUNDS);
    (1..=3).for_each(|number| outbox.ended(host(1), id(number), true, None));
    assert_eq!(outbox.next(now, bounds).map(|look| look.host), Some(host(2)));
}

#[test]
fn a_host_that_cannot_be_reached_gets_one_try_at_a_time() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    looks(&mut outbox);
    outbox.read(host(1), due(&[1], Some(NOW)), NOW, BOUNDS);
    outbox.ended(host(1), id(1), false, Some(LATER));
    assert_eq!(looks(&mut outbox), [(host(1), 1)]);
    outbox.read(host(1), due(&[2], Some(NOW)), NOW, BOUNDS);
    assert_eq!(outbox.next(NOW, BOUNDS), None);
    outbox.ended(host(1), id(2), true, None);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
}

#[test]
fn hosts_that_cannot_be_reached_leave_half_to_the_others() {
    let mut outbox = Outbox::default();
    for number in 1..=6 {
        outbox.owed(host(number), NOW, NOW);
        let look = outbox.next(NOW, BOUNDS).expect("room");
        assert_eq!(look.host, host(number));
        outbox.read(look.host, due(&[number], Some(LATER)), NOW, BOUNDS);
        outbox.ended(look.host, id(number), false, None);
    }
    assert_eq!(std::iter::from_fn(|| outbox.next(LATER, BOUNDS)).count(), 4);
    outbox.owed(host(9), LATER, NOW);
    assert_eq!(outbox.next(LATER, BOUNDS), Some(Look { host: host(9), from: LATER, limit: 3 }));
}

#[test]
fn what_was_settled_while_its_host_was_read_is_not_tried_again() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    looks(&mut outbox);
    outbox.read(host(1), due(&[1], Some(NOW)), NOW, BOUNDS);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    outbox.ended(host(1), id(1), true, None);
    assert_eq!(tried(outbox.read(host(1), due(&[1, 2], None), NOW, BOUNDS)), [id(2)]);
}

#[test]
fn what_becomes_owed_while_its_host_is_read_is_read_again() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    looks(&mut outbox);
    outbox.owed(host(1), NOW, NOW);
    assert_eq!(outbox.read(host(1), due(&[], None), NOW, BOUNDS).len(), 0);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
}

#[test]
fn a_failed_look_is_repeated_and_gives_its_places_back() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    looks(&mut outbox);
    outbox.unread(host(1), LATER);
    assert_eq!((outbox.taken, outbox.wake_at(NOW)), (0, Some(LATER)));
}

/// A callback whose last try did not reach its host.
fn unreached(number: u8) -> DueCallbacks {
    let failed = Callback { tries: 1, last_fault: Some(CallbackFault::Connect), ..callback(number) };
    DueCallbacks { callbacks: vec![failed], next_try_at: None }
}

/// All hosts that a line has room for, each with something owed that could not be delivered, due `at`.
fn fill_with_unreached(outbox: &mut Outbox, at: UnixMs) {
    for number in 0..HOSTS_PER_CLIENT_MAX as u64 {
        let host = host_of(1, 1_000 + number);
        outbox.owed(host, NOW, NOW);
        let look = outbox.next(NOW, BOUNDS).expect("room");
        assert_eq!(look.host, host);
        assert_eq!(outbox.read(host, unreached(1), NOW, BOUNDS).len(), 1);
        outbox.ended(host, id(1), false, Some(at));
    }
    assert!(!outbox.take_misses());
}

#[test]
fn hosts_that_cannot_be_reached_take_no_room_from_one_that_may_be() {
    for at in [NOW, LATER] {
        let mut outbox = Outbox::default();
        fill_with_unreached(&mut outbox, at);
        outbox.owed(host(9), NOW, NOW);
        assert_eq!(outbox.next(NOW, BOUNDS).map(|look| look.host), Some(host(9)));
        assert!(outbox.take_misses(), "the one that made room is found by a walk");
        assert!(!outbox.take_misses());
    }
}

#[test]
fn a_full_line_keeps_those_that_are_due_first() {
    let mut outbox = Outbox::default();
    for number in 0..HOSTS_PER_CLIENT_MAX as u64 {
        outbox.owed(host_of(1, 1_000 + number), UnixMs::new(5_000 + number), NOW);
    }
    outbox.owed(host(1), UnixMs::new(9_000), NOW);
    outbox.owed(host(2), LATER, NOW);
    assert!(outbox.take_misses());
    let now = UnixMs::new(10_000);
    let bounds = Bounds { total_max: usize::MAX, per_host_max: 1 };
    let due: Vec<_> = std::iter::from_fn(|| outbox.next(now, bounds)).map(|look| look.host).collect();
    assert_eq!((due.len(), due[0]), (HOSTS_PER_CLIENT_MAX, host(2)));
    assert!(!due.contains(&host(1)), "it was due last");
    assert!(!due.contains(&host_of(1, 1_000 + HOSTS_PER_CLIENT_MAX as u64 - 1)), "it made room");
}

#[test]
fn no_host_with_a_try_in_flight_makes_room() {
    let mut outbox = Outbox::default();
    let bounds = Bounds { total_max: usize::MAX, per_host_max: 1 };
    for number in 0..HOSTS_PER_CLIENT_MAX as u64 {
        outbox.owed(host_of(1, 1_000 + number), NOW, NOW);
        let look = outbox.next(NOW, bounds).expect("room");
        outbox.read(look.host, due(&[1, 2], Some(LATER)), NOW, bounds);
    }
    outbox.owed(host(1), NOW, NOW);
    assert_eq!((outbox.next(NOW, bounds), outbox.take_misses()), (None, true));
}

#[test]
fn a_client_takes_no_room_from_another() {
    let mut outbox = Outbox::default();
    fill_with_unreached(&mut outbox, LATER);
    outbox.owed(host_of(2, 1), LATER, NOW);
    assert!(!outbox.take_misses());
    assert_eq!(outbox.next(LATER, BOUNDS).map(|look| look.host), Some(host_of(2, 1)));
}

#[test]
fn a_free_try_goes_to_the_client_with_the_fewest() {
    let mut outbox = Outbox::default();
    let bounds = Bounds { total_max: 6, per_host_max: 2 };
    (1..=4).for_each(|number| outbox.owed(host_of(1, number), UnixMs::new(number), NOW));
    outbox.owed(host_of(2, 1), NOW, NOW);
    let order: Vec<_> = std::iter::from_fn(|| outbox.next(NOW, bounds)).map(|look| look.host).collect();
    assert_eq!(order, [host_of(1, 1), host_of(2, 1), host_of(1, 2)]);
    outbox.read(host_of(1, 1), due(&[1], None), NOW, bounds);
    outbox.ended(host_of(1, 1), id(1), true, None);
    outbox.owed(host_of(2, 2), NOW, NOW);
    assert_eq!(
        outbox.next(NOW, bounds).map(|look| look.host),
        Some(host_of(1, 3)),
        "both have two, it waits longer"
    );
}

#[test]
fn a_host_that_was_not_reached_before_this_process_gets_one_try() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    assert_eq!(looks(&mut outbox), [(host(1), 3)]);
    let mut found = unreached(1);
    found.callbacks.extend([callback(2), callback(3)]);
    assert_eq!(tried(outbox.read(host(1), found, NOW, BOUNDS)), [id(1)]);
    assert_eq!((outbox.next(NOW, BOUNDS), outbox.taken_by_troubled), (None, 1));
}

#[test]
fn hosts_that_were_not_reached_before_this_process_leave_half_to_the_others() {
    let mut outbox = Outbox::default();
    let tries = (1..=6).map(|number| {
        outbox.owed(host(number), NOW, NOW);
        let look = outbox.next(NOW, BOUNDS).expect("room to look");
        outbox.read(look.host, unreached(number), NOW, BOUNDS).len()
    });
    assert_eq!(tries.collect::<Vec<_>>(), [1, 1, 1, 1, 0, 0]);
    outbox.ended(host(1), id(1), false, Some(LATER));
    assert_eq!(outbox.next(NOW, BOUNDS).map(|look| look.host), Some(host(5)));
}

#[test]
fn a_look_passes_by_what_was_delivered() {
    let mut outbox = Outbox::default();
    let from = |outbox: &mut Outbox| outbox.next(LATER, BOUNDS).map(|look| look.from);
    outbox.owed(host(1), NOW, NOW);
    assert_eq!(from(&mut outbox), Some(NOW));
    outbox.read(host(1), due(&[1], Some(LATER)), LATER, BOUNDS);
    outbox.ended(host(1), id(1), true, None);
    // The row of the first may still be there, as far as the table knows.
    assert_eq!(from(&mut outbox), Some(NOW));
    outbox.read(host(1), due(&[], Some(LATER)), LATER, BOUNDS);
    assert_eq!(from(&mut outbox), Some(LATER));
    // What is owed from an earlier time, and what came while the host was read.
    outbox.owed(host(1), UnixMs::new(1_500), LATER);
    outbox.read(host(1), due(&[], None), LATER, BOUNDS);
    assert_eq!(from(&mut outbox), Some(UnixMs::new(1_500)));
}

#[test]
fn what_could_not_be_settled_is_found_again() {
    let mut outbox = Outbox::default();
    outbox.owed(host(1), NOW, NOW);
    looks(&mut outbox);
    outbox.read(host(1), due(&[1], None), NOW, BOUNDS);
    // Its row still has the old time.
    outbox.ended(host(1), id(1), true, Some(LATER));
    assert_eq!(outbox.next(LATER, BOUNDS).map(|look| look.from), Some(NOW));
}
