//! A policy in words, for people who ask what would hold a sync back.

use super::{
    FirstSync, LimitPatch, Limits, Marked, OnIncomplete, Policy, Recover, RemovalsVerified,
};

impl Policy {
    /// Every line of the policy that weighs in verdicts: what it speaks of, and what holds.
    pub fn describe(&self) -> Vec<(String, String)> {
        let mut lines = vec![
            line("risk", self.risk_words()),
            line("first sync", self.first_sync_words()),
            line("recovery", self.recover_words()),
            line(
                "suspicious removals",
                if self.holds_removals_alone() {
                    "removals wait, the rest passes"
                } else {
                    "the whole sync waits"
                },
            ),
            line("release", self.release_words()),
            line(
                "incomplete scopes",
                match self.on_incomplete {
                    OnIncomplete::CarryForward => "carried forward, the rest passes",
                    OnIncomplete::Quarantine => "quarantine",
                },
            ),
        ];
        let limits =
            [("removed", &self.removed), ("added", &self.added), ("modified", &self.modified)];
        for (verb, limits) in limits {
            limits.describe(verb, &mut lines);
        }
        let in_scope = if self.removed_in_scope == LimitPatch::default() {
            "as its records".to_owned()
        } else {
            let limit = self.removed_in_scope.applied_to(self.removed.default);
            format!("quarantine beyond {limit}")
        };
        lines.push(line("removed in a scope", in_scope));
        for budget in &self.budgets {
            let of = budget.of.as_ref().map_or_else(String::new, |of| format!("{of} "));
            let words = match (budget.count, budget.percent) {
                (None, None) => "any number".to_owned(),
                _ => format!("quarantine beyond {budget}"),
            };
            lines.push((format!("removed {of}in {}", budget.within.in_words()), words));
        }
        let privileged = self.privileged;
        lines.push(line(
            "privileged grants",
            format!("quarantine beyond {}, or {}, at once", privileged.count, privileged.percent),
        ));
        let dangling = self.dangling_percent;
        lines.push(line("dangling references", format!("quarantine beyond {dangling}")));
        lines.push(line("missing records", self.lookup.in_words()));
        lines.push(line("removals confirmed", self.confirmed_words()));
        lines.push(line("suspicious syncs", self.reread.in_words()));
        lines.push(line("shape of a step", self.shape.in_words()));
        lines.push(line("accepted removals", self.grace.in_words()));
        lines.push(line("required", names(&self.required)));
        lines.push(line("protected", self.protected_words()));
        if self.marks_entitlements() {
            lines.push(line("privileged entitlements", self.privileged_words()));
        }
        for (name, exemption) in &self.exemptions {
            lines.push((format!("exemption {name}"), exemption.to_string()));
        }
        for (name, rule) in &self.rules {
            lines.push((format!("rule {name}"), format!("{}: {}", rule.subject(), rule.demand())));
        }
        lines
    }

    fn first_sync_words(&self) -> &'static str {
        match self.first_sync {
            FirstSync::Trust if !self.high_risk() => "trusted when every scope is complete",
            FirstSync::Trust | FirstSync::Review => "waits for a person",
        }
    }

    fn risk_words(&self) -> String {
        if self.governs.is_empty() {
            return self.risk.to_string();
        }
        format!("{}, governs {}", self.risk, names(&self.governs))
    }

    fn protected_words(&self) -> String {
        let globs = self.protected.iter().map(ToString::to_string);
        let all: Vec<String> = globs.chain(self.protected_where.iter().map(marked)).collect();
        names(&all)
    }

    fn privileged_words(&self) -> String {
        let globs = self.privileged_entitlements.iter().map(ToString::to_string);
        let all: Vec<String> = globs.chain(self.privileged_where.iter().map(marked)).collect();
        names(&all)
    }

    fn release_words(&self) -> String {
        let who = if self.release_by().is_empty() {
            "whoever may give orders".to_owned()
        } else {
            format!("members of {}", names(self.release_by()))
        };
        match self.release_people() {
            1 => format!("by one person of {who}"),
            people => format!("by {people} people of {who}, within {}", self.release.expires),
        }
    }

    fn confirmed_words(&self) -> &'static str {
        match self.removals_verified {
            RemovalsVerified::Accept if !self.high_risk() => "pass",
            RemovalsVerified::Accept | RemovalsVerified::Note => {
                "wait for a person, who is told so"
            }
        }
    }

    fn recover_words(&self) -> &'static str {
        match self.recover {
            Recover::Auto if !self.high_risk() => "a clean sync ends a quarantine",
            Recover::Auto | Recover::Review => "a person ends a quarantine",
        }
    }
}

impl Limits {
    fn describe(&self, verb: &str, lines: &mut Vec<(String, String)>) {
        let words = |limit: super::Limit| match (limit.count, limit.percent) {
            (None, None) => "any number".to_owned(),
            _ => format!("quarantine beyond {limit}"),
        };
        lines.push(line(verb, words(self.default)));
        for label in self.labels.keys() {
            lines.push((format!("{verb} {label}"), words(self.of(label.as_str()))));
        }
    }
}

fn marked(marked: &Marked) -> String {
    format!("{} where {}", marked.of.0, marked.condition)
}

fn line(subject: &str, words: impl Into<String>) -> (String, String) {
    (subject.to_owned(), words.into())
}

fn names(all: &[impl ToString]) -> String {
    if all.is_empty() {
        return "none".to_owned();
    }
    all.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
