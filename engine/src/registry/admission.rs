//! Says busy before work exists: counts open transactions all together, by client and by user.
//!
//! The same books answer which transactions of a user are open, so that a phone can list them without a scan.
//! Each map is touched by one short call; no guard is kept over another look-up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use smallvec::SmallVec;
use tocsin_config::EngineLimits;
use tocsin_model::{ClientId, ErrorCode, Problem, Transaction, TransactionId, User};

/// A fast hash that is keyed anew in each process: portals name users, but nobody sees which of them meet.
type By<K, V> = DashMap<K, V, foldhash::quality::RandomState>;

/// Most users have one, which takes no memory of its own then.
type Ids = SmallVec<[TransactionId; 1]>;

/// The books of open transactions; clones share them.
#[derive(Clone, Debug)]
pub struct Admission(Arc<Books>);

#[derive(Debug)]
struct Books {
    in_flight_max: usize,
    per_client_max: usize,
    per_user_max: usize,
    in_flight: AtomicUsize,
    by_client: By<ClientId, usize>,
    by_user: By<User, Ids>,
}

/// A place among the open transactions, given back when dropped.
#[derive(Debug)]
pub struct Permit {
    books: Arc<Books>,
    client: ClientId,
    user: Option<User>,
    id: TransactionId,
}

/// A place among the open transactions of a claimer, given back when dropped.
#[derive(Debug)]
pub struct ClaimPlace {
    books: Arc<Books>,
    user: User,
    id: TransactionId,
}

impl Admission {
    /// Empty books with these bounds.
    pub fn new(limits: &EngineLimits) -> Self {
        Self(Arc::new(Books {
            in_flight_max: limits.transactions_in_flight_max,
            per_client_max: limits.transactions_per_client_max,
            per_user_max: limits.transactions_per_user_max,
            in_flight: AtomicUsize::new(0),
            by_client: By::default(),
            by_user: By::default(),
        }))
    }

    /// A place for a new transaction, or the bound that it met.
    pub fn admit(
        &self,
        id: TransactionId,
        client: &ClientId,
        user: Option<&User>,
    ) -> Result<Permit, Problem> {
        let permit = self.enter(id, client, user);
        let met = self.bound_met(client).or_else(|| self.bound_of_user_met(user?));
        met.map_or(Ok(permit), Err)
    }

    /// The same for one that cancels what it supersedes: no more than one for each app is open, so that the bound of
    /// its user, which a stranger may have filled, does not keep it out.
    pub fn admit_superseding(
        &self,
        id: TransactionId,
        client: &ClientId,
        user: Option<&User>,
    ) -> Result<Permit, Problem> {
        let permit = self.enter(id, client, user);
        self.bound_met(client).map_or(Ok(permit), Err)
    }

    /// Counts so many in that are open in the storage and not readmitted yet, so that their places are not given away.
    pub fn expect(&self, open: usize) {
        self.0.in_flight.fetch_add(open, Ordering::Relaxed);
    }

