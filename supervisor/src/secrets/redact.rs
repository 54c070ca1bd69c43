//! Finds secrets in text, plain and in the forms that programs give them, and writes `***` there.
//!
//! A connector that logs its configuration, or quotes a request that failed, must not carry its
//! password into files that many may read. Looked for is each value, each line of a value of several
//! lines, both as they are, inside a JSON string, in Base64 of either alphabet wherever it begins,
//! and percent-encoded, whichever characters were encoded. The search is one pass of an automaton,
//! so its time grows with the text and not with the number of secrets.
//!
//! This holds against accidents. A connector that means to betray its secret can always write it in
//! a form that nobody looks for.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

/// Shorter values are not looked for: they stand in every text.
const VALUE_BYTES_MIN: usize = 6;
/// What is written instead.
const MASK: &[u8] = b"***";
/// Raw bytes that one byte can take when it is percent-encoded.
const PERCENT_BYTES: usize = 3;

/// So many `%` of a text are also taken for the end of what stands before a secret.
const STRAYS_MAX: usize = 64;

/// Finds the secrets of one connector. Cheap to clone; the default finds none.
#[derive(Clone, Default)]
pub(crate) struct Redactor(Option<Arc<Patterns>>);

struct Patterns {
    automata: Option<Automata>,
    longest: usize,
}

struct Automata {
    plain: AhoCorasick,
    /// Over text in which percent-encoding is undone.
    decoded: AhoCorasick,
}

/// Every redactor that lives, so that the service's own log can ask all of them.
static KNOWN: Mutex<Vec<Weak<Patterns>>> = Mutex::new(Vec::new());

impl Redactor {
    /// Finds these values.
    pub(crate) fn new<'a>(values: impl Iterator<Item = &'a SecretString>) -> Self {
        let mut forms = Vec::new();
        for value in values {
            let whole = value.expose_secret().trim();
            let lines = whole.lines().map(str::trim);
            for line in lines.filter(|line| line.len() >= VALUE_BYTES_MIN) {
                add_forms(line, &mut forms);
            }
            if whole.len() >= VALUE_BYTES_MIN {
                add_forms(whole, &mut forms);
            }
        }
        // A form with a line break never stands in one line; its lines do.
        forms.retain(|form| !form.contains(&b'\n'));
        forms.sort_unstable();
        forms.dedup();
        let Some(longest) = forms.iter().map(Vec::len).max() else { return Self(None) };
        let patterns = Arc::new(Patterns { automata: Automata::new(&forms), longest });
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|other| other.strong_count() > 0);
        known.push(Arc::downgrade(&patterns));
        Self(Some(patterns))
    }

    /// Bytes beyond a cut that must be seen to know what stands before it.
    pub(crate) fn lookahead(&self) -> usize {
        self.0.as_ref().map_or(0, |patterns| patterns.longest * PERCENT_BYTES)
    }

    /// The first bytes of a text, without secrets; also without the beginning of one that the cut
    /// goes through.
    pub(crate) fn bytes<'a>(&self, bytes: &'a [u8], keep: usize) -> Cow<'a, [u8]> {
        let cut = keep.min(bytes.len());
        let spans = match &self.0 {
            None => Vec::new(),
            Some(patterns) => patterns.find(bytes),
        };
        if spans.is_empty() {
            return Cow::Borrowed(&bytes[..cut]);
        }
        let mut kept = Vec::with_capacity(cut);
        let mut at = 0;
        for span in spans.into_iter().filter(|span| span.start < cut) {
            kept.extend_from_slice(&bytes[at..span.start]);
            kept.extend_from_slice(MASK);
            at = span.end;
        }
        if at < cut {
            kept.extend_from_slice(&bytes[at..cut]);
        }
        Cow::Owned(kept)
    }

    /// A text without secrets.
    pub(crate) fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes(), text.len())).into_owned()
    }
}

/// A text without the secrets of any connector.
pub(crate) fn redact_known(text: &str) -> String {
    let known: Vec<Redactor> = {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter_map(Weak::upgrade).map(|patterns| Redactor(Some(patterns))).collect()
    };
    known.iter().fold(text.to_owned(), |text, redactor| redactor.text(&text))
}

