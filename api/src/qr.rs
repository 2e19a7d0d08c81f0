//! QR pictures (ISO/IEC 18004) of what a phone is to read from a screen, as PNG.
//!
//! One pixel grey scale without colours, so that the file is small, with the quiet zone that the standard asks for.
//! The least error correction is taken: a screen has no scratches, and a smaller code is read from farther away.
//! Not here: what the text means and who may see it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fast_qr::{ECL, QRBuilder, QRCode};

/// Longest text in bytes: what the largest code (version 40, level L) holds of arbitrary bytes.
pub const TEXT_BYTES_MAX: usize = 2_953;

/// The quiet zone around the code, in modules; ISO/IEC 18004 asks for four.
const QUIET_ZONE_MODULES: usize = 4;

/// Width of the picture to come near to, in pixels.
const WIDTH_PIXELS_HINT: usize = 512;

/// Fewest pixels to a module: cameras need more than one.
const MODULE_PIXELS_MIN: usize = 4;

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the text is too long for a QR code, which holds {TEXT_BYTES_MAX} bytes")
    }
}

impl std::error::Error for TooLong {}

/// The picture of `text` as the bytes of a PNG file.
pub fn png(text: &str) -> Result<Vec<u8>, TooLong> {
    let code = QRBuilder::new(text).ecl(ECL::L).build().map_err(|_| TooLong)?;
    Ok(encode(&Bitmap::of(&code)))
}

/// The picture of `text` in base64 (RFC 4648, section 4), for JSON.
pub fn png_base64(text: &str) -> Result<String, TooLong> {
    png(text).map(|file| STANDARD.encode(file))
}

/// A square of bits, one to a pixel, rows filled up to whole bytes; 1 is white.
struct Bitmap {
    width: usize,
    rows: Vec<u8>,
}

impl Bitmap {
    fn of(code: &QRCode) -> Self {
        let modules = code.size + 2 * QUIET_ZONE_MODULES;
        let module_pixels = (WIDTH_PIXELS_HINT / modules).max(MODULE_PIXELS_MIN);
        let width = modules * module_pixels;
        let mut rows = Vec::with_capacity(width.div_ceil(8) * width);
        for module_y in 0..modules {
            let mut row = vec![0xff_u8; width.div_ceil(8)];
            for x in 0..width {
                if is_dark(code, x / module_pixels, module_y) {
                    row[x / 8] &= !(0x80 >> (x % 8));
                }
            }
            for _ in 0..module_pixels {
                rows.extend_from_slice(&row);
            }
        }
        Self { width, rows }
    }
}

/// Whether the module at this place of the picture is dark; the quiet zone is not.
fn is_dark(code: &QRCode, picture_x: usize, picture_y: usize) -> bool {
    let inside = |at: usize| at.checked_sub(QUIET_ZONE_MODULES).filter(|at| *at < code.size);
    match (inside(picture_x), inside(picture_y)) {
        (Some(x), Some(y)) => code[y][x].value(),
        _ => false,
    }
}

fn encode(bitmap: &Bitmap) -> Vec<u8> {
    let mut file = Vec::new();
    let width = u32::try_from(bitmap.width).expect("the widest code has a few hundred pixels");
    let mut encoder = png::Encoder::new(&mut file, width, width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    // Three times as large as it could be, still only some 3.5 KB, and made in a tenth of the time.
    encoder.set_compression(png::Compression::Fast);
    let written = encoder.write_header().and_then(|mut writer| writer.write_image_data(&bitmap.rows));
    written.expect("a picture of its own declared size is written to memory");
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a picture back with another implementation than the one that made it.
    fn read(file: &[u8]) -> String {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("small")];
        let info = reader.next_frame(&mut pixels).expect("a picture");
        let (width, height) = (info.width as usize, info.height as usize);
        let mut image =
            rqrr::PreparedImage::prepare_from_greyscale(width, height, |x, y| pixels[y * width + x]);
        let grids = image.detect_grids();
        assert_eq!(grids.len(), 1, "one code");
        grids[0].decode().expect("readable").1
    }

    #[test]
    fn what_was_drawn_is_read_again() {
        for text in ["a", "tocsin:1?t=0191&c=eyJ.e.s", "https://bank.example/e#c=00&i=https%3A%2F%2Fü"] {
            assert_eq!(read(&png(text).expect("fits")), text);
        }
    }

    #[test]
    fn the_longest_text_fits_and_one_byte_more_is_refused() {
        let longest = "a".repeat(TEXT_BYTES_MAX);
        assert_eq!(read(&png(&longest).expect("fits")), longest);
        assert_eq!(png(&format!("{longest}a")), Err(TooLong));
    }

    #[test]
    fn base64_holds_the_same_file() {
        let decoded = STANDARD.decode(png_base64("a").expect("fits")).expect("base64");
        assert_eq!(Ok(decoded), png("a"));
    }
}
