//! `rule list` and `rule test`: the operators' rules, and what they would have found.

use std::collections::BTreeMap;

use cordon_ledger::RunOutcome;
use cordon_model::{ConnectorName, Severity, SyncNumber};
use cordon_store::{ReadError, Snapshot, Store};
use cordon_validate::{Announced, OperatorRule, Policy, RuleName, Watched, fitted};
use cordon_wire::v1;
use tonic::Status;

use super::Service;
use super::problem::Refusal;
use crate::gate::look;
use crate::session::chain;

impl Service {
    pub(super) async fn answer_rules(
        &self,
        request: v1::RulesRequest,
    ) -> Result<v1::RulesResponse, Status> {
        let handles = match request.connector.as_str() {
            "" => self.host.connectors(),
            name => BTreeMap::from([self.find(name)?]),
        };
        let mut rules = Vec::new();
        for (name, handle) in handles {
            let policy = handle.view.borrow().connector.policy.clone();
            let known = self.host.announced(&name).await.map_err(Refusal::failed)?;
            let all = policy.rules.iter();
            rules.extend(all.map(|(id, rule)| described(&name, id, rule, known.as_ref())));
        }
        Ok(v1::RulesResponse { rules })
    }

    pub(super) async fn answer_rule_test(
        &self,
        request: v1::RuleTestRequest,
    ) -> Result<v1::RuleTestResponse, Status> {
        let (name, handle) = self.find(&request.connector)?;
        let mut rules = handle.view.borrow().connector.policy.rules.clone();
        if !request.rule.is_empty() {
            rules.retain(|id, _| id.as_str() == request.rule);
        }
        if rules.is_empty() {
            let message = match request.rule.as_str() {
                "" => format!("no rule holds for `{name}`"),
                rule => format!("no rule `{rule}` holds for `{name}`"),
            };
            let hint = "rules stand in [guard.rule.NAME] and [connector.NAME.guard.rule.NAME]";
            return Err(Refusal::not_found(message).hint(hint).into());
        }
        let mut results = Vec::new();
        for (sync, outcome) in self.judged_syncs(&name, request.sync).await? {
            let (store, connector, rules) = (self.host.store.clone(), name.clone(), rules.clone());
            let tried = tokio::task::spawn_blocking(move || {
                tried(&store, &connector, (sync, outcome), &rules)
            });
            let tried = tried.await.map_err(|error| Refusal::failed(error.to_string()))?;
            let unreadable = |error: ReadError| {
                Refusal::failed(format!("cannot read sync {sync}: {}", chain(&error)))
            };
            results.extend(tried.map_err(unreadable)?);
        }
        Ok(v1::RuleTestResponse { results })
    }

    /// The syncs whose records are kept and what they came to, oldest first: one, or all.
    async fn judged_syncs(
        &self,
        name: &ConnectorName,
        asked: u64,
    ) -> Result<Vec<(SyncNumber, RunOutcome)>, Refusal> {
        let ledger = &self.host.ledger;
        let mut syncs: Vec<SyncNumber> =
            ledger.snapshots(name).await?.into_iter().map(|row| row.sync).collect();
        syncs.extend(ledger.quarantined(Some(name)).await?.into_iter().map(|row| row.sync));
        syncs.sort_unstable();
        if asked > 0 {
            syncs.retain(|sync| sync.0 == asked);
        }
        if syncs.is_empty() {
            let message = match asked {
                0 => format!("`{name}` has no sync whose records are kept"),
                sync => format!("the records of sync {sync} of `{name}` are not kept"),
            };
            let hint = format!(
                "`cordon runs {name}` lists its syncs; store.keep.last says how many snapshots are kept"
            );
            return Err(Refusal::not_found(message).hint(hint));
        }
        let mut judged = Vec::new();
        for sync in syncs {
            let outcome = ledger.run(name, sync).await?.map(|run| run.outcome);
            judged.push((sync, outcome.unwrap_or(RunOutcome::Committed)));
        }
        Ok(judged)
    }
}

fn described(
    connector: &ConnectorName,
    name: &RuleName,
    rule: &OperatorRule,
    known: Option<&Announced>,
) -> v1::OperatorRule {
    let (state, detail) = match known.map(|known| fitted(rule, known)) {
        None => ("unknown", "the connector has not said yet what it reports".to_owned()),
        Some(Ok(types)) => {
            let types: Vec<String> = types.iter().map(ToString::to_string).collect();
            ("applies", types.join(", "))
        }
        Some(Err(why)) if rule.where_it_fits => ("passed-over", why),
        Some(Err(why)) => ("unmet", why),
    };
    v1::OperatorRule {
        connector: connector.to_string(),
        name: name.to_string(),
        on: rule.on.to_string(),
        selects: rule.subject(),
        demands: rule.demand(),
        message: rule.message.clone().unwrap_or_default(),
        state: state.into(),
        detail,
    }
}

/// What rules find in one stored sync, with ages as they were when it was taken.
fn tried(
    store: &Store,
    connector: &ConnectorName,
    (sync, outcome): (SyncNumber, RunOutcome),
    rules: &BTreeMap<RuleName, OperatorRule>,
) -> Result<Vec<v1::RuleResult>, ReadError> {
    let snapshot = store.candidate(connector, sync).or_else(|_| store.snapshot(connector, sync))?;
    let before: Option<Snapshot> = match snapshot.manifest.against {
        None => None,
        Some(against) => match store.snapshot(connector, against) {
            Err(ReadError::Missing { .. }) => None,
            read => Some(read?),
        },
    };
    let manifest = &snapshot.manifest;
    let is_first = manifest.against.is_none();
    let lost = !is_first && before.is_none();
    let policy = Policy { rules: rules.clone(), ..Policy::default() };
    let mut found = look(store, &policy, before.as_ref(), &snapshot, manifest.taken_at)?.rules;
    let result = |(name, rule): (&RuleName, &OperatorRule)| {
        let count = found.remove(name).unwrap_or_default();
        let of_changes = rule.on.watched != Watched::Current;
        let findings = cordon_validate::rule_findings(name, rule, &count);
        let told = findings.first();
        let (result, message) = match told {
            _ if of_changes && lost => {
                let against = manifest.against.unwrap_or_default();
                (
                    "not-evaluated",
                    format!("snapshot {against}, which it was compared with, is not kept"),
                )
            }
            _ if of_changes && is_first => ("ok", "a first sync changes nothing".to_owned()),
            None if count.passed_over => ("ok", "it does not fit this connector".to_owned()),
            None => ("ok", String::new()),
            Some(finding) if count.unmet.is_some() => ("not-evaluated", finding.message.clone()),
            Some(finding) if finding.severity == Severity::Quarantine => {
                ("quarantine", finding.message.clone())
            }
            Some(finding) => ("warning", finding.message.clone()),
        };
        v1::RuleResult {
            connector: connector.to_string(),
            sync: sync.0,
            against: manifest.against.map_or(0, |sync| sync.0),
            taken_at: manifest.taken_at.as_microsecond(),
            outcome: outcome.as_str().into(),
            rule: name.to_string(),
            result: result.into(),
            found: count.matched,
            of: count.of,
            message,
            examples: count.examples,
        }
    };
    Ok(rules.iter().map(result).collect())
}