impl Patterns {
    /// Where secrets stand: in order, and apart from each other.
    fn find(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let Some(automata) = &self.automata else {
            // What cannot be searched is not shown.
            return std::iter::once(0..bytes.len()).collect();
        };
        let mut spans = automata.find(bytes, self.longest);
        spans.sort_unstable_by_key(|span| span.start);
        let mut apart: Vec<Range<usize>> = Vec::new();
        for span in spans {
            match apart.last_mut() {
                Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
                _ => apart.push(span),
            }
        }
        apart
    }
}

impl Automata {
    /// None when there is more to look for than an automaton can hold.
    fn new(forms: &[Vec<u8>]) -> Option<Self> {
        // The kind whose memory grows with the forms and not with their alphabet.
        let mut builder = AhoCorasick::builder();
        builder.kind(Some(AhoCorasickKind::ContiguousNFA));
        let decoded: Vec<Vec<u8>> = forms.iter().map(|form| spaces(form)).collect();
        Some(Self { plain: builder.build(forms).ok()?, decoded: builder.build(decoded).ok()? })
    }

    fn find(&self, bytes: &[u8], longest: usize) -> Vec<Range<usize>> {
        let mut spans: Vec<Range<usize>> =
            self.plain.find_overlapping_iter(bytes).map(|found| found.range()).collect();
        if bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
            let (decoded, places) = percent_decoded(bytes);
            let found = self.decoded.find_overlapping_iter(&decoded);
            spans.extend(found.map(|found| places[found.start()]..places[found.end()]));
            self.find_after_strays(bytes, longest, &mut spans);
        }
        spans
    }

    /// A `%` may end what stands before a secret: with its first characters it then looks like an
    /// encoded byte, and what was decoded is not the secret.
    fn find_after_strays(&self, bytes: &[u8], longest: usize, spans: &mut Vec<Range<usize>>) {
        let strays = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
        for (at, _) in strays.take(STRAYS_MAX) {
            let start = at + 1;
            let end = bytes.len().min(start + longest * PERCENT_BYTES);
            let (decoded, places) = percent_decoded(&bytes[start..end]);
            let found = self.decoded.find_overlapping_iter(&decoded);
            let begin_here = found.filter(|found| found.start() == 0);
            spans.extend(begin_here.map(|found| start..start + places[found.end()]));
        }
    }
}

/// A value as programs write it. Percent-encoding is undone in the text instead.
fn add_forms(value: &str, forms: &mut Vec<Vec<u8>>) {
    forms.push(value.as_bytes().to_vec());
    if let Ok(json) = serde_json::to_string(value) {
        // Without the quotes around it.
        forms.push(json.as_bytes()[1..json.len() - 1].to_vec());
    }
    for before in 0..3 {
        let standard = base64_inside(value.as_bytes(), before);
        let url = standard.iter().map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            byte => *byte,
        });
        forms.push(url.collect());
        forms.push(standard);
    }
}

/// The Base64 characters that a value fixes when `before` bytes stand in front of it in its group of
/// three. The characters at either end hold bits of its neighbours, too, and are left out.
fn base64_inside(value: &[u8], before: usize) -> Vec<u8> {
    let mut bytes = vec![0; before];
    bytes.extend_from_slice(value);
    let encoded = STANDARD_NO_PAD.encode(&bytes).into_bytes();
    encoded[(before * 8).div_ceil(6)..bytes.len() * 8 / 6].to_vec()
}

/// Undoes percent-encoding, and says where each byte stood; one more place marks the end.
fn percent_decoded(bytes: &[u8]) -> (Vec<u8>, Vec<usize>) {
    let (mut decoded, mut places) = (Vec::with_capacity(bytes.len()), Vec::new());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        places.push(at);
        let hex = |place: usize| bytes.get(place).and_then(|byte| char::from(*byte).to_digit(16));
        match (byte, hex(at + 1), hex(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                decoded.push(space((high * 16 + low) as u8));
                at += PERCENT_BYTES;
            }
            (byte, _, _) => {
                decoded.push(space(*byte));
                at += 1;
            }
        }
    }
    places.push(bytes.len());
    (decoded, places)
}

/// Forms write a space as `+`; here the two are one.
fn space(byte: u8) -> u8 {
    if byte == b'+' { b' ' } else { byte }
}

fn spaces(form: &[u8]) -> Vec<u8> {
    form.iter().map(|byte| space(*byte)).collect()
}

#[cfg(test)]
pub(super) mod tests;
