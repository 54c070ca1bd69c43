//! A few records of a snapshot, chosen by nobody.
//!
//! An index lies in the order of key hashes under a secret of this store, so its beginning is a
//! sample that no connector can foresee. Nothing is read but that beginning and the chosen rows.

use cordon_model::{RecordType, Row};

use crate::read_error::{Damage, ReadError};
use crate::snapshot::Snapshot;
use crate::store::Store;

impl Store {
    /// So many records of one kind and type, or all where there are fewer.
    pub fn some_records(
        &self,
        of: &Snapshot,
        record_type: &RecordType,
        count: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let files: Vec<_> =
            of.manifest.files.iter().filter(|file| file.record_type == *record_type).collect();
        let mut entries = self.merged(files.iter().copied())?;
        let mut chosen = vec![Vec::new(); files.len()];
        for _ in 0..count {
            let Some(found) = entries.next()? else { break };
            chosen[found.file as usize].push(found.entry.row);
        }
        let mut records = Vec::with_capacity(count);
        for (file, mut rows) in files.into_iter().zip(chosen) {
            if rows.is_empty() {
                continue;
            }
            rows.sort_unstable();
            let data = self.open_data(file)?;
            let fetched = data.fetch(&rows)?;
            for row in rows {
                let record = data.row(&fetched, row).ok_or_else(|| {
                    let damage = Damage::Rows { expected: u64::from(row) + 1, found: 0 };
                    ReadError::damaged(data.path(), damage)
                })?;
                records.push(record);
            }
        }
        Ok(records)
    }
}
