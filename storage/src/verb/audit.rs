//! The audit trail: extended by each group, listed, checked and cut.
//!
//! Invariants: rows are numbered without gaps, and each holds the hash of all before it; only the committing of a
//! group extends the trail, so that a row is stored if and only if the change that it tells is; only a whole
//! prefix is ever cut, and a row of the trail itself tells where.

use tocsin_model::{AuditActor, AuditEvent, AuditHash, AuditKind, AuditRow, UnixMs};

use super::batch::Batch;
use super::group::Told;
use super::rows::{RowFault, RowResult};
use super::table::{Table, corrupt};
#[cfg(feature = "rocks")]
use crate::StoreError;
use crate::envelope::Expiry;
use crate::key::Key;
use crate::record::{self, AuditPlaceRecord, AuditRecord, Malformed};
use crate::store::{
    AuditChecked, AuditCheckpoint, AuditCut, AuditFault, AuditPage, AuditQuery, AuditSummary,
};

/// The place of the last row.
pub(crate) type AuditHead = AuditPlaceRecord;

/// What a row takes about, when it is judged whether a group has room for more.
pub(crate) const ROW_BYTES_GUESSED: usize = 256;

/// Rows that one cut removes.
const ROWS_PER_CUT_MAX: usize = 10_000;

/// Rows that one page of a list looks at, whether they are wanted or not.
const ROWS_PER_LIST_MAX: u64 = 20_000;

/// Rows that one page of a check looks at.
const ROWS_PER_CHECK_MAX: usize = 10_000;

/// Rows that are read at once.
const ROWS_PER_READ: u64 = 500;

/// The rows behind `head` for what was told, with that of the trail's end, and the new end.
pub(crate) fn extend(head: AuditHead, told: &Told) -> (Vec<(Key, Vec<u8>)>, AuditHead) {
    let mut last = head;
    let mut rows = Vec::with_capacity(told.events.len() + 1);
    // The trail's time never runs back, so that it can be searched; a clock may.
    let at = told.now.max(UnixMs::new(head.at_ms));
    for (event, pseudonym) in &told.events {
        let number = last.number + 1;
        let row = AuditRecord::chained(&last, number, at, event, *pseudonym);
        last = AuditPlaceRecord { number, hash: row.hash, at_ms: at.get() };
        rows.push((Key::audit(number), record::to_row(Expiry::Never, &row)));
    }
    if last != head {
        rows.push((Key::audit_head(), record::to_row(Expiry::Never, &last)));
    }
    (rows, last)
}

/// Where the stored trail ends. A trail without its end is damaged: going on would hide what is missing.
pub(crate) fn head(table: &Table<'_>) -> RowResult<AuditHead> {
    if let Some(head) = table.record(&Key::audit_head())? {
        return Ok(head);
    }
    if table.audit_rows(0, 1)?.is_empty() {
        return Ok(AuditPlaceRecord::START);
    }
    let what = "the audit trail has rows, but the record of its end is gone";
    Err(RowFault::Failed(corrupt(&Key::audit_head(), what)))
}

/// The last row that was cut.
fn anchor(table: &Table<'_>) -> RowResult<AuditPlaceRecord> {
    Ok(table.record(&Key::audit_anchor())?.unwrap_or(AuditPlaceRecord::START))
}

/// Removes the oldest rows, as far as they were stored before `before`, and says so in the trail.
pub(crate) fn cut(table: &Table<'_>, before: UnixMs, batch: &mut Batch) -> RowResult<AuditCut> {
    let mut last = None;
    let mut cut = 0;
    let anchor = anchor(table)?;
    for (number, row) in table.audit_rows(anchor.number, ROWS_PER_CUT_MAX)? {
        let place = place_of(&row, number)?;
        if place.at_ms >= before.get() {
            break;
        }
        batch.delete(Key::audit(number));
        cut += 1;
        last = Some(place);
    }
    if let Some(last) = last {
        batch.put(Key::audit_anchor(), Expiry::Never, &last);
        batch.audit(AuditEvent::new(AuditKind::TrailCut, AuditActor::Server).detail(&cut_detail(&last)));
    }
    Ok(AuditCut { cut, more: cut == ROWS_PER_CUT_MAX })
}

