//! Policies as they were: every change of one is in the evidence, and what it took away stands at the
//! connector until somebody acknowledged it.
//!
//! A policy is compared with the one that held when somebody last said that it is right, not only
//! with the one before: two small steps are as much as one large one.

use cordon_ledger::{EvidenceRow, EvidenceSeq, Ledger};
use cordon_model::{ConnectorName, Finding, Severity};
use cordon_validate::{Policy, Weakening, codes};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::Host;
use crate::config::Config;
use crate::session::chain;

/// A policy that differs from the one before.
const CHANGED: &str = "policy.changed";
/// Somebody said that it is right.
const ACKNOWLEDGED: &str = "policy.acknowledged";
/// A weakening that nobody acknowledged stands so long.
const STANDS: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Records of policies that are looked at first, and at most. More are only read where none of the
/// first is what the present policy is compared with.
const RECORDS: u32 = 100;
const RECORDS_MAX: u32 = 100_000;
/// Weakenings that are told of one connector, at most.
const TOLD_MAX: usize = 20;

/// What is known of a connector's policies.
#[derive(Debug, Default)]
struct Known {
    /// Every policy that held, with its record, oldest first.
    policies: Vec<(EvidenceSeq, Timestamp, Policy)>,
    /// The record of the newest that somebody acknowledged.
    acknowledged: Option<EvidenceSeq>,
}

impl Host {
    /// Writes down every policy that differs from what held before, and what it takes away. Called
    /// before it holds: a change that cannot be written down does not happen.
    pub(crate) async fn note_policies(&self, config: &Config, actor: &str) -> anyhow::Result<()> {
        for (name, connector) in &config.connectors {
            let known = known(&self.ledger, name).await?;
            let last = known.policies.last().map(|(_, _, policy)| policy);
            if last == Some(&connector.policy) {
                continue;
            }
            let weakened = last.map(|old| connector.policy.weakened_from(old)).unwrap_or_default();
            for Weakening { what, before, now } in &weakened {
                tracing::warn!(connector = %name, what, before, now, "a protection was weakened");
            }
            // As text: numbers with a fraction have no one form in JSON.
            let policy = serde_json::to_string(&connector.policy)?;
            let body = json!({ "policy": policy, "weakened": weakened });
            let now = Timestamp::now();
            self.ledger.append_event(CHANGED, Some(name), actor, body, now).await?;
        }
        Ok(())
    }

    /// Writes down that somebody finds a connector's policy right; none when nothing stands.
    pub(crate) async fn acknowledge_policy(
        &self,
        name: &ConnectorName,
        actor: &str,
        reason: &str,
    ) -> anyhow::Result<Option<(EvidenceSeq, Vec<Weakening>)>> {
        let known = known(&self.ledger, name).await?;
        let now = Timestamp::now();
        let (Some((policy, _, _)), weakened) = (known.policies.last(), known.weakened(now)) else {
            return Ok(None);
        };
        if weakened.is_empty() {
            return Ok(None);
        }
        let body = json!({ "policy": policy.0, "weakened": weakened, "reason": reason });
        let seq = self.ledger.append_event(ACKNOWLEDGED, Some(name), actor, body, now).await?;
        Ok(Some((seq, weakened)))
    }
}

/// What stands at a connector because of its policy.
pub(super) async fn standing(
    ledger: &Ledger,
    name: &ConnectorName,
) -> Result<Vec<Finding>, cordon_ledger::ReadError> {
    let now = Timestamp::now();
    let known = known(ledger, name).await?;
    let mut findings = Vec::new();
    let since = known.since(now).map(|at| format!(", since {at:.0}")).unwrap_or_default();
    for Weakening { what, before, now } in known.weakened(now).into_iter().take(TOLD_MAX) {
        let message = format!("{what} was {before} and is {now}{since}");
        findings.push(codes::WEAKENED.finding(Severity::Warning, &what, message));
    }
    let exemptions = known.policies.last().into_iter().flat_map(|(_, _, it)| &it.exemptions);
    for (id, exemption) in exemptions.filter(|(_, exemption)| exemption.is_over(now)) {
        let message = format!(
            "exemption {id} counted until {} and no longer does: {} by {}",
            exemption.until,
            exemption.reason.as_str(),
            exemption.owner.as_str()
        );
        findings.push(codes::EXEMPTION_OVER.finding(Severity::Warning, id.as_str(), message));
    }
    Ok(findings)
}

async fn known(ledger: &Ledger, name: &ConnectorName) -> Result<Known, cordon_ledger::ReadError> {
    let now = Timestamp::now();
    let mut records = RECORDS;
    loop {
        let rows = ledger.latest_of_kinds(name, [CHANGED, ACKNOWLEDGED], records).await?;
        let is_all = (rows.len() as u64) < u64::from(records) || records >= RECORDS_MAX;
        let known = Known::of(&rows);
        // However often a policy is changed, what it is compared with is not pushed out.
        if is_all || known.settled(now).is_some() {
            return Ok(known);
        }
        records = records.saturating_mul(10).min(RECORDS_MAX);
    }
}

