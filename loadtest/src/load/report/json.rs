//! The form for machines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::types::{Report, VERSION};

/// Why a report cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file cannot be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is no report.
    #[error("this is no report of a load run: {0}")]
    NotAReport(#[source] serde_json::Error),
    /// It is one of another time.
    #[error(
        "this report has version {found}, and this tool reads version {VERSION}; use the tool that wrote it"
    )]
    OtherVersion {
        /// Its version.
        found: u32,
    },
}

#[derive(Deserialize)]
struct Head {
    version: u32,
}

impl Report {
    /// The JSON form, which [`from_json`](Self::from_json) reads.
    ///
    /// # Errors
    ///
    /// [`ReportError::NotAReport`], which a report that came from a run never gives.
    pub fn to_json(&self) -> Result<String, ReportError> {
        serde_json::to_string_pretty(self).map_err(ReportError::NotAReport)
    }

    /// Reads what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// [`ReportError::OtherVersion`] before anything else is looked at, or [`ReportError::NotAReport`].
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        let head: Head = serde_json::from_str(text).map_err(ReportError::NotAReport)?;
        if head.version != VERSION {
            return Err(ReportError::OtherVersion { found: head.version });
        }
        serde_json::from_str(text).map_err(ReportError::NotAReport)
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// As [`from_json`](Self::from_json), and [`ReportError::File`].
    pub fn read(path: &Path) -> Result<Self, ReportError> {
        let text = fs::read_to_string(path).map_err(ReportError::file("read", path))?;
        Self::from_json(&text)
    }

    /// Writes both forms beside each other: `path` with the endings `json` and `html`. Gives the two names.
    ///
    /// # Errors
    ///
    /// [`ReportError::File`].
    pub fn write(&self, path: &Path) -> Result<[PathBuf; 2], ReportError> {
        let (json, page) = (path.with_extension("json"), path.with_extension("html"));
        fs::write(&json, self.to_json()?).map_err(ReportError::file("write", &json))?;
        fs::write(&page, self.to_html()).map_err(ReportError::file("write", &page))?;
        Ok([json, page])
    }
}

impl ReportError {
    fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::File { action, path: path.to_owned(), source }
    }
}
