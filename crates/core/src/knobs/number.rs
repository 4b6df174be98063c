//! Numbers as NCCL reads them: `strtoll(text, NULL, 0)`.
//!
//! That is how `ncclLoadParam` (src/misc/param.cc) reads every integer and every switch: leading
//! blanks, a sign, `0x` for hexadecimal, a leading 0 for octal, and whatever follows the digits is
//! ignored. So `True` is 0, `8M` is 8 and `010` is 8.

/// What `strtoll` with base 0 makes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CInteger {
    /// The number; 0 where the text starts with none.
    pub value: i64,
    /// Bytes of the text that belong to the number; 0 when there is none.
    pub length: usize,
    /// 8, 10 or 16.
    pub base: u32,
    /// Whether it did not fit 64 bits; NCCL then keeps the default.
    pub overflow: bool,
}

/// Reads a number as C does.
pub fn read_c_integer(text: &str) -> CInteger {
    let none = CInteger {
        value: 0,
        length: 0,
        base: 10,
        overflow: false,
    };
    let bytes = text.as_bytes();
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c);
    let mut at = bytes.iter().take_while(|b| is_blank(b)).count();
    let negative = bytes.get(at) == Some(&b'-');
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    let digit =
        |index: usize, base: u32| bytes.get(index).and_then(|b| char::from(*b).to_digit(base));
    let base = match (bytes.get(at), bytes.get(at + 1)) {
        (Some(b'0'), Some(b'x' | b'X')) if digit(at + 2, 16).is_some() => 16,
        (Some(b'0'), _) => 8,
        _ => 10,
    };
    if base == 16 {
        at += 2;
    }
    let start = at;
    let mut magnitude: i128 = 0;
    let mut overflow = false;
    while let Some(value) = digit(at, base) {
        magnitude = magnitude * i128::from(base) + i128::from(value);
        overflow |= magnitude > i128::from(i64::MAX) + i128::from(negative);
        magnitude = magnitude.min(i128::from(u64::MAX));
        at += 1;
    }
    if at == start {
        return none;
    }
    let signed = if negative { -magnitude } else { magnitude };
    let limit = if negative { i64::MIN } else { i64::MAX };
    CInteger {
        value: i64::try_from(signed).unwrap_or(limit),
        length: at,
        base,
        overflow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_as_c_does() {
        for (text, value, length, base) in [
            ("1", 1, 1, 10),
            (" -2", -2, 3, 10),
            ("True", 0, 0, 10),
            ("", 0, 0, 10),
            ("8M", 8, 1, 10),
            ("010", 8, 3, 8),
            ("0x10", 16, 4, 16),
            ("0x", 0, 1, 8),
            ("0", 0, 1, 8),
            ("09", 0, 1, 8),
            ("1\r", 1, 1, 10),
            ("-", 0, 0, 10),
        ] {
            let read = read_c_integer(text);
            assert_eq!(
                (read.value, read.length, read.base),
                (value, length, base),
                "{text:?}"
            );
            assert!(!read.overflow, "{text:?}");
        }
        assert!(read_c_integer("9223372036854775808").overflow);
        assert!(!read_c_integer("-9223372036854775808").overflow);
        assert!(read_c_integer("99999999999999999999999999999999999999999999").overflow);
    }
}