impl Known {
    /// What records say, newest first.
    fn of(rows: &[EvidenceRow]) -> Self {
        let mut known = Self::default();
        for row in rows {
            let body: serde_json::Value = serde_json::from_str(&row.body).unwrap_or_default();
            if row.kind == ACKNOWLEDGED {
                let seq = body["policy"].as_u64().map(EvidenceSeq);
                known.acknowledged = known.acknowledged.max(seq);
            } else if let Some(policy) = policy(row, &body) {
                known.policies.push((row.seq, row.time, policy));
            }
        }
        known.policies.reverse();
        known
    }
}

fn policy(row: &EvidenceRow, body: &serde_json::Value) -> Option<Policy> {
    let read = serde_json::from_str(body["policy"].as_str().unwrap_or_default());
    // Written by a version that knew other lines: nothing to compare with.
    read.inspect_err(|error| {
        tracing::warn!(record = %row.seq, error = chain(error), "an older policy cannot be read");
    })
    .ok()
}

impl Known {
    /// The place of the newest policy that nobody has to be told of any more.
    fn settled(&self, now: Timestamp) -> Option<usize> {
        let settled = |(seq, at, _): &(EvidenceSeq, Timestamp, Policy)| {
            self.acknowledged.is_some_and(|acknowledged| *seq <= acknowledged)
                || now.duration_since(*at) > STANDS
        };
        self.policies.iter().rposition(settled)
    }

    /// The place of the policy that the present one is compared with.
    fn baseline(&self, now: Timestamp) -> Option<usize> {
        let first = (!self.policies.is_empty()).then_some(0);
        self.settled(now).or(first)
    }

    /// What the present policy lacks.
    fn weakened(&self, now: Timestamp) -> Vec<Weakening> {
        let baseline = self.baseline(now).and_then(|place| self.policies.get(place));
        let (Some((_, _, old)), Some((_, _, present))) = (baseline, self.policies.last()) else {
            return Vec::new();
        };
        let mut present = present.clone();
        present.exemptions.retain(|_, exemption| !exemption.is_over(now));
        present.weakened_from(old)
    }

    /// When it began to lack it.
    fn since(&self, now: Timestamp) -> Option<Timestamp> {
        let next = self.baseline(now)? + 1;
        self.policies.get(next).map(|(_, at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    fn policy(guard: &str) -> Policy {
        Policy::default().overlaid(&toml::from_str(guard).unwrap())
    }

    /// The keys that are weaker on a day, after policies of earlier days.
    fn weaker(policies: &[(i64, &str)], acknowledged: Option<u64>, day: i64) -> String {
        let numbered = policies.iter().zip(1..);
        let known = Known {
            policies: numbered
                .map(|((day, guard), seq)| (EvidenceSeq(seq), at(*day), policy(guard)))
                .collect(),
            acknowledged: acknowledged.map(EvidenceSeq),
        };
        known.weakened(at(day)).into_iter().map(|it| it.what).collect::<Vec<_>>().join(" ")
    }

    const HIGH: &str = "risk = \"high\"\nprotected = [\"a\"]";

    #[test]
    fn a_weakening_stands_until_it_is_acknowledged_restored_or_a_month_old() {
        assert_eq!(weaker(&[], None, 1), "");
        assert_eq!(weaker(&[(0, "")], None, 1), "");
        assert_eq!(weaker(&[(0, HIGH), (1, "")], None, 2), "risk protected");
        assert_eq!(weaker(&[(0, HIGH), (1, "")], Some(2), 2), "");
        assert_eq!(weaker(&[(0, HIGH), (1, ""), (2, HIGH)], None, 3), "");
        assert_eq!(weaker(&[(0, HIGH), (1, "")], None, 31), "risk protected");
        assert_eq!(weaker(&[(0, HIGH), (1, "")], None, 32), "");
    }

    #[test]
    fn small_steps_are_told_together_and_what_was_acknowledged_is_not_told_again() {
        let steps = [(0, HIGH), (1, "risk = \"high\""), (2, "")];
        assert_eq!(weaker(&steps, None, 3), "risk protected");
        assert_eq!(weaker(&steps, Some(2), 3), "risk");
        assert_eq!(weaker(&steps, Some(3), 3), "");
    }

    #[tokio::test]
    async fn what_a_policy_is_compared_with_is_not_pushed_out_by_many_changes() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&folder.path().join("cordon.db"), at(0)).await.unwrap();
        let name = ConnectorName::new("hr").unwrap();
        let now = Timestamp::now();
        let steps = std::iter::once(HIGH.to_owned())
            .chain((1..150).map(|step| format!("dangling_percent = {}", step % 2)));
        for step in steps {
            let text = serde_json::to_string(&policy(&step)).unwrap();
            let body = json!({ "policy": text, "weakened": [] });
            ledger.append_event(CHANGED, Some(&name), "root", body, now).await.unwrap();
        }
        let told = standing(&ledger, &name).await.unwrap();
        let told: Vec<&str> = told.iter().map(|finding| finding.subject.as_str()).collect();
        assert_eq!(told, ["risk", "protected"]);
    }

    #[test]
    fn an_exemption_weakens_until_its_date() {
        let exempted = "exemption.x = { code = \"CRD-D101\", owner = \"o\", reason = \"r\", until = \"1970-01-05\" }";
        assert_eq!(weaker(&[(0, ""), (1, exempted)], None, 4), "exemption.x");
        assert_eq!(weaker(&[(0, ""), (1, exempted)], None, 5), "");
    }
}
