//! What of a sync's arrival tells later how its source lists its records.

use cordon_validate::detect;

use crate::manifest::Piece;

/// Pieces of a type's listing that are kept.
const PIECES_MAX: usize = 4_096;
/// Entitlements of which is known what they are held on.
const HELD_ON_MAX: usize = 1 << 20;

/// In which order the rows of a type arrived from its scopes.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    pieces: Vec<Piece>,
    /// There were more than are kept.
    is_cut: bool,
}

impl Arrival {
    pub(super) fn add(&mut self, scope: u32, rows: u32) {
        if self.is_cut {
            return;
        }
        if let Some(last) = self.pieces.last_mut().filter(|last| last.scope == scope) {
            last.rows += rows;
        } else if self.pieces.len() == PIECES_MAX {
            *self = Self { pieces: Vec::new(), is_cut: true };
        } else {
            self.pieces.push(Piece { scope, rows });
        }
    }

    /// The pieces, by the ordinals that `scopes` gives; none where each scope came in one, or where
    /// they are not all known.
    pub(crate) fn pieces(&self, scopes: &[u32]) -> Vec<Piece> {
        if self.pieces.len() <= scopes.len() {
            return Vec::new();
        }
        let known = self.pieces.iter().filter_map(|piece| {
            let ordinal = scopes.iter().position(|scope| *scope == piece.scope)?;
            Some(Piece { scope: u32::try_from(ordinal).ok()?, rows: piece.rows })
        });
        let known: Vec<Piece> = known.collect();
        if known.len() == self.pieces.len() { known } else { Vec::new() }
    }
}

/// What entitlements are held on, of so many of them as the detector wants to know.
#[derive(Debug, Default)]
pub(crate) struct HeldOn(detect::HeldOn);

impl HeldOn {
    pub(super) fn add(&mut self, entitlement: u64, resource: impl FnOnce() -> u64) {
        if self.0.known() < HELD_ON_MAX {
            self.0.note(entitlement, resource());
        }
    }

    pub(crate) fn into_known(self) -> detect::HeldOn {
        self.0
    }
}
