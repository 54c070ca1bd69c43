//! The grants of a step: what explains those that went, where they stood, and what came.

use std::collections::{BTreeMap, BTreeSet};

use cordon_model::RecordKind;

use super::came::Came;
use super::causes;
use super::listing;
use super::observe::{ByHash, Moved, Section};
use super::statistic::Statistic;
use super::step::{
    EXAMPLES_MAX, MANY_MIN, Rows, SYSTEMATIC_MIN, TAIL_MIN, Told, Work, all_proven, by_key, names,
};
use super::targets::Extent;
use super::values;

/// Of so many people one has to be gone before what they held is odd beside other work: more than a
/// company loses when a month or a season ends.
const LEAVERS_SHARE: u64 = 25;

/// The grants of one kind of principal that changed.
pub(super) struct Grants<'a> {
    section: &'a Section,
    rows: Rows<'a>,
    new_rows: Rows<'a>,
    /// Removed while both ends stayed, and not replaced by another role.
    open: Vec<Moved>,
    /// Positions of those by target, in order; of targets that are counted apart.
    touched: BTreeMap<u64, Vec<u32>>,
    /// Removed with an end, or replaced: where they were says nothing of its own.
    explained: Vec<u32>,
    /// New between ends that both were there.
    fresh: Vec<Moved>,
    /// Grants that changed their role otherwise, by the role before and after.
    roles: BTreeMap<(String, String), (u64, String)>,
    /// Grants whose role was a privileged one and is not now.
    lowered: u64,
    /// Grants whose role became a privileged one: principal and target.
    raised: Vec<(u64, u64)>,
    /// Grants that went with one of their ends.
    pub(super) along: u64,
}

impl<'a> Grants<'a> {
    pub(super) fn new(work: &Work<'a>, section: &'a Section) -> Self {
        let (rows, new_rows) = (by_key(&section.lost_rows), by_key(&section.new_rows));
        let mut came = Came::new(&section.came);
        let (mut open, mut explained) = (Vec::new(), Vec::new());
        let mut roles: BTreeMap<(String, String), (u64, String)> = BTreeMap::new();
        let (mut raised, mut lowered, mut along) = (Vec::new(), 0, 0);
        let mut gainers: ByHash<u64, ()> = ByHash::default();
        let mut gained: ByHash<u64, u64> = ByHash::default();
        for moved in &section.gone {
            let principal = work.rekeyed.get(&moved.key.high).copied().unwrap_or(moved.key.high);
            let target = work.rekeyed.get(&moved.target).copied().unwrap_or(moved.target);
            if let Some(new) = came.take(principal, target) {
                let old = rows.get(&moved.key).and_then(|row| values::role(row));
                let new_row = new_rows.get(&new.key);
                let role = new_row.and_then(|row| values::role(row));
                if let Some((old, role)) = old.zip(role).filter(|(old, role)| old != role) {
                    if new.privileged && !moved.privileged {
                        raised.push((principal, target));
                        explained.push(moved.position);
                        continue;
                    }
                    lowered += u64::from(moved.privileged && !new.privileged);
                    let entry = roles.entry((old.to_owned(), role.to_owned())).or_default();
                    entry.0 += 1;
                    if entry.1.is_empty() {
                        entry.1 = new_row.map(|row| row.key()).unwrap_or_default();
                    }
                }
                explained.push(moved.position);
            } else if work.seen.gone.contains_key(&moved.key.high)
                || work.seen.gone.contains_key(&moved.target)
            {
                explained.push(moved.position);
                along += 1;
            } else {
                open.push(*moved);
            }
        }
        // Whoever gained a grant in the same step moved, and a target that gained a holder replaced
        // one: somebody administered both.
        for moved in came.left() {
            gainers.insert(moved.key.high, ());
            *gained.entry(moved.target).or_default() += 1;
        }
        open.retain(|moved| {
            let replaced = gained.get_mut(&moved.target).filter(|left| **left > 0);
            // A target that was changed itself, such as one that was archived, was administered, and
            // so was a principal that was switched off: that is counted as such.
            let stays = !gainers.contains_key(&moved.key.high)
                && !work.switched.contains_key(&moved.key.high)
                && replaced.is_none()
                && !work.seen.changed.contains_key(&moved.target);
            if let Some(left) = replaced {
                *left -= 1;
            }
            if !stays {
                explained.push(moved.position);
            }
            stays
        });
        open.sort_by_key(|moved| moved.position);
        let mut touched: BTreeMap<u64, Vec<u32>> = BTreeMap::new();
        for moved in open.iter().filter(|m| work.seen.targets.get(m.target).is_some()) {
            touched.entry(moved.target).or_default().push(moved.position);
        }
        let fresh = came.left().copied().collect();
        Self {
            section,
            rows,
            new_rows,
            open,
            touched,
            explained,
            fresh,
            roles,
            raised,
            lowered,
            along,
        }
    }

