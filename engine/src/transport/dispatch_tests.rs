use super::*;

type Core = Dispatch<(), u32>;

const BOUNDS: Bounds = Bounds { connections_max: 2, queue_max: 3 };

struct Fixture {
    core: Core,
    start: Instant,
    next_waiter: u32,
}

impl Fixture {
    fn new(bounds: Bounds) -> Self {
        Self { core: Core::new(bounds), start: Instant::now(), next_waiter: 0 }
    }

    fn at(&self, milliseconds: u64) -> Instant {
        self.start + Duration::from_millis(milliseconds)
    }

    /// A request now with five seconds of time.
    fn request(&mut self) -> Admission<()> {
        self.request_avoiding(None)
    }

    fn request_avoiding(&mut self, avoid: Option<ConnectionNumber>) -> Admission<()> {
        let (now, deadline) = (self.at(0), self.at(5_000));
        self.next_waiter += 1;
        let waiter = self.next_waiter;
        self.core.request(now, deadline, avoid, || waiter)
    }

    fn step_open(&mut self, milliseconds: u64) -> ConnectionNumber {
        match self.core.next_step(self.at(milliseconds)) {
            Step::Open(number, _) => number,
            other => panic!("no connection is opened but {other:?}"),
        }
    }

    fn open(&mut self, milliseconds: u64, limit: usize) -> (ConnectionNumber, Vec<u32>) {
        let number = self.step_open(milliseconds);
        let granted = self.core.opened(self.at(milliseconds), number, (), limit);
        (number, waiters(granted))
    }
}

fn waiters(grants: Vec<Grant<(), u32>>) -> Vec<u32> {
    grants.into_iter().map(|grant| grant.waiter).collect()
}

fn number_of(admission: Admission<()>) -> ConnectionNumber {
    match admission {
        Admission::Granted(permit) => permit.number,
        other => panic!("not granted but {other:?}"),
    }
}

#[test]
fn no_connection_is_opened_before_it_is_wanted() {
    let mut fixture = Fixture::new(BOUNDS);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Idle);
    fixture.core.keep_one_open();
    fixture.open(0, 1);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Idle);
}

#[test]
fn the_first_request_goes_alone_until_the_limit_rises() {
    let mut fixture = Fixture::new(BOUNDS);
    for _ in 0..3 {
        assert!(matches!(fixture.request(), Admission::Waiting(_)));
    }
    let (number, granted) = fixture.open(0, 1);
    assert_eq!(granted, [1]);
    assert_eq!(waiters(fixture.core.limit_changed(number, 1_000)), [2, 3]);
    assert_eq!(fixture.core.streams(), (3, 1_000));
}

#[test]
fn a_full_queue_is_busy_at_once() {
    let mut fixture = Fixture::new(BOUNDS);
    for _ in 0..3 {
        fixture.request();
    }
    assert_eq!(fixture.request(), Admission::Busy);
    assert_eq!(fixture.core.waiting(), 3);
}

#[test]
fn one_who_gives_up_makes_room_in_the_queue() {
    let mut fixture = Fixture::new(Bounds { connections_max: 1, queue_max: 1 });
    let Admission::Waiting(ticket) = fixture.request() else { panic!("not waiting") };
    assert!(!fixture.core.leave(ticket));
    assert!(matches!(fixture.request(), Admission::Waiting(_)));
}

#[test]
fn a_second_connection_waits_for_the_first_to_warm_up() {
    let mut fixture = Fixture::new(BOUNDS);
    let (first, _) = {
        fixture.request();
        fixture.open(0, 1)
    };
    fixture.request();
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Until(fixture.at(1_000)));
    let second = fixture.step_open(1_000);
    assert_ne!(first, second);
}

#[test]
fn a_second_connection_is_opened_when_a_warm_one_is_full() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.request();
    let (first, _) = fixture.open(0, 1);
    fixture.core.answered(first);
    fixture.request();
    let (_, granted) = fixture.open(0, 1);
    assert_eq!(granted, [2]);
    fixture.request();
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Idle, "two is the most");
}

#[test]
fn one_connection_is_opened_at_a_time() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.request();
    fixture.request();
    fixture.step_open(0);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Idle);
}

#[test]
fn failed_attempts_are_spaced_by_a_growing_wait() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    fixture.step_open(0);
    fixture.core.connect_failed(fixture.at(0), 0.0);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Until(fixture.at(1_000)));
    fixture.step_open(1_000);
    fixture.core.connect_failed(fixture.at(1_000), 0.0);
    assert_eq!(fixture.core.next_step(fixture.at(1_000)), Step::Until(fixture.at(3_000)));
}

#[test]
fn those_who_cannot_wait_for_the_next_attempt_are_told_at_once() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.request();
    for _ in 0..3 {
        fixture.step_open(60_000);
        assert!(
            fixture.core.connect_failed(fixture.at(0), 0.0).1.is_empty(),
            "up to four seconds are bearable"
        );
    }
    fixture.step_open(60_000);
    assert_eq!(fixture.core.connect_failed(fixture.at(0), 0.0).1, [1], "eight are not");
    assert_eq!(fixture.request(), Admission::Unavailable);
}

