//! Where a value or a fault stands: its source, and in a file its line and column.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The built-in defaults.
    Default,
    /// The configuration file.
    File(PathBuf),
    /// The environment variable of this name.
    Environment(String),
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => formatter.write_str("default"),
            Self::File(path) => formatter.write_str(&one_line(&path.to_string_lossy())),
            Self::Environment(name) => write!(formatter, "environment {}", one_line(name)),
        }
    }
}

/// A text without the control characters that would break a line of a report.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// A place in a source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The source.
    pub source: Source,
    /// The line, counted from 1; `None` where the source has no lines.
    pub line: Option<usize>,
    /// The column in characters, counted from 1; `None` where the source has no lines.
    pub column: Option<usize>,
}

impl Place {
    /// A source as a whole.
    pub(crate) const fn whole(source: Source) -> Self {
        Self { source, line: None, column: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.source)?;
        if let (Some(line), Some(column)) = (self.line, self.column) {
            write!(formatter, ":{line}:{column}")?;
        }
        Ok(())
    }
}

/// A source while it is read: turns byte offsets into places and relative paths into paths.
pub(crate) struct Origin<'a> {
    source: Source,
    text: Option<&'a str>,
    base_folder: &'a Path,
}

impl<'a> Origin<'a> {
    /// A document; paths in it are relative to `base_folder`.
    pub(crate) const fn document(source: Source, text: &'a str, base_folder: &'a Path) -> Self {
        Self { source, text: Some(text), base_folder }
    }

    /// A source without lines; paths in it are relative to the working folder.
    pub(crate) fn lineless(source: Source) -> Self {
        Self { source, text: None, base_folder: Path::new("") }
    }

    /// The text of the document; empty for a source without lines.
    pub(crate) fn text(&self) -> &'a str {
        self.text.unwrap_or_default()
    }

    /// The place of the span's start.
    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let Some(text) = self.text else {
            return Place::whole(self.source.clone());
        };
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before[line_start..].chars().count() + 1;
        Place { source: self.source.clone(), line: Some(line), column: Some(column) }
    }

    /// `path`, relative to where the source says it is.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        self.base_folder.join(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters_from_one() {
        let origin = Origin::document(Source::Default, "a\r\nä = b\n", Path::new(""));
        assert_eq!(origin.place(0..1).to_string(), "default:1:1");
        assert_eq!(origin.place(8..9).to_string(), "default:2:5");
        assert_eq!(origin.place(900..901).to_string(), "default:3:1");
    }

    #[test]
    fn a_report_line_stays_one_line() {
        let place = Place::whole(Source::Environment("TOCSIN_A\nB".to_owned()));
        assert_eq!(place.to_string(), "environment TOCSIN_A B");
    }
}
