//! What the defaults would have done with the syncs there are, for whoever sets a connector up.
//!
//! It is what [`backtest`](super::backtest) tells, in a line beside the connector: whether the defaults
//! fit a source is seen from what they would have held of its past. It is told where nobody asked for
//! it, so it takes little time, says how far it came, and fails nothing.

use std::time::Duration;

use cordon_model::ConnectorName;
use cordon_validate::Policy;
use cordon_wire::v1;
use tokio::time::Instant;
use tonic::Status;

use super::Service;
use super::backtest::{DEFAULTS, Replayed, refused, summary, would_wait};
use super::problem::Refusal;
use crate::config::Tried;

/// How long an answer may take, for all the connectors that it speaks of.
const TIME_MAX: Duration = Duration::from_secs(2);
/// Runs that are looked at, newest first, where few snapshots are kept.
const RUNS_MIN: u32 = 500;
/// Held syncs that are told one by one, and those whose codes stand in the line.
const HELD_MAX: usize = 5;
const NAMED_MAX: usize = 3;

/// The moment at which an answer has to be there.
pub(super) fn soon() -> Instant {
    Instant::now() + TIME_MAX
}

impl Service {
    pub(super) async fn answer_hindsight(
        &self,
        request: v1::HindsightRequest,
    ) -> Result<v1::HindsightResponse, Status> {
        let known = self.host.connectors();
        let tried = match request.policy.as_str() {
            "" => None,
            text => Some(Tried::read(text).map_err(|error| refused(&error))?),
        };
        let until = soon();
        let mut connectors = Vec::new();
        for (name, handle) in &known {
            let in_force = handle.view.borrow().connector.policy.clone();
            let Some(tried) = &tried else {
                connectors.push(self.hindsight(name, Some(in_force), until).await);
                continue;
            };
            // What an included file says of its connector is not known here.
            let named = tried.connectors().any(|it| it == name);
            if named || tried.includes() {
                let policy = tried.policy(name).map_err(|error| refused(&error))?;
                let policy = (named || !tried.includes()).then_some(policy);
                connectors.push(self.hindsight(name, policy, until).await);
            }
        }
        for name in tried.iter().flat_map(Tried::connectors) {
            if !known.contains_key(name) {
                connectors.push(nothing(name, "none", "is new here: no sync to try a policy on"));
            }
        }
        Ok(v1::HindsightResponse { connectors })
    }

    /// Of those connectors among what a reload touched, under the policies that hold from now on.
    pub(super) async fn hindsight_of(&self, touched: Vec<String>) -> Vec<v1::Hindsight> {
        let config = self.host.loaded().config;
        let until = soon();
        let mut told = Vec::new();
        for (name, connector) in &config.connectors {
            if touched.iter().any(|it| it == name.as_str()) {
                told.push(self.hindsight(name, Some(connector.policy.clone()), until).await);
            }
        }
        told
    }

    /// Of one connector; `tried` is tried beside the defaults. A failure is told as such.
    pub(super) async fn hindsight(
        &self,
        name: &ConnectorName,
        tried: Option<Policy>,
        until: Instant,
    ) -> v1::Hindsight {
        let tried = tried.filter(|policy| !policy.judges_as(&Policy::default()));
        let mut hindsight = match self.looked_back(name, tried, until).await {
            Ok(hindsight) => hindsight,
            Err(refusal) => nothing(name, "unknown", refusal.message()),
        };
        hindsight.defaults_in_force = self.host.connector(name).is_some_and(|handle| {
            handle.view.borrow().connector.policy.judges_as(&Policy::default())
        });
        hindsight
    }

    async fn looked_back(
        &self,
        name: &ConnectorName,
        tried: Option<Policy>,
        until: Instant,
    ) -> Result<v1::Hindsight, Refusal> {
        let keep_last = self.host.loaded().config.daemon.keep_last;
        let runs = RUNS_MIN.max(keep_last.saturating_mul(4));
        let defaults = self.replay(name, Policy::default(), runs, Some(until)).await?;
        let tried = match tried {
            Some(policy) if !defaults.syncs.is_empty() => {
                Some(self.replay(name, policy, runs, Some(until)).await?)
            }
            _ => None,
        };
        Ok(told(name, &defaults, tried.as_ref(), keep_last))
    }
}

/// Says why there is nothing to tell.
fn nothing(name: &ConnectorName, state: &str, message: &str) -> v1::Hindsight {
    v1::Hindsight {
        connector: name.to_string(),
        state: state.to_owned(),
        message: message.to_owned(),
        ..v1::Hindsight::default()
    }
}

fn told(
    name: &ConnectorName,
    defaults: &Replayed,
    tried: Option<&Replayed>,
    keep_last: u32,
) -> v1::Hindsight {
    let summed = summary(DEFAULTS, &defaults.syncs, keep_last);
    if summed.judged == 0 {
        let unread = format!("its syncs could not be read in {} s", TIME_MAX.as_secs());
        let (state, message) = match (defaults.syncs.is_empty(), defaults.unread) {
            (true, 0) => ("none", "no sync was judged yet: nothing to try a policy on"),
            (false, 0) => ("gone", "of the syncs that were judged the records are no longer kept"),
            (_, _) => ("unknown", unread.as_str()),
        };
        return v1::Hindsight { unread: defaults.unread, ..nothing(name, state, message) };
    }
    // Time that ran out in the middle would compare two numbers of different syncs.
    let tried = tried.filter(|tried| tried.syncs.len() == defaults.syncs.len());
    let tried = tried.map(|tried| summary("the policy beside them", &tried.syncs, keep_last));
    let held = defaults.syncs.iter().rev();
    let held = held.filter(|sync| would_wait(sync));
    let held: Vec<v1::BacktestSync> = held.cloned().collect();
    v1::Hindsight {
        connector: name.to_string(),
        state: "told".to_owned(),
        message: in_words(&summed, tried.as_ref(), &held, defaults.unread),
        defaults_in_force: false,
        defaults: Some(summed),
        tried,
        held: held.into_iter().take(HELD_MAX).collect(),
        unread: defaults.unread,
    }
}

