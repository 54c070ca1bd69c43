//! `policy acknowledge`: somebody says that a policy is right, although it is weaker than it was.

use cordon_wire::v1;
use tonic::{Request, Status};

use super::orders::check_reason;
use super::problem::Refusal;
use super::{Service, peer};

impl Service {
    pub(super) async fn order_acknowledge(
        &self,
        request: Request<v1::OrderRequest>,
    ) -> Result<v1::OrderResponse, Status> {
        let actor = peer::actor(&request);
        let (name, handle) = self.find(&request.get_ref().connector)?;
        let reason = &request.get_ref().reason;
        check_reason(reason)?;
        let noted = self.host.acknowledge_policy(&name, &actor, reason).await;
        let noted = noted.map_err(|error| Refusal::failed(format!("{error:#}")))?;
        let (evidence, message) = match noted {
            None => (0, format!("nothing of the policy of {name} waits to be acknowledged")),
            Some((seq, weakened)) => {
                let what: Vec<String> = weakened.into_iter().map(|it| it.what).collect();
                (seq.0, format!("acknowledged for {name}: {}", what.join(", ")))
            }
        };
        self.host.refresh(&name).await;
        Ok(self.order_answer(&name, &handle, evidence, message))
    }
}
