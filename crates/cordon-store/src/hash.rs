//! The two hashes that stand for a record: one of its key, one of its row.
//!
//! Keys are hashed with xxh3 under the store's secret: a connector that cannot know the secret cannot
//! make two keys meet. Rows are hashed with SHA-256, cut to 128 bits, because "unchanged" is a
//! decision about access and must hold against someone who chooses both rows.

use std::hash::Hasher;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow_array::{ArrayRef, TimestampMicrosecondArray};
use cordon_model::{AttributeType, RecordKind, RecordType};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128_with_secret;

use crate::columns::TypeColumns;

const SECRET_BYTES: usize = 192;

/// A record's key: for a grant the principal's half before the entitlement's, so that the grants of
/// a principal lie together and each half can be looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct KeyHash {
    pub(crate) high: u64,
    pub(crate) low: u64,
}

impl From<u128> for KeyHash {
    fn from(hash: u128) -> Self {
        Self { high: (hash >> 64) as u64, low: hash as u64 }
    }
}

/// Key hashes are spread already; hashing them again would only cost time.
#[derive(Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0 << 8 | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// Hashes keys under the store's secret.
#[derive(Debug, Clone)]
pub(crate) struct KeyHasher {
    secret: Arc<[u8; SECRET_BYTES]>,
}

impl KeyHasher {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut secret = [0; SECRET_BYTES];
        let mut derive = blake3::Hasher::new_derive_key("cordon store key hashes 1");
        derive.update(key).finalize_xof().fill(&mut secret);
        Self { secret: Arc::new(secret) }
    }

    /// Tells two secrets apart without revealing them.
    pub(crate) fn fingerprint(key: &[u8]) -> String {
        blake3::derive_key("cordon store key fingerprint 1", key)[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }

    fn hash(&self, text: &[u8]) -> KeyHash {
        xxh3_128_with_secret(text, self.secret.as_slice()).into()
    }

    /// The half of a resource's key that references to it bear; `text` is `type:id`.
    pub(crate) fn reference(&self, text: &str) -> u64 {
        self.hash(text.as_bytes()).high
    }
}

/// Hashes texts that begin alike, without allocating.
#[derive(Debug)]
pub(crate) struct PrefixHasher {
    hasher: KeyHasher,
    scratch: Vec<u8>,
    prefix: usize,
}

impl PrefixHasher {
    /// Ids of resources of a type: their key is that of the text `type:id`.
    pub(crate) fn resources(hasher: &KeyHasher, type_name: &str) -> Self {
        Self::new(hasher, format!("{type_name}:").into_bytes())
    }

    /// Ids of entitlements. No resource's key begins with a zero byte.
    pub(crate) fn entitlements(hasher: &KeyHasher) -> Self {
        Self::new(hasher, vec![0])
    }

    fn new(hasher: &KeyHasher, scratch: Vec<u8>) -> Self {
        Self { hasher: hasher.clone(), prefix: scratch.len(), scratch }
    }

    pub(crate) fn hash(&mut self, id: &str) -> KeyHash {
        self.scratch.truncate(self.prefix);
        self.scratch.extend_from_slice(id.as_bytes());
        self.hasher.hash(&self.scratch)
    }
}

/// How the records of one kind and type get their keys.
#[derive(Debug)]
pub(crate) enum Keys {
    /// By their own id.
    Id(PrefixHasher),
    /// By principal and entitlement. The last principal is kept: its grants often come together.
    Grant { principals: PrefixHasher, entitlements: PrefixHasher, last: (String, u64) },
}

impl Keys {
    pub(crate) fn new(hasher: &KeyHasher, record_type: &RecordType) -> Self {
        let type_name = record_type.name.as_str();
        match record_type.kind {
            RecordKind::Resource => Self::Id(PrefixHasher::resources(hasher, type_name)),
            RecordKind::Entitlement => Self::Id(PrefixHasher::entitlements(hasher)),
            RecordKind::Grant => Self::Grant {
                principals: PrefixHasher::resources(hasher, type_name),
                entitlements: PrefixHasher::entitlements(hasher),
                last: (String::new(), PrefixHasher::resources(hasher, type_name).hash("").high),
            },
        }
    }