    fn label(&self) -> &'a str {
        self.section.record_type.label()
    }

    pub(super) fn amounts(&self, work: &mut Work<'_>) {
        let before = self.section.before;
        let edges: Vec<_> = self.open.iter().map(|m| (m.key.high, m.target)).collect();
        let causes = causes::cover(&edges);
        let examples = names(&self.rows, &self.open);
        let proven = all_proven(&self.open);
        let told = |count| Told::new(self.label(), count, before).proven(proven);
        work.put_count(Statistic::GrantCauses, told(causes).examples(examples.clone()));
        if work.only_lost {
            work.put_count(Statistic::CausesAlone, told(causes).examples(examples.clone()));
        }
        work.put_count(Statistic::GrantsGone, told(self.open.len() as u64).examples(examples));
        work.causes += causes;
        self.leavers(work);
        work.put_count(Statistic::Orphaned, Told::new(self.label(), self.section.orphaned, before));
        let causes = causes::cover(&self.raised);
        if causes >= MANY_MIN {
            work.put_count(Statistic::Raised, Told::new(self.label(), causes, before));
        }
        let told = Told::new(self.label(), self.lowered, self.section.privileged);
        work.put_count(Statistic::Lowered, told);
        if let Some(((old, new), (count, example))) =
            self.roles.iter().max_by_key(|(_, (count, _))| *count)
        {
            let examples = vec![format!("{example}: {old} is now {new}")];
            let told = Told::new(self.label(), *count, before).examples(examples);
            work.put_count(Statistic::Changed, told);
        }
    }

    /// What people who are gone held. Where a sync brings or changes something else, somebody worked in
    /// the source, and the few who leave a company in a month leave with all that their work needed.
    fn leavers(&self, work: &mut Work<'_>) {
        if work.people != Some(self.section.record_type.name.as_str()) {
            return;
        }
        let gone = self.section.gone.iter();
        let gone = gone.filter(|moved| work.seen.gone.contains_key(&moved.key.high));
        let gone: Vec<Moved> =
            gone.filter(|moved| !work.rekeyed.contains_key(&moved.key.high)).copied().collect();
        let (mut held, mut lost) = (ByHash::<u64, u64>::default(), ByHash::<u64, u64>::default());
        for moved in &gone {
            *held.entry(moved.key.high).or_default() += 1;
            *lost.entry(moved.target).or_default() += 1;
        }
        let people = work.principals(self.section);
        let few = (held.len() as u64).saturating_mul(LEAVERS_SHARE) < people;
        if few && !work.only_lost {
            return;
        }
        let before = self.section.before;
        let proven = all_proven(&gone);
        // One leaver who held much is one leaver.
        let most = held.values().copied().max().unwrap_or(1);
        let beyond = held.values().map(|grants| grants - 1).sum::<u64>() - (most - 1);
        if beyond >= SYSTEMATIC_MIN {
            let told = Told::new(self.label(), beyond, before).proven(proven);
            work.put_count(Statistic::Held, told.examples(names(&self.rows, &gone)));
        }
        // A team that is dissolved leaves together; a cut takes people who had nothing in common.
        let apart = gone.iter().filter(|moved| lost.get(&moved.target) == Some(&1));
        let apart: Vec<Moved> = apart.copied().collect();
        let leavers: BTreeSet<u64> = apart.iter().map(|moved| moved.key.high).collect();
        if leavers.len() > 1 {
            let told = Told::new(self.label(), leavers.len() as u64, people);
            let told = told.proven(proven).examples(names(&self.rows, &apart));
            work.put_count(Statistic::Apart, told);
        }
    }

    /// Where in the listing of grants the removals are.
    pub(super) fn shape(&self, work: &mut Work<'_>) {
        let open: Vec<u32> =
            self.open.iter().filter(|m| m.has_shape()).map(|m| m.position).collect();
        if open.is_empty() {
            return;
        }
        let mut all: Vec<u32> = open.iter().chain(&self.explained).copied().collect();
        all.sort_unstable();
        let length = listing::tail(&all, self.section.before);
        let begin = self.section.before - length;
        let last: Vec<Moved> =
            self.open.iter().filter(|m| u64::from(m.position) >= begin).copied().collect();
        let value = self.improbable_end(work, &last);
        work.tail += value;
        let told = Told::new(self.label(), last.len() as u64, self.section.before);
        work.put(Statistic::GrantTail, value, told.examples(names(&self.rows, &last)));

        let (begin, length) = listing::longest_run(&all);
        let inside: Vec<Moved> = self
            .open
            .iter()
            .filter(|m| m.position >= begin && u64::from(m.position) < u64::from(begin) + length)
            .copied()
            .collect();
        // Members of one target that go together are one event; a run is odd where it does not end
        // with its target.
        let mut targets: Vec<u64> = inside.iter().map(|m| m.target).collect();
        targets.dedup();
        if targets.len() > 1 {
            let chosen = self.touched.len() as u64;
            let known = work.seen.targets.len();
            let value = listing::improbable(known, chosen, targets.len() as u64)
                - (known.max(1) as f64).log10();
            let told = Told::new(self.label(), inside.len() as u64, self.section.before);
            work.put(Statistic::GrantRun, value, told.examples(names(&self.rows, &inside)));
        }
    }

    /// How improbable it is that the grants at the end of the listing are the ones that went. Whole
    /// targets count as one event each.
    fn improbable_end(&self, work: &Work<'_>, last: &[Moved]) -> f64 {
        if last.is_empty() {
            return 0.0;
        }
        let touched = &self.touched;
        let mut whole = 0;
        let mut partial = 0.0;
        let of_target: BTreeSet<u64> = last.iter().map(|moved| moved.target).collect();
        for target in &of_target {
            let Some(extent) = work.seen.targets.get(*target) else { continue };
            let removed = touched.get(target).map_or(0, |positions| positions.len() as u64);
            if extent.kept_last == 0 {
                whole += 1;
            } else {
                let positions = touched.get(target).map_or(&[][..], Vec::as_slice);
                partial += within(extent, removed, at_end(extent, positions));
            }
        }
        let known = work.seen.targets.len();
        let targets = whole + u64::from(partial > 0.0);
        listing::improbable(known, (touched.len() as u64).max(targets), targets) + partial
    }

    pub(super) fn targets(&self, work: &mut Work<'_>) {
        let (mut tails, mut emptied, mut capped) = (Vec::new(), 0_u64, BTreeMap::new());
        let (mut ends, mut lost_at_ends, mut emptied_examples) = (0_u64, 0, Vec::new());
        for (target, positions) in &self.touched {
            let Some(extent) = work.seen.targets.get(*target) else { continue };
            let removed = positions.len() as u64;
            if extent.after == 0 {
                // One member who leaves empties a group of one.
                if removed > 1 {
                    emptied += removed;
                    if emptied_examples.len() < EXAMPLES_MAX {
                        let of: Vec<Moved> =
                            self.open.iter().filter(|m| m.target == *target).copied().collect();
                        emptied_examples.extend(names(&self.rows, &of).into_iter().take(2));
                    }
                }
                continue;
            }
            let end = at_end(extent, positions);
            let value = within(extent, removed, end);
            tails.push(value);
            ends += u64::from(value > 0.0);
            lost_at_ends += end;
            let lost_end = positions.iter().all(|p| p.saturating_add(1) > extent.kept_last);
            if let Some(page) = listing::page(u64::from(extent.after)).filter(|_| lost_end) {
                *capped.entry(page).or_insert(0_u64) += 1;
            }
        }
        let known = work.seen.targets.len();
        if self.open.iter().any(|moved| moved.has_shape()) {
            // As in a listing of resources, the newest member alone is who joined and left again.
            let few = lost_at_ends < TAIL_MIN;
            let value = if few { 0.0 } else { listing::together(&tails) };
            work.put(Statistic::TargetTails, value, Told::new(self.label(), ends, known));
            if let Some((_, count)) = capped.iter().max_by_key(|(_, count)| **count) {
                let told = Told::new(self.label(), *count, known);
                work.put(Statistic::PageCap, *count as f64, told);
            }
        }
        if emptied < SYSTEMATIC_MIN {
            return;
        }
        emptied_examples.truncate(EXAMPLES_MAX);
        let proven = all_proven(&self.open);
        let told = || {
            let told = Told::new(self.label(), emptied, self.section.before).proven(proven);
            told.examples(emptied_examples.clone())
        };
        work.put(Statistic::Emptied, emptied as f64, told());
        if work.only_lost {
            work.put(Statistic::EmptiedAlone, emptied as f64, told());
        }
    }

    pub(super) fn gains(&self, work: &mut Work<'_>) {
        let before = self.section.before;
        let known_ends: Vec<Moved> = self
            .fresh
            .iter()
            .filter(|m| !work.seen.came.contains_key(&m.key.high))
            .filter(|m| !work.seen.came.contains_key(&m.target))
            .copied()
            .collect();
        let edges: Vec<_> = known_ends.iter().map(|m| (m.key.high, m.target)).collect();
        let causes = causes::cover(&edges);
        let told = Told::new(self.label(), causes, before);
        work.put_count(Statistic::GrantsCame, told.examples(names(&self.new_rows, &known_ends)));
        let on_known = self.section.came.iter();
        let on_known = on_known.filter(|m| !work.seen.came.contains_key(&m.target));
        let mut reach: ByHash<u64, u64> = ByHash::default();
        for moved in on_known.clone() {
            *reach.entry(moved.key.high).or_default() += 1;
        }
        let most = reach.into_iter().max_by_key(|(principal, count)| (*count, *principal));
        if let Some((principal, count)) = most.filter(|(_, count)| *count >= MANY_MIN) {
            let gained: Vec<Moved> =
                on_known.filter(|m| m.key.high == principal).copied().collect();
            let known = work.seen.targets.len();
            let told = Told::new(self.label(), count, known);
            let share = told.count as f64 / known.max(1) as f64;
            work.put(Statistic::Reach, share, told.examples(names(&self.new_rows, &gained)));
        }
        if work.people != Some(self.section.record_type.name.as_str()) {
            return;
        }
        let known: Vec<Moved> = self
            .section
            .came
            .iter()
            .filter(|m| !work.seen.came.contains_key(&m.key.high))
            .filter(|m| !work.seen.came.contains_key(&m.target))
            .copied()
            .collect();
        let privileged: Vec<Moved> = known.iter().filter(|m| m.privileged).copied().collect();
        let told = Told::new(self.label(), privileged.len() as u64, self.section.privileged);
        work.put_count(
            Statistic::PrivilegedCame,
            told.examples(names(&self.new_rows, &privileged)),
        );
        self.islands(work);
    }

    /// New principals that hold nothing on anything that was known: strangers. Those of another source
    /// bring things of their own; where only people are new, they have joined and get their grants later.
    fn islands(&self, work: &mut Work<'_>) {
        let of = work.seen.sections.iter().find(|section| {
            section.record_type.kind == RecordKind::Resource
                && section.record_type.name == self.section.record_type.name
        });
        let Some(of) = of else { return };
        let joined = self.section.came.iter().filter(|m| !work.seen.came.contains_key(&m.target));
        let joined: ByHash<u64, ()> = joined.map(|moved| (moved.key.high, ())).collect();
        let strangers: Vec<Moved> =
            of.came.iter().filter(|moved| !joined.contains_key(&moved.key.high)).copied().collect();
        let rows = by_key(&of.new_rows);
        let brought = work.seen.sections.iter().any(|section| {
            let kind = &section.record_type;
            kind.kind == RecordKind::Resource && kind != &of.record_type && section.added > 0
        });
        if !brought || (strangers.len() as u64) < MANY_MIN {
            return;
        }
        let told = Told::new(of.record_type.label(), strangers.len() as u64, of.before);
        work.put_count(Statistic::Island, told.examples(names(&rows, &strangers)));
    }
}

/// How many of the positions are the end of a target's own listing.
fn at_end(extent: &Extent, positions: &[u32]) -> u64 {
    positions.iter().filter(|p| p.saturating_add(1) > extent.kept_last).count() as u64
}

/// How improbable it is that a target lost the end of its own listing.
fn within(extent: &Extent, removed: u64, end: u64) -> f64 {
    // Those that went with a principal do not count: they are explained.
    let open = u64::from(extent.before).min(u64::from(extent.after) + removed).max(removed);
    listing::improbable(open, removed, end)
}
