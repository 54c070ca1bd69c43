//! Which key of a TOML text stands at a place.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The innermost key whose value, or which itself, stands there: `guard.removed.user`.
pub(super) fn key_at(text: &str, at: usize) -> Option<String> {
    let whole = DeTable::parse(text).ok()?;
    let mut search = Search { at, path: Vec::new(), best: None };
    search.table(whole.get_ref());
    search.best.map(|(_, path)| path)
}

struct Search {
    at: usize,
    path: Vec<String>,
    /// The smallest span that holds the place, and its path.
    best: Option<(usize, String)>,
}

impl Search {
    fn table(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.path.push(key.get_ref().to_string());
            self.span(key.span());
            self.value(value.span(), value.get_ref());
            self.path.pop();
        }
    }

    fn value(&mut self, span: Range<usize>, value: &DeValue<'_>) {
        self.span(span);
        match value {
            DeValue::Table(table) => self.table(table),
            DeValue::Array(values) => {
                for value in values.iter() {
                    self.value(value.span(), value.get_ref());
                }
            }
            _ => {}
        }
    }

    fn span(&mut self, span: Range<usize>) {
        let length = span.len();
        let is_closer = self.best.as_ref().is_none_or(|(best, _)| length <= *best);
        if span.contains(&self.at) && is_closer {
            self.best = Some((length, self.path.join(".")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key at the first `!` of a text, which is taken out.
    fn key(text: &str) -> Option<String> {
        key_at(&text.replacen('!', "", 1), text.find('!').unwrap())
    }

    #[test]
    fn the_innermost_key_is_named_however_tables_are_written() {
        assert_eq!(key("a = 1\n[guard]\nremoved.user = !10").unwrap(), "guard.removed.user");
        assert_eq!(
            key("[guard]\nremoved = { user = { percent = !1 } }").unwrap(),
            "guard.removed.user.percent"
        );
        assert_eq!(key("[guard]\nbudget = [{ within = !7 }]").unwrap(), "guard.budget.within");
        assert_eq!(key("[connector.hr]\n!limit = 3").unwrap(), "connector.hr.limit");
        assert_eq!(key("[[rule]]\nx = 1\n[[rule]]\nx = !\"y\"").unwrap(), "rule.x");
        assert_eq!(key("a = 1\n!"), None);
    }
}
