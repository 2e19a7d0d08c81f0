//! SHA-256 over parts. What is short, as all but a few things are, is hashed in one go, which needs no allocation.

use aws_lc_rs::digest;

/// What is hashed in one go.
const SHORT_BYTES_MAX: usize = 1_024;

/// The hash of the parts, one behind the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut short = [0; SHORT_BYTES_MAX];
    let mut length = 0;
    for part in parts {
        let Some(room) = short.get_mut(length..length + part.len()) else { return of_long(parts) };
        room.copy_from_slice(part);
        length += part.len();
    }
    to_array(&digest::digest(&digest::SHA256, &short[..length]))
}

fn of_long(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    to_array(&context.finish())
}

fn to_array(digest: &digest::Digest) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest.as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_are_hashed_alike() {
        let bytes = vec![7; SHORT_BYTES_MAX + 1];
        for length in [0, 1, 63, SHORT_BYTES_MAX - 1, SHORT_BYTES_MAX, SHORT_BYTES_MAX + 1] {
            let (first, second) = bytes[..length].split_at(length / 3);
            assert_eq!(sha256(&[first, second]), of_long(&[&bytes[..length]]), "{length} bytes");
        }
    }
}
