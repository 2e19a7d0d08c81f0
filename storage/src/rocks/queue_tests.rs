use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::*;
use crate::record::tests::transaction;
use crate::verb::audit::AuditHead;

const SUBMITTERS: usize = 4;
const EACH: usize = 5_000;

fn queue() -> Queue {
    Queue::new(1_000_000, Desk::new(0), Pen { audit_head: AuditHead::default() })
}

fn submit(queue: &Queue, count: usize) {
    for _ in 0..count {
        queue.sweep(Key::transactions(), Key::transactions());
    }
}

fn pen_of(next: Next) -> Pen {
    match next {
        Next::Write(pen) => pen,
        Next::Decide | Next::Stop => panic!("the pen was to be had"),
    }
}

/// Takes whatever comes, as a writer does, and counts it.
fn work(queue: &Queue, written: &AtomicUsize) {
    let mut taken = Vec::new();
    while let Some(desk) = queue.sit_down(&mut taken) {
        let mut decided = 0;
        let pen = loop {
            decided += taken.drain(..).count();
            match queue.next(decided, true, &mut taken) {
                Next::Decide => {}
                Next::Write(pen) => break pen,
                Next::Stop => return,
            }
        };
        queue.stand_up(desk);
        thread::yield_now();
        queue.give_back(pen);
        written.fetch_add(decided, Ordering::SeqCst);
    }
}

#[test]
fn a_second_writer_gets_up_for_much_and_not_for_little() {
    let queue = queue();
    let mut taken = Vec::new();
    submit(&queue, 1);
    let desk = queue.sit_down(&mut taken).expect("a desk");
    let pen = pen_of(queue.next(taken.len(), true, &mut taken));
    queue.stand_up(desk);
    submit(&queue, AHEAD_MIN - 1);
    assert!(!queue.state().has_work(), "the one that writes will come back for so little");
    submit(&queue, 1);
    assert!(queue.state().has_work(), "so much is decided while the first is written");
    queue.give_back(pen);
    assert!(queue.state().has_work());
}

#[test]
fn a_writer_is_called_where_none_is_up_and_only_once() {
    let queue = queue();
    submit(&queue, 1);
    assert_eq!(queue.state().called, 0, "both will look here before they sleep");
    queue.state().asleep = 1;
    submit(&queue, 1);
    assert_eq!(queue.state().called, 0, "the other will");
    queue.state().asleep = WRITERS;
    submit(&queue, 1);
    assert_eq!(queue.state().called, 1);
    submit(&queue, 1);
    assert_eq!(queue.state().called, 1, "the one that is called will look at this too");
}

#[test]
fn a_mark_calls_a_writer_only_where_no_other_waits() {
    let queue = queue();
    queue.state().asleep = WRITERS;
    let mark = || Verb::unawaited_mark(Box::new(transaction()));
    assert!(queue.submit(mark()).is_ok());
    assert_eq!(queue.state().called, 1, "somebody has to know when it is due");

    let mut taken = Vec::new();
    let mut desk = queue.sit_down(&mut taken).expect("a desk");
    desk.board(Box::new(transaction()));
    queue.stand_up(desk);
    queue.state().called = 0;
    assert!(queue.submit(mark()).is_ok());
    assert_eq!(queue.state().called, 0, "it rides with the other");
    queue.sweep(Key::transactions(), Key::transactions());
    assert_eq!(queue.state().called, 1, "this is no mark");
}

#[test]
fn a_writer_that_waits_for_the_pen_is_woken_for_much_that_it_has_room_for() {
    let is_left_asleep = |waiting, has_room| {
        let queue = queue();
        (queue.state().is_pen_awaited, queue.state().has_room) = (true, has_room);
        submit(&queue, waiting);
        let state = queue.state();
        state.is_pen_awaited
    };
    assert!(is_left_asleep(TAKEN_MAX - 1, true));
    assert!(!is_left_asleep(TAKEN_MAX, true));
    assert!(is_left_asleep(TAKEN_MAX, false));
}

#[test]
fn nobody_shows_life_for_one_that_hangs_at_the_desk() {
    let queue = queue();
    submit(&queue, 1);
    let mut taken = Vec::new();
    let desk = queue.sit_down(&mut taken).expect("a desk");
    let seen_at = queue.state().seen_at;
    queue.state().show_life();
    assert_eq!(queue.state().seen_at, seen_at);
    queue.stand_up(desk);
    queue.state().show_life();
    assert!(queue.state().seen_at > seen_at);
}

#[test]
fn whatever_is_submitted_is_written() {
    let (queue, written) = (queue(), AtomicUsize::new(0));
    let submitted = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| work(&queue, &written));
        }
        let submitters: Vec<_> = (0..SUBMITTERS)
            .map(|number| {
                let (queue, written, submitted) = (&queue, &written, &submitted);
                scope.spawn(move || {
                    for count in 0..EACH {
                        submit(queue, 1);
                        let before = submitted.fetch_add(1, Ordering::SeqCst);
                        // Now and then all is to be written, so that the writers fall asleep.
                        while count % (50 + number) == 0 && written.load(Ordering::SeqCst) <= before {
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        submitters.into_iter().for_each(|submitter| submitter.join().expect("a submitter"));
        queue.close();
    });
    assert_eq!(written.load(Ordering::SeqCst), SUBMITTERS * EACH);
}
