//! The one place where results are written: to stdout, in the format that was asked for.
//!
//! A result is a list of items with an envelope. Every command says how its items look to a person
//! and this module does the rest, so no command can forget a format. Lists are written item by
//! item: a diff of ten million changes needs no more memory than one of ten.

pub(crate) mod json;
pub(crate) mod page;
pub(crate) mod scene;
pub(crate) mod table;
pub(crate) mod words;

use std::io::{StdoutLock, Write};

use anstream::AutoStream;
use clap::ValueEnum;
use serde::Serialize;

use crate::errors::Failure;
use json::{Item, View};
use page::Page;
use scene::Scene;

/// Text that waits before it is written: a pipe is fed in pieces of this size.
const BUFFER_BYTES: usize = 32 * 1024;

/// The form of a result: columns, more columns, a document, a line an item, or names alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Ndjson,
    Name,
}

impl Format {
    /// For people; hints and progress belong only here.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// A document with an end, which a followed stream does not have.
    pub(crate) fn is_document(self) -> bool {
        matches!(self, Self::Json | Self::Yaml)
    }
}

/// Where results go.
pub(crate) struct Output {
    /// The form of results.
    pub(crate) format: Format,
    /// What a person's page is drawn with.
    pub(crate) scene: Scene,
    quiet: bool,
    stdout: AutoStream<StdoutLock<'static>>,
    buffer: String,
    /// Items written of the open list.
    items: u64,
}

impl Output {
    /// The process's stdout; it stays locked, nothing else writes there.
    pub(crate) fn new(format: Format, scene: Scene, quiet: bool) -> Self {
        let stdout = anstream::stdout().lock();
        Self { format, scene, quiet, stdout, buffer: String::new(), items: 0 }
    }

    /// Writes a whole result: its items for machines, `page` for people.
    pub(crate) fn list<'a, T, E>(
        &mut self,
        items: &'a [T],
        extra: &E,
        page: impl FnOnce(&Scene) -> Page,
    ) -> Result<(), Failure>
    where
        T: Item,
        E: Serialize,
        View<'a, T>: Serialize,
    {
        if self.format.is_for_people() {
            let page = page(&self.scene);
            self.page(page)?;
            return self.flush();
        }
        self.open::<T, E>(extra)?;
        for item in items {
            self.item(item, |_| Page::new())?;
        }
        self.close()
    }

    /// Begins a list for machines; people get what they get item by item.
    pub(crate) fn open<T: Item, E: Serialize>(&mut self, extra: &E) -> Result<(), Failure> {
        self.items = 0;
        let text = match self.format {
            Format::Json => json::json_head(T::KIND, extra),
            Format::Yaml => json::yaml_head(T::KIND, extra),
            _ => String::new(),
        };
        self.write(&text)
    }

    /// Writes one item of the open list.
    pub(crate) fn item<'a, T>(
        &mut self,
        item: &'a T,
        page: impl FnOnce(&Scene) -> Page,
    ) -> Result<(), Failure>
    where
        T: Item,
        View<'a, T>: Serialize,
    {
        let first = self.items == 0;
        self.items += 1;
        let text = match self.format {
            Format::Table | Format::Wide => page(&self.scene).into_string(),
            Format::Json => json::json_item(&View(item), first),
            Format::Yaml => json::yaml_item(&View(item), first),
            Format::Ndjson => json::line(&View(item)),
            Format::Name => format!("{}\n", crate::escape::escape(&item.name())),
        };
        self.write(&text)
    }

    /// Ends the open list.
    pub(crate) fn close(&mut self) -> Result<(), Failure> {
        let text = match self.format {
            Format::Json => json::json_tail(self.items),
            Format::Yaml => json::yaml_tail(self.items),
            _ => "",
        };
        self.write(text)?;
        self.flush()
    }

    /// Writes lines for people.
    pub(crate) fn page(&mut self, page: Page) -> Result<(), Failure> {
        self.write(&page.into_string())
    }

    /// Writes text that is the result itself, as a completion script.
    pub(crate) fn raw(&mut self, text: &str) -> Result<(), Failure> {
        self.write(text)?;
        self.flush()
    }

    /// Hands on what waits.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        let text = std::mem::take(&mut self.buffer);
        self.stdout.write_all(text.as_bytes()).map_err(Failure::Write)?;
        self.stdout.flush().map_err(Failure::Write)
    }

    /// Says something beside the result, to people only.
    pub(crate) fn note(&self, page: Page) {
        if !self.quiet && self.format.is_for_people() {
            say(page);
        }
    }

    /// Whether progress and hints are wanted.
    pub(crate) fn is_talkative(&self) -> bool {
        !self.quiet && self.format.is_for_people()
    }

    fn write(&mut self, text: &str) -> Result<(), Failure> {
        self.buffer.push_str(text);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }
}

/// Writes to stderr. That nobody reads it is no reason to fail.
pub(crate) fn say(page: Page) {
    let _ = anstream::stderr().lock().write_all(page.into_string().as_bytes());
}

/// A failure, in the form that the format asks for.
pub(crate) fn say_failure(failure: &Failure, format: Format) {
    if format.is_for_people() || format == Format::Name {
        say(failure.page());
        return;
    }
    let _ = writeln!(anstream::stderr().lock(), "{}", failure.json());
}
