//! Places from a file in the format of MaxMind, whole in memory.
//!
//! All of it is checked before it is used: a file that was cut off or damaged is refused when it is loaded.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;

use maxminddb::{Reader, geoip2};

use super::{LocationFault, OriginSetupError, Place, place};

/// Largest file in bytes; the largest that is sold has some hundred MiB.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// A file with cities.
pub(super) struct Database(Reader<Vec<u8>>);

impl Database {
    /// Reads the file and checks it.
    pub(super) fn open(file: &Path) -> Result<Self, OriginSetupError> {
        let fault = |reason: String| OriginSetupError {
            key: "origin.database_file".to_owned(),
            reason: format!("cannot use {}: {reason}", file.display()),
        };
        let bytes = read(file).map_err(fault)?;
        let reader = Reader::from_source(bytes)
            .map_err(|error| fault(format!("it is no MaxMind database: {error}")))?;
        reader.verify().map_err(|error| fault(format!("it is damaged: {error}")))?;
        let kind = &reader.metadata().database_type;
        if !["City", "Enterprise"].iter().any(|known| kind.contains(known)) {
            let kind: String = kind.chars().filter(|character| !character.is_control()).take(64).collect();
            return Err(fault(format!(
                "it is of the type {kind:?}, which has no cities; take a City database"
            )));
        }
        Ok(Self(reader))
    }

    /// Where this address is.
    pub(super) fn place_of(&self, address: IpAddr) -> Result<Place, LocationFault> {
        // A file of IPv4 alone knows no other addresses; that is no fault of the file.
        let found = self.0.lookup(address).map_err(|error| match error {
            maxminddb::MaxMindDbError::InvalidInput { .. } => LocationFault::Unlisted,
            _ => LocationFault::Malformed,
        })?;
        let row: Option<geoip2::City<'_>> = found.decode().map_err(|_| LocationFault::Malformed)?;
        let row = row.ok_or(LocationFault::Unlisted)?;
        // The first of them is the largest.
        let region = row.subdivisions.first().and_then(|subdivision| subdivision.names.english);
        place(row.country.iso_code, region, row.city.names.english)
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let opened = File::open(file).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    Ok(bytes)
}

/// Says which file it is, and nothing of its rows.
impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let metadata = self.0.metadata();
        formatter
            .debug_struct("Database")
            .field("database_type", &metadata.database_type)
            .field("build_epoch", &metadata.build_epoch)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use tempfile::TempDir;
    use tocsin_mock::{CityDatabase, MockPlace};

    use super::*;

    fn written(folder: &TempDir, database: &CityDatabase) -> std::path::PathBuf {
        let file = folder.path().join("city.mmdb");
        std::fs::write(&file, database.to_bytes()).expect("written");
        file
    }

    fn small() -> CityDatabase {
        CityDatabase::new()
            .with([192, 0, 2, 0], 24, MockPlace::utrecht())
            .with([198, 51, 100, 7], 32, MockPlace { city: None, ..MockPlace::utrecht() })
            .with(
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
                32,
                MockPlace::new("CH", "Zürich", "Zürich"),
            )
    }

    #[test]
    fn an_address_has_the_place_of_its_network() {
        let folder = TempDir::new().expect("a folder");
        let database = Database::open(&written(&folder, &small())).expect("a good file");
        let place = |text: &str| database.place_of(text.parse().expect("an address"));
        let utrecht = Place {
            country_code: "NL".to_owned(),
            region: "Provincie Utrecht".to_owned(),
            city: "Utrecht".to_owned(),
        };
        assert_eq!(place("192.0.2.1"), Ok(utrecht.clone()));
        assert_eq!(place("192.0.2.255"), Ok(utrecht));
        assert_eq!(place("2001:db8:ffff::1").map(|place| place.city), Ok("Zürich".to_owned()));
        assert_eq!(place("192.0.3.0"), Err(LocationFault::Unlisted));
        assert_eq!(place("2001:db9::"), Err(LocationFault::Unlisted));
        assert_eq!(place("198.51.100.7"), Err(LocationFault::Incomplete));
    }

    #[test]
    fn a_spoiled_file_is_refused_when_it_is_loaded() {
        let folder = TempDir::new().expect("a folder");
        let file = written(&folder, &small());
        let good = std::fs::read(&file).expect("readable");
        let refusal = |bytes: &[u8]| {
            std::fs::write(&file, bytes).expect("written");
            let refused = Database::open(&file).expect_err("spoiled");
            assert_eq!(refused.key, "origin.database_file");
            assert!(refused.reason.contains("city.mmdb"), "{refused}");
            refused.reason
        };
        assert!(refusal(b"").contains("no MaxMind database"));
        assert!(refusal(b"not a database").contains("no MaxMind database"));
        for length in [good.len() / 4, good.len() / 2, good.len() - 1] {
            refusal(&good[..length]);
        }
        // In the tree, in the gap behind it and in the rows.
        let mut damaged = good.clone();
        damaged[..30].fill(0xff);
        assert!(refusal(&damaged).contains("damaged"));
        let country = small().kind("GeoLite2-Country").to_bytes();
        assert!(refusal(&country).contains("take a City database"));
        std::fs::remove_file(&file).expect("gone");
        assert!(Database::open(&file).is_err());
    }

    proptest::proptest! {
        /// Whatever a file holds, it is refused or its rows are read; nothing panics.
        #[test]
        fn no_damage_brings_the_reader_down(position in 0_usize..4_096, byte: u8, last in 0_u8..=255) {
            let folder = TempDir::new().expect("a folder");
            let mut bytes = small().to_bytes();
            let position = position % bytes.len();
            bytes[position] = byte;
            let file = folder.path().join("city.mmdb");
            std::fs::write(&file, bytes).expect("written");
            if let Ok(database) = Database::open(&file) {
                let _ = database.place_of(IpAddr::from([192, 0, 2, last]));
            }
        }
    }
}
