//! Restoring a backup, and the operator's word that it may be served.
//!
//! A backup does not know what came after it: phones that were removed since are live in it again. So a restored
//! database is marked, all phones that are live in it are listed in the mark, and `serve` refuses it until an operator
//! has looked through the list, named those to be removed again, and confirmed.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tocsin_model::{
    AuditActor, AuditEvent, AuditKind, Device, DeviceId, DeviceStatus, Enrollment, EnrollmentState,
    FailureReason, State, UnixMs,
};
use tocsin_storage::rocks::RocksStore;
use tocsin_storage::{Store, StoreError};

use super::make::{copy_private, sync_folder, write_private};
use super::manifest::verify;
use super::{BackupError, DATABASE, UNRESTORED};
use crate::door::rfc3339;

/// The mark of a restored database in the data folder.
const MARK: &str = "restored.json";

/// Only the server's user may look into the data folder.
const FOLDER_MODE: u32 = 0o700;

/// Open transactions that are read at once.
const TRANSACTIONS_PER_PAGE: usize = 1_000;

/// What an operator must look through before a restored database is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// When the backup was made; whatever was removed later is live again.
    pub(crate) backup_made_at: String,
    /// When it was restored.
    pub(crate) restored_at: String,
    /// Every phone that is not revoked in the backup; `None` until the restore is through.
    pub(crate) devices: Option<Vec<LiveDevice>>,
}

/// A phone that is live again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LiveDevice {
    device_id: String,
    user: String,
    realm: String,
    app: String,
    status: String,
    created_at: String,
    last_used_at: String,
}

/// What a restore did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Open transactions that ended as `failed/restored`.
    pub(crate) transactions: usize,
    /// Open enrolments that ended as `failed`.
    pub(crate) enrollments: usize,
    /// Phones that are live again.
    pub(crate) devices: usize,
}

/// Copies the backup into the data folder, which must have no database, and makes it fit for a confirmation.
/// `open` opens the database of the data folder.
pub(crate) async fn restore(
    backup: &Path,
    data: &Path,
    now: UnixMs,
    open: impl FnOnce() -> Result<RocksStore, StoreError>,
) -> Result<Restored, BackupError> {
    let manifest = verify(backup)?;
    for name in [DATABASE, MARK].into_iter().chain([super::SERVER_KEYS]) {
        if data.join(name).exists() {
            let text = format!("{} exists; move the old data away first", data.join(name).display());
            return Err(BackupError::Refused(text));
        }
    }
    // The mark comes first, so that a restore that breaks off is not served either.
    make_folder(data)?;
    let mark = Mark { backup_made_at: manifest.made_at, restored_at: rfc3339(now), devices: None };
    write_mark(data, &mark)?;
    for name in manifest.files.keys().filter(|name| *name != UNRESTORED) {
        let target = data.join(name);
        make_folder(target.parent().unwrap_or(data))?;
        copy_private(&backup.join(name), &target)?;
    }
    sync_folder(data)?;
    let store = open()?;
    let transactions = end_transactions(&store, now).await?;
    let enrollments = end_enrollments(&store).await?;
    let devices = live_devices(&store).await?;
    let restored = Restored { transactions, enrollments, devices: devices.len() };
    let event = AuditEvent::new(AuditKind::Restored, AuditActor::Console);
    store.note(event.detail(&format!("backup of {}", mark.backup_made_at))).await?;
    store.close()?;
    write_mark(data, &Mark { devices: Some(devices), ..mark })?;
    Ok(restored)
}

fn make_folder(folder: &Path) -> Result<(), BackupError> {
    DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).map_err(BackupError::io(folder))
}

fn write_mark(data: &Path, mark: &Mark) -> Result<(), BackupError> {
    let text = serde_json::to_vec_pretty(mark).map_err(|error| BackupError::Refused(error.to_string()))?;
    let (path, new) = (data.join(MARK), data.join(format!("{MARK}.new")));
    if new.exists() {
        fs::remove_file(&new).map_err(BackupError::io(&new))?;
    }
    write_private(&new, &text)?;
    fs::rename(&new, &path).map_err(BackupError::io(&path))?;
    sync_folder(data)
}

async fn end_transactions(store: &RocksStore, now: UnixMs) -> Result<usize, BackupError> {
    let (mut ended, mut after) = (0, None);
    loop {
        let page = store.open_transactions(after, TRANSACTIONS_PER_PAGE).await?;
        for mut transaction in page.transactions {
            transaction.state = State::Failed(FailureReason::Restored);
            transaction.revision = transaction.revision_after_a_gap(now);
            transaction.ended_at = Some(now);
            let _ = store.end(transaction).await?;
            ended += 1;
        }
        match page.next {
            Some(next) => after = Some(next),
            None => return Ok(ended),
        }
    }
}

async fn end_enrollments(store: &RocksStore) -> Result<usize, BackupError> {
    let (mut ended, mut after) = (0, None);
    loop {
        let (ids, next) = store.enrollment_ids(after)?;
        for id in ids {
            let is_open = |enrollment: &Enrollment| match enrollment.state {
                EnrollmentState::Pending | EnrollmentState::Unconfirmed { .. } => true,
                EnrollmentState::Completed { .. } | EnrollmentState::Failed => false,
            };
            if store.enrollment(id).await?.is_some_and(|enrollment| is_open(&enrollment)) {
                let _ = store.cancel_enrollment(id).await?;
                ended += 1;
            }
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(ended),
        }
    }
}

