//! The step from the last known good to the candidate, counted in one walk over their indexes, and
//! watched beside it where somebody wants its shape.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use cordon_model::{RecordKind, RecordType};
use cordon_validate::detect::Step as Shape;
use cordon_validate::{PrivilegedCensus, PrivilegedDelta, ScopeDelta, TypeDelta};

use crate::finish::Part;
use crate::finish::sides::{Opened, Side, Sides};
use crate::finish::watch::{Teller, Watch};
use crate::hash::AsIs;
use crate::index::{Located, Merged, Step, walk};
use crate::limits::EXAMPLES_MAX;
use crate::manifest::{Contents, FileEntry, fingerprint};
use crate::read_error::ReadError;
use crate::snapshot::Snapshot;
use crate::stage::StageError;
use crate::store::Store;

/// What the walk found.
#[derive(Debug, Default)]
pub(crate) struct Stepped {
    /// By kind and type, those of either side.
    pub(crate) types: BTreeMap<RecordType, TypeDelta>,
    /// By scope name, those of either side.
    pub(crate) scopes: HashMap<String, ScopeDelta>,
    /// Records of the candidate by scope name and type.
    pub(crate) held: HashMap<String, BTreeMap<RecordType, u64>>,
    pub(crate) contents: Contents,
    pub(crate) privileged: PrivilegedDelta,
    pub(crate) privileged_now: PrivilegedCensus,
}

/// Halves of the keys of privileged entitlements. The one set that is held whole; its size is
/// limited.
type Privileged = HashSet<u64, BuildHasherDefault<AsIs>>;

#[derive(Default)]
struct Sets {
    before: Privileged,
    after: Privileged,
}

pub(crate) fn step(
    store: &Store,
    last_good: Option<&Snapshot>,
    parts: &[Part],
    watch: Option<Watch>,
) -> Result<(Stepped, Option<Shape>), StageError> {
    let old: &[FileEntry] = last_good.map_or(&[], |snapshot| &snapshot.manifest.files);
    let types = types(store, old, parts);
    std::thread::scope(|scope| {
        let (teller, measuring) = watch.map(|watch| watch.start(scope)).unzip();
        let stepped = walk_all(&types, teller)?;
        let shape = measuring.map(|measuring| {
            measuring.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        let shape = shape
            .transpose()?
            .map(|shape| Shape { content: fingerprint(&stepped.contents), ..shape });
        Ok((stepped, shape))
    })
}

/// Both sides of every kind and type. Entitlements come before grants in this order, as the sets of
/// privileged ones need it.
fn types<'a>(store: &'a Store, old: &'a [FileEntry], parts: &'a [Part]) -> Vec<Sides<'a>> {
    let mut types: Vec<&RecordType> = old.iter().map(|file| &file.record_type).collect();
    types.extend(parts.iter().map(|part| &part.entry.record_type));
    types.sort();
    types.dedup();
    let sides = types.into_iter().map(|record_type| {
        let before = old.iter().filter(|file| file.record_type == *record_type);
        let after = parts.iter().filter(|part| part.entry.record_type == *record_type);
        Sides { store, record_type, before: before.collect(), after: after.collect() }
    });
    sides.collect()
}

fn walk_all<'a>(
    types: &'a [Sides<'a>],
    mut teller: Option<Teller<'a>>,
) -> Result<Stepped, StageError> {
    let mut stepped = Stepped::default();
    let mut sets = Sets::default();
    for sides in types {
        step_type(sides, &mut sets, &mut stepped, teller.as_mut())?;
    }
    stepped.privileged_now.entitlements = sets.after.len() as u64;
    stepped.privileged_now.grants = stepped.privileged.after;
    Ok(stepped)
}

/// Counts by file and scope ordinal.
struct ByScope(Vec<Vec<u64>>);

impl ByScope {
    fn new<'a>(files: impl Iterator<Item = &'a FileEntry>) -> Self {
        Self(files.map(|file| vec![0; file.scopes.len()]).collect())
    }

    fn add(&mut self, located: &Located) {
        self.0[located.file as usize][located.entry.scope() as usize] += 1;
    }

    /// Names and counts that are not zero.
    fn named<'a>(
        &'a self,
        files: impl Iterator<Item = &'a FileEntry> + 'a,
    ) -> impl Iterator<Item = (&'a str, u64)> + 'a {
        let counts = files.zip(&self.0);
        counts
            .flat_map(|(file, counts)| file.scopes.iter().map(String::as_str).zip(counts.iter()))
            .filter_map(|(name, count)| (*count > 0).then_some((name, *count)))
    }
}

