//! What a record may have in common with others: its attributes, and what follows from them.

use std::hash::{DefaultHasher, Hash, Hasher};

use cordon_model::{RecordKind, Row, Value, columns};

/// Bytes of a value that can name a group; longer ones are texts, not groups.
const VALUE_BYTES_MAX: usize = 120;
/// The column of a grant's principal.
pub(super) const PRINCIPAL: &str = columns::PRINCIPAL;

/// An attribute and its value, or what follows from it.
pub(super) struct Feature {
    pub(super) column: String,
    pub(super) value: String,
}

/// All that a record may have in common with others. What identifies it is left out, but for a
/// grant's two ends.
pub(super) fn features(row: &Row) -> Vec<Feature> {
    let is_key = |column: &str| row.record_type.kind != RecordKind::Grant && column == columns::ID;
    let mut found = Vec::with_capacity(row.values.len() + 1);
    let mut add = |column: &str, value: &str| {
        if !value.is_empty() && value.len() <= VALUE_BYTES_MAX {
            found.push(Feature { column: column.to_owned(), value: value.to_owned() });
        }
    };
    for (column, value) in row.values.iter().filter(|(column, _)| !is_key(column)) {
        match value {
            Value::Text(text) => {
                add(column, text);
                if let Some((name, domain)) = text.rsplit_once('@')
                    && !name.is_empty()
                    && domain.contains('.')
                {
                    add(&format!("{column} domain"), &domain.to_ascii_lowercase());
                }
            }
            // Who came on the same day may go on the same day, or stand on the same page.
            Value::Timestamp(time) => {
                let text = time.to_string();
                add(&format!("{column} day"), text.split('T').next().unwrap_or_default());
            }
            Value::Integer(number) => add(column, &number.to_string()),
            Value::Boolean(yes) => add(column, if *yes { "true" } else { "false" }),
        }
    }
    found
}

/// A grant's principal, as a hash.
pub(super) fn principal(row: &Row) -> Option<u64> {
    (row.record_type.kind == RecordKind::Grant).then(|| hash(row, columns::PRINCIPAL))?
}

/// A resource's id, as a hash.
pub(super) fn resource(row: &Row) -> Option<u64> {
    (row.record_type.kind == RecordKind::Resource).then(|| hash(row, columns::ID))?
}

fn hash(row: &Row, column: &str) -> Option<u64> {
    let Some(Value::Text(text)) = row.values.get(column) else { return None };
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    Some(hasher.finish())
}
