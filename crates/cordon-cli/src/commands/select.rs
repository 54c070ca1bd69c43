//! Several connectors at once: which they are, and what came of an order to each.
//!
//! The order goes to one after the other. One that is refused keeps no other from it: what was done
//! is shown, what was refused is told, and the command ends as the first refusal does.

use cordon_wire::v1;

use crate::args::{Label, Selection};
use crate::client::{Client, answer};
use crate::errors::Failure;
use crate::exit::Exit;
use crate::output::{Output, say_failure};

/// The names of the connectors that were selected, each once.
pub(super) async fn names(
    client: &mut Client,
    selection: Selection,
) -> Result<Vec<String>, Failure> {
    if !selection.names.is_empty() {
        let mut names: Vec<String> = Vec::new();
        for name in selection.names {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        return Ok(names);
    }
    let status = answer(client.status(v1::StatusRequest::default())).await?;
    let mut names: Vec<String> = labelled(status.connectors, &selection.labels.label)?
        .into_iter()
        .map(|it| it.name)
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Those of the connectors that bear each of these labels; that there is none is a failure.
pub(super) fn labelled(
    connectors: Vec<v1::ConnectorStatus>,
    labels: &[Label],
) -> Result<Vec<v1::ConnectorStatus>, Failure> {
    let bears = |it: &v1::ConnectorStatus, label: &Label| {
        it.labels.get(&label.key).is_some_and(|value| *value == label.value)
    };
    let mut known: Vec<String> = connectors
        .iter()
        .flat_map(|it| it.labels.iter().map(|(key, value)| format!("{key}={value}")))
        .collect();
    let found: Vec<_> = connectors
        .into_iter()
        .filter(|connector| labels.iter().all(|label| bears(connector, label)))
        .collect();
    if found.is_empty() && !labels.is_empty() {
        known.sort_unstable();
        known.dedup();
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        return Err(Failure::NotFound {
            message: format!("no connector is labelled {}", labels.join(" and ")),
            hint: match known.is_empty() {
                true => {
                    "no connector has a label; they stand in `labels` of the configuration".into()
                }
                false => format!("there are: {}", known.join(", ")),
            },
        });
    }
    Ok(found)
}

/// What came of an order to each of several connectors.
pub(super) struct Each<T> {
    /// Of those that did it.
    pub(super) done: Vec<T>,
    refused: Vec<Failure>,
}

/// Gives an order to each.
pub(super) async fn each<T>(
    names: Vec<String>,
    mut order: impl AsyncFnMut(String) -> Result<T, Failure>,
) -> Each<T> {
    let mut each = Each { done: Vec::new(), refused: Vec::new() };
    for name in names {
        match order(name).await {
            Ok(done) => each.done.push(done),
            // Nobody is left to ask, or whoever ordered has gone.
            Err(failure @ (Failure::CutShort | Failure::Silent { .. } | Failure::Interrupted)) => {
                each.refused.push(failure);
                break;
            }
            Err(failure) => each.refused.push(failure),
        }
    }
    each
}

impl<T> Each<T> {
    /// Of one that did it.
    pub(super) fn of(done: T) -> Self {
        Self { done: vec![done], refused: Vec::new() }
    }

    /// Tells of what was refused; the first of it ends the command.
    pub(super) fn end(self, exit: Exit, out: &Output) -> Result<Exit, Failure> {
        let mut refused = self.refused.into_iter();
        let Some(first) = refused.next() else { return Ok(exit) };
        for failure in refused {
            say_failure(&failure, out.format);
        }
        Err(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::sample;

    fn found(labels: &[(&str, &str)]) -> String {
        let labels: Vec<Label> = labels
            .iter()
            .map(|(key, value)| Label { key: (*key).to_owned(), value: (*value).to_owned() })
            .collect();
        match labelled(sample::status().connectors, &labels) {
            Ok(found) => found.into_iter().map(|it| it.name).collect::<Vec<_>>().join(" "),
            Err(failure) => failure.page().plain(),
        }
    }

    #[test]
    fn of_several_labels_each_counts() {
        assert_eq!(found(&[("owner", "iam")]), "ldap-corp");
        assert_eq!(found(&[]).split(' ').count(), 5);
        insta::assert_snapshot!(found(&[("owner", "iam"), ("tier", "two")]), @r"
        error: no connector is labelled owner=iam and tier=two
          hint: there are: owner=iam
        ");
    }
}
