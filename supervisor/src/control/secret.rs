//! `secret check`: does each reference have a value? The value itself is dropped at once.

use cordon_wire::v1;
use tonic::Status;

use super::Service;
use super::problem::Refusal;
use crate::config::{Config, SinkKind};
use crate::secrets::{self, Named, Reference};
use crate::session::chain;

impl Service {
    pub(super) async fn answer_secret_check(
        &self,
        request: v1::SecretCheckRequest,
    ) -> Result<v1::SecretCheckResponse, Status> {
        let config = self.host.loaded().config;
        let mut owners = references(&config);
        if !request.name.is_empty() {
            owners.retain(|(owner, _)| *owner == request.name);
            let known = config.sinks.contains_key(&request.name);
            if !known {
                self.find(&request.name)?;
            }
        }
        // Programs may be asked: at the same time, or ten of them would take minutes.
        let checks = owners
            .into_iter()
            .map(|(owner, named)| tokio::task::spawn_blocking(move || check(owner, &named)));
        let mut secrets = Vec::new();
        for checked in futures::future::join_all(checks).await {
            secrets.push(checked.map_err(|error| Refusal::failed(error.to_string()))?);
        }
        Ok(v1::SecretCheckResponse { secrets })
    }
}

/// Every reference of a configuration and whose it is.
pub(super) fn references(config: &Config) -> Vec<(String, Named)> {
    let mut found = Vec::new();
    for (name, connector) in &config.connectors {
        let named = secrets::named(&connector.config);
        found.extend(named.into_iter().map(|named| (name.to_string(), named)));
    }
    for (name, sink) in &config.sinks {
        if let SinkKind::Webhook { secret, .. } = &sink.kind {
            let named = Named { place: "secret".to_owned(), text: secret.clone() };
            found.push((name.clone(), named));
        }
    }
    found
}

fn check(owner: String, named: &Named) -> v1::SecretCheck {
    let parsed = Reference::parse(&named.text);
    let reference = parsed.as_ref().map_or_else(|_| "no reference".to_owned(), ToString::to_string);
    let (state, detail) = match parsed.and_then(|reference| reference.resolve()) {
        Ok(_) => ("ok", String::new()),
        Err(error) => ("fail", chain(&error)),
    };
    v1::SecretCheck {
        owner,
        place: named.place.clone(),
        reference,
        state: state.to_owned(),
        detail,
    }
}
