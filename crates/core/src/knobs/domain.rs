//! What a knob accepts, and what NCCL makes of a value outside it.

use std::fmt;

use super::number::{CInteger, read_c_integer};
use super::{Knob, knob::before};
use crate::NcclVersion;

/// From this release on NCCL has 64 channels (`MAXCHANNELS`, src/include/device.h); 32 before.
const CHANNELS_64_SINCE: NcclVersion = NcclVersion::new(2, 25, 1);

/// The values a knob accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// 0 or 1.
    Switch,
    /// A whole number in a closed range.
    Integer {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A whole multiple in a closed range.
    Multiple {
        /// Of what.
        of: i64,
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// A size in plain bytes: NCCL knows no units.
    Bytes {
        /// Smallest.
        min: i64,
        /// Largest.
        max: i64,
    },
    /// Channels or CTAs: 1 to 64, to 32 before 2.25.
    Channels,
    /// One of these words.
    Word {
        /// The words.
        words: &'static [&'static str],
        /// Whether case matters.
        exact_case: bool,
    },
    /// Several of these words, in any case.
    Words {
        /// Between them.
        separator: char,
        /// The words.
        words: &'static [&'static str],
    },
    /// The list syntax of `NCCL_ALGO`.
    Algorithms,
    /// The list syntax of `NCCL_PROTO`.
    Protocols,
    /// Free text of this kind.
    Text(&'static str),
}

/// Why a value does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// No number at all; NCCL reads 0.
    NotANumber,
    /// A number with something behind it that NCCL ignores.
    Trailing {
        /// What NCCL reads.
        read: i64,
        /// Where the ignored part starts, in bytes.
        at: usize,
    },
    /// A leading zero makes it octal; digits 8 and 9 then end the number.
    Octal {
        /// What NCCL reads.
        read: i64,
    },
    /// More than 64 bits; NCCL keeps its default.
    Overflow,
    /// A number outside the range.
    OutOfRange {
        /// The number.
        read: i64,
    },
    /// No multiple of what it must be a multiple of.
    NotAMultiple {
        /// The number.
        read: i64,
        /// Of what it should be one.
        of: i64,
    },
    /// No word of the list.
    UnknownWord {
        /// Where it starts, in bytes.
        at: usize,
        /// Its length in bytes.
        length: usize,
    },
    /// A known word in the wrong case, where case matters.
    WrongCase {
        /// How it should be written.
        right: &'static str,
    },
}

impl Domain {
    /// Smallest and largest number in a release, and the number it must be a multiple of; `None`
    /// for words and text.
    pub fn range(&self, version: NcclVersion) -> Option<(i64, i64, i64)> {
        match *self {
            Self::Switch => Some((0, 1, 1)),
            Self::Integer { min, max } | Self::Bytes { min, max } => Some((min, max, 1)),
            Self::Multiple { of, min, max } => Some((min, max, of)),
            Self::Channels => Some((
                1,
                if before(version, CHANNELS_64_SINCE) {
                    32
                } else {
                    64
                },
                1,
            )),
            _ => None,
        }
    }

    /// The kind in one word, for machines.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Switch => "switch",
            Self::Integer { .. } => "integer",
            Self::Multiple { .. } => "multiple",
            Self::Bytes { .. } => "bytes",
            Self::Channels => "channels",
            Self::Word { .. } => "word",
            Self::Words { .. } => "words",
            Self::Algorithms => "algorithms",
            Self::Protocols => "protocols",
            Self::Text(_) => "text",
        }
    }

    /// Why a value does not fit this knob in a release; `None` when it does. The list syntax of
    /// algorithms and protocols, and free text, are looked at elsewhere.
    pub(super) fn misfit(knob: &Knob, text: &str, version: NcclVersion) -> Option<Misfit> {
        match knob.domain {
            Self::Word { words, exact_case } => misfit_of_word(text, words, exact_case),
            Self::Words { separator, words } => misfit_of_words(text, separator, words),
            _ => {
                let (min, max, of) = knob.domain.range(version)?;
                let read = read_c_integer(text);
                if let Some(misfit) = misfit_of_number(read, text) {
                    return Some(misfit);
                }
                let default = knob.default_in(version).parse::<i64>().ok();
                if [knob.automatic, default].contains(&Some(read.value)) {
                    return None;
                }
                let read = read.value;
                if read < min || read > max {
                    Some(Misfit::OutOfRange { read })
                } else if read % of != 0 {
                    Some(Misfit::NotAMultiple { read, of })
                } else {
                    None
                }
            }
        }
    }
}

fn misfit_of_number(read: CInteger, text: &str) -> Option<Misfit> {
    let rest = text.get(read.length..).unwrap_or_default();
    if read.length == 0 {
        Some(Misfit::NotANumber)
    } else if read.overflow {
        Some(Misfit::Overflow)
    } else if read.base == 8 && (read.value != 0 || rest.starts_with(['8', '9'])) && is_digits(rest)
    {
        Some(Misfit::Octal { read: read.value })
    } else if !rest.trim_end().is_empty() {
        Some(Misfit::Trailing {
            read: read.value,
            at: read.length,
        })
    } else {
        None
    }
}

fn is_digits(text: &str) -> bool {
    text.trim_end().bytes().all(|b| b.is_ascii_digit())
}

fn misfit_of_word(text: &str, words: &'static [&'static str], exact_case: bool) -> Option<Misfit> {
    match words.iter().find(|w| w.eq_ignore_ascii_case(text)) {
        None => Some(Misfit::UnknownWord {
            at: 0,
            length: text.len(),
        }),
        Some(known) if exact_case && *known != text => Some(Misfit::WrongCase { right: known }),
        Some(_) => None,
    }
}

fn misfit_of_words(text: &str, separator: char, words: &[&str]) -> Option<Misfit> {
    let offset = usize::from(text.starts_with('^'));
    let mut at = offset;
    for word in text[offset..].split(separator) {
        if !words.iter().any(|w| w.eq_ignore_ascii_case(word.trim())) {
            return Some(Misfit::UnknownWord {
                at,
                length: word.len(),
            });
        }
        at += word.len() + separator.len_utf8();
    }
    None
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up_to = |max: i64| match max {
            i64::MAX => "any".to_owned(),
            max if max == i64::from(i32::MAX) => "any".to_owned(),
            max => max.to_string(),
        };
        match *self {
            Self::Switch => write!(f, "0 or 1"),
            Self::Integer { min: i64::MIN, max } => write!(f, "whole number up to {}", up_to(max)),
            Self::Integer { min, max } if up_to(max) == "any" => {
                write!(f, "whole number from {min}")
            }
            Self::Integer { min, max } => write!(f, "{min} to {max}"),
            Self::Multiple { of, min, max } => write!(f, "{min} to {max}, a multiple of {of}"),
            Self::Bytes { min, max } if up_to(max) == "any" => write!(f, "bytes, from {min}"),
            Self::Bytes { min, max } => write!(f, "bytes, {min} to {max}"),
            Self::Channels => write!(f, "1 to 64 (to 32 before 2.25)"),
            Self::Word { words, .. } => write!(f, "{}", words.join(", ")),
            Self::Words { separator, words } => {
                write!(f, "list with {separator} of {}", words.join(", "))
            }
            Self::Algorithms => write!(f, "[^]ring,tree,...[;function:[^]ring,...]"),
            Self::Protocols => write!(f, "[^]LL,LL128,Simple[;function:[^]LL,...]"),
            Self::Text(what) => write!(f, "{what}"),
        }
    }
}
