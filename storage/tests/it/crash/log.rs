//! The shim's log: which record of the write-ahead log was with the kernel when, which sync covers it, and which
//! acknowledgement came behind that.

use std::collections::HashMap;

use tocsin_model::TransactionId;

use super::line::Line;
use super::promise::Promises;

/// The write-ahead log's block, and the header of each piece of a record in it.
const BLOCK_BYTES: usize = 32_768;
const HEADER_BYTES: usize = 7;

/// How the key of a transaction's record begins; its id follows.
const RECORD_KEY: [u8; 2] = [0x01, 0x01];
/// The same of a device.
const DEVICE_KEY: [u8; 2] = [0x04, 0x01];

/// Where in the shim's log something stands.
type Moment = usize;

/// A batch in the write-ahead log.
struct Record {
    payload: Vec<u8>,
    file: String,
    /// When its last byte was with the kernel.
    written: Moment,
}

/// A sync of a file that went well: it covers what was written before it began.
struct Sync {
    file: String,
    began: Moment,
    ended: Moment,
}

/// Everything that a child did, in order.
pub struct Log {
    records: Vec<Record>,
    syncs: Vec<Sync>,
    said: Vec<(Moment, Line)>,
    pub failed_syncs: usize,
}

/// What stands between the write of an acknowledged verb and its acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// A whole sync.
    Synced,
    /// The write only.
    Written,
    /// Not even that.
    Nothing,
}

/// The bytes of one file, and up to where each write brought it.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
    writes: Vec<(usize, Moment)>,
}

impl Log {
    /// Reads the shim's log.
    pub fn parse(text: &str) -> Self {
        let mut log = Self { records: vec![], syncs: vec![], said: vec![], failed_syncs: 0 };
        let mut streams: HashMap<String, Stream> = HashMap::new();
        let mut began: HashMap<String, Moment> = HashMap::new();
        for (moment, line) in text.lines().enumerate() {
            match line.split(' ').collect::<Vec<_>>().as_slice() {
                ["W", file, hex] => streams.entry((*file).to_owned()).or_default().append(hex, moment),
                ["B", file] => drop(began.insert((*file).to_owned(), moment)),
                ["S", file, "0"] => {
                    let began = began.remove(*file).expect("a sync that ended began");
                    log.syncs.push(Sync { file: (*file).to_owned(), began, ended: moment });
                }
                ["S", ..] => log.failed_syncs += 1,
                ["A", ..] => log.said.extend(line[2..].parse().map(|said| (moment, said))),
                _ => {}
            }
        }
        for (file, stream) in streams {
            let records = stream.records().into_iter();
            log.records.extend(records.map(|(payload, written)| Record {
                payload,
                file: file.clone(),
                written,
            }));
        }
        log
    }

    /// What covers each acknowledgement. A worker asks for one thing at a time, so what was acknowledged was
    /// written after the id's acknowledgement before: an older record proves nothing. A mark, which nobody
    /// acknowledges, has a key of another kind.
    pub fn covers(&self) -> Vec<Cover> {
        let mut records: HashMap<TransactionId, Vec<&Record>> = HashMap::new();
        for record in &self.records {
            for window in record.payload.windows(RECORD_KEY.len() + 16) {
                let id = window.strip_prefix(&RECORD_KEY).or_else(|| window.strip_prefix(&DEVICE_KEY));
                if let Some(id) = id.and_then(|id| id.try_into().ok()) {
                    records.entry(TransactionId::from_bytes(id)).or_default().push(record);
                }
            }
        }
        let none = Vec::new();
        let mut acknowledged_before: HashMap<TransactionId, Moment> = HashMap::new();
        let cover = |(moment, id): (Moment, TransactionId)| {
            let before = acknowledged_before.insert(id, moment);
            let with_id = records.get(&id).unwrap_or(&none).iter();
            let new = with_id.filter(|record| before < Some(record.written) && record.written < moment);
            let last = new.max_by_key(|record| record.written);
            last.map_or(Cover::Nothing, |record| self.cover_of(record, moment))
        };
        self.acknowledged().map(cover).collect()
    }

    fn cover_of(&self, record: &Record, acknowledged: Moment) -> Cover {
        let covers = |sync: &Sync| {
            sync.file == record.file && record.written < sync.began && sync.ended < acknowledged
        };
        if self.syncs.iter().any(covers) { Cover::Synced } else { Cover::Written }
    }

    fn acknowledged(&self) -> impl Iterator<Item = (Moment, TransactionId)> {
        self.said.iter().filter_map(|(moment, line)| match line {
            Line::Acknowledged(id, _) => Some((*moment, *id)),
            Line::Opening
            | Line::Opened(_)
            | Line::Settling(_)
            | Line::Settled(_)
            | Line::Failed(_)
            | Line::Done(_) => None,
        })
    }