async fn live_devices(store: &RocksStore) -> Result<Vec<LiveDevice>, BackupError> {
    let (mut live, mut after) = (Vec::new(), None);
    loop {
        let (ids, next) = store.device_ids(after)?;
        for id in ids {
            let device = store.device(id).await?.filter(|device| device.status != DeviceStatus::Revoked);
            live.extend(device.as_ref().map(LiveDevice::of));
        }
        match next {
            Some(next) => after = Some(next),
            None => return Ok(live),
        }
    }
}

impl LiveDevice {
    fn of(device: &Device) -> Self {
        Self {
            device_id: device.id.to_string(),
            user: device.user.id.as_str().to_owned(),
            realm: device.user.realm.to_string(),
            app: device.app.to_string(),
            status: device.status.as_str().to_owned(),
            created_at: rfc3339(device.created_at),
            last_used_at: rfc3339(device.last_used_at),
        }
    }
}

/// Why a restored database may not be served yet, if so.
pub(crate) fn refuse_unconfirmed(data: &Path) -> Result<(), String> {
    let copied = data.join(UNRESTORED);
    if copied.exists() {
        return Err(format!(
            "{}: this is the database of a backup, in which phones are live that may have been removed since; bring \
             it back by `tocsin restore`",
            copied.display()
        ));
    }
    let path = data.join(MARK);
    if !path.exists() {
        return Ok(());
    }
    confirmable(&path).map_err(|error| error.to_string())?;
    Err(format!(
        "the database was restored from a backup, in which phones are live that may have been removed since; look \
         through {}, and run `tocsin restore --confirm`, with `--revoke FILE` for those to be removed again",
        path.display()
    ))
}

/// The phones that are listed in a mark. Without its list nobody could tell which phones are live again.
fn confirmable(path: &Path) -> Result<Vec<LiveDevice>, BackupError> {
    let text = fs::read(path).map_err(BackupError::io(path))?;
    let unreadable = |error| BackupError::Refused(format!("{}: {error}", path.display()));
    let mark: Mark = serde_json::from_slice(&text).map_err(unreadable)?;
    let broke_off = || {
        let folder = path.parent().unwrap_or(path).display();
        BackupError::Refused(format!("the restore broke off; empty {folder} and restore again"))
    };
    mark.devices.ok_or_else(broke_off)
}

/// Removes the phones whose ids stand in `revoke`, one a line, and the mark; answers with how many were removed and
/// how many stay live. An id that is none of a phone in the backup is refused before anything is changed.
pub(crate) async fn confirm(
    data: &Path,
    revoke: Option<&Path>,
    now: UnixMs,
    open: impl FnOnce() -> Result<RocksStore, StoreError>,
) -> Result<(usize, usize), BackupError> {
    let path = data.join(MARK);
    if !path.exists() {
        let text = format!("nothing waits for a confirmation: there is no {}", path.display());
        return Err(BackupError::Refused(text));
    }
    let listed = confirmable(&path)?;
    let ids = revoke.map(read_ids).transpose()?.unwrap_or_default();
    let store = open()?;
    let live = live_of(&store, &ids).await?;
    for id in &live {
        let _ = store.revoke_device(*id, AuditActor::Console, now).await?;
    }
    let removed: BTreeSet<String> = ids.iter().map(DeviceId::to_string).collect();
    let stay = listed.iter().filter(|device| !removed.contains(&device.device_id)).count();
    let event = AuditEvent::new(AuditKind::Restored, AuditActor::Console);
    let told = format!("confirmed: {} devices removed, {stay} live", live.len());
    store.note(event.detail(&told)).await?;
    store.close()?;
    fs::remove_file(&path).map_err(BackupError::io(&path))?;
    sync_folder(data)?;
    Ok((live.len(), stay))
}

/// Those of the named phones that are live; one that was revoked before the backup needs nothing.
async fn live_of(store: &RocksStore, ids: &BTreeSet<DeviceId>) -> Result<Vec<DeviceId>, BackupError> {
    let (mut live, mut unknown) = (Vec::new(), Vec::new());
    for id in ids {
        match store.device(*id).await? {
            Some(device) if device.status == DeviceStatus::Revoked => {}
            Some(_) => live.push(*id),
            None => unknown.push(format!("{id}: no phone of the backup has this id; nothing was changed")),
        }
    }
    if unknown.is_empty() { Ok(live) } else { Err(BackupError::Refused(unknown.join("\n"))) }
}

fn read_ids(path: &Path) -> Result<BTreeSet<DeviceId>, BackupError> {
    let text = fs::read_to_string(path).map_err(BackupError::io(path))?;
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
    let written = lines.filter(|(_, line)| !line.is_empty());
    let parsed = written.map(|(number, line)| {
        let refused = |_| BackupError::Refused(format!("{}:{number}: is no device id", path.display()));
        line.parse().map_err(refused)
    });
    parsed.collect()
}

/// Where a backup goes that is asked for at the ops door.
pub(crate) fn folder_for(data: &Path, now: UnixMs) -> PathBuf {
    data.join("backups").join(rfc3339(now).replace(':', "-"))
}
