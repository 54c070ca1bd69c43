//! Root causes: what really happened, when many records went or came at once.
//!
//! A leaver takes fifty grants along and is one event. Grants whose principal or target went with
//! them are explained by that; the rest is explained by as few principals and targets as will do,
//! the one with the most unexplained grants first.

use std::collections::BinaryHeap;

use super::observe::ByHash;

/// How many principals and targets explain the grants between them: the fewest that are found greedily.
pub(super) fn cover(edges: &[(u64, u64)]) -> u64 {
    let mut nodes: ByHash<u64, Vec<u32>> = ByHash::default();
    for (index, (principal, target)) in (0..).zip(edges) {
        nodes.entry(*principal).or_default().push(index);
        // A group that is a member of one and has members itself is a principal here and a target there.
        nodes.entry(!*target).or_default().push(index);
    }
    let mut open = vec![true; edges.len()];
    let mut heap: BinaryHeap<(usize, u64)> =
        nodes.iter().map(|(node, edges)| (edges.len(), *node)).collect();
    let (mut causes, mut left) = (0, edges.len());
    while left > 0 {
        let Some((claimed, node)) = heap.pop() else { break };
        let Some(of) = nodes.get(&node) else { continue };
        let still = of.iter().filter(|index| open.get(**index as usize) == Some(&true)).count();
        if still == 0 {
            continue;
        }
        // Others took some of its grants meanwhile: it waits for its new turn.
        if still < claimed {
            heap.push((still, node));
            continue;
        }
        for index in of {
            if let Some(open) = open.get_mut(*index as usize) {
                *open = false;
            }
        }
        left -= still;
        causes += 1;
    }
    causes
}