fn cut_detail(last: &AuditPlaceRecord) -> String {
    format!("{} {}", last.number, AuditHash::from_bytes(last.hash))
}

fn place_of(row: &AuditRecord, number: u64) -> RowResult<AuditPlaceRecord> {
    row.place(number).map_err(|Malformed(what)| RowFault::Failed(corrupt(&Key::audit(number), what)))
}

/// The rows that `query` asks for, newest first.
pub(crate) fn list(table: &Table<'_>, query: &AuditQuery) -> RowResult<AuditPage> {
    let first = anchor(table)?.number + 1;
    let last = head(table)?.number;
    let oldest = match query.from {
        Some(from) => first_not_before(table, from, first, last)?,
        None => first,
    };
    let mut newest = last;
    if let Some(to) = query.to {
        newest = newest.min(first_not_before(table, to, first, last)? - 1);
    }
    if let Some(before) = query.before {
        newest = newest.min(before.saturating_sub(1));
    }
    // Asked for by name, rows are compared by the pseudonym that it has now.
    let known = query.user.as_ref().map(|user| table.user(user)).transpose()?.flatten();
    let known = known.and_then(|row| row.pseudonym);
    let floor = oldest.max(newest.saturating_sub(ROWS_PER_LIST_MAX - 1));
    let mut page = AuditPage::default();
    while newest >= floor && newest > 0 {
        let from = floor.max(newest.saturating_sub(ROWS_PER_READ - 1));
        let count = usize::try_from(newest - from + 1).unwrap_or(usize::MAX);
        for (number, row) in table.audit_rows(from - 1, count)?.into_iter().rev() {
            let row = model_of(row, number)?;
            if !query.wants(&row, known) {
                continue;
            }
            page.rows.push(with_name(table, row)?);
            if page.rows.len() >= query.limit.max(1) {
                page.next = (number > oldest).then_some(number);
                return Ok(page);
            }
        }
        newest = from - 1;
    }
    page.next = (floor > oldest).then_some(floor);
    Ok(page)
}

/// The row with the user whom its pseudonym leads to.
fn with_name(table: &Table<'_>, mut row: AuditRow) -> RowResult<AuditRow> {
    if let Some(pseudonym) = &row.pseudonym {
        row.event.user = table.named_by(pseudonym)?;
    }
    Ok(row)
}

fn model_of(row: AuditRecord, number: u64) -> RowResult<AuditRow> {
    row.into_model(number).map_err(|Malformed(what)| RowFault::Failed(corrupt(&Key::audit(number), what)))
}

