//! Whether a connector asks for tasks without end.
//!
//! The limit of tasks bounds how many it has, not how often it asks for one more; and each refusal
//! costs its neighbours, for the kernel makes half a task before it refuses. A program that meets its
//! limit gives up, waits, or goes on with the tasks that it has and brings its records; a bomb goes on
//! asking. Pure.

use std::fmt;

use super::starved::Readings;
use crate::limits::TASKS_DENIED_MAX;

/// A sync that went on asking for tasks beyond its limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bomb {
    /// How often it was refused.
    denied: u64,
    /// The limit; none where the report of its start does not tell.
    limit: Option<u64>,
}

/// Counts what is refused while a sync brings nothing.
#[derive(Debug)]
pub(super) struct Fuse {
    limit: Option<u64>,
    brought: u64,
    /// What had been refused when it brought something last.
    denied: Option<u64>,
}

impl Fuse {
    /// Of a sync that begins now, under that limit of tasks.
    pub(super) fn new(limit: Option<u64>, first: &Readings) -> Self {
        Self { limit, brought: 0, denied: first.tasks_denied }
    }

    /// Whether it has asked beyond what a program can need, having brought so much by now.
    pub(super) fn look(&mut self, now: &Readings, brought: u64) -> Option<Bomb> {
        if brought > self.brought {
            (self.brought, self.denied) = (brought, now.tasks_denied);
        }
        let denied = now.tasks_denied?.saturating_sub(self.denied?);
        (denied > TASKS_DENIED_MAX).then_some(Bomb { denied, limit: self.limit })
    }
}

impl fmt::Display for Bomb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "asked {} times for a task beyond its limit", self.denied)?;
        if let Some(limit) = self.limit {
            write!(f, " of {limit}")?;
        }
        f.write_str(": a fork bomb, or limits.tasks is too small for it")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: Option<u64>, looks: &[(Option<u64>, u64)]) -> Option<u64> {
        let readings = |tasks_denied| Readings { tasks_denied, ..Readings::default() };
        let mut fuse = Fuse::new(Some(64), &readings(before));
        let mut looks = looks.iter();
        looks
            .find_map(|(denied, brought)| fuse.look(&readings(*denied), *brought))
            .map(|it| it.denied)
    }

    #[test]
    fn what_was_refused_since_it_brought_something_counts_and_not_before() {
        assert_eq!(check(Some(0), &[(Some(500), 0)]), None);
        assert_eq!(check(Some(0), &[(Some(501), 0)]), Some(501));
        assert_eq!(check(Some(5_000), &[(Some(5_500), 0)]), None);
        assert_eq!(check(Some(0), &[(Some(400), 0), (Some(800), 1), (Some(1_300), 1)]), None);
        assert_eq!(check(Some(0), &[(Some(800), 1), (Some(1_301), 1)]), Some(501));
    }

    #[test]
    fn a_host_that_does_not_tell_blames_nobody() {
        assert_eq!(check(None, &[(Some(9_999), 0)]), None);
        assert_eq!(check(Some(0), &[(None, 0)]), None);
    }

    #[test]
    fn it_says_which_limit_and_what_may_be_wrong() {
        let bomb = Bomb { denied: 1_500, limit: Some(64) };
        let told = "asked 1500 times for a task beyond its limit of 64: a fork bomb, or \
                    limits.tasks is too small for it";
        assert_eq!(bomb.to_string(), told);
    }
}
