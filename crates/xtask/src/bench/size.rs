//! How many grants a source has, as people write it.

use std::fmt;
use std::str::FromStr;

/// A number of grants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        let (digits, factor) = match lower.as_bytes().last() {
            Some(b'k') => (&lower[..lower.len() - 1], 1_000),
            Some(b'm') => (&lower[..lower.len() - 1], 1_000_000),
            _ => (lower.as_str(), 1),
        };
        let size = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        match size {
            Some(size) if size > 0 => Ok(Self(size)),
            _ => Err("expected a number of grants, as 100k, 1m or 250000".to_owned()),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            size if size % 1_000_000 == 0 => format!("{}m", size / 1_000_000),
            size if size % 1_000 == 0 => format!("{}k", size / 1_000),
            size => size.to_string(),
        };
        f.pad(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_as_it_is_shown() {
        for (text, grants) in
            [("100k", 100_000), ("1m", 1_000_000), ("10M", 10_000_000), ("77", 77)]
        {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string()), (grants, text.to_lowercase()));
        }
        for text in ["", "k", "0", "-1", "1g", "1.5m", "99999999999999999999m"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }
}