fn in_words(
    defaults: &v1::BacktestSummary,
    tried: Option<&v1::BacktestSummary>,
    held: &[v1::BacktestSync],
    unread: u64,
) -> String {
    let syncs = |number: u64| if number == 1 { "stored sync" } else { "stored syncs" };
    let mut words = match defaults.held {
        0 => format!("the defaults would have held none of {}", defaults.judged),
        number => format!("the defaults would have held {number} of {}", defaults.judged),
    };
    words = format!("{words} {}", syncs(defaults.judged));
    let named = |sync: &v1::BacktestSync| format!("{} ({})", sync.sync, sync.codes.join(" "));
    let mut list: Vec<String> = held.iter().take(NAMED_MAX).map(named).collect();
    if held.len() > NAMED_MAX {
        list.push(format!("{} more", held.len() - NAMED_MAX));
    }
    if !list.is_empty() {
        words = format!("{words}: {}", list.join(", "));
    }
    if defaults.read_again > 0 {
        words = format!("{words}, and read again {}", defaults.read_again);
    }
    if let Some(tried) = tried {
        words = format!("{words}; this policy {}", tried.held);
    }
    words = format!("{words}; what was in force then held {}", defaults.held_then);
    if unread > 0 {
        let seconds = TIME_MAX.as_secs();
        words = format!("{words} ({unread} newer ones were not reached in {seconds} s)");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sync(number: u64, codes: &[&str], then: &[&str]) -> v1::BacktestSync {
        let words = |codes: &[&str]| codes.iter().map(|code| (*code).to_owned()).collect();
        v1::BacktestSync {
            sync: number,
            verdict: if codes.is_empty() { "accepted" } else { "quarantined" }.into(),
            codes: words(codes),
            codes_then: words(then),
            ..v1::BacktestSync::default()
        }
    }

    fn said(defaults: &[v1::BacktestSync], tried: Option<&[v1::BacktestSync]>) -> v1::Hindsight {
        let replayed = |syncs: &[v1::BacktestSync]| Replayed { syncs: syncs.to_vec(), unread: 0 };
        let name = ConnectorName::new("hr").unwrap();
        told(&name, &replayed(defaults), tried.map(replayed).as_ref(), 30)
    }

    #[test]
    fn what_the_defaults_would_have_held_stands_beside_what_was() {
        let history = [
            sync(410, &[], &[]),
            sync(411, &["CRD-D101"], &["CRD-D101"]),
            sync(412, &["CRD-D101", "CRD-D103"], &[]),
        ];
        let told = said(&history, None);
        assert_eq!(
            told.message,
            "the defaults would have held 2 of 3 stored syncs: 412 (CRD-D101 CRD-D103), 411 (CRD-D101); what was in force then held 1"
        );
        let kept: Vec<u64> = told.held.iter().map(|sync| sync.sync).collect();
        assert_eq!((told.state.as_str(), kept), ("told", vec![412, 411]));
        let own = [sync(410, &[], &[]), sync(411, &["CRD-D101"], &[]), sync(412, &[], &[])];
        assert!(
            said(&history, Some(&own))
                .message
                .contains("; this policy 1; what was in force then held 1")
        );
    }

    #[test]
    fn a_history_that_the_defaults_fit_and_none_at_all_are_told_apart() {
        let fits = said(&[sync(1, &[], &[])], None);
        assert_eq!(
            fits.message,
            "the defaults would have held none of 1 stored sync; what was in force then held 0"
        );
        assert_eq!(said(&[], None).state, "none");
        let gone = v1::BacktestSync { verdict: "unknown".into(), ..sync(1, &[], &[]) };
        assert_eq!(said(&[gone], None).state, "gone");
    }

    #[test]
    fn what_the_time_did_not_suffice_for_is_told_and_compares_nothing() {
        let name = ConnectorName::new("hr").unwrap();
        let some = Replayed { syncs: vec![sync(1, &[], &[]), sync(2, &[], &[])], unread: 7 };
        let fewer = Replayed { syncs: vec![sync(1, &["CRD-D101"], &[])], unread: 8 };
        let told = told(&name, &some, Some(&fewer), 30);
        assert!(
            told.message.ends_with("(7 newer ones were not reached in 2 s)"),
            "{}",
            told.message
        );
        assert_eq!((told.unread, told.tried), (7, None));
        let none = Replayed { syncs: Vec::new(), unread: 9 };
        assert_eq!(super::told(&name, &none, None, 30).state, "unknown");
    }

    #[test]
    fn many_are_counted_and_not_listed() {
        let history: Vec<_> = (1..=20).map(|number| sync(number, &["CRD-D101"], &[])).collect();
        let told = said(&history, None);
        assert_eq!(told.held.len(), HELD_MAX);
        assert!(
            told.message.contains("18 (CRD-D101), 17 more; what was in force then held 0"),
            "{}",
            told.message
        );
    }
}