/// The number of the first row that was stored at `moment` or later; one behind the last when there is none.
fn first_not_before(table: &Table<'_>, moment: UnixMs, first: u64, last: u64) -> RowResult<u64> {
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let found = table.audit_rows(middle - 1, 1)?;
        let at_ms = match found.into_iter().next() {
            Some((number, row)) => place_of(&row, number)?.at_ms,
            None => u64::MAX,
        };
        if at_ms < moment.get() { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Checks the rows behind `checkpoint`.
pub(crate) fn check(table: &Table<'_>, checkpoint: &AuditCheckpoint) -> RowResult<AuditChecked> {
    // The order matters beside a running writer: whatever the anchor and the head tell is there when rows are read.
    let anchor = anchor(table)?;
    let head = match head(table) {
        Ok(head) => head,
        Err(RowFault::Failed(error)) => return Ok(broken(0, &error.to_string())),
        Err(fault) => return Err(fault),
    };
    let begun = match checkpoint.last {
        Some(last) if last.number >= anchor.number => Walk { last, ..Walk::from(checkpoint, anchor) },
        Some(_) | None => Walk { last: anchor, cut: None, first: anchor.number + 1 },
    };
    let walked = walk(table, begun, head)?;
    match walked {
        Ok(walk) if walk.last.number < head.number => Ok(AuditChecked::More(walk.checkpoint())),
        Ok(walk) => Ok(walk.conclude(table, anchor, head)?),
        // A cut in the midst of this page moves the beginning; then it is asked again from there.
        Err(_) if self::anchor(table)? != anchor => Ok(AuditChecked::More(AuditCheckpoint::default())),
        Err(fault) => Ok(AuditChecked::Broken(fault)),
    }
}

/// How far a check has come.
struct Walk {
    last: AuditPlaceRecord,
    /// What the last row that tells of a cut says.
    cut: Option<Box<str>>,
    first: u64,
}

impl Walk {
    fn from(checkpoint: &AuditCheckpoint, anchor: AuditPlaceRecord) -> Self {
        Self { last: anchor, cut: checkpoint.cut.clone(), first: checkpoint.first }
    }

    fn checkpoint(self) -> AuditCheckpoint {
        AuditCheckpoint { last: Some(self.last), cut: self.cut, first: self.first }
    }

    /// The ends of the trail must be what its rows say.
    fn conclude(
        self,
        table: &Table<'_>,
        anchor: AuditPlaceRecord,
        head: AuditHead,
    ) -> RowResult<AuditChecked> {
        if self.last != head {
            return Ok(broken(head.number, "the record of the trail's end is not that of the last row"));
        }
        let told =
            |anchor: &AuditPlaceRecord| (anchor.number > 0).then(|| cut_detail(anchor).into_boxed_str());
        if self.cut != told(&anchor) && self.cut != told(&self::anchor(table)?) {
            return Ok(broken(
                self.first,
                "rows before this one are gone, and no row of the trail tells of a cut here",
            ));
        }
        let rows = head.number + 1 - self.first;
        Ok(AuditChecked::Sound(AuditSummary {
            first: self.first,
            last: head.number,
            rows,
            hash: AuditHash::from_bytes(head.hash),
        }))
    }
}

fn walk(table: &Table<'_>, mut walk: Walk, head: AuditHead) -> RowResult<Result<Walk, AuditFault>> {
    let rows = match table.audit_rows(walk.last.number, ROWS_PER_CHECK_MAX) {
        Ok(rows) => rows,
        Err(RowFault::Failed(error)) => return Ok(Err(fault(walk.last.number + 1, &error.to_string()))),
        Err(fault) => return Err(fault),
    };
    let reached = rows.len() < ROWS_PER_CHECK_MAX;
    for (number, row) in rows {
        if number > head.number {
            // Stored after the head was read; or appended behind the true end by somebody else.
            return Ok(judge_newer(table, walk, number));
        }
        let expected = walk.last.number + 1;
        if number != expected {
            return Ok(Err(fault(expected, "the row is missing")));
        }
        if !row.is_chained(&walk.last.hash, number) {
            return Ok(Err(fault(
                number,
                "the row is not what was stored here: it, or one before it, was changed",
            )));
        }
        walk.last = match row.place(number) {
            Ok(place) => place,
            Err(Malformed(what)) => return Ok(Err(fault(number, what))),
        };
        if let Ok(AuditRow { event: AuditEvent { kind: AuditKind::TrailCut, detail, .. }, .. }) =
            row.into_model(number)
        {
            walk.cut = detail;
        }
    }
    if reached && walk.last.number < head.number {
        return Ok(Err(fault(walk.last.number + 1, "the row is missing, and so are all behind it")));
    }
    Ok(Ok(walk))
}

/// A row behind the head that was read is only right when the head has moved there meanwhile.
fn judge_newer(table: &Table<'_>, walk: Walk, number: u64) -> Result<Walk, AuditFault> {
    match head(table) {
        Ok(head) if head.number >= number => Ok(walk),
        Ok(_) | Err(_) => Err(fault(number, "the row stands behind the end of the trail")),
    }
}

fn fault(number: u64, what: &str) -> AuditFault {
    AuditFault { number, what: what.to_owned() }
}

fn broken(number: u64, what: &str) -> AuditChecked {
    AuditChecked::Broken(fault(number, what))
}

/// Reads the end of the trail when a store is opened.
#[cfg(feature = "rocks")]
pub(crate) fn stored_head(table: &Table<'_>) -> Result<AuditHead, StoreError> {
    head(table).map_err(StoreError::from)
}
