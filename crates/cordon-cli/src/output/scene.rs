//! What a page is drawn with: the time it is, the place, and the glyphs that the terminal has.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::page::Tone;
use super::table::Mark;
use crate::units;

/// Time, place and glyphs of a page. Tests give their own.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub(crate) now: i64,
    pub(crate) zone: TimeZone,
    pub(crate) glyphs: Glyphs,
    /// More columns.
    pub(crate) wide: bool,
}

/// The glyphs in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Glyphs {
    Unicode,
    Ascii,
}

impl Glyphs {
    /// Those that the locale can show: its first setting that is not empty decides, as in libc.
    pub(crate) fn of_locale(read: impl Fn(&str) -> Option<String>) -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .into_iter()
            .filter_map(read)
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_ascii_lowercase();
        let has_utf8 = locale.contains("utf-8") || locale.contains("utf8");
        if has_utf8 { Self::Unicode } else { Self::Ascii }
    }

    /// One of two forms.
    pub(crate) fn pick(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self {
            Self::Unicode => unicode,
            Self::Ascii => ascii,
        }
    }

    /// Between things of one line.
    pub(crate) fn dot(self) -> &'static str {
        self.pick(" · ", " | ")
    }

    pub(crate) fn good(self) -> Mark {
        Mark { tone: Tone::Good, glyph: self.pick("✓", "*") }
    }

    pub(crate) fn warn(self) -> Mark {
        Mark { tone: Tone::Warn, glyph: "!" }
    }

    pub(crate) fn bad(self) -> Mark {
        Mark { tone: Tone::Bad, glyph: self.pick("✗", "x") }
    }

    /// Not known yet.
    pub(crate) fn running(self) -> Mark {
        Mark { tone: Tone::Plain, glyph: ">" }
    }

    /// Neither good nor bad: someone wanted it so.
    pub(crate) fn held(self) -> Mark {
        Mark { tone: Tone::Dim, glyph: self.pick("‖", "=") }
    }

    /// The glyph of a trust word.
    pub(crate) fn trust(self, trust: &str) -> Mark {
        match trust {
            "trusted" | "released" => self.good(),
            "quarantined" | "failing" => self.bad(),
            "paused" => self.held(),
            _ => self.warn(),
        }
    }

    /// The glyph of a sync's outcome.
    pub(crate) fn outcome(self, outcome: &str) -> Mark {
        match outcome {
            "committed" | "released" => self.good(),
            "quarantined" | "rejected" | "failed" => self.bad(),
            "superseded" => self.held(),
            "running" => self.running(),
            _ => self.warn(),
        }
    }

    /// The glyph of a finding's severity.
    pub(crate) fn severity(self, severity: &str) -> Mark {
        match severity {
            "info" => self.good(),
            "quarantine" | "reject" => self.bad(),
            _ => self.warn(),
        }
    }
}

impl Scene {
    /// Here and now.
    pub(crate) fn here(wide: bool) -> Self {
        Self {
            now: Timestamp::now().as_microsecond(),
            zone: TimeZone::system(),
            glyphs: Glyphs::of_locale(|name| std::env::var(name).ok()),
            wide,
        }
    }

    /// A time for a person.
    pub(crate) fn clock(&self, micros: i64) -> String {
        units::clock(micros, self.now, &self.zone)
    }

    /// Seconds since a time of the wire; none if it never was.
    pub(crate) fn seconds_since(&self, micros: i64) -> Option<i64> {
        (micros != 0).then(|| self.now.saturating_sub(micros) / 1_000_000)
    }

    /// How old something is, or `-`.
    pub(crate) fn age(&self, micros: i64) -> String {
        self.seconds_since(micros).map_or_else(|| "-".into(), units::age)
    }

    /// When something comes, as `in 49m`.
    pub(crate) fn ahead(&self, micros: i64) -> String {
        match self.seconds_since(micros) {
            None => "-".into(),
            Some(0..) => "due".into(),
            Some(past) => format!("in {}", units::age(past.saturating_neg())),
        }
    }

    #[cfg(test)]
    pub(crate) fn fixed() -> Self {
        Self {
            now: 1_772_442_000_000_000,
            zone: TimeZone::UTC,
            glyphs: Glyphs::Unicode,
            wide: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locale_without_utf8_gets_ascii_and_the_first_setting_decides() {
        let locale = |all: &'static str, lang: &'static str| {
            Glyphs::of_locale(move |name| match name {
                "LC_ALL" => Some(all.into()),
                "LANG" => Some(lang.into()),
                _ => None,
            })
        };
        assert_eq!(locale("", "de_DE.UTF-8"), Glyphs::Unicode);
        assert_eq!(locale("", "C.utf8"), Glyphs::Unicode);
        assert_eq!(locale("C", "de_DE.UTF-8"), Glyphs::Ascii);
        assert_eq!(locale("", ""), Glyphs::Ascii);
    }

    #[test]
    fn what_is_due_is_not_told_as_past() {
        let scene = Scene::fixed();
        assert_eq!(scene.ahead(0), "-");
        assert_eq!(scene.ahead(scene.now - 5_000_000), "due");
        assert_eq!(scene.ahead(scene.now + 49 * 60_000_000), "in 49m");
    }
}