#[test]
fn a_connection_that_closes_without_an_answer_counts_as_a_fault() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    let (number, _) = fixture.open(0, 1);
    fixture.core.removed(fixture.at(0), number, 0.0);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::Until(fixture.at(1_000)));
}

#[test]
fn a_connection_that_answered_is_replaced_at_once_and_elsewhere() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    let address = SocketAddr::from(([192, 0, 2, 1], 443));
    let (number, _) = fixture.open(0, 1);
    fixture.core.answered(number);
    fixture.core.went_away(address);
    fixture.core.removed(fixture.at(0), number, 0.0);
    assert!(
        matches!(fixture.core.next_step(fixture.at(0)), Step::Open(_, Some(avoided)) if avoided == address)
    );
}

#[test]
fn a_stream_that_ends_on_a_removed_connection_frees_nothing() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.request();
    let (number, _) = fixture.open(0, 1);
    fixture.core.removed(fixture.at(0), number, 0.0);
    fixture.request();
    assert!(fixture.core.ended(number).is_empty());
    assert_eq!(fixture.core.waiting(), 1);
}

#[test]
fn a_doubted_connection_gets_no_new_stream_until_it_is_trusted() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    let (number, _) = fixture.open(0, 10);
    fixture.core.doubt(number);
    assert!(matches!(fixture.request(), Admission::Waiting(_)));
    assert!(
        matches!(fixture.core.next_step(fixture.at(0)), Step::Open(..)),
        "another one is opened meanwhile"
    );
    assert_eq!(waiters(fixture.core.trust(number)), [1]);
}

#[test]
fn a_repetition_goes_to_another_connection() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    let (first, _) = fixture.open(0, 10);
    assert!(matches!(fixture.request_avoiding(Some(first)), Admission::Waiting(_)));
    assert_eq!(number_of(fixture.request()), first, "others are not held up");
    let (second, granted) = fixture.open(0, 10);
    assert_eq!(granted, [1]);
    assert_eq!(number_of(fixture.request_avoiding(Some(first))), second);
}

#[test]
fn a_repetition_takes_the_same_connection_when_there_can_be_no_other() {
    let mut fixture = Fixture::new(Bounds { connections_max: 1, queue_max: 3 });
    fixture.core.keep_one_open();
    let (only, _) = fixture.open(0, 10);
    assert_eq!(number_of(fixture.request_avoiding(Some(only))), only);

    let mut fixture = Fixture::new(BOUNDS);
    fixture.core.keep_one_open();
    let (first, _) = fixture.open(0, 10);
    fixture.request_avoiding(Some(first));
    fixture.step_open(0);
    let (granted, _) = fixture.core.connect_failed(fixture.at(0), 0.0);
    assert_eq!(waiters(granted), [1], "the other could not be made");
}

#[test]
fn a_closed_pool_refuses_and_tells_all_who_wait() {
    let mut fixture = Fixture::new(BOUNDS);
    fixture.request();
    fixture.request();
    assert_eq!(fixture.core.close(), [1, 2]);
    assert_eq!(fixture.request(), Admission::Closed);
    assert_eq!(fixture.core.next_step(fixture.at(0)), Step::End);
}

mod any_order {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Event {
        Request,
        Open(usize),
        Limit(usize),
        End,
        Remove,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            4 => Just(Event::Request),
            1 => (0..4_usize).prop_map(Event::Open),
            2 => (0..6_usize).prop_map(Event::Limit),
            4 => Just(Event::End),
            1 => Just(Event::Remove),
        ]
    }

    proptest! {
        #[test]
        fn no_stream_opens_above_the_limit_and_nobody_waits_beside_a_free_permit(
            events in prop::collection::vec(event(), 1..120),
        ) {
            let mut fixture = Fixture::new(Bounds { connections_max: 1, queue_max: 8 });
            let (mut current, mut limit, mut in_flight) = (None, 0_usize, 0_usize);
            for event in events {
                let granted = match event {
                    Event::Request => usize::from(matches!(fixture.request(), Admission::Granted(_))),
                    Event::Open(first) => match fixture.core.next_step(fixture.at(600_000)) {
                        Step::Open(number, _) => {
                            (current, limit, in_flight) = (Some(number), first, 0);
                            fixture.core.opened(fixture.at(0), number, (), first).len()
                        }
                        _ => 0,
                    },
                    Event::Limit(new) => match current {
                        Some(number) => {
                            limit = new;
                            fixture.core.limit_changed(number, new).len()
                        }
                        None => 0,
                    },
                    Event::End => match current {
                        Some(number) if in_flight > 0 => {
                            in_flight -= 1;
                            fixture.core.ended(number).len()
                        }
                        _ => 0,
                    },
                    Event::Remove => {
                        if let Some(number) = current.take() {
                            fixture.core.removed(fixture.at(0), number, 0.0);
                            (limit, in_flight) = (0, 0);
                        }
                        0
                    }
                };
                let before = in_flight;
                in_flight += granted;
                prop_assert!(granted == 0 || in_flight <= limit, "{before} + {granted} above {limit}");
                prop_assert!(fixture.core.waiting() == 0 || in_flight >= limit, "a permit lies idle");
                prop_assert_eq!(fixture.core.streams(), (in_flight, limit));
            }
        }
    }
}
