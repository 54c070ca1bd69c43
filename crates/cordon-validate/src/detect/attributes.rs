//! The attributes of a step: values that many records changed alike, and columns that lost theirs.

use cordon_model::RecordKind;

use super::observe::{ByHash, Observer, Section};
use super::statistic::Statistic;
use super::step::{MANY_MIN, SYSTEMATIC_MIN, Told, Work};
use super::values::{self, Changed, Changes};

/// Of so many records one has to have another value of an attribute before that is unusual: a round of
/// promotions or an office that moves is a tenth or a third of a company, on one day.
const REWRITTEN_SHARE: u64 = 2;

impl Work<'_> {
    pub(super) fn values(&mut self) {
        let seen = self.seen;
        for section in &seen.sections {
            let mut changes = Changes::default();
            for (_, before, after) in &section.pairs {
                changes.add(before, after);
            }
            for ((way, name), changed) in &changes.by_way {
                self.changed(section, *way, name, changed);
            }
            for (name, [before, after]) in &section.columns {
                if is_filled(section, *before) {
                    self.emptied(section, name, [*before, *after], &changes);
                }
            }
        }
    }

    /// One attribute that records changed in one way.
    fn changed(&mut self, section: &Section, way: Statistic, name: &str, changed: &Changed) {
        let label = section.record_type.label();
        // Beyond the rows that were read, the share that they show is taken for all.
        let factor = section.modified as f64 / section.pairs.len().max(1) as f64;
        let alike = (changed.alike() as f64 * factor).round() as u64;
        let present = section.columns.get(name).map_or(0, |[before, _]| *before);
        let most = changed.records >= SYSTEMATIC_MIN && changed.records * 2 >= present;
        let way = match way {
            Statistic::Cleared if is_filled(section, present) || most => Statistic::Stripped,
            way => way,
        };
        let least = match way {
            Statistic::Shifted | Statistic::Recased | Statistic::Flipped => SYSTEMATIC_MIN,
            // A dozen new titles are a day like any other; the prior's sources have no titles.
            Statistic::Rewritten => MANY_MIN.max(present / REWRITTEN_SHARE),
            _ => 1,
        };
        // What is switched off or written anew on a thing takes nobody's access.
        let is_people = self.people == Some(section.record_type.name.as_str());
        let harmless = !is_people && matches!(way, Statistic::Flipped | Statistic::Rewritten);
        if alike < least || harmless {
            return;
        }
        let subject = format!("{label}.{name}");
        let told = Told::new(&subject, alike, section.before);
        self.put_count(way, told.examples(changed.examples.clone()));
    }

    /// A column that records came without, where nearly all had a value before.
    fn emptied(
        &mut self,
        section: &Section,
        name: &str,
        [before, after]: [u64; 2],
        changes: &Changes,
    ) {
        let missing = section.after.saturating_sub(after);
        let missing_before = section.before.saturating_sub(before);
        let cleared = [Statistic::Cleared, Statistic::Renamed].map(|way| {
            changes.by_way.get(&(way, name.to_owned())).map_or(0, |changed| changed.records)
        });
        let cleared: u64 = cleared.iter().sum();
        let new = missing.saturating_sub(missing_before + cleared);
        let subject = format!("{}.{name}", section.record_type.label());
        self.put_count(Statistic::Filled, Told::new(&subject, new, section.after));
    }
}

/// People one of whose switches has another value.
pub(super) fn switched(seen: &Observer, people: Option<&str>) -> ByHash<u64, ()> {
    let of = seen.sections.iter().filter(|section| {
        let of = &section.record_type;
        of.kind == RecordKind::Resource && people == Some(of.name.as_str())
    });
    let pairs = of.flat_map(|section| &section.pairs);
    let switched = pairs.filter(|(_, before, after)| {
        let mut values = before.values.iter();
        values.any(|(name, old)| values::is_switch(name) && after.values.get(name) != Some(old))
    });
    switched.map(|(key, _, _)| (key.high, ())).collect()
}

/// Whether all but one in two hundred records had a value, when so many had.
fn is_filled(section: &Section, present: u64) -> bool {
    present > 0 && present.saturating_mul(200) >= section.before.saturating_mul(199)
}