    /// One of them is readmitted, or has ended.
    pub fn no_longer_expect_one(&self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A place for a transaction that is stored already, whatever the bounds say.
    pub fn readmit(&self, transaction: &Transaction) -> Permit {
        self.enter(transaction.id, &transaction.client, transaction.user.as_ref())
    }

    /// A place among the open transactions of the user who is about to claim this one, or the bound that it met. It is
    /// kept until the transaction's own permit has entered it there.
    pub fn reserve_for_claimer(&self, id: TransactionId, user: &User) -> Result<ClaimPlace, Problem> {
        self.0.enter_of_user(user, id);
        let place = ClaimPlace { books: Arc::clone(&self.0), user: user.clone(), id };
        self.bound_of_user_met(user).map_or(Ok(place), Err)
    }

    /// The open transactions of a user, oldest first.
    pub fn open_of(&self, user: &User) -> Vec<TransactionId> {
        let mut open = self.0.by_user.get(user).map(|ids| ids.to_vec()).unwrap_or_default();
        // Ids begin with the time.
        open.sort_unstable();
        open
    }

    /// Open transactions, all together, those expected among them.
    pub fn in_flight(&self) -> usize {
        self.0.in_flight.load(Ordering::Relaxed)
    }

    /// Enters first and asks later: two callers at the bound may both be refused, never both let in.
    fn enter(&self, id: TransactionId, client: &ClientId, user: Option<&User>) -> Permit {
        let books = &self.0;
        books.in_flight.fetch_add(1, Ordering::Relaxed);
        *books.by_client.entry(client.clone()).or_default() += 1;
        let mut permit = Permit { books: Arc::clone(books), client: client.clone(), user: None, id };
        if let Some(user) = user {
            permit.belong_to(user);
        }
        permit
    }

    fn bound_met(&self, client: &ClientId) -> Option<Problem> {
        let books = &self.0;
        if books.in_flight.load(Ordering::Relaxed) > books.in_flight_max {
            return Some(Problem::new(ErrorCode::Busy, "too many transactions are open; try again shortly"));
        }
        let of_client = books.by_client.get(client).map_or(0, |count| *count);
        if of_client > books.per_client_max {
            return Some(Problem::new(ErrorCode::RateLimited, "too many open transactions of this client"));
        }
        None
    }

    fn bound_of_user_met(&self, user: &User) -> Option<Problem> {
        (self.0.open_of(user) > self.0.per_user_max)
            .then(|| Problem::new(ErrorCode::RateLimited, "too many open transactions of this user"))
    }
}

impl Permit {
    /// How many transactions of its user are open, this one included.
    pub fn open_of_its_user(&self) -> usize {
        self.user.as_ref().map_or(0, |user| self.books.open_of(user))
    }

