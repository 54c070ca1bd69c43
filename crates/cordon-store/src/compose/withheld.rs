//! Which changes of a candidate were left out of a release before?

use cordon_model::RecordType;

use crate::changes::types;
use crate::hash::RowHash;
use crate::index::Merged;
use crate::manifest::FileEntry;
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::store::Store;

impl Store {
    /// How many changes from `before` to `candidate` are changes from `before` to `waiting`, too:
    /// the same record comes, goes, or has the same other values.
    pub fn repeated(
        &self,
        before: &Snapshot,
        waiting: &Snapshot,
        candidate: &Snapshot,
    ) -> Result<u64, ReadError> {
        let mut all = types(Some(before), waiting);
        all.extend(types(None, candidate));
        all.sort();
        all.dedup();
        let mut repeated = 0;
        for record_type in all {
            let mut walk = Three::new(self, [before, waiting, candidate], &record_type)?;
            while let Some([old, left, new]) = walk.next()? {
                repeated += u64::from(old != new && left == new);
            }
        }
        Ok(repeated)
    }
}

/// Three indexes, walked together in the order of keys.
struct Three([Merged; 3]);

impl Three {
    fn new(
        store: &Store,
        sides: [&Snapshot; 3],
        record_type: &RecordType,
    ) -> Result<Self, ReadError> {
        let [a, b, c] = sides.map(|of| store.merged(files(of, record_type)));
        Ok(Self([a?, b?, c?]))
    }

    /// What each says of the next key: the hash of its row, or that there is none.
    fn next(&mut self) -> Result<Option<[Option<RowHash>; 3]>, ReadError> {
        let heads = self.0.iter().filter_map(|side| side.head().map(|head| head.entry.key));
        let Some(key) = heads.min() else { return Ok(None) };
        let mut found = [None; 3];
        for (side, found) in self.0.iter_mut().zip(&mut found) {
            if side.head().is_some_and(|head| head.entry.key == key) {
                *found = side.next()?.map(|located| located.entry.hash);
            }
        }
        Ok(Some(found))
    }
}

fn files<'a>(of: &'a Snapshot, record_type: &RecordType) -> Vec<&'a FileEntry> {
    of.manifest.files.iter().filter(|file| file.record_type == *record_type).collect()
}
