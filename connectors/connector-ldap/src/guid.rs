//! Ids of entries: the 128 bits that a server gives an entry once and for all, whatever it is called
//! and wherever it is moved.

use std::fmt;

/// The id of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Guid(u128);

impl Guid {
    /// From objectGUID, whose first three parts have their bytes in reverse.
    pub(crate) fn from_active_directory(bytes: &[u8]) -> Option<Self> {
        let mut bytes: [u8; 16] = bytes.try_into().ok()?;
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        Some(Self(u128::from_be_bytes(bytes)))
    }

    /// From text as in `c0f51ee4-e298-4783-be01-2a537219b843`, and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_place = |at: usize| matches!(at, 8 | 13 | 18 | 23);
        let is_right = |(at, byte): (usize, u8)| match is_place(at) {
            true => byte == b'-',
            false => byte.is_ascii_hexdigit(),
        };
        if text.len() != 36 || !text.bytes().enumerate().all(is_right) {
            return None;
        }
        u128::from_str_radix(&text.replace('-', ""), 16).ok().map(Self)
    }

    /// As the value of objectGUID in a filter: every byte escaped.
    pub(crate) fn in_filter(self) -> String {
        let mut bytes = self.0.to_be_bytes();
        bytes[..4].reverse();
        bytes[4..6].reverse();
        bytes[6..8].reverse();
        bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
    }

    /// The number itself, as a key.
    pub(crate) fn number(self) -> u128 {
        self.0
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hex = format!("{:032x}", self.0);
        let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
        formatter.write_str(&parts.join("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_written_as_its_server_writes_it() {
        // The value of objectGUID and its text, as Microsoft documents the layout.
        let bytes = [
            0xe4, 0x1e, 0xf5, 0xc0, 0x98, 0xe2, 0x83, 0x47, 0xbe, 0x01, 0x2a, 0x53, 0x72, 0x19,
            0xb8, 0x43,
        ];
        let guid = Guid::from_active_directory(&bytes).unwrap();
        assert_eq!(guid.to_string(), "c0f51ee4-e298-4783-be01-2a537219b843");
        assert_eq!(Guid::parse(&guid.to_string()), Some(guid));
        assert!(guid.in_filter().starts_with("\\e4\\1e\\f5\\c0\\98\\e2"));
        assert_eq!(Guid::from_active_directory(&bytes[1..]), None);
    }

    #[test]
    fn nothing_else_is_an_id() {
        for text in ["", "c0f51ee4e2984783be012a537219b843", "+0f51ee4-e298-4783-be01-2a537219b843"]
        {
            assert_eq!(Guid::parse(text), None, "{text}");
        }
        let long = "c0f51ee4-e298-4783-be01-2a537219b843-a17f0c93d5e2";
        assert_eq!(Guid::parse(long), None);
    }
}
