//! What a person decides about a candidate that waits.

use cordon_ledger::{Acceptance, QuarantinedRow, RequestRow};
use cordon_validate::{
    Agreed, Asked, Disagreement, Release, Selection, Verdict, agree, may_release,
};
use jiff::Timestamp;

use super::part::{Parted, Word};
use super::{Gate, GateError};

/// What a release came to.
#[derive(Debug)]
pub(crate) enum Released {
    /// All that waited is the last known good.
    Whole,
    /// A part of it is.
    Part(Parted),
    /// The word is written down and waits for a second person.
    Asked(RequestRow),
}

impl Gate<'_> {
    /// Lets a quarantined candidate pass on a person's word, or a part of it; where the policy wants
    /// two people, on the word of the second.
    pub(crate) async fn release(
        &self,
        waiting: QuarantinedRow,
        release: Release,
        uid: u32,
    ) -> Result<Released, GateError> {
        let name = &self.connector.name;
        let _turn = self.host.turns.take(name).await;
        let verdict: Verdict = serde_json::from_str(&waiting.verdict_json)?;
        self.take_back().await?;
        let current = self.host.ledger.last_good(name).await?.map(|row| row.sync);
        may_release(&verdict, &release, current)?;
        let asked = self.asked().await?;
        let agreed = agree(&self.connector.policy, &waiting.digest, release, uid, asked.as_ref());
        let agreed = match agreed {
            Ok(agreed) => agreed,
            Err(Disagreement::First(asked)) => {
                return self.ask(&waiting, *asked).await.map(Released::Asked);
            }
            Err(same @ Disagreement::Same(_)) => return Err(same.into()),
        };
        let selection = agreed.release().selection.clone();
        // What is left of an earlier release has a number below the last known good's.
        if selection.is_all() && waiting.rest.is_none() {
            self.release_whole(&waiting, verdict, agreed).await?;
            self.tell(waiting.sync).await;
            return Ok(Released::Whole);
        }
        let parted = self.publish_part(&waiting, &selection, Word::People(agreed)).await;
        self.host.refresh(name).await;
        parted.map(Released::Part)
    }

    async fn release_whole(
        &self,
        waiting: &QuarantinedRow,
        verdict: Verdict,
        agreed: Agreed,
    ) -> Result<(), GateError> {
        let release = agreed.release();
        let (by, reason) = (release.by.clone(), release.reason.clone());
        let asked_by = release.asked_by.clone();
        let against = verdict.against;
        let accepted = cordon_validate::release(verdict, agreed, against)?;
        let staged = self.staged(waiting.sync).await?;
        self.publish(accepted, &staged, Acceptance::Release { by, reason, asked_by }).await
    }

    /// What a first person asked for.
    async fn asked(&self) -> Result<Option<Asked>, GateError> {
        let requests = self.host.ledger.release_requests(Some(&self.connector.name)).await?;
        let Some(row) = requests.into_iter().next() else { return Ok(None) };
        let selection: Selection = serde_json::from_str(&row.selection_json)?;
        let RequestRow { by, uid, reason, digest, at, expires_at, .. } = row;
        Ok(Some(Asked { by, uid, reason, digest, selection, at, expires_at }))
    }

    async fn ask(&self, waiting: &QuarantinedRow, asked: Asked) -> Result<RequestRow, GateError> {
        let mut request = RequestRow {
            connector: self.connector.name.clone(),
            sync: waiting.sync,
            digest: asked.digest,
            selection_json: serde_json::to_string(&asked.selection)?,
            by: asked.by,
            uid: asked.uid,
            reason: asked.reason,
            at: asked.at,
            expires_at: asked.expires_at,
            evidence: Default::default(),
        };
        request.evidence = self.host.ledger.request_release(&request, asked.at).await?;
        let until = request.expires_at;
        tracing::warn!(connector = %request.connector, by = request.by, %until, "release asked for");
        self.host.refresh(&self.connector.name).await;
        Ok(request)
    }

    /// Ends a quarantine without accepting anything.
    pub(crate) async fn refuse(
        &self,
        waiting: &QuarantinedRow,
        by: &str,
        reason: &str,
    ) -> Result<u64, GateError> {
        let name = &self.connector.name;
        let _turn = self.host.turns.take(name).await;
        let now = Timestamp::now();
        let told = self.host.ledger.reject_quarantined(name, waiting.sync, by, reason, now).await?;
        self.discard(waiting.sync).await;
        self.tell(waiting.sync).await;
        Ok(told.0)
    }
}