    /// Syncs of the work, as seen by the shim and as counted by RocksDB: between the opening and the end.
    pub fn syncs_seen_and_counted(&self) -> (u64, u64) {
        let find = |wanted: fn(&Line) -> Option<u64>| {
            let found =
                self.said.iter().find_map(|(moment, line)| wanted(line).map(|count| (*moment, count)));
            found.expect("the child said when it began and ended")
        };
        let (opened, before) = find(|line| if let Line::Opened(syncs) = line { Some(*syncs) } else { None });
        let (done, after) = find(|line| if let Line::Done(syncs) = line { Some(*syncs) } else { None });
        let seen = self.syncs.iter().filter(|sync| opened < sync.began && sync.ended < done).count();
        (u64::try_from(seen).expect("small"), after - before)
    }

    /// What the child said was acknowledged.
    pub fn promises(&self) -> Promises {
        let mut promises = Promises::default();
        self.said.iter().for_each(|(_, line)| promises.note(line.clone()));
        promises
    }

    /// What the child said failed.
    pub fn failures(&self) -> Vec<&str> {
        self.said
            .iter()
            .filter_map(|(_, line)| if let Line::Failed(kind) = line { Some(kind.as_str()) } else { None })
            .collect()
    }
}

impl Stream {
    fn append(&mut self, hex: &str, moment: Moment) {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        for pair in hex.as_bytes().chunks_exact(2) {
            let high = digit(pair[0]).expect("a hexadecimal digit");
            let low = digit(pair[1]).expect("a hexadecimal digit");
            self.bytes.push(high << 4 | low);
        }
        self.writes.push((self.bytes.len(), moment));
    }

    /// The records, put together from their pieces, each with the moment of the write that brought its last byte.
    /// A piece is a checksum (4), a length (2), a type (1) and its bytes; none crosses a block's end.
    fn records(&self) -> Vec<(Vec<u8>, Moment)> {
        const FULL: u8 = 1;
        const FIRST: u8 = 2;
        const LAST: u8 = 4;
        let mut records = Vec::new();
        let mut payload = Vec::new();
        let mut at = 0;
        while at + HEADER_BYTES <= self.bytes.len() {
            let left_in_block = BLOCK_BYTES - at % BLOCK_BYTES;
            if left_in_block < HEADER_BYTES {
                at += left_in_block;
                continue;
            }
            let length = usize::from(u16::from_le_bytes([self.bytes[at + 4], self.bytes[at + 5]]));
            let kind = self.bytes[at + 6];
            let end = at + HEADER_BYTES + length;
            let Some(piece) = self.bytes.get(at + HEADER_BYTES..end) else { break };
            if kind == FULL || kind == FIRST {
                payload.clear();
            }
            payload.extend_from_slice(piece);
            if kind == FULL || kind == LAST {
                let (_, moment) =
                    self.writes.iter().find(|(upto, _)| end <= *upto).expect("its bytes were written");
                records.push((std::mem::take(&mut payload), *moment));
            }
            at = end;
        }
        records
    }
}

/// The watch itself is watched: a log in which an outcome was acknowledged before it was written.
mod tests {
    use super::*;

    fn id() -> TransactionId {
        TransactionId::from_bytes([7; 16])
    }

    /// A write of one whole record that holds this id's key, as the shim logs it.
    fn written() -> String {
        let payload = [&RECORD_KEY[..], id().as_bytes(), b"rest"].concat();
        let length = u8::try_from(payload.len()).expect("short");
        let record = [&[0, 0, 0, 0, length, 0, 1][..], &payload].concat();
        let hex: String = record.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("W log {hex}\n")
    }

    fn covers(text: &str) -> Vec<Cover> {
        Log::parse(text).covers()
    }

    #[test]
    fn an_outcome_that_leans_on_an_older_record_is_found_out() {
        let sync = "B log\nS log 0\n";
        let (created, ended) = (format!("A created {}\n", id()), format!("A ended {} accepted 3\n", id()));
        let honest = [&written(), sync, &created, &written(), sync, &ended].map(|part: &str| part).concat();
        assert_eq!(covers(&honest), [Cover::Synced, Cover::Synced]);
        let too_early =
            [&written(), sync, &created, &ended, &written(), sync].map(|part: &str| part).concat();
        assert_eq!(covers(&too_early), [Cover::Synced, Cover::Nothing]);
        let unsynced = [&written(), sync, &created, &written(), &ended, sync].map(|part: &str| part).concat();
        assert_eq!(covers(&unsynced), [Cover::Synced, Cover::Written]);
    }
}
