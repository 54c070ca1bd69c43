//! SPDX licence expressions, as far as manifests use them.
//!
//! `AND` binds tighter than `OR`, `WITH` tighter than both. A slash is an old way to write `OR`.

use anyhow::{Context, bail};

/// Whether an expression can be kept with licences that are allowed. A licence with an exception is
/// asked for as a whole: `Apache-2.0 WITH LLVM-exception`.
pub(super) fn is_satisfied(
    expression: &str,
    allowed: &dyn Fn(&str) -> bool,
) -> anyhow::Result<bool> {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words = Words { words: spaced.split_whitespace().collect(), next: 0, allowed };
    let satisfied = words.any()?;
    match words.peek() {
        None => Ok(satisfied),
        Some(word) => bail!("{word} is not expected"),
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    next: usize,
    allowed: &'a dyn Fn(&str) -> bool,
}

impl<'a> Words<'a> {
    fn peek(&self) -> Option<&'a str> {
        self.words.get(self.next).copied()
    }

    fn take(&mut self, word: &str) -> bool {
        let is_next = self.peek() == Some(word);
        self.next += usize::from(is_next);
        is_next
    }

    fn any(&mut self) -> anyhow::Result<bool> {
        let mut satisfied = self.all()?;
        while self.take("OR") {
            satisfied |= self.all()?;
        }
        Ok(satisfied)
    }

    fn all(&mut self) -> anyhow::Result<bool> {
        let mut satisfied = self.one()?;
        while self.take("AND") {
            satisfied &= self.one()?;
        }
        Ok(satisfied)
    }

    fn one(&mut self) -> anyhow::Result<bool> {
        if self.take("(") {
            let satisfied = self.any()?;
            if !self.take(")") {
                bail!("a parenthesis is not closed");
            }
            return Ok(satisfied);
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok((self.allowed)(&format!("{licence} WITH {exception}")));
        }
        Ok((self.allowed)(licence))
    }

    fn name(&mut self) -> anyhow::Result<&'a str> {
        let word = self.peek().context("it ends too early")?;
        if matches!(word, "(" | ")" | "AND" | "OR" | "WITH") {
            bail!("{word} is not a licence");
        }
        self.next += 1;
        Ok(word)
    }
}

#[cfg(test)]
mod tests {
    fn check(expression: &str) -> Option<bool> {
        let allowed =
            |licence: &str| matches!(licence, "MIT" | "ISC" | "Apache-2.0 WITH LLVM-exception");
        super::is_satisfied(expression, &allowed).ok()
    }

    #[test]
    fn an_expression_is_satisfied_when_one_way_to_keep_it_is_allowed() {
        for expression in [
            "MIT",
            "MIT OR GPL-3.0",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "GPL-3.0 / MIT",
            "MIT AND ISC",
            "(GPL-3.0 OR MIT) AND ISC",
            "GPL-3.0 AND ISC OR MIT",
            "Apache-2.0 WITH LLVM-exception OR GPL-3.0",
        ] {
            assert_eq!(check(expression), Some(true), "{expression}");
        }
    }

    #[test]
    fn an_expression_that_needs_what_is_not_allowed_is_not_satisfied() {
        for expression in [
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "MIT AND (GPL-3.0 OR BSD-3-Clause)",
            "GPL-3.0 OR GPL-2.0 AND MIT",
            "Apache-2.0",
            "MIT WITH LLVM-exception",
        ] {
            assert_eq!(check(expression), Some(false), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_an_error_not_a_yes() {
        for expression in ["", "MIT OR", "AND MIT", "(MIT", "MIT)", "MIT ISC", "MIT WITH"] {
            assert_eq!(check(expression), None, "{expression}");
        }
    }
}