/// What is counted while a type is walked.
struct Walk {
    delta: TypeDelta,
    before: ByScope,
    after: ByScope,
    added: ByScope,
    removed: ByScope,
    added_examples: Vec<Located>,
    removed_examples: Vec<Located>,
    privileged: PrivilegedDelta,
    privileged_examples: Vec<(Side, Located)>,
}

fn step_type<'a>(
    sides: &'a Sides<'a>,
    sets: &mut Sets,
    stepped: &mut Stepped,
    mut teller: Option<&mut Teller<'a>>,
) -> Result<(), StageError> {
    let before = || sides.before.iter().copied();
    let after = || sides.after.iter().map(|part| &part.entry);
    let opened = Arc::new(Opened::new(sides));
    if let Some(teller) = &mut teller {
        teller.begin(&opened);
    }
    let mut counts = Walk {
        delta: TypeDelta::default(),
        before: ByScope::new(before()),
        after: ByScope::new(after()),
        added: ByScope::new(after()),
        removed: ByScope::new(before()),
        added_examples: Vec::new(),
        removed_examples: Vec::new(),
        privileged: PrivilegedDelta::default(),
        privileged_examples: Vec::new(),
    };
    let mut content = Content::new(after());
    let readers = sides.after.iter().map(|part| part.index(sides.store));
    let readers = readers.collect::<Result<_, _>>()?;
    let (kind, limit) = (sides.record_type.kind, sides.store.limits.privileged_max);
    walk(sides.store.merged(before())?, Merged::new(readers)?, |step| {
        let (old, new) = match step {
            Step::Added(new) => (None, Some(new)),
            Step::Removed(old) => (Some(old), None),
            Step::Both { before, after } => (Some(before), Some(after)),
        };
        counts.count(old.as_ref(), new.as_ref());
        if let Some(new) = &new {
            content.add(new);
        }
        let mut privileged = (false, false);
        match kind {
            RecordKind::Resource => {}
            RecordKind::Entitlement => {
                collect(&mut sets.before, old.as_ref(), limit)?;
                collect(&mut sets.after, new.as_ref(), limit)?;
            }
            RecordKind::Grant => privileged = counts.count_privileged(old, new, sets),
        }
        if let Some(teller) = &mut teller {
            teller.see(kind, old.as_ref(), new.as_ref(), privileged);
        }
        Ok::<_, StageError>(())
    })?;
    counts.put_names(&opened)?;
    counts.put_scopes(sides, stepped);
    stepped.privileged.before += counts.privileged.before;
    stepped.privileged.after += counts.privileged.after;
    stepped.privileged.appeared += counts.privileged.appeared;
    stepped.privileged.vanished += counts.privileged.vanished;
    let examples = &mut stepped.privileged.examples;
    examples.extend(counts.privileged.examples);
    examples.truncate(EXAMPLES_MAX);
    if counts.delta.after > 0 {
        stepped.contents.insert(sides.record_type.clone(), content.finish());
    }
    stepped.types.insert(sides.record_type.clone(), counts.delta);
    Ok(())
}

fn collect(
    set: &mut Privileged,
    located: Option<&Located>,
    limit: usize,
) -> Result<(), StageError> {
    if let Some(located) = located.filter(|located| located.entry.is_privileged()) {
        set.insert(located.entry.key.high);
        if set.len() > limit {
            return Err(StageError::TooManyPrivileged { max: limit });
        }
    }
    Ok(())
}

impl Walk {
    fn count(&mut self, old: Option<&Located>, new: Option<&Located>) {
        let example = |examples: &mut Vec<Located>, located: &Located| {
            if examples.len() < EXAMPLES_MAX {
                examples.push(*located);
            }
        };
        if let Some(old) = old {
            self.delta.before += 1;
            self.before.add(old);
        }
        if let Some(new) = new {
            self.delta.after += 1;
            self.after.add(new);
        }
        match (old, new) {
            (None, Some(new)) => {
                self.delta.added += 1;
                self.added.add(new);
                example(&mut self.added_examples, new);
            }
            (Some(old), None) => {
                self.delta.removed += 1;
                self.removed.add(old);
                example(&mut self.removed_examples, old);
            }
            (Some(old), Some(new)) if old.entry.hash != new.entry.hash => self.delta.modified += 1,
            _ => {}
        }
    }

