//! Text for a terminal, safe by construction.
//!
//! Every piece of text that enters a [`Page`] is escaped there, so nothing that a connector wrote
//! reaches a terminal as a command, whichever way it came. Styles are added around it; the stream
//! takes them off again where colour is not wanted.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::escape::escape;

/// What a piece of text means. Colour never says it alone: a glyph or a word stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Strong,
    Dim,
    Good,
    Warn,
    Bad,
}

impl Tone {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Dim => Style::new().dimmed(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// Lines for a person to read.
#[derive(Debug, Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds text to the line.
    pub(crate) fn push(&mut self, text: &str) -> &mut Self {
        self.text.push_str(&escape(text));
        self
    }

    /// Adds text with a meaning to the line.
    pub(crate) fn styled(&mut self, tone: Tone, text: &str) -> &mut Self {
        let style = tone.style();
        // Writing to a String does not fail.
        let _ = write!(self.text, "{style}{}{style:#}", escape(text));
        self
    }

    /// Ends the line.
    pub(crate) fn end(&mut self) -> &mut Self {
        self.text.push('\n');
        self
    }

    /// Adds a whole line.
    pub(crate) fn line(&mut self, text: &str) -> &mut Self {
        self.push(text).end()
    }

    /// Adds a head of a section, after an empty line.
    pub(crate) fn section(&mut self, head: &str) -> &mut Self {
        if !self.text.is_empty() {
            self.end();
        }
        self.styled(Tone::Strong, head).end()
    }

    /// The text with its styles.
    pub(crate) fn into_string(self) -> String {
        self.text
    }

    /// The text without its styles.
    #[cfg(test)]
    pub(crate) fn plain(&self) -> String {
        anstream::adapter::strip_str(&self.text).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_into_a_page_goes_round_the_escape() {
        let mut page = Page::new();
        page.push("a\u{1b}[2J").styled(Tone::Bad, "b\u{1b}[2J").line("c\nd").section("e\u{7}");
        let text = page.into_string();
        assert!(!text.contains("\u{1b}[2J") && !text.contains('\u{7}'), "{text:?}");
        assert!(text.contains("c\\nd"));
    }
}
