//! Decisions on what waits in quarantine.

use cordon_ledger::{QuarantinedRow, RequestRow};
use cordon_model::ConnectorName;
use cordon_validate::{Release, Selection};
use cordon_wire::v1;
use jiff::Timestamp;
use tonic::{Request, Status};

use super::orders::check_reason;
use super::problem::Refusal;
use super::{Service, peer, render};
use crate::gate::{Gate, Parted, Released};
use crate::runner::Command;

impl Service {
    pub(super) async fn answer_quarantine(
        &self,
        request: v1::QuarantineRequest,
    ) -> Result<v1::QuarantineResponse, Status> {
        let name = match request.connector.as_str() {
            "" => None,
            name => Some(self.find(name)?.0),
        };
        let ledger = &self.host.ledger;
        let waiting = ledger.quarantined(name.as_ref()).await.map_err(Refusal::from)?;
        let asked = ledger.release_requests(name.as_ref()).await.map_err(Refusal::from)?;
        let now = Timestamp::now();
        let syncs = waiting.iter().map(|row| {
            let asked = asked.iter().find(|asked| asked.connector == row.connector);
            render::quarantined(row, asked, now)
        });
        Ok(v1::QuarantineResponse { syncs: syncs.collect() })
    }

    /// What waits under this number, or a refusal that says what waits instead.
    async fn waiting(&self, name: &ConnectorName, sync: u64) -> Result<QuarantinedRow, Refusal> {
        let waiting = self.host.ledger.quarantined(Some(name)).await?;
        match waiting.into_iter().next() {
            Some(row) if row.sync.0 == sync => Ok(row),
            Some(row) => Err(Refusal::changed(format!(
                "sync {sync} of `{name}` does not wait for a decision, sync {} does",
                row.sync
            ))
            .still("nothing was decided")
            .hint(format!("look with `cordon diff {name}`"))),
            None => Err(Refusal::not_found(format!("no sync of `{name}` waits for a decision"))
                .still("nothing was decided")),
        }
    }

    pub(super) async fn decide_release(
        &self,
        request: Request<v1::ReleaseRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let (by, uid) = (peer::actor(&request), peer::number(&request));
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        check_reason(&order.reason)?;
        let selection = Selection::new(&order.ops, &order.types, &order.keys)
            .map_err(|error| Refusal::invalid("CRD-H002", error.to_string()))?;
        let waiting = self.waiting(&name, order.sync).await?;
        let connector = handle.view.borrow().connector.clone();
        let groups = connector.policy.release_by();
        if !groups.is_empty() && !peer::is_member(uid, groups) {
            let names: Vec<&str> = groups.iter().map(|group| group.as_str()).collect();
            return Err(Refusal::forbidden(format!("{by} may not release syncs of `{name}`"))
                .still("nothing was released; the last known good stays")
                .hint(format!("members of {} may", names.join(", ")))
                .into());
        }
        let counts = waiting.counts;
        let (digest, reason) = (order.digest, order.reason);
        let release =
            Release { by, reason, digest, at: Timestamp::now(), selection, asked_by: None };
        let gate = Gate::new(&self.host, &connector);
        let released = gate.release(waiting, release, uid).await.map_err(Refusal::from)?;
        let message = match released {
            Released::Whole => format!(
                "released sync {} of {name}: {} added, {} removed, {} modified",
                order.sync, counts.added, counts.removed, counts.modified
            ),
            Released::Part(parted) => part_words(&parted),
            Released::Asked(request) => return Err(wait_for_second(&request).into()),
        };
        let evidence = handle.facts().last_good.map_or(0, |row| row.evidence.0);
        Ok(self.order_answer(&name, &handle, evidence, message))
    }

    pub(super) async fn decide_reject(
        &self,
        request: Request<v1::RejectRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let by = peer::actor(&request);
        let order = request.into_inner();
        let (name, handle) = self.find(&order.connector)?;
        check_reason(&order.reason)?;
        let waiting = self.waiting(&name, order.sync).await?;
        let connector = handle.view.borrow().connector.clone();
        let gate = Gate::new(&self.host, &connector);
        let evidence = gate.refuse(&waiting, &by, &order.reason).await.map_err(Refusal::from)?;
        if order.retry {
            handle.tell(Command::Sync).await;
        }
        let message = format!("rejected sync {} of {name}; the last known good stays", order.sync);
        Ok(self.order_answer(&name, &handle, evidence, message))
    }
}

/// The word of the first is kept; the command still is not done.
fn wait_for_second(request: &RequestRow) -> Refusal {
    let RequestRow { by, sync, connector, expires_at, evidence, .. } = request;
    let until = Timestamp::from_second(expires_at.as_second()).unwrap_or(*expires_at);
    Refusal::second_person(format!(
        "a second person has to agree to release sync {sync} of `{connector}`; {by} asked for it \
         (evidence {evidence})"
    ))
    .still(format!(
        "nothing is released before; the request lapses at {until}, or when another sync comes"
    ))
    .hint("another user id gives the same command: same digest, same selection")
}

/// `released 52 of 7,071 changes (12 add, 40 change); 7,019 removals stay quarantined`.
fn part_words(parted: &Parted) -> String {
    let Parted { released, left } = parted;
    let all = released.total() + left.total();
    let what =
        [(released.added, "add"), (released.removed, "remove"), (released.modified, "change")];
    let what = what.iter().filter(|(count, _)| *count > 0);
    let what: Vec<String> =
        what.map(|(count, verb)| format!("{} {verb}", grouped(*count))).collect();
    let rest = match (left.total(), left.removed) {
        (0, _) => "nothing waits any more".to_owned(),
        (1, 1) => "1 removal stays quarantined".to_owned(),
        (all, removed) if all == removed => format!("{} removals stay quarantined", grouped(all)),
        (1, _) => "1 change stays quarantined".to_owned(),
        (all, _) => format!("{} changes stay quarantined", grouped(all)),
    };
    let (released, all) = (grouped(released.total()), grouped(all));
    format!("released {released} of {all} changes ({}); {rest}", what.join(", "))
}

/// A number as people read it: `7,019`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && at % 3 == first {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use cordon_store::ChangeCounts;

    use super::*;

    #[test]
    fn a_partial_release_says_what_passed_and_what_waits() {
        let words = |released: [u64; 3], left: [u64; 3]| {
            let counts =
                |[added, modified, removed]: [u64; 3]| ChangeCounts { added, modified, removed };
            part_words(&Parted { released: counts(released), left: counts(left) })
        };
        assert_eq!(
            words([12, 40, 0], [0, 0, 7_019]),
            "released 52 of 7,071 changes (12 add, 40 change); 7,019 removals stay quarantined"
        );
        assert_eq!(
            words([0, 0, 1_234_567], [1, 0, 0]),
            "released 1,234,567 of 1,234,568 changes (1,234,567 remove); 1 change stays quarantined"
        );
        assert_eq!(
            words([1, 0, 0], [0, 0, 0]),
            "released 1 of 1 changes (1 add); nothing waits any more"
        );
    }
}
