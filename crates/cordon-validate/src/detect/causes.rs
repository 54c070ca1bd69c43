//! Root causes: what really happened, when many records went or came at once.
//!
//! A leaver takes fifty grants along and is one event. Grants whose principal or target went with
//! them are explained by that; the rest is explained by as few principals and targets as will do,
//! the one with the most unexplained grants first.

use std::collections::BinaryHeap;

/// How many principals and targets explain the grants between them: the fewest that are found greedily.
pub(super) fn cover(edges: &[(u64, u64)]) -> u64 {
    // Each end of each grant, so that those of one principal or target lie together.
    let ends = (0..).zip(edges).flat_map(|(index, (principal, target))| {
        // A group that is a member of one and has members itself is a principal here and a target there.
        [(*principal, index), (!*target, index)]
    });
    let mut ends: Vec<(u64, u32)> = ends.collect();
    ends.sort_unstable();
    let mut open = vec![true; edges.len()];
    let mut heap: BinaryHeap<_> = ends
        .chunk_by(|(one, _), (other, _)| one == other)
        .filter_map(|of| Some((of.len(), of.first()?.0, of)))
        .collect();
    let (mut causes, mut left) = (0, edges.len());
    while left > 0 {
        let Some((claimed, node, of)) = heap.pop() else { break };
        let is_open = |(_, index): &&(u64, u32)| open.get(*index as usize) == Some(&true);
        let still = of.iter().filter(is_open).count();
        if still == 0 {
            continue;
        }
        // Others took some of its grants meanwhile: it waits for its new turn.
        if still < claimed {
            heap.push((still, node, of));
            continue;
        }
        for (_, index) in of {
            if let Some(open) = open.get_mut(*index as usize) {
                *open = false;
            }
        }
        left -= still;
        causes += 1;
    }
    causes
}
