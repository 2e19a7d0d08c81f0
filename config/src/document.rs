//! Reads one TOML document as a layer. Every fault in it is found in one walk; a document with syntax errors
//! is read as far as its parser can follow it.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use tocsin_model::RealmName;

use crate::fault::Fault;
use crate::findings::Findings;
use crate::hint;
use crate::path::KeyPath;
use crate::place::{Origin, Place};
use crate::schema::{self, Key};
use crate::settings::{Setting, Settings};
use crate::shape::not_a_name;

/// Reads the document of `origin` into `settings`.
pub(crate) fn read(origin: &Origin<'_>, settings: &mut Settings, findings: &mut Findings) {
    let text = origin.text();
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        walk(&document, origin, settings, findings);
        return;
    }
    findings.is_partial = true;
    let mut faults: Vec<Fault> = errors
        .iter()
        .map(|error| {
            let place = origin.place(error.span().unwrap_or(0..0));
            Fault::new(place, &KeyPath::default(), format!("not TOML: {}", error.message()))
        })
        .collect();
    // The rest of a broken line only echoes its first error.
    faults.dedup_by_key(|fault| fault.place.line);
    let broken_lines: Vec<usize> = faults.iter().filter_map(|fault| fault.place.line).collect();
    findings.faults.extend(faults);
    let readable = without_lines(text, &broken_lines);
    let (document, _) = DeTable::parse_recoverable(&readable);
    walk(&document, origin, settings, findings);
}

/// The text with these lines made blank, so that the parser follows the rest; every place stays what it is.
/// Headers stay, because what is below them would fall into the table above.
fn without_lines(text: &str, broken_lines: &[usize]) -> String {
    let blank =
        |line: &str| if line.ends_with('\n') { " ".repeat(line.len() - 1) + "\n" } else { String::new() };
    let kept = |(index, line): (usize, &str)| {
        let is_blank = broken_lines.contains(&(index + 1)) && !line.trim_start().starts_with('[');
        if is_blank { blank(line) } else { line.to_owned() }
    };
    text.split_inclusive('\n').enumerate().map(kept).collect()
}

fn walk(
    document: &Spanned<DeTable<'_>>,
    origin: &Origin<'_>,
    settings: &mut Settings,
    findings: &mut Findings,
) {
    let mut walker = Walker { origin, settings, faults: Vec::new() };
    walker.table(document.get_ref(), &KeyPath::default());
    findings.faults.extend(walker.faults);
}

/// Reads one value, wherever it comes from, into `settings`.
pub(crate) fn read_value(
    key: &'static Key,
    path: KeyPath,
    value: &Spanned<DeValue<'_>>,
    origin: &Origin<'_>,
    settings: &mut Settings,
) -> Vec<Fault> {
    let place = origin.place(value.span());
    let (value, problems) = match key.shape.read(value, origin) {
        Ok(value) => (Some(value), Vec::new()),
        Err(problems) => (None, problems),
    };
    let faults = problems.into_iter().map(|(place, why)| Fault::new(place, &path, why)).collect();
    settings.set(path, Setting { key, value, place });
    faults
}

struct Walker<'a> {
    origin: &'a Origin<'a>,
    settings: &'a mut Settings,
    faults: Vec<Fault>,
}

impl Walker<'_> {
    fn table(&mut self, table: &DeTable<'_>, path: &KeyPath) {
        let known = schema::children(path.segments());
        for (name, value) in table {
            let child = path.child(name.get_ref());
            let place = self.origin.place(name.span());
            if let Some(key) = schema::find(child.segments()) {
                self.faults.extend(read_value(key, child, value, self.origin, self.settings));
            } else if schema::children(child.segments()).is_empty() {
                let message = unknown(path, name.get_ref(), &known);
                self.faults.push(Fault::new(place, &child, message));
            } else {
                self.sub_table(child, place, value, known.contains(&"*"));
            }
        }
    }

    fn sub_table(&mut self, path: KeyPath, place: Place, value: &Spanned<DeValue<'_>>, is_named: bool) {
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("must be a table; write [{path}] and its keys below");
            self.faults.push(Fault::new(place, &path, message));
            return;
        };
        if is_named && let Err(rule) = path.leaf().parse::<RealmName>() {
            self.faults.push(Fault::new(place.clone(), &path, not_a_name(path.leaf(), rule)));
        }
        self.settings.open_table(path.clone(), place);
        self.table(table, &path);
    }
}

fn unknown(table: &KeyPath, name: &str, known: &[&str]) -> String {
    if table.segments().is_empty() {
        format!("unknown section{}", hint::or_list(name, known, "there are"))
    } else {
        format!("unknown key{}", hint::or_list(name, known, "allowed here"))
    }
}
