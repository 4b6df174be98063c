//! Sizes as people write them: `4096`, `4K`, `4KiB`, `1M`, `1G`, always binary.

use thiserror::Error;

/// A size that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{given:?} is not a size; write 4096, 4K, 4KiB, 1M or 1G (binary)")]
pub struct ByteSizeError {
    /// What was given.
    pub given: String,
}

/// Reads a size in bytes.
///
/// # Errors
/// When the text is no number with an optional binary unit, or does not fit 64 bits.
pub fn parse_bytes(text: &str) -> Result<u64, ByteSizeError> {
    let error = || ByteSizeError {
        given: text.to_owned(),
    };
    let trimmed = text.trim();
    let digits = trimmed
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| error())?;
    let shift = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(error()),
    };
    number.checked_mul(1 << shift).ok_or_else(error)
}

/// Writes a size with the largest unit that keeps it exact, else with one decimal.
pub fn format_bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        None => format!("{bytes} B"),
        Some((unit, size)) if bytes.is_multiple_of(*size) => format!("{} {unit}", bytes / size),
        #[allow(clippy::cast_precision_loss)] // one decimal is printed
        Some((unit, size)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_and_write() {
        for (text, bytes) in [
            ("4096", 4096),
            ("4K", 4096),
            ("4KiB", 4096),
            ("1m", 1 << 20),
            ("1 G", 1 << 30),
            ("0", 0),
        ] {
            assert_eq!(parse_bytes(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5M",
            "4X",
            "99999999999999999999",
            "20000000T",
        ] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
        assert_eq!(format_bytes(1023), "1023 B");
        assert_eq!(format_bytes(80 << 20), "80 MiB");
        assert_eq!(format_bytes(1536), "1.5 KiB");
    }
}