    /// Says on which sides the grant is a privileged one.
    fn count_privileged(
        &mut self,
        old: Option<Located>,
        new: Option<Located>,
        sets: &Sets,
    ) -> (bool, bool) {
        let old = old.filter(|old| sets.before.contains(&old.entry.key.low));
        let new = new.filter(|new| sets.after.contains(&new.entry.key.low));
        self.privileged.before += u64::from(old.is_some());
        self.privileged.after += u64::from(new.is_some());
        let sides = (old.is_some(), new.is_some());
        let example = match (old, new) {
            (None, Some(new)) => {
                self.privileged.appeared += 1;
                (Side::After, new)
            }
            (Some(old), None) => {
                self.privileged.vanished += 1;
                (Side::Before, old)
            }
            _ => return sides,
        };
        if self.privileged_examples.len() < EXAMPLES_MAX {
            self.privileged_examples.push(example);
        }
        sides
    }

    /// Fetches the keys of all examples.
    fn put_names(&mut self, opened: &Opened<'_>) -> Result<(), ReadError> {
        let of = |side, examples: &[Located]| -> Vec<(Side, Located)> {
            examples.iter().map(|located| (side, *located)).collect()
        };
        self.delta.added_examples = opened.names(&of(Side::After, &self.added_examples))?;
        self.delta.removed_examples = opened.names(&of(Side::Before, &self.removed_examples))?;
        self.privileged.examples = opened.names(&self.privileged_examples)?;
        Ok(())
    }

    fn put_scopes(&self, sides: &Sides<'_>, stepped: &mut Stepped) {
        let before = || sides.before.iter().copied();
        let after = || sides.after.iter().map(|part| &part.entry);
        let scopes = &mut stepped.scopes;
        let mut put = |name: &str, add: &dyn Fn(&mut ScopeDelta)| {
            match scopes.get_mut(name) {
                Some(delta) => add(delta),
                None => add(scopes.entry(name.to_owned()).or_default()),
            };
        };
        for (name, count) in self.before.named(before()) {
            put(name, &|delta| delta.before += count);
        }
        for (name, count) in self.removed.named(before()) {
            put(name, &|delta| delta.removed += count);
        }
        for (name, count) in self.added.named(after()) {
            put(name, &|delta| delta.added += count);
        }
        for (name, count) in self.after.named(after()) {
            put(name, &|delta| delta.after += count);
            let held = stepped.held.entry(name.to_owned()).or_default();
            *held.entry(sides.record_type.clone()).or_default() += count;
        }
    }
}

/// Digest of a type's records whatever their order of arrival and their files.
struct Content {
    hasher: blake3::Hasher,
    buffer: Vec<u8>,
    /// By file and scope ordinal, what stands for the scope's name.
    tags: Vec<Vec<[u8; 16]>>,
}

impl Content {
    fn new<'a>(files: impl Iterator<Item = &'a FileEntry>) -> Self {
        let tag = |name: &String| -> [u8; 16] {
            let digest = blake3::hash(name.as_bytes());
            *digest.as_bytes().first_chunk().expect("BLAKE3 has 32 bytes")
        };
        let tags = files.map(|file| file.scopes.iter().map(tag).collect());
        Self {
            hasher: blake3::Hasher::new(),
            buffer: Vec::with_capacity(1 << 16),
            tags: tags.collect(),
        }
    }

    fn add(&mut self, located: &Located) {
        let Located { file, entry } = located;
        let mut bytes = [0; 48];
        bytes[0..8].copy_from_slice(&entry.key.high.to_le_bytes());
        bytes[8..16].copy_from_slice(&entry.key.low.to_le_bytes());
        bytes[16..32].copy_from_slice(&entry.hash);
        bytes[32..48].copy_from_slice(&self.tags[*file as usize][entry.scope() as usize]);
        self.buffer.extend_from_slice(&bytes);
        if self.buffer.len() + 48 > self.buffer.capacity() {
            self.hasher.update(&self.buffer);
            self.buffer.clear();
        }
    }

    fn finish(mut self) -> String {
        self.hasher.update(&self.buffer);
        self.hasher.finalize().to_hex().to_string()
    }
}
