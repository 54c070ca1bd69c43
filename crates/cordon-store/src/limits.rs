//! The bounds that keep memory flat whatever the size of a sync.
//!
//! What still grows is small and said here: names and counts of scopes (at most [`SCOPES_MAX`]), eight
//! bytes a privileged entitlement (at most [`Limits::privileged_max`] a side), one and a half bits a
//! row of the last known good where records are carried forward, and a few bytes a spilled run.

/// Scopes of a sync, at most.
pub(crate) const SCOPES_MAX: usize = 100_000;
/// Kinds and types that a connector may announce.
pub(crate) const TYPES_MAX: usize = 256;
/// Columns of one kind and type, at most.
pub(crate) const COLUMNS_MAX: usize = 512;
/// Records of one kind and type, at most: row numbers have 32 bits.
pub(crate) const RECORDS_MAX: u32 = u32::MAX;
/// Examples that are quoted of anything.
pub(crate) const EXAMPLES_MAX: usize = 5;
/// Batches that wait for the encoder.
pub(crate) const BATCHES_QUEUED_MAX: usize = 8;
/// Rows of a row group, at most.
pub(crate) const ROW_GROUP_ROWS_MAX: usize = 1 << 20;
/// Bytes of encoded row groups that are held before the largest is written out.
pub(crate) const ENCODED_BYTES_MAX: usize = 64 << 20;

/// Bounds that tests make small.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Index entries held before a run is spilled, over all types.
    pub(crate) run_entries: usize,
    /// Targets of references held before a run is spilled.
    pub(crate) target_entries: usize,
    /// Changes whose rows are fetched together.
    pub(crate) block_changes: usize,
    /// Privileged entitlements of a sync.
    pub(crate) privileged_max: usize,
    /// Bytes of one file; stands in for a disk that is full.
    pub(crate) file_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            run_entries: 1 << 20,
            target_entries: 1 << 18,
            block_changes: 1 << 16,
            privileged_max: 1 << 20,
            file_bytes_max: u64::MAX,
        }
    }
}
