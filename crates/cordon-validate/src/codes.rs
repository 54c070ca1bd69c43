//! Every code that a finding can bear, with what it means and what to do about it.
//!
//! A code is stable: people search for it, alerts match on it, so it keeps its meaning for ever and
//! is never used again. The letter is the check (P protocol, R record, F references, C completeness,
//! D change, S shape, W watermark, V verification, O operators' rules, L liveness); nothing but this
//! table knows a code's text.

use cordon_model::{Finding, Severity};

/// A rule, and what people need to know when it speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// Its code, e.g. `CRD-D101`.
    pub code: &'static str,
    /// What it says, in one line.
    pub meaning: &'static str,
    /// What to do about it, in one line.
    pub action: &'static str,
}

impl Rule {
    /// A finding of this rule.
    pub fn finding(&self, severity: Severity, subject: &str, message: String) -> Finding {
        Finding {
            code: self.code.to_owned(),
            severity,
            subject: subject.to_owned(),
            message,
            measured: None,
            limit: None,
            examples: Vec::new(),
        }
    }
}

/// The rule that bears a code; none when no rule does.
pub fn explain(code: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.code == code)
}

/// Whether a rule objects to removals and to nothing else, so that what a sync adds and modifies is
/// not in doubt: also where removals are protected, empty a scope, or are none by the source's word.
/// Vanished privileges, changed ids and old copies are more than removals.
pub fn speaks_of_removals(code: &str) -> bool {
    [
        TYPE_EMPTIED,
        SCOPE_EMPTIED,
        REMOVED,
        REMOVED_IN_SCOPE,
        REMOVED_WITHIN,
        PROTECTED_REMOVED,
        STILL_THERE,
        LOSS_UNUSUAL,
        LOSS_SHAPE,
        LOSS_EMPTIED,
        LOSS_ORPHANED,
        LEAK,
    ]
    .iter()
    .any(|rule| rule.code == code)
}

/// Whether a finding asks for a second reading: a statistic of the detector that is
/// unusual, but not so much that it holds the sync.
pub(crate) fn is_suspicion(finding: &Finding) -> bool {
    finding.severity == Severity::Warning && is_statistic(&finding.code)
}

/// Whether a rule is the detector's: it objects to what is unusual.
pub(crate) fn is_statistic(code: &str) -> bool {
    ["CRD-D5", "CRD-D6", "CRD-S4"].iter().any(|beginning| code.starts_with(beginning))
}

/// Whether the rule makes a sync invalid, so that nobody can accept it.
pub fn invalidates(rule: &Rule) -> bool {
    let always = [&DUPLICATE_KEY, &MALFORMED_ID, &MALFORMED_REFERENCE, &MISSING_KEY];
    rule.code.starts_with("CRD-P") || always.iter().any(|known| known.code == rule.code)
}

macro_rules! rules {
    ($($name:ident $code:literal $meaning:literal $action:literal;)*) => {
        $(
            #[doc = $meaning]
            pub const $name: Rule = Rule { code: $code, meaning: $meaning, action: $action };
        )*

        /// Every rule, by code within its check, checks in the order in which they run.
        pub const ALL: &[Rule] = &[$($name),*];
    };
}

