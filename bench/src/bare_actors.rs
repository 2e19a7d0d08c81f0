//! The bare library: one actix actor with a timer for each create, spawned, asked once and stopped.

use std::time::Duration;

use actix::prelude::*;
use actix_rt::{Arbiter, SystemRunner};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

/// The deadline that each waits for.
const DEADLINE: Duration = Duration::from_secs(600);

/// A system with one thread of actors.
pub struct BareActors {
    arbiter: Arbiter,
    system: SystemRunner,
    kept: Vec<Addr<Bare>>,
}

/// An actor that holds next to nothing.
struct Bare {
    number: u64,
}

impl Actor for Bare {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_later(DEADLINE, |_, context| context.stop());
    }
}

#[derive(Message)]
#[rtype(result = "u64")]
struct Ask;

#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

impl Handler<Ask> for Bare {
    type Result = u64;

    fn handle(&mut self, _: Ask, _: &mut Self::Context) -> u64 {
        self.number
    }
}

impl Handler<Stop> for Bare {
    type Result = ();

    fn handle(&mut self, _: Stop, context: &mut Self::Context) {
        context.stop();
    }
}

impl BareActors {
    /// A fresh system.
    pub fn start() -> Self {
        let system = System::new();
        let arbiter = system.block_on(async { Arbiter::new() });
        Self { arbiter, system, kept: Vec::new() }
    }

    /// Spawns so many, `waiting` at a time, each asked once and then stopped.
    pub fn spawn_ask_stop(&mut self, count: u64, waiting: u64) {
        let arbiter = self.arbiter.handle();
        let life = |number| {
            let address = Bare::start_in_arbiter(&arbiter, move |_| Bare { number });
            async move {
                assert_eq!(address.send(Ask).await.expect("it lives"), number);
                address.send(Stop).await.expect("it lives");
            }
        };
        self.system.block_on(async {
            let mut numbers = 0..count;
            let mut flying: FuturesUnordered<_> =
                numbers.by_ref().take(usize::try_from(waiting).unwrap_or(usize::MAX)).map(life).collect();
            while flying.next().await.is_some() {
                flying.extend(numbers.next().map(life));
            }
        });
    }

    /// Spawns so many that stay, each asked once.
    pub fn spawn(&mut self, count: u64) {
        let arbiter = self.arbiter.handle();
        let addresses: Vec<_> =
            (0..count).map(|number| Bare::start_in_arbiter(&arbiter, move |_| Bare { number })).collect();
        self.system.block_on(async {
            for address in &addresses {
                address.send(Ask).await.expect("it lives");
            }
        });
        self.kept.extend(addresses);
    }
}
