//! Verdicts, and the two ways in which a candidate becomes accepted.
//!
//! `Accepted` is proof, not data: the judge makes one when no finding holds the candidate back, a
//! named person makes one by releasing a quarantined candidate, and nothing else does. Whoever holds
//! a verdict may store, show and send it; it opens no door by itself.

use cordon_model::{ConnectorName, Finding, Outcome, Severity, SyncNumber};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Agreed, Selection, codes};

/// Hex characters of a digest that a release must give, at least.
pub const DIGEST_PREFIX_MIN: usize = 8;

/// What came of a candidate, with everything that the checks noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Whose sync it was.
    pub connector: ConnectorName,
    /// Its number.
    pub sync: SyncNumber,
    /// BLAKE3 of the candidate's manifest, in hex: the verdict speaks of exactly this content.
    pub digest: String,
    /// The snapshot that it was compared with; none on a first sync.
    pub against: Option<SyncNumber>,
    /// The worst that any finding asks for.
    pub outcome: Outcome,
    /// What is to be done about it without a person, where anything is.
    #[serde(default)]
    pub zone: Zone,
    /// Everything noticed, worst first, then in the order of the checks.
    pub findings: Vec<Finding>,
}

/// How far a candidate is from being believed. A faulty read is usually right when it is repeated, a
/// changed source is not; so what is only suspicious is read again before anyone is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zone {
    /// Nothing asks for a second look.
    #[default]
    Pass,
    /// No finding holds it, but a second reading is wanted before it is published. When the second
    /// says the same, it is the source that changed.
    ReadAgain,
    /// A finding holds it. A second reading that differs shows that this one was faulty.
    Quarantine,
}

impl Verdict {
    /// The finding that weighs most; none when nothing was noticed.
    pub fn worst(&self) -> Option<&Finding> {
        // Not the first: a verdict may come from outside, in any order.
        self.findings.iter().rev().max_by_key(|finding| finding.severity)
    }
}

/// The outcome that findings ask for together.
pub(crate) fn outcome(findings: &[Finding]) -> Outcome {
    match findings.iter().map(|finding| finding.severity).max() {
        Some(Severity::Reject) => Outcome::Rejected,
        Some(Severity::Quarantine) => Outcome::Quarantined,
        Some(Severity::Warning | Severity::Info) | None => Outcome::Accepted,
    }
}

/// The zone that findings put a candidate into together.
fn zone(outcome: Outcome, findings: &[Finding]) -> Zone {
    match outcome {
        Outcome::Quarantined | Outcome::Rejected => Zone::Quarantine,
        Outcome::Accepted if findings.iter().any(codes::is_suspicion) => Zone::ReadAgain,
        Outcome::Accepted => Zone::Pass,
    }
}

/// Proof that a candidate may replace the last known good. Only [`judge`](crate::judge) and
/// [`release`] make one, and whoever publishes takes it by value: content that was not judged, or
/// was judged once and is published twice, does not compile.
///
/// ```
/// fn stored_and_copied<T: Clone + serde::de::DeserializeOwned>() {}
/// stored_and_copied::<cordon_validate::Verdict>();
/// ```
///
/// No code but this crate's can make one up, read one from a file, or use one twice:
///
/// ```compile_fail,E0451
/// fn forged(verdict: cordon_validate::Verdict) -> cordon_validate::Accepted {
///     cordon_validate::Accepted { verdict, released_by: None }
/// }
/// ```
///
/// ```compile_fail,E0277
/// fn stored<T: serde::de::DeserializeOwned>() {}
/// stored::<cordon_validate::Accepted>();
/// ```
///
/// ```compile_fail,E0277
/// fn copied<T: Clone>() {}
/// copied::<cordon_validate::Accepted>();
/// ```
#[derive(Debug, PartialEq, Eq)]
pub struct Accepted {
    verdict: Verdict,
    released_by: Option<Release>,
}

impl Accepted {
    pub(crate) fn released(verdict: Verdict, release: Release) -> Self {
        Self { verdict, released_by: Some(release) }
    }

    /// Whose sync it is.
    pub fn connector(&self) -> &ConnectorName {
        &self.verdict.connector
    }

    /// Its number.
    pub fn sync(&self) -> SyncNumber {
        self.verdict.sync
    }

    /// BLAKE3 of the manifest that was accepted, in hex.
    pub fn digest(&self) -> &str {
        &self.verdict.digest
    }

    /// The snapshot that it may replace; none on a first sync.
    pub fn against(&self) -> Option<SyncNumber> {
        self.verdict.against
    }

    /// What was noticed.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// Who let it pass; none when the policy did.
    pub fn released_by(&self) -> Option<&Release> {
        self.released_by.as_ref()
    }
}

/// A candidate that the judge did not accept.
#[derive(Debug, PartialEq, Eq)]
pub struct Held {
    verdict: Verdict,
}

impl Held {
    /// What was noticed.
    pub fn verdict(&self) -> &Verdict {
        &self.verdict
    }

    /// What was noticed, by value.
    pub fn into_verdict(self) -> Verdict {
        self.verdict
    }
}

/// What the judge answers.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// It may be published.
    Accepted(Accepted),
    /// It is quarantined or rejected.
    Held(Held),
}

