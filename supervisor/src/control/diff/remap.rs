//! `diff --remap`: which records of a sync are the ones that went, under other ids.
//!
//! A source that was migrated, or a connector that reads another attribute as the id, takes everybody
//! away and brings them anew. What names a person in other attributes, and is nobody else's, says who
//! is who: a mapping for whoever holds the old ids. It is a proposal; nothing here acts on it.

use std::collections::BTreeMap;

use cordon_model::{ChangeOp, RecordKind, RecordType, Row};
use cordon_store::{ReadError, Store};
use cordon_validate::Selection;
use cordon_validate::detect::{Same, same_by_values};
use cordon_wire::v1;
use tokio_stream::iter;
use tonic::Status;

use super::super::problem::Refusal;
use super::super::{Service, Streamed};
use super::{Pair, newest_of_interest};
use crate::limits::REMAP_RECORDS;
use crate::session::chain;

/// Records of a type that went, and that came.
#[derive(Default)]
struct Moved {
    lost: Vec<Row>,
    new: Vec<Row>,
}

/// Why there is no mapping.
enum Failed {
    Read(ReadError),
    TooMany(RecordType),
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

impl Service {
    pub(in super::super) async fn answer_remap(
        &self,
        request: v1::RemapRequest,
    ) -> Result<Streamed<v1::Renamed>, Status> {
        let (name, handle) = self.find(&request.connector)?;
        let selection = Selection::new(&[], &request.types, &[])
            .map_err(|error| Refusal::invalid("CRD-H002", error.to_string()))?;
        let sync = newest_of_interest(&name, &handle, request.sync)?;
        let pair = self.pair(&name, sync, request.against).await?;
        let store = self.host.store.clone();
        let found = tokio::task::spawn_blocking(move || remap(&store, &pair, &selection));
        let found = found.await.map_err(|error| Refusal::failed(error.to_string()))?;
        let found = found.map_err(|failed| match failed {
            Failed::Read(error) => {
                Refusal::failed(format!("cannot read a snapshot: {}", chain(&error)))
            }
            Failed::TooMany(of) => {
                let label = of.label();
                let message = format!(
                    "sync {sync} of `{name}` takes away or brings more than {REMAP_RECORDS} records \
                     of {of}: no mapping is looked for in so many"
                );
                Refusal::invalid("CRD-H002", message)
                    .still("nothing was changed")
                    .hint(format!("look at other types with --kind, or at `cordon diff {name} --kind {label}`"))
            }
        })?;
        Ok(Box::pin(iter(found.into_iter().map(Ok))))
    }
}

fn remap(store: &Store, pair: &Pair, selection: &Selection) -> Result<Vec<v1::Renamed>, Failed> {
    let mut moved: BTreeMap<RecordType, Moved> = BTreeMap::new();
    for change in store.changes(pair.before.as_ref(), &pair.after, 0)? {
        let change = change?;
        let of = &change.record_type;
        // A grant has no id of its own: it follows those of its ends.
        if of.kind == RecordKind::Grant || !selection.takes(change.op, of.label()) {
            continue;
        }
        let both = moved.entry(of.clone()).or_default();
        let (rows, row) = match change.op {
            ChangeOp::Removed => (&mut both.lost, change.before),
            ChangeOp::Added => (&mut both.new, change.after),
            ChangeOp::Modified => continue,
        };
        rows.extend(row);
        if rows.len() > REMAP_RECORDS {
            return Err(Failed::TooMany(of.clone()));
        }
    }
    Ok(moved.iter().flat_map(|(of, moved)| renamed(of, moved)).collect())
}

/// Pairs in which neither side has another partner.
fn renamed(of: &RecordType, moved: &Moved) -> Vec<v1::Renamed> {
    let (lost, new): (Vec<&Row>, Vec<&Row>) =
        (moved.lost.iter().collect(), moved.new.iter().collect());
    let same = same_by_values(&lost, &new);
    let mut partners: BTreeMap<usize, usize> = BTreeMap::new();
    for pair in &same {
        *partners.entry(pair.new).or_default() += 1;
    }
    let alone = same.into_iter().filter(|pair| partners.get(&pair.new) == Some(&1));
    let renamed = alone.filter_map(|Same { lost: old, new: now, by }| {
        Some(v1::Renamed {
            record_type: of.to_string(),
            old: lost.get(old)?.key(),
            new: new.get(now)?.key(),
            by,
        })
    });
    renamed.collect()
}

#[cfg(test)]
mod tests {
    use cordon_model::Value;

    use super::*;

    fn row(id: &str, values: &[(&str, &str)]) -> Row {
        let values = [("id", id)].into_iter().chain(values.iter().copied());
        let values = values.map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())));
        Row {
            record_type: "resource.user".to_owned().try_into().unwrap(),
            values: values.collect(),
        }
    }

    fn told(lost: Vec<Row>, new: Vec<Row>) -> Vec<String> {
        let of = "resource.user".to_owned().try_into().unwrap();
        let renamed = renamed(&of, &Moved { lost, new });
        renamed.iter().map(|it| format!("{} {} {}", it.old, it.new, it.by)).collect()
    }

    #[test]
    fn who_is_named_alone_on_both_sides_is_mapped_and_nobody_else() {
        let mail = |text: &str| [("mail", format!("{text}@corp.example"))];
        let with = |id: &str, text: &str| {
            let [(name, value)] = mail(text);
            row(id, &[(name, &value)])
        };
        let lost =
            vec![with("u1", "ada"), with("u2", "bob"), with("u3", "twin"), with("u4", "twin")];
        let new = vec![with("n1", "bob"), with("n2", "ada"), with("n3", "twin"), with("n4", "dan")];
        assert_eq!(told(lost, new), ["user:u1 user:n2 mail", "user:u2 user:n1 mail"]);
    }

    #[test]
    fn two_who_would_become_one_are_left_to_a_person() {
        let lost =
            vec![row("u1", &[("mail", "ada@corp.example")]), row("u2", &[("login", "adalove")])];
        let new = vec![row("n1", &[("mail", "ada@corp.example"), ("login", "adalove")])];
        assert!(told(lost, new).is_empty());
    }
}