    /// Enters it among those of this user, unless it has one.
    pub fn belong_to(&mut self, user: &User) {
        if self.user.is_none() {
            self.books.enter_of_user(user, self.id);
            self.user = Some(user.clone());
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let books = &self.books;
        books.in_flight.fetch_sub(1, Ordering::Relaxed);
        books.by_client.remove_if_mut(&self.client, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        if let Some(user) = &self.user {
            books.leave_user(user, self.id);
        }
    }
}

impl Drop for ClaimPlace {
    fn drop(&mut self) {
        self.books.leave_user(&self.user, self.id);
    }
}

impl Books {
    fn open_of(&self, user: &User) -> usize {
        self.by_user.get(user).map_or(0, |ids| ids.len())
    }

    fn enter_of_user(&self, user: &User, id: TransactionId) {
        self.by_user.entry(user.clone()).or_default().push(id);
    }

    fn leave_user(&self, user: &User, id: TransactionId) {
        self.by_user.remove_if_mut(user, |_, ids| {
            // One entry for one place: two revivals, or a claim and its transaction, may have entered it twice.
            if let Some(index) = ids.iter().position(|known| *known == id) {
                ids.remove(index);
            }
            ids.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tocsin_model::{Partition, UnixMs, UserId, UserIdRule};

    fn admission(all: usize, client: usize, user: usize) -> Admission {
        let limits = EngineLimits {
            transactions_in_flight_max: all,
            transactions_per_client_max: client,
            transactions_per_user_max: user,
            ..crate::testing::engine_limits()
        };
        Admission::new(&limits)
    }

    fn id(number: u8) -> TransactionId {
        TransactionId::compose(UnixMs::new(1), Partition::default(), [number; 16])
    }

    fn user(id: &str) -> User {
        let id = UserId::new(id, UserIdRule::Exact).expect("valid");
        User { realm: "retail".parse().expect("valid"), id }
    }

    fn client(name: &str) -> ClientId {
        name.parse().expect("valid")
    }

    #[test]
    fn each_bound_refuses_the_one_beyond_it_and_a_dropped_permit_makes_room() {
        let cases = [
            (admission(1, 9, 9), ErrorCode::Busy),
            (admission(9, 1, 9), ErrorCode::RateLimited),
            (admission(9, 9, 1), ErrorCode::RateLimited),
        ];
        for (admission, code) in cases {
            let first =
                admission.admit(id(1), &client("portal"), Some(&user("alice"))).expect("room for one");
            let refused =
                admission.admit(id(2), &client("portal"), Some(&user("alice"))).expect_err("no room for two");
            assert_eq!(refused.code, code);
            drop(first);
            assert!(admission.admit(id(3), &client("portal"), Some(&user("alice"))).is_ok(), "{code}");
        }
    }

    #[test]
    fn what_supersedes_is_held_to_every_bound_but_its_users() {
        let alice = &user("alice");
        for (all, of_client, is_let_in) in [(9, 9, true), (1, 9, false), (9, 1, false)] {
            let admission = admission(all, of_client, 1);
            let _open = admission.admit(id(1), &client("portal"), Some(alice)).expect("room for one");
            assert!(admission.admit(id(2), &client("portal"), Some(alice)).is_err());
            let superseding = admission.admit_superseding(id(3), &client("portal"), Some(alice));
            assert_eq!(superseding.is_ok(), is_let_in);
            assert_eq!(admission.open_of(alice).len(), 1 + usize::from(is_let_in));
        }
    }

    #[test]
    fn a_permit_counts_what_is_open_of_its_user_alone() {
        let admission = admission(9, 9, 9);
        let first = admission.admit(id(1), &client("portal"), Some(&user("alice"))).expect("room");
        let _other = admission.admit(id(2), &client("portal"), Some(&user("bob"))).expect("room");
        assert_eq!(first.open_of_its_user(), 1);
        let second = admission.admit(id(3), &client("shop"), Some(&user("alice"))).expect("room");
        assert_eq!((first.open_of_its_user(), second.open_of_its_user()), (2, 2));
        drop(first);
        assert_eq!(second.open_of_its_user(), 1);
    }

    #[test]
    fn what_nobody_has_claimed_counts_against_the_client_and_then_against_its_claimer() {
        let admission = admission(9, 2, 1);
        let mut claimed = admission.admit(id(1), &client("portal"), None).expect("room");
        let _unclaimed = admission.admit(id(2), &client("portal"), None).expect("room");
        let refused = admission.admit(id(3), &client("portal"), None).expect_err("the client's bound");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(claimed.open_of_its_user(), 0);
        claimed.belong_to(&user("alice"));
        claimed.belong_to(&user("bob"));
        assert_eq!((claimed.open_of_its_user(), admission.open_of(&user("bob"))), (1, Vec::new()));
        assert!(admission.admit(id(4), &client("shop"), Some(&user("alice"))).is_err(), "her bound");
        drop(claimed);
        assert!(admission.open_of(&user("alice")).is_empty());
    }

    #[test]
    fn a_claimers_bound_refuses_the_claim_beyond_it_and_a_claim_that_came_to_nothing_leaves_no_trace() {
        let admission = admission(9, 9, 1);
        let place = admission.reserve_for_claimer(id(1), &user("alice")).expect("room for one");
        let refused = admission.reserve_for_claimer(id(2), &user("alice")).expect_err("no room for two");
        assert_eq!(refused.code, ErrorCode::RateLimited);
        assert_eq!(admission.open_of(&user("alice")), vec![id(1)]);
        drop(place);
        assert!(admission.open_of(&user("alice")).is_empty());
    }

    #[test]
    fn a_surplus_permit_takes_only_its_own_entry_along() {
        let admission = admission(9, 9, 9);
        let _kept = admission.admit(id(1), &client("portal"), Some(&user("alice"))).expect("room");
        drop(admission.admit(id(1), &client("portal"), Some(&user("alice"))).expect("room"));
        assert_eq!(admission.open_of(&user("alice")), vec![id(1)]);
    }

    #[test]
    fn what_is_expected_back_keeps_its_place() {
        let admission = admission(2, 9, 9);
        admission.expect(2);
        let refused = admission.admit(id(1), &client("portal"), Some(&user("alice"))).expect_err("no room");
        assert_eq!((refused.code, admission.in_flight()), (ErrorCode::Busy, 2));
        admission.no_longer_expect_one();
        assert!(admission.admit(id(2), &client("portal"), Some(&user("alice"))).is_ok());
    }

    #[test]
    fn a_refused_caller_leaves_no_trace() {
        let admission = admission(1, 9, 9);
        let _held = admission.admit(id(1), &client("portal"), Some(&user("alice")));
        assert!(admission.admit(id(2), &client("portal"), Some(&user("bob"))).is_err());
        assert_eq!(admission.in_flight(), 1);
        assert!(admission.open_of(&user("bob")).is_empty());
        assert_eq!(admission.open_of(&user("alice")), vec![id(1)]);
    }
}
