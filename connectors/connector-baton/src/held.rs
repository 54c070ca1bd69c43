//! Resources that are asked about once more: what each grants, and to whom.
//!
//! A connector gets a resource back exactly as it reported it, so the bytes are kept, and there is a
//! bound to them: beyond it the sync ends with what to do, before the process dies of its limit.

use cordon_sdk::Error;
use prost::bytes::Bytes;

/// Bytes of all resources, at most.
const BYTES_MAX: usize = 512 << 20;

/// One resource.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) entitlements: bool,
    pub(crate) grants: bool,
    /// As it came.
    pub(crate) resource: Bytes,
}

/// All of them by the place of their type, in the order in which they came.
pub(crate) struct Held {
    by_type: Vec<Vec<Kept>>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(types: usize) -> Self {
        Self { by_type: vec![Vec::new(); types], bytes: 0 }
    }

    pub(crate) fn keep(&mut self, of: usize, mut kept: Kept) -> Result<(), Error> {
        // A copy: the bytes of a page would stay as long as one resource of it.
        kept.resource = Bytes::copy_from_slice(&kept.resource);
        self.bytes += kept.resource.len() + size_of::<Kept>();
        if self.bytes > BYTES_MAX {
            return Err(Error::incomplete(format!(
                "its resources take more than {} MiB; split the source over several connectors",
                BYTES_MAX >> 20
            )));
        }
        if let Some(all) = self.by_type.get_mut(of) {
            all.push(kept);
        }
        Ok(())
    }

    pub(crate) fn len(&self, of: usize) -> usize {
        self.by_type.get(of).map_or(0, Vec::len)
    }

    pub(crate) fn get(&self, of: usize, index: usize) -> Option<Kept> {
        self.by_type.get(of)?.get(index).cloned()
    }
}
