//! What a Baton connector says beside its records, each by the name of a message.

use prost::Message;
use prost_types::Any;

use crate::wire::v2::EnqueuePageTokens;

/// What stands before the name of a message.
const PACKAGE: &str = "c1.connector.v2.";
/// Annotations by which a connector refers to what an earlier sync has read, instead of reading it.
const LEFT_OUT: [&str; 2] = ["ETagMatch", "SourceCacheReplay"];

fn is(annotation: &Any, name: &str) -> bool {
    let full = annotation.type_url.rsplit_once('/').map_or("", |(_, name)| name);
    full.strip_prefix(PACKAGE) == Some(name)
}

/// Whether there is one of that name.
pub(crate) fn has(annotations: &[Any], name: &str) -> bool {
    annotations.iter().any(|annotation| is(annotation, name))
}

/// The first of that name that can be read.
pub(crate) fn find<M: Message + Default>(annotations: &[Any], name: &str) -> Option<M> {
    all(annotations, name).next()
}

/// All of that name.
pub(crate) fn all<M: Message + Default>(
    annotations: &[Any],
    name: &str,
) -> impl Iterator<Item = M> {
    annotations
        .iter()
        .filter(move |annotation| is(annotation, name))
        .filter_map(|annotation| M::decode(annotation.value.as_slice()).ok())
}

/// One without content.
pub(crate) fn empty(name: &str) -> Any {
    Any { type_url: format!("type.googleapis.com/{PACKAGE}{name}"), value: Vec::new() }
}

/// Why an answer has not all that it stands for.
pub(crate) fn left_out(annotations: &[Any]) -> Option<String> {
    let name = LEFT_OUT.iter().find(|name| has(annotations, name))?;
    Some(format!("it left out what it says did not change ({name})"))
}

/// Tokens of the pages that follow an answer.
pub(crate) fn tokens(next: &str, annotations: &[Any]) -> Vec<String> {
    let more = all::<EnqueuePageTokens>(annotations, "EnqueuePageTokens");
    [next.to_owned()].into_iter().chain(more.flat_map(|more| more.page_tokens)).collect()
}
