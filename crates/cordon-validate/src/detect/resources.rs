//! The resources of a step: which went and came, which are the same under another id, and where in
//! their listing those were that went.

use std::collections::BTreeSet;

use cordon_model::{RecordKind, Row, Value, columns};

use super::listing;
use super::observe::{Moved, Section};
use super::statistic::Statistic;
use super::step::{
    EXAMPLES_MAX, Rows, SYSTEMATIC_MIN, TAIL_MIN, Told, Work, all_proven, by_key, names,
};
use super::values::{self, Same};

impl<'a> Work<'a> {
    pub(super) fn resources(&mut self) {
        let seen = self.seen;
        for section in &seen.sections {
            if section.record_type.kind == RecordKind::Resource {
                self.resources_of(section);
            }
        }
    }

    fn resources_of(&mut self, section: &'a Section) {
        let label = section.record_type.label();
        let is_people = self.people == Some(section.record_type.name.as_str());
        let lost: Vec<&Row> = section.lost_rows.iter().map(|(_, row)| row).collect();
        let new: Vec<&Row> = section.new_rows.iter().map(|(_, row)| row).collect();
        let same = values::same_by_values(&lost, &new);
        for Same { lost: old, new, .. } in &same {
            let old = section.lost_rows.get(*old).map(|(key, _)| key.high);
            let new = section.new_rows.get(*new).map(|(key, _)| key.high);
            if let Some((old, new)) = old.zip(new) {
                self.rekeyed.insert(old, new);
            }
        }
        let examples = same.iter().take(EXAMPLES_MAX);
        let examples = examples.filter_map(|same| {
            Some(format!(
                "{} is now {}",
                lost.get(same.lost)?.key(),
                self.new_name(section, same.new)?
            ))
        });
        let told = Told::new(label, same.len() as u64, section.before).examples(examples.collect());
        if told.count >= SYSTEMATIC_MIN {
            self.put_count(Statistic::Rekeyed, told);
        }

        let mut gone: Vec<Moved> = section.gone.clone();
        gone.retain(|moved| !self.rekeyed.contains_key(&moved.key.high));
        let children = self.children(section);
        self.along += children;
        self.children += children;
        if section.before > 0 && section.after == 0 {
            self.put_count(Statistic::TypeGone, Told::new(label, section.before, section.before));
        }
        let causes =
            (section.removed - (section.gone.len() - gone.len()) as u64).saturating_sub(children);
        let rows = by_key(&section.lost_rows);
        let proven = all_proven(&gone);
        let statistic = if is_people { Statistic::PeopleGone } else { Statistic::ThingsGone };
        let told = Told::new(label, causes, section.before).examples(names(&rows, &gone));
        self.put_count(statistic, told.proven(proven));
        self.causes += causes;
        self.shape(section, &rows);

        let rows = by_key(&section.new_rows);
        let statistic = if is_people { Statistic::PeopleCame } else { Statistic::ThingsCame };
        let new = section.added.saturating_sub(same.len() as u64);
        let told = Told::new(label, new, section.before.max(section.after));
        self.put_count(statistic, told.examples(names(&rows, &section.came)));
    }

    fn new_name(&self, section: &Section, index: usize) -> Option<String> {
        section.new_rows.get(index).map(|(_, row)| row.key())
    }

    /// Removed resources whose parent went as well: the parent is the cause.
    fn children(&self, section: &Section) -> u64 {
        let gone: BTreeSet<String> = self
            .seen
            .sections
            .iter()
            .flat_map(|section| section.lost_rows.iter().map(|(_, row)| row.key()))
            .collect();
        let is_child = |row: &Row| match row.values.get(columns::PARENT) {
            Some(Value::Text(parent)) => gone.contains(parent),
            _ => false,
        };
        section.lost_rows.iter().filter(|(_, row)| is_child(row)).count() as u64
    }

    /// Where in the listing of resources the removals are.
    fn shape(&mut self, section: &Section, rows: &Rows<'_>) {
        let label = section.record_type.label();
        let mut open: Vec<Moved> = section.gone.iter().filter(|m| m.has_shape()).copied().collect();
        // Ids that changed move every record; where they were says nothing.
        open.retain(|moved| !self.rekeyed.contains_key(&moved.key.high));
        open.sort_by_key(|moved| moved.position);
        let positions: Vec<u32> = open.iter().map(|moved| moved.position).collect();
        let (all, chosen) = (section.before, positions.len() as u64);
        let tail = listing::tail(&positions, all);
        // The newest account alone is who joined and left again, as often as it is a lost end.
        let value = if tail < TAIL_MIN { 0.0 } else { listing::improbable(all, chosen, tail) };
        let last: Vec<Moved> = open.iter().rev().take(tail as usize).copied().collect();
        let told = Told::new(label, tail, all).examples(names(rows, &last));
        self.put(Statistic::Tail, value, told);
        self.tail += value;
        let (begin, length) = listing::longest_run(&positions);
        if length > 1 {
            let value = listing::run_improbable(all, chosen, begin, length);
            let from = open.iter().skip_while(|moved| moved.position < begin);
            let run: Vec<Moved> = from.take(length as usize).copied().collect();
            let told = Told::new(label, length, all).examples(names(rows, &run));
            self.put(Statistic::Run, value, told);
        }
    }
}
