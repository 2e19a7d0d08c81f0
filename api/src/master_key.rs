//! Master keys, fetched once at the start from where the configuration says.
//!
//! What a file, variable or program gives is read into memory that is wiped, and stands in no log and no error.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tocsin_config::{Config, MasterKeySource};
use tocsin_model::MasterKeyName;
use tocsin_storage::{MasterKey, SealError, Sealer};
use zeroize::Zeroizing;

/// How long a program may take, its end included.
const COMMAND_DEADLINE: Duration = Duration::from_secs(10);
/// How often an ended program is looked for, once it has written its key.
const COMMAND_POLL: Duration = Duration::from_millis(5);
/// The most that is read of a file or program, in bytes; a key in any form is far shorter.
const TEXT_BYTES_MAX: usize = 4_096;
/// Permission bits that a key's file must not have: anything for group and others.
const MODE_FORBIDDEN: u32 = 0o077;
/// Permission bits one of which a program has.
const MODE_RUN: u32 = 0o111;

/// Why the master keys could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MasterKeyError {
    #[error("[master_keys.{name}]: {fault}")]
    One { name: MasterKeyName, fault: Fault },
    #[error("[master_keys]: {0}")]
    Together(#[from] SealError),
}

/// What is wrong with one of them. None of these holds what was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{path}: {source}", path = path.display())]
    File { path: std::path::PathBuf, source: io::Error },
    #[error("others than its owner may use {path} (mode {mode:03o}); if nobody has read it, run chmod 600 on it", path = path.display())]
    TooOpen { path: std::path::PathBuf, mode: u32 },
    #[error("the environment variable {0} is not set, or is not text")]
    NoVariable(String),
    #[error("{path} is no program that can be run", path = path.display())]
    NoProgram { path: std::path::PathBuf },
    #[error("the command cannot be run: {0}")]
    NoCommand(io::Error),
    #[error("the command did not end within {} seconds", COMMAND_DEADLINE.as_secs())]
    Late,
    #[error("the command failed: {0}")]
    Failed(std::process::ExitStatus),
    #[error("what was read is no key: it must be 64 hex digits, or 32 bytes in base64")]
    NoKey,
}

/// What seals rows, if there is a master key.
pub(crate) fn sealer(config: &Config) -> Result<Option<Arc<Sealer>>, MasterKeyError> {
    let (mut sealing, mut older) = (None, Vec::new());
    for (name, setting) in &config.master_keys {
        let key =
            fetch(&setting.source).map_err(|fault| MasterKeyError::One { name: name.clone(), fault })?;
        if setting.old { older.push(key) } else { sealing = Some(key) }
    }
    let Some(sealing) = sealing else { return Ok(None) };
    Ok(Some(Arc::new(Sealer::new(sealing, older)?)))
}

/// What is wrong with the keys as far as can be told without running a program.
pub(crate) fn check(config: &Config) -> Vec<MasterKeyError> {
    let fault_of = |source: &MasterKeySource| match source {
        MasterKeySource::File(_) | MasterKeySource::Environment(_) => fetch(source).err(),
        MasterKeySource::Command(words) => look_for(words.first()?).err(),
    };
    let faults = config.master_keys.iter();
    faults
        .filter_map(|(name, setting)| Some((name.clone(), fault_of(&setting.source)?)))
        .map(|(name, fault)| MasterKeyError::One { name, fault })
        .collect()
}

/// A program that is named by its path is there and can be run; others are looked up when they are run.
fn look_for(program: &str) -> Result<(), Fault> {
    let path = Path::new(program);
    if !program.contains('/') {
        return Ok(());
    }
    let metadata = path.metadata().map_err(|source| Fault::File { path: path.to_owned(), source })?;
    if metadata.is_file() && metadata.permissions().mode() & MODE_RUN != 0 {
        return Ok(());
    }
    Err(Fault::NoProgram { path: path.to_owned() })
}

fn fetch(source: &MasterKeySource) -> Result<MasterKey, Fault> {
    let text = match source {
        MasterKeySource::File(path) => read_file(path)?,
        MasterKeySource::Environment(variable) => std::env::var(variable)
            .map(|text| Zeroizing::new(text.into_bytes()))
            .map_err(|_| Fault::NoVariable(variable.clone()))?,
        MasterKeySource::Command(words) => run(words, COMMAND_DEADLINE)?,
    };
    parse(&text).map(|bytes| MasterKey::new(&bytes)).ok_or(Fault::NoKey)
}

fn read_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let failed = |source| Fault::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    // The opened file is asked, not the path, so that what is checked is what is read.
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o777;
    if mode & MODE_FORBIDDEN != 0 {
        return Err(Fault::TooOpen { path: path.to_owned(), mode });
    }
    read_all(file).map_err(failed)
}

/// The buffer never grows, so that no growing leaves a copy behind.
fn read_all(source: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(TEXT_BYTES_MAX + 1));
    source.take(TEXT_BYTES_MAX as u64).read_to_end(&mut text)?;
    Ok(text)
}

/// Runs the program and takes what it writes to standard output. Its standard error is not taken: it may hold
/// anything.
fn run(words: &[String], allowed: Duration) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let deadline = Instant::now() + allowed;
    let (program, arguments) = words.split_first().ok_or(Fault::NoKey)?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(Fault::NoCommand)?;
    let written = match child.stdout.take() {
        Some(output) => read_until(output, deadline),
        None => Err(Fault::NoCommand(io::ErrorKind::BrokenPipe.into())),
    };
    let ended = written.and_then(|text| end_by(&mut child, deadline).map(|()| text));
    if ended.is_err() {
        // It may have ended already; there is nothing left to do about it.
        let _ = child.kill();
        let _ = child.wait();
    }
    ended
}

/// A thread of its own reads, since a pipe cannot be waited for with a deadline. It ends with the program.
fn read_until(output: ChildStdout, deadline: Instant) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let (sender, receiver) = sync_channel(1);
    std::thread::Builder::new()
        .name("tocsin-master-key".to_owned())
        .spawn(move || drop(sender.send(read_all(output))))
        .map_err(Fault::NoCommand)?;
    match receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        Ok(read) => read.map_err(Fault::NoCommand),
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Fault::Late),
    }
}

fn end_by(child: &mut Child, deadline: Instant) -> Result<(), Fault> {
    loop {
        match child.try_wait().map_err(Fault::NoCommand)? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(Fault::Failed(status)),
            None if Instant::now() >= deadline => return Err(Fault::Late),
            None => std::thread::sleep(COMMAND_POLL),
        }
    }
}

/// 64 hex digits, or 32 bytes in base64 with padding; white space around it is no part of it.
fn parse(text: &[u8]) -> Option<Zeroizing<[u8; 32]>> {
    let text = text.trim_ascii();
    let mut key = Zeroizing::new([0; 32]);
    if text.len() == 64 {
        for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            *byte = u8::try_from(digit(0)? * 16 + digit(1)?).ok()?;
        }
        return Some(key);
    }
    let decoded = Zeroizing::new(STANDARD.decode(text).ok()?);
    key.copy_from_slice(decoded.get(..32).filter(|_| decoded.len() == 32)?);
    Some(key)
}

#[cfg(test)]
#[path = "master_key_tests.rs"]
mod tests;
