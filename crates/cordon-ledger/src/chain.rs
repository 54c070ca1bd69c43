//! The evidence chain: what exactly is hashed, and how it is checked.
//!
//! Each record's hash covers the hash before it, so that a record cannot be changed, removed or put
//! in without changing every hash after it. Whoever keeps one hash can check all that came before.
//!
//! A record is hashed over these bytes, integers big-endian:
//!
//! | part | bytes |
//! | --- | --- |
//! | domain | the 19 bytes `cordon.evidence.v1` and a zero byte |
//! | seq | 8, unsigned, counted from 1 |
//! | time | 8, signed, microseconds since 1970-01-01T00:00:00Z |
//! | kind | 8 for the length, then that many bytes of UTF-8 |
//! | connector | one byte 0 when there is none; else one byte 1, 8 for the length, UTF-8 |
//! | actor | as kind |
//! | body | as kind; JSON with sorted keys and no spaces, see [`canonical_json`] |
//! | prev_hash | 32: the hash of record seq - 1, or [`first_prev_hash`] |
//!
//! Every part has a fixed length or says its length first, so two different records never have the
//! same bytes. Absent: signatures, which vouch for a hash and are no part of it.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{EvidenceRow, EvidenceSeq};

const DOMAIN: &[u8; 19] = b"cordon.evidence.v1\0";
const FIRST: &[u8] = b"cordon.evidence.v1 first record";

/// How much of the chain was checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Every record.
    Whole,
    /// The newest records, from this one on. Their link to the record before was checked, too.
    Tail {
        /// The first record that was checked.
        from: EvidenceSeq,
    },
}

/// A chain that holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainReport {
    /// The newest record.
    pub head: EvidenceSeq,
    /// Its hash.
    pub hash: [u8; 32],
    /// How much was checked.
    pub extent: Extent,
}

/// The first record at which a chain fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Its content is not what was hashed.
    #[error("evidence record {seq} does not match its hash: a part of it was changed")]
    Changed {
        /// The record.
        seq: EvidenceSeq,
    },
    /// It does not follow the record before.
    #[error(
        "evidence record {seq} does not follow the record before it: one of the two was replaced"
    )]
    Unlinked {
        /// The record.
        seq: EvidenceSeq,
    },
    /// It is missing.
    #[error("evidence record {seq} is missing")]
    Missing {
        /// The record.
        seq: EvidenceSeq,
    },
    /// It holds a value that no record has.
    #[error("evidence record {seq} has a damaged {column}")]
    Malformed {
        /// The record.
        seq: EvidenceSeq,
        /// Where.
        column: &'static str,
    },
    /// A row of the ledger says something else than the record that vouches for it.
    #[error("{row} does not match evidence record {seq}, which vouches for it")]
    Contradicted {
        /// The record.
        seq: EvidenceSeq,
        /// The row, in words.
        row: String,
    },
    /// A row of the ledger has no record that vouches for it, or a record's row is gone.
    #[error("{row} and the evidence contradict each other: one of the two was changed")]
    Unvouched {
        /// The row, in words.
        row: String,
    },
}

/// What the first record has in place of the hash before it.
pub fn first_prev_hash() -> [u8; 32] {
    Sha256::digest(FIRST).into()
}

/// The bytes over which a record is hashed. The record's own hash is no part of them.
pub fn encode(record: &EvidenceRow) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(160 + record.body.len());
    bytes.extend_from_slice(DOMAIN);
    bytes.extend_from_slice(&record.seq.0.to_be_bytes());
    bytes.extend_from_slice(&record.time.as_microsecond().to_be_bytes());
    put_text(&mut bytes, &record.kind);
    match &record.connector {
        None => bytes.push(0),
        Some(connector) => {
            bytes.push(1);
            put_text(&mut bytes, connector.as_str());
        }
    }
    put_text(&mut bytes, &record.actor);
    put_text(&mut bytes, &record.body);
    bytes.extend_from_slice(&record.prev_hash);
    bytes
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// The hash of a record.
pub fn evidence_hash(record: &EvidenceRow) -> [u8; 32] {
    Sha256::digest(encode(record)).into()
}

/// SHA-256 of a text in hex: how a record's body names a text that is too long to be in it.
pub(crate) fn text_sha256(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A time as the ledger keeps it: to the microsecond.
pub(crate) fn kept_time(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond())
        .expect("a timestamp's own microseconds are within a timestamp's range")
}

/// JSON with object keys in byte order and no spaces, so that one value has one text.
pub fn canonical_json(value: &Value) -> String {
    let mut text = String::new();
    put_json(&mut text, value);
    text
}

fn put_json(text: &mut String, value: &Value) {
    match value {
        Value::Object(map) => {
            let mut members: Vec<_> = map.iter().collect();
            members.sort_by(|a, b| a.0.cmp(b.0));
            text.push('{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                put_json(text, value);
            }
            text.push('}');
        }
        Value::Array(values) => {
            text.push('[');
            for (at, value) in values.iter().enumerate() {
                if at > 0 {
                    text.push(',');
                }
                put_json(text, value);
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// Walks records in order and stops at the first that fails.
pub(crate) struct Walk {
    next: u64,
    prev_hash: [u8; 32],
}

impl Walk {
    /// Begins before the first record.
    pub(crate) fn from_start() -> Self {
        Self { next: 1, prev_hash: first_prev_hash() }
    }

    /// Begins after a record that is taken as it stands.
    pub(crate) fn after(record: &EvidenceRow) -> Self {
        Self { next: record.seq.0 + 1, prev_hash: record.hash }
    }

    /// The record that has to come next.
    pub(crate) fn next(&self) -> EvidenceSeq {
        EvidenceSeq(self.next)
    }

    /// Takes the next record.
    pub(crate) fn step(&mut self, record: &EvidenceRow) -> Result<(), ChainFault> {
        if record.seq.0 != self.next {
            return Err(ChainFault::Missing { seq: self.next() });
        }
        if record.prev_hash != self.prev_hash {
            return Err(ChainFault::Unlinked { seq: record.seq });
        }
        if evidence_hash(record) != record.hash {
            return Err(ChainFault::Changed { seq: record.seq });
        }
        self.prev_hash = record.hash;
        self.next += 1;
        Ok(())
    }

    /// Ends the walk at the head that the ledger remembers.
    pub(crate) fn end(self, head: EvidenceSeq, hash: [u8; 32]) -> Result<(), ChainFault> {
        if self.next != head.0 + 1 {
            return Err(ChainFault::Missing { seq: self.next() });
        }
        if self.prev_hash != hash {
            return Err(ChainFault::Changed { seq: head });
        }
        Ok(())
    }
}