rules! {
    MESSAGE_ORDER "CRD-P101"
        "A message came where the contract allows none, or a scope was never closed."
        "Report it to the connector's author; the sync is tried again.";
    COUNT_DIFFERS "CRD-P102"
        "The connector declares other counts than arrived."
        "Records were lost on the way or miscounted: report it to the connector's author; the sync is tried again.";
    MESSAGE_BYTES "CRD-P103"
        "A message is too large, or is not what the contract says it is."
        "Report it to the connector's author; the sync is tried again.";
    OVER_BUDGET "CRD-P104"
        "The sync is larger than the connector's limits allow."
        "Look whether the source listed its records over and over; raise the limit if it is really this large.";
    RECORDS_MISFIT "CRD-P105"
        "Records do not fit what the connector announced of their type."
        "Report it to the connector's author; the sync is tried again.";
    EVIDENCE_CONTRADICTS "CRD-P201"
        "What was counted of the sync contradicts itself, so nothing can be concluded from it."
        "Keep the state directory and report it as a fault of Cordon; the last known good stays in force.";
    REMOVED_WITHOUT_PROOF "CRD-P202"
        "Records would be removed from a scope that was not enumerated to its end."
        "Keep the state directory and report it as a fault of Cordon; the last known good stays in force.";

    DUPLICATE_KEY "CRD-R101"
        "Two records of one sync have the same key."
        "Look at the examples: the connector's key does not identify a record, or the source listed a page twice.";
    MALFORMED_ID "CRD-R102"
        "An id is empty, longer than 1,024 bytes or has control characters."
        "Correct the id in the source, or the mapping of the id in the connector's configuration.";
    MALFORMED_REFERENCE "CRD-R103"
        "A reference is not of the form `type:id`."
        "Report it to the connector's author, or correct the mapping of the column.";
    MISSING_KEY "CRD-R104"
        "A record lacks a value that identifies it."
        "Correct the record in the source, or the mapping of the key in the connector's configuration.";
    MISSING_REQUIRED "CRD-R201"
        "Records lack an attribute that every record must have."
        "Look whether the connector lost the right to read it; release only if the records are right without it.";
    IMPLAUSIBLE_TIME "CRD-R202"
        "Timestamps lie before 1970 or after 2200."
        "Look at the examples: usually a unit (seconds, milliseconds) or a date format was mistaken.";

    DANGLING_REFERENCE "CRD-F101"
        "References point at records that are not there."
        "Look whether the referenced type was read in full; release only if the source itself has these dead references.";

    TOTAL_DIFFERS "CRD-C101"
        "The source counts other records in a scope than arrived, although the scope claims to be complete."
        "Sync again; if it stays, the connector does not see all that the source holds: check its rights and filters.";
    SCOPE_INCOMPLETE "CRD-C102"
        "A scope was not enumerated to its end; its missing records are unknown, not gone."
        "Read the reason and the connector's log; nothing was removed from this scope.";
    SCOPE_UNREPORTED "CRD-C103"
        "A scope of the last known good was not reported; its records are unknown, not gone."
        "Check the connector's filters and rights; a scope that is really gone is reported as gone.";
    TYPE_EMPTIED "CRD-C201"
        "No record of a type is left, where there were some."
        "Look into the source: a lost right or a wrong filter is likelier than an empty source.";
    SCOPE_EMPTIED "CRD-C202"
        "A complete scope holds no record, where it held some."
        "Look into the source: a lost right or a wrong filter is likelier than an empty scope.";
    SCOPE_GONE "CRD-C203"
        "A scope no longer exists at the source, and its records went with it."
        "Nothing to do if that is so.";
    PENDING_REMOVALS "CRD-C204"
        "Removals are accepted and not final: their time of grace is not over, or no sync came since."
        "Nothing, unless one of them is wrong: then have it corrected in the source before it is final.";
    FIRST_SYNC_EMPTY "CRD-C301"
        "The first sync holds no record, so nothing shows that the source was read."
        "Check the connector's configuration and rights; release if the source is empty.";
    FIRST_SYNC_REVIEW "CRD-C302"
        "The first sync has nothing to be compared with, and policy wants a person to look."
        "Look through what it holds, then release or reject it.";
    RECOVERY_REVIEW "CRD-C303"
        "A sync waits in quarantine, and policy wants a person to end it."
        "Compare this sync with the last known good, then release or reject it.";
    WITHHELD "CRD-C311"
        "Changes came that a person saw and did not release."
        "Release them too, or reject them; they wait until somebody decides or the source takes them back.";
    HELD "CRD-C312"
        "Removals are held while the rest of their sync passed."
        "Ask the source's owner about them, then release or reject them.";

    REMOVED "CRD-D101"
        "More records of a type vanished at once than policy allows."
        "Ask the source's owner about the examples; release what really left, reject a truncated read.";
    REMOVED_IN_SCOPE "CRD-D102"
        "More records of one scope vanished at once than policy allows."
        "Ask the source's owner about the scope; release what really left, reject a truncated read.";
    REMOVED_WITHIN "CRD-D103"
        "More records of a type vanished within hours or days than policy allows."
        "Look through the syncs of that time: small losses that add up are a leak until somebody knows why.";
    PROTECTED_REMOVED "CRD-D104"
        "Protected records would be removed."
        "Make sure that they may really go; protected records never go unattended.";
    ADDED "CRD-D201"
        "More records of a type appeared at once than policy allows."
        "Ask the source's owner about the examples, then release or reject.";
    MODIFIED "CRD-D202"
        "More records of a type changed at once than policy allows."
        "Look at what changed: one attribute in all records points at the connector, not at people.";
    PRIVILEGED_CHANGED "CRD-D301"
        "More privileged grants appeared or vanished at once than policy allows."
        "Have every one of them confirmed, then release or reject.";
    MARKED_CHANGED "CRD-D302"
        "More grants of entitlements that the policy calls privileged appeared or vanished at once than it allows."
        "Have every one of them confirmed, then release or reject.";
    REKEYED "CRD-D401"
        "Most ids of a type vanished while about as many new ones appeared: the ids changed, not the records."
        "Reject and restore the ids, unless the source was really migrated.";
    REPLAYED "CRD-D402"
        "An older snapshot came back."
        "Look whether the source answers from an old copy; reject and sync again.";

    LOSS_UNUSUAL "CRD-D501"
        "More is gone than this source and others ever lost at once, counted by causes."
        "Ask the source's owner about the examples; read again, release what really left.";
    LOSS_SHAPE "CRD-D502"
        "What is gone lies together in the source's listing: an end, a run, or pages of it."
        "A truncated read looks like this: read again, and compare; release only if the records are gone at the source.";
    LOSS_EMPTIED "CRD-D503"
        "Groups that still exist have lost all their members."
        "Look whether the connector may still read members; release only if the groups are empty at the source.";
    LOSS_ORPHANED "CRD-D504"
        "Principals are gone, but what they hold is not."
        "Look whether the listing of principals was read to its end.";
    FLAPPING "CRD-D505"
        "Records come and go: what left came back, or left again, within a few syncs."
        "Look whether the source answers differently from one read to the next.";
    LEAK "CRD-D506"
        "Small losses go on for many syncs and add up to more than is usual."
        "Look through the last syncs: losses that nobody decided are a leak.";
    REPLAY_OLDER "CRD-D507"
        "The content is one that was accepted before and had been replaced since."
        "Look whether the source answers from an old copy; read again.";
    GAIN_UNUSUAL "CRD-D601"
        "More is new than this source and others ever gained at once, counted by causes."
        "Look whether another tenant's records came in; release what was really added.";
    REACH_UNUSUAL "CRD-D602"
        "Known principals gained more power at once than is usual."
        "Have every new grant confirmed, then release or reject.";
    ROLES_UNUSUAL "CRD-D603"
        "Many grants changed from one role to one other."
        "Look whether the connector still reads roles; have elevations confirmed.";
    REKEYED_BY_VALUES "CRD-D604"
        "Records vanished and came back under other ids, with the same names or numbers."
        "Reject and restore the ids, or take over the mapping that `cordon diff NAME --remap` proposes, where the source was migrated.";

    COLUMN_NEW "CRD-S101"
        "Records have an attribute that they did not have."
        "Nothing to do.";
    NO_LONGER_REQUIRED "CRD-S201"
        "The connector no longer announces an attribute as required."
        "If the attribute matters, name it in the policy (`schema.required`).";
    COLUMN_TYPE_CHANGED "CRD-S301"
        "An attribute's values have another type."
        "Check that sinks can take the new type, then release; else go back to the connector's earlier version.";
    COLUMN_VANISHED "CRD-S302"
        "An attribute that had values is gone from every record."
        "Look whether the connector lost the right to read it; release only if the attribute was given up.";
    VALUES_LOST "CRD-S303"
        "An attribute is absent from many more records than before."
        "Look whether the connector lost the right to read it, or a page of it.";
    VALUES_NEW "CRD-S304"
        "An attribute that always had one of a few values has others."
        "See in `cordon diff` what became of the known values; have the export or the mapping restored, or release if the source really speaks another way now.";

    VALUES_UNUSUAL "CRD-S401"
        "Many values of one attribute changed in the same way."
        "Look at the examples: a lost right, an encoding or an exchanged column changes all records alike.";

    WATERMARK_WENT_BACK "CRD-W101"
        "The source says that it is older than it was."
        "Look whether the source answers from an old copy or was restored; reject and sync again.";
    WATERMARK_LOST "CRD-W102"
        "A scope no longer says how current its source is."
        "Look whether the connector was changed; without a watermark an old copy is hard to notice.";
    WATERMARK_SAME "CRD-W201"
        "The source did not move since the last known good."
        "Nothing to do, unless the source should have moved.";

    STILL_THERE "CRD-V101"
        "The source still holds records that the sync misses: it was not read to its end."
        "Reject and sync again; if it comes back, the connector stops reading too early. Released, it would take access from records that exist.";
    CONFIRMED_GONE "CRD-V201"
        "The source confirms that the missing records are gone."
        "What is left to decide is whether they may go: ask the source's owner, then release or reject.";
    NOT_CONFIRMED "CRD-V202"
        "The source could not confirm that the missing records are gone."
        "Read why; without the source's word, decide by the examples and by asking its owner.";

    UNUSUAL_ONCE "CRD-V301"
        "The sync is unusual, though nothing holds it: the source is read once more before it is accepted."
        "Nothing: the second reading comes by itself. Release it if it cannot wait.";
    DIFFERED "CRD-V302"
        "The source was read again and brought something else: what the earlier reading brought did not last."
        "Nothing to do if it stays rare; often, it is a source or a network that loses parts of its answers.";
    SAME_AGAIN "CRD-V303"
        "The source was read again and brought the same: the loss is no fault of one reading."
        "Decide as the other findings say; reading it a third time would tell nothing new.";
    NEVER_TWICE "CRD-V304"
        "Each reading of the source is unusual in another way."
        "Look at the source's health and load; compare the syncs with `cordon diff` and reject what contradicts.";

    RULE_BROKEN "CRD-O101"
        "An operator's rule selects more records than it allows."
        "Read the rule's message and look at the examples; `cordon rule test` shows what it found before.";
    RULE_TOO_FEW "CRD-O102"
        "An operator's rule selects fewer records than it demands."
        "Read the rule's message; look whether the source was read in full.";
    RULE_UNMET "CRD-O103"
        "An operator's rule cannot be evaluated, because the connector announces no such type or attribute."
        "Correct the rule, or look why the connector no longer announces what it did.";

    WEAKENED "CRD-O201"
        "A protection was weakened by another configuration, and nobody has acknowledged it."
        "Look who changed what with `cordon events`, then acknowledge it with `cordon policy acknowledge`, or restore it.";
    EXEMPTION_OVER "CRD-O202"
        "An exemption is past its date and no longer counts."
        "Take it out of the configuration, or give it a new date if its owner still answers for it.";
    MISNAMED "CRD-O203"
        "The policy names a type or an attribute that its connector does not announce: that line protects nothing."
        "Correct the line, or take it out; `cordon config check` says what may have been meant.";

    TIME_EXTENDED "CRD-L101"
        "The sync was late, but held back by this host or by a limit, and got the same time once more."
        "Nothing to do if it stays rare; else give the connector or the host what the message names.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_rules_share_a_code() {
        let mut codes: Vec<_> = ALL.iter().map(|rule| rule.code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }

    #[test]
    fn every_code_names_its_check_and_a_number() {
        for rule in ALL {
            let (check, number) = rule.code.strip_prefix("CRD-").unwrap().split_at(1);
            assert!("PRFCDSWVOL".contains(check), "{}", rule.code);
            assert!(number.len() == 3 && number.bytes().all(|b| b.is_ascii_digit()), "{number}");
        }
    }

    #[test]
    fn every_code_can_be_explained_and_an_unknown_one_cannot() {
        for rule in ALL {
            assert_eq!(explain(rule.code), Some(rule));
            assert!(rule.meaning.ends_with('.') && rule.action.ends_with('.'), "{}", rule.code);
        }
        assert_eq!(explain("CRD-D999"), None);
    }
}
