//! The lines that a child writes, each with one write(2).

use std::fmt;
use std::str::FromStr;

use tocsin_model::TransactionId;

/// What a child says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// It is about to open the database.
    Opening,
    /// The database is open, and RocksDB has counted this many syncs of the log.
    Opened(u64),
    /// A verb was acknowledged.
    Acknowledged(TransactionId, Verdict),
    /// A callback is about to be settled as delivered.
    Settling(TransactionId),
    /// That was acknowledged.
    Settled(TransactionId),
    /// A verb failed with this kind of error.
    Failed(String),
    /// All work is done, and RocksDB has counted this many syncs of the log.
    Done(u64),
}

/// What was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A create.
    Created,
    /// A wrong try, and how many tries are left.
    Tried(u32),
    /// A wrong PIN of a device, whose id stands in the place of a transaction's, and how many there were in a row.
    PinTried(u32),
    /// A final state, and how many tries are left.
    Ended(String, u32),
}

impl fmt::Display for Line {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening => formatter.write_str("opening"),
            Self::Opened(syncs) => write!(formatter, "opened {syncs}"),
            Self::Acknowledged(id, Verdict::Created) => write!(formatter, "created {id}"),
            Self::Acknowledged(id, Verdict::Tried(left)) => write!(formatter, "tried {id} {left}"),
            Self::Acknowledged(id, Verdict::PinTried(used)) => write!(formatter, "pin {id} {used}"),
            Self::Acknowledged(id, Verdict::Ended(state, left)) => {
                write!(formatter, "ended {id} {state} {left}")
            }
            Self::Settling(id) => write!(formatter, "settling {id}"),
            Self::Settled(id) => write!(formatter, "settled {id}"),
            Self::Failed(kind) => write!(formatter, "failed {kind}"),
            Self::Done(syncs) => write!(formatter, "done {syncs}"),
        }
    }
}

impl FromStr for Line {
    type Err = ();

    /// Lines of the test harness around the child are no lines of it.
    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(' ').collect();
        let id = |word: &str| word.parse::<TransactionId>().map_err(drop);
        let number = |word: &str| word.parse::<u32>().map_err(drop);
        Ok(match words.as_slice() {
            ["opening"] => Self::Opening,
            ["opened", syncs] => Self::Opened(syncs.parse().map_err(drop)?),
            ["created", word] => Self::Acknowledged(id(word)?, Verdict::Created),
            ["tried", word, left] => Self::Acknowledged(id(word)?, Verdict::Tried(number(left)?)),
            ["pin", word, used] => Self::Acknowledged(id(word)?, Verdict::PinTried(number(used)?)),
            ["ended", word, state, left] => {
                Self::Acknowledged(id(word)?, Verdict::Ended((*state).to_owned(), number(left)?))
            }
            ["settling", word] => Self::Settling(id(word)?),
            ["settled", word] => Self::Settled(id(word)?),
            ["failed", kind] => Self::Failed((*kind).to_owned()),
            ["done", syncs] => Self::Done(syncs.parse().map_err(drop)?),
            _ => return Err(()),
        })
    }
}
