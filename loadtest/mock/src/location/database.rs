//! Writes files in the format of MaxMind (version 2.0 of its specification): a search tree over the bits of an address,
//! the rows behind it, and the metadata at the end.

use std::net::IpAddr;

use super::MockPlace;

/// Bytes between the tree and the rows.
const GAP_BYTES: usize = 16;
const METADATA_MARK: &[u8] = b"\xab\xcd\xefMaxMind.com";
/// Bits of a record of the tree.
const RECORD_BITS: u16 = 24;
/// Bits of an address; those of IPv4 stand behind 96 zeros.
const ADDRESS_BITS: u8 = 128;

/// A file with cities.
#[derive(Clone, Debug)]
pub struct CityDatabase {
    kind: String,
    built_at_s: u64,
    networks: Vec<(u128, u8, MockPlace)>,
}

/// What a bit of an address leads to.
#[derive(Clone, Copy)]
enum Record {
    Nothing,
    Node(usize),
    Row(usize),
}

impl Default for CityDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl CityDatabase {
    /// A file that knows no address.
    pub fn new() -> Self {
        Self { kind: "Tocsin-Test-City".to_owned(), built_at_s: 1_700_000_000, networks: Vec::new() }
    }

    /// The same with `place` for a network. A later network must not lie around or in an earlier one.
    #[must_use]
    pub fn with(mut self, network: impl Into<IpAddr>, prefix_bits: u8, place: MockPlace) -> Self {
        let (bits, prefix_bits) = match network.into() {
            IpAddr::V4(address) => (u128::from(u32::from(address)), 96 + prefix_bits),
            IpAddr::V6(address) => (u128::from(address), prefix_bits),
        };
        self.networks.push((bits, prefix_bits.min(ADDRESS_BITS), place));
        self
    }

    /// The same under another name of its type, such as `GeoLite2-Country`.
    #[must_use]
    pub fn kind(mut self, kind: &str) -> Self {
        kind.clone_into(&mut self.kind);
        self
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut nodes = vec![[Record::Nothing; 2]];
        let mut rows = Vec::new();
        for (bits, prefix_bits, place) in &self.networks {
            insert(&mut nodes, *bits, *prefix_bits, Record::Row(rows.len()));
            row(&mut rows, place);
        }
        let mut file: Vec<u8> = Vec::new();
        for record in nodes.iter().flatten() {
            let value = match record {
                Record::Nothing => nodes.len(),
                Record::Node(index) => *index,
                Record::Row(offset) => nodes.len() + GAP_BYTES + offset,
            };
            file.extend_from_slice(&(value as u32).to_be_bytes()[1..]);
        }
        file.extend_from_slice(&[0; GAP_BYTES]);
        file.extend_from_slice(&rows);
        file.extend_from_slice(METADATA_MARK);
        self.metadata(&mut file, nodes.len());
        file
    }

    fn metadata(&self, file: &mut Vec<u8>, nodes: usize) {
        map(file, 9);
        text(file, "binary_format_major_version");
        number(file, Kind::U16, 2);
        text(file, "binary_format_minor_version");
        number(file, Kind::U16, 0);
        text(file, "build_epoch");
        number(file, Kind::U64, self.built_at_s);
        text(file, "database_type");
        text(file, &self.kind);
        text(file, "description");
        map(file, 1);
        text(file, "en");
        text(file, "places made up for tests");
        text(file, "ip_version");
        number(file, Kind::U16, 6);
        text(file, "languages");
        array(file, 1);
        text(file, "en");
        text(file, "node_count");
        number(file, Kind::U32, nodes as u64);
        text(file, "record_size");
        number(file, Kind::U16, u64::from(RECORD_BITS));
    }
}

fn insert(nodes: &mut Vec<[Record; 2]>, bits: u128, prefix_bits: u8, row: Record) {
    let mut node = 0;
    for depth in 0..prefix_bits {
        let bit = usize::from(bits >> (ADDRESS_BITS - 1 - depth) & 1 == 1);
        if depth + 1 == prefix_bits {
            nodes[node][bit] = row;
            return;
        }
        node = match nodes[node][bit] {
            Record::Node(next) => next,
            Record::Nothing | Record::Row(_) => {
                nodes.push([Record::Nothing; 2]);
                nodes[node][bit] = Record::Node(nodes.len() - 1);
                nodes.len() - 1
            }
        };
    }
}

/// A row as GeoIP2 City has it, as far as a place goes.
fn row(rows: &mut Vec<u8>, place: &MockPlace) {
    let known = [&place.country_code, &place.region, &place.city];
    map(rows, known.iter().filter(|part| part.is_some()).count());
    if let Some(code) = &place.country_code {
        text(rows, "country");
        map(rows, 1);
        text(rows, "iso_code");
        text(rows, code);
    }
    if let Some(region) = &place.region {
        text(rows, "subdivisions");
        array(rows, 1);
        map(rows, 1);
        names(rows, region);
    }
    if let Some(city) = &place.city {
        text(rows, "city");
        map(rows, 1);
        names(rows, city);
    }
}

fn names(rows: &mut Vec<u8>, english: &str) {
    text(rows, "names");
    map(rows, 1);
    text(rows, "en");
    text(rows, english);
}

/// The numbers of a file.
#[derive(Clone, Copy)]
enum Kind {
    U16,
    U32,
    U64,
}

fn number(file: &mut Vec<u8>, kind: Kind, value: u64) {
    let bytes = value.to_be_bytes();
    let significant = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..];
    let kind = match kind {
        Kind::U16 => 5,
        Kind::U32 => 6,
        Kind::U64 => 9,
    };
    control(file, kind, significant.len());
    file.extend_from_slice(significant);
}

fn text(file: &mut Vec<u8>, text: &str) {
    control(file, 2, text.len());
    file.extend_from_slice(text.as_bytes());
}

fn map(file: &mut Vec<u8>, entries: usize) {
    control(file, 7, entries);
}

fn array(file: &mut Vec<u8>, elements: usize) {
    control(file, 11, elements);
}

/// The head of a value: its kind and its size, of which a size up to 284 is enough here.
fn control(file: &mut Vec<u8>, kind: u8, size: usize) {
    let (size_bits, rest) =
        if size < 29 { (size as u8, None) } else { (29, Some((size - 29).min(255) as u8)) };
    if kind <= 7 {
        file.push(kind << 5 | size_bits);
    } else {
        file.extend_from_slice(&[size_bits, kind - 7]);
    }
    file.extend(rest);
}