impl Judged {
    /// Sorts findings and takes the outcome from the worst of them.
    pub(crate) fn new(
        connector: ConnectorName,
        sync: SyncNumber,
        digest: String,
        against: Option<SyncNumber>,
        mut findings: Vec<Finding>,
    ) -> Self {
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        let outcome = outcome(&findings);
        let zone = zone(outcome, &findings);
        let verdict = Verdict { connector, sync, digest, against, outcome, zone, findings };
        match outcome {
            Outcome::Accepted => Self::Accepted(Accepted { verdict, released_by: None }),
            Outcome::Quarantined | Outcome::Rejected => Self::Held(Held { verdict }),
        }
    }

    /// The verdict, whatever it is.
    pub fn verdict(&self) -> &Verdict {
        match self {
            Self::Accepted(accepted) => &accepted.verdict,
            Self::Held(held) => &held.verdict,
        }
    }

    /// The verdict, by value; what was proof of acceptance is used up.
    pub fn into_verdict(self) -> Verdict {
        match self {
            Self::Accepted(accepted) => accepted.verdict,
            Self::Held(held) => held.verdict,
        }
    }
}

/// A person's decision to let a quarantined candidate pass, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Who decided.
    pub by: String,
    /// Why, in their words.
    pub reason: String,
    /// The digest that they looked at: in full or its first characters, `b3:` before it or not.
    pub digest: String,
    /// When.
    pub at: Timestamp,
    /// Which of its changes.
    #[serde(default)]
    pub selection: Selection,
    /// Who asked for it first, where the policy wants two people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked_by: Option<String>,
}

/// Why a release was refused. In every case the candidate stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// Only what waits for a person can be released.
    #[error("sync {sync} is {outcome}, not quarantined")]
    NotQuarantined {
        /// The sync.
        sync: SyncNumber,
        /// What it is instead.
        outcome: Outcome,
    },
    /// Nobody answers for the release.
    #[error("a release of sync {sync} needs a name")]
    NoName {
        /// The sync.
        sync: SyncNumber,
    },
    /// The release does not say why.
    #[error("a release of sync {sync} needs a reason")]
    NoReason {
        /// The sync.
        sync: SyncNumber,
    },
    /// The digest is no digest, or too little of one to mean exactly one content.
    #[error("{given:?} is not a digest: at least {DIGEST_PREFIX_MIN} hex characters")]
    NotADigest {
        /// What was given, cut short.
        given: String,
    },
    /// What was reviewed is not what would be released.
    #[error("sync {sync} has digest {digest}, not {given}")]
    OtherDigest {
        /// The sync.
        sync: SyncNumber,
        /// What was given.
        given: String,
        /// The candidate's digest.
        digest: String,
    },
    /// What was selected is invalid by itself.
    #[error("what was selected of sync {sync} cannot be published by itself: {why}")]
    InvalidPart {
        /// The sync.
        sync: SyncNumber,
        /// What the judge says of it.
        why: String,
    },
    /// Another snapshot became current after the verdict.
    #[error("sync {sync} was judged against {}, but {} is current by now", snapshot(*judged), snapshot(*current))]
    Outrun {
        /// The sync.
        sync: SyncNumber,
        /// The snapshot that it was compared with.
        judged: Option<SyncNumber>,
        /// The snapshot that is current.
        current: Option<SyncNumber>,
    },
}

fn snapshot(sync: Option<SyncNumber>) -> String {
    sync.map_or_else(|| "no snapshot".to_owned(), |sync| format!("snapshot {sync}"))
}

/// Makes a quarantined candidate accepted on a person's word. `current` is the last known good at
/// this moment: a verdict against an older one speaks of removals that nobody has looked at.
pub fn release(
    verdict: Verdict,
    agreed: Agreed,
    current: Option<SyncNumber>,
) -> Result<Accepted, ReleaseError> {
    let release = agreed.into_release();
    may_release(&verdict, &release, current)?;
    Ok(Accepted::released(verdict, release))
}

/// Whether a person's word suffices for what waits.
pub fn may_release(
    verdict: &Verdict,
    release: &Release,
    current: Option<SyncNumber>,
) -> Result<(), ReleaseError> {
    let sync = verdict.sync;
    // Read from the findings too: a stored verdict may have been tampered with, and nobody can
    // accept what is invalid.
    let outcome = match outcome(&verdict.findings) {
        Outcome::Quarantined => verdict.outcome,
        other => other,
    };
    if outcome != Outcome::Quarantined {
        return Err(ReleaseError::NotQuarantined { sync, outcome });
    }
    if release.by.trim().is_empty() {
        return Err(ReleaseError::NoName { sync });
    }
    if release.reason.trim().is_empty() {
        return Err(ReleaseError::NoReason { sync });
    }
    check_digest(verdict, &release.digest)?;
    if verdict.against != current {
        return Err(ReleaseError::Outrun { sync, judged: verdict.against, current });
    }
    Ok(())
}

fn check_digest(verdict: &Verdict, given: &str) -> Result<(), ReleaseError> {
    let hex = given.strip_prefix("b3:").unwrap_or(given);
    let plausible = hex.len() >= DIGEST_PREFIX_MIN && hex.bytes().all(|b| b.is_ascii_hexdigit());
    if !plausible {
        return Err(ReleaseError::NotADigest { given: given.chars().take(80).collect() });
    }
    let matches = verdict
        .digest
        .get(..hex.len())
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(hex));
    if matches {
        return Ok(());
    }
    Err(ReleaseError::OtherDigest {
        sync: verdict.sync,
        given: given.chars().take(80).collect(),
        digest: verdict.digest.clone(),
    })
}