    /// The key of a record: of its id, or of its principal and entitlement.
    pub(crate) fn key(&mut self, first: &str, second: &str) -> KeyHash {
        match self {
            Self::Id(ids) => ids.hash(first),
            Self::Grant { principals, entitlements, last } => {
                if last.0 != first {
                    last.1 = principals.hash(first).high;
                    last.0.clear();
                    last.0.push_str(first);
                }
                KeyHash { high: last.1, low: entitlements.hash(second).high }
            }
        }
    }
}

/// A row's hash, cut to 128 bits.
pub(crate) type RowHash = [u8; 16];

/// One column on its way into row hashes.
struct HashedColumn<'a> {
    /// Name and type of the column: what comes before each of its values.
    head: &'a [u8],
    values: HashedValues<'a>,
}

enum HashedValues<'a> {
    Text(&'a StringArray),
    Integer(&'a Int64Array),
    Boolean(&'a BooleanArray),
    Timestamp(&'a TimestampMicrosecondArray),
}

/// Hashes rows of a batch.
///
/// A row is hashed as its present values in the order of column names: the column's head, then a
/// length and the bytes of a text, or eight bytes of a number. An absent value takes no part, so a
/// column that nobody has changes no row; an empty text takes part.
pub(crate) struct RowHasher<'a> {
    columns: Vec<HashedColumn<'a>>,
    buffer: Vec<u8>,
}

impl<'a> RowHasher<'a> {
    /// Columns of `batch` by the positions that `columns` gives them.
    pub(crate) fn new(columns: &'a TypeColumns, batch: &'a RecordBatch) -> Self {
        let hashed = columns.iter().zip(batch.columns()).filter_map(|(column, array)| {
            if array.null_count() == array.len() {
                return None;
            }
            let values = hashed_values(column.value_type, array);
            Some(HashedColumn { head: &column.head, values })
        });
        Self { columns: hashed.collect(), buffer: Vec::with_capacity(256) }
    }

    /// The hash of a row, and how many bytes were hashed.
    pub(crate) fn hash(&mut self, row: usize) -> (RowHash, usize) {
        self.buffer.clear();
        for column in &self.columns {
            put_value(column, row, &mut self.buffer);
        }
        let digest = Sha256::digest(&self.buffer);
        let cut = digest[..16].try_into().expect("SHA-256 has 32 bytes");
        (cut, self.buffer.len())
    }
}

fn hashed_values(value_type: AttributeType, array: &ArrayRef) -> HashedValues<'_> {
    match value_type {
        AttributeType::Text => HashedValues::Text(array.as_string()),
        AttributeType::Integer => HashedValues::Integer(array.as_primitive::<Int64Type>()),
        AttributeType::Boolean => HashedValues::Boolean(array.as_boolean()),
        AttributeType::Timestamp => {
            HashedValues::Timestamp(array.as_primitive::<TimestampMicrosecondType>())
        }
    }
}

#[inline]
fn put_value(column: &HashedColumn<'_>, row: usize, buffer: &mut Vec<u8>) {
    match &column.values {
        HashedValues::Text(array) if array.is_valid(row) => {
            let text = array.value(row);
            buffer.extend_from_slice(column.head);
            // The length must not shift bytes between neighbours; four bytes hold every text.
            buffer.extend_from_slice(&(text.len() as u32).to_le_bytes());
            buffer.extend_from_slice(text.as_bytes());
        }
        HashedValues::Integer(array) if array.is_valid(row) => {
            buffer.extend_from_slice(column.head);
            buffer.extend_from_slice(&array.value(row).to_le_bytes());
        }
        HashedValues::Boolean(array) if array.is_valid(row) => {
            buffer.extend_from_slice(column.head);
            buffer.push(u8::from(array.value(row)));
        }
        HashedValues::Timestamp(array) if array.is_valid(row) => {
            buffer.extend_from_slice(column.head);
            buffer.extend_from_slice(&array.value(row).to_le_bytes());
        }
        _ => {}
    }
}
