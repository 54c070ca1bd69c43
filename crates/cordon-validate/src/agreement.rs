//! Do enough people agree on a release?
//!
//! Where a policy wants two, the word of the first is written down and waits; the second must be
//! another user id, also where the first was root, and mean exactly the same: the digest that waits
//! and the selection, word for word. Otherwise one of them would answer for what only the other saw.
//!
//! Pure: the time is the release's own, and who asked before comes as a value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Policy, Release, Selection};

/// The word of a first person that waits for a second.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asked.
    pub by: String,
    /// Their user id.
    pub uid: u32,
    /// Why.
    pub reason: String,
    /// The digest of what waits, in full.
    pub digest: String,
    /// Which of its changes.
    pub selection: Selection,
    /// When.
    pub at: Timestamp,
    /// From this moment on it means nothing.
    pub expires_at: Timestamp,
}

impl Asked {
    /// Whether it still means something.
    pub fn stands(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

/// Proof that enough people agree on a release. Only [`agree`] makes one.
///
/// ```compile_fail,E0451
/// fn alone(release: cordon_validate::Release) -> cordon_validate::Agreed {
///     cordon_validate::Agreed { release }
/// }
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Agreed {
    release: Release,
}

impl Agreed {
    pub(crate) fn into_release(self) -> Release {
        self.release
    }

    /// What was agreed on.
    pub fn release(&self) -> &Release {
        &self.release
    }
}

/// Why a release has to wait for a second person. Nothing was released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// Nobody asked before: this word may be written down.
    #[error("a second person has to agree")]
    First(Box<Asked>),
    /// The same person asked before.
    #[error("{by} asked already, and a second person has to agree", by = .0.by)]
    Same(Box<Asked>),
}

/// Whether the policy lets this release happen now. `digest` is the full one of what waits, `uid`
/// is who orders, and `asked` what another may have asked before.
pub fn agree(
    policy: &Policy,
    digest: &str,
    release: Release,
    uid: u32,
    asked: Option<&Asked>,
) -> Result<Agreed, Disagreement> {
    if policy.release_people() < 2 {
        return Ok(Agreed { release });
    }
    let same = |asked: &&Asked| {
        asked.stands(release.at) && asked.digest == digest && asked.selection == release.selection
    };
    match asked.filter(same) {
        Some(asked) if asked.uid == uid => Err(Disagreement::Same(Box::new(asked.clone()))),
        Some(asked) => {
            Ok(Agreed { release: Release { asked_by: Some(asked.by.clone()), ..release } })
        }
        None => {
            let expires = policy.release.expires.duration();
            Err(Disagreement::First(Box::new(Asked {
                by: release.by,
                uid,
                reason: release.reason,
                digest: digest.to_owned(),
                selection: release.selection,
                at: release.at,
                expires_at: release.at.checked_add(expires).unwrap_or(Timestamp::MAX),
            })))
        }
    }
}
