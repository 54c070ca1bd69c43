//! What came of one attack.

use std::borrow::Cow;
use std::io;

/// What came of one attack, with what the kernel said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was tried and refused.
    Denied(String),
    /// It was tried and worked, or nothing but its arguments stood against it.
    Allowed(String),
    /// It could not be tried.
    Skipped(String),
}

impl Outcome {
    /// Success is an attack that worked, every error one that was refused.
    pub(super) fn of<T>(what: &str, tried: io::Result<T>) -> Self {
        match tried {
            Ok(_) => Self::Allowed(format!("{what} worked")),
            Err(error) => Self::Denied(format!("{what}: {error}")),
        }
    }

    /// For calls whose harm is that the kernel considers them at all: refused is only what was
    /// refused for who asked, or is not there. An error about the arguments means that the right to
    /// make the call was there.
    pub(super) fn considered<T>(what: &str, tried: io::Result<T>) -> Self {
        match tried {
            Err(error) if is_refusal(&error) => Self::Denied(format!("{what}: {error}")),
            Err(error) => Self::Allowed(format!("{what} was considered: {error}")),
            Ok(_) => Self::Allowed(format!("{what} worked")),
        }
    }

    pub(super) fn skipped(why: impl Into<String>) -> Self {
        Self::Skipped(why.into())
    }

    /// Allowed if one of them was, denied if one was and the others could not be tried.
    pub(super) fn worst(outcomes: impl IntoIterator<Item = Self>) -> Self {
        let mut worst: Option<Self> = None;
        for outcome in outcomes {
            worst = Some(match (worst, outcome) {
                (None, outcome) => outcome,
                (Some(Self::Allowed(had)), Self::Allowed(more)) => {
                    Self::Allowed(format!("{had}; {more}"))
                }
                (Some(had @ Self::Allowed(_)), _) => had,
                (_, outcome @ Self::Allowed(_)) => outcome,
                (Some(Self::Denied(had)), Self::Denied(more)) => {
                    Self::Denied(format!("{had}; {more}"))
                }
                (Some(had @ Self::Denied(_)), _) => had,
                (Some(Self::Skipped(_)), outcome) => outcome,
            });
        }
        worst.unwrap_or_else(|| Self::skipped("there is nothing to try it on"))
    }

    /// `denied`, `ALLOWED` or `skipped: WHY`. The one that needs attention stands out.
    pub(super) fn result(&self) -> Cow<'static, str> {
        match self {
            Self::Denied(_) => "denied".into(),
            Self::Allowed(_) => "ALLOWED".into(),
            Self::Skipped(why) => format!("skipped: {why}").into(),
        }
    }

    pub(super) fn detail(&self) -> &str {
        match self {
            Self::Denied(text) | Self::Allowed(text) => text,
            Self::Skipped(_) => "",
        }
    }
}

/// Whether the error is about the right to do it, or says that the kernel has no such call.
fn is_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EPERM | libc::EACCES | libc::ENOSYS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(errno: i32) -> io::Result<()> {
        Err(io::Error::from_raw_os_error(errno))
    }

    #[test]
    fn an_error_about_the_arguments_is_no_denial() {
        for (errno, result) in [
            (libc::EPERM, "denied"),
            (libc::EACCES, "denied"),
            (libc::ENOSYS, "denied"),
            (libc::EINVAL, "ALLOWED"),
            (libc::EFAULT, "ALLOWED"),
        ] {
            assert_eq!(Outcome::considered("x", error(errno)).result(), result, "{errno}");
        }
        assert_eq!(Outcome::considered("x", Ok(())).result(), "ALLOWED");
    }

    #[test]
    fn one_way_that_is_open_outweighs_all_that_are_closed() {
        let (denied, allowed, skipped) = (
            || Outcome::Denied("d".into()),
            || Outcome::Allowed("a".into()),
            || Outcome::skipped("s"),
        );
        for (tried, result) in [
            (vec![denied(), allowed(), denied()], "ALLOWED"),
            (vec![skipped(), allowed()], "ALLOWED"),
            (vec![skipped(), denied()], "denied"),
            (vec![denied(), skipped()], "denied"),
            (vec![skipped()], "skipped: s"),
            (vec![], "skipped: there is nothing to try it on"),
        ] {
            assert_eq!(Outcome::worst(tried).result(), result);
        }
    }
}
