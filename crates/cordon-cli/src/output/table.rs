//! Tables without borders: a header, aligned columns, a glyph before the row that needs one.

use comfy_table::{CellAlignment, ContentArrangement, Row, Table, presets};

use super::page::{Page, Tone};
use crate::escape::{clip, wrapped};

/// Characters of one cell, at most; the machine formats have the whole text.
const CELL_CHARS_MAX: usize = 96;
/// Characters of a sentence that stand in one line, where it may go on in the next.
const LINE_CHARS_MAX: usize = 72;

/// A glyph before a row, with its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) tone: Tone,
    pub(crate) glyph: &'static str,
}

/// Rows of text under a header.
pub(crate) struct Grid {
    table: Table,
    marks: Vec<Option<Mark>>,
}

impl Grid {
    /// A table with these columns; one that begins with `>` is aligned to the right.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(Row::from(columns.iter().map(|name| name.trim_start_matches('>'))));
        for (index, name) in columns.iter().enumerate() {
            let Some(column) = table.column_mut(index) else { continue };
            column.set_padding((0, 2));
            if name.starts_with('>') {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        Self { table, marks: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Self {
        self.add(None, cells)
    }

    /// Adds a row with a glyph before it.
    pub(crate) fn marked(
        &mut self,
        mark: Mark,
        cells: impl IntoIterator<Item = String>,
    ) -> &mut Self {
        self.add(Some(mark), cells)
    }

    /// Adds a row whose cell `at` is a sentence, which goes on in further lines where it is long: what a
    /// finding says is not cut.
    pub(crate) fn row_in_lines<const N: usize>(
        &mut self,
        mark: Option<Mark>,
        mut cells: [String; N],
        at: usize,
    ) -> &mut Self {
        let mut lines = wrapped(&cells[at], LINE_CHARS_MAX).into_iter();
        cells[at] = lines.next().unwrap_or_default();
        self.add(mark, cells);
        for line in lines {
            let mut cells = [const { String::new() }; N];
            cells[at] = line;
            self.row(cells);
        }
        self
    }

    fn add(&mut self, mark: Option<Mark>, cells: impl IntoIterator<Item = String>) -> &mut Self {
        // Escaped before it is measured, else the columns after a hostile cell stand askew.
        let cells = cells.into_iter().map(|cell| clip(&cell, CELL_CHARS_MAX));
        self.table.add_row(Row::from(cells));
        self.marks.push(mark);
        self
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Writes it to a page, `indent` spaces in.
    pub(crate) fn write(&self, page: &mut Page, indent: usize) {
        let indent = " ".repeat(indent);
        let marked = self.marks.iter().any(Option::is_some);
        let mut marks = self.marks.iter();
        for (index, line) in self.table.lines().enumerate() {
            let line = line.trim_end();
            page.push(&indent);
            if index == 0 {
                page.push(if marked { "  " } else { "" }).styled(Tone::Dim, line).end();
                continue;
            }
            match marks.next().copied().flatten() {
                Some(mark) => page.styled(mark.tone, mark.glyph).push(" "),
                None => page.push(if marked { "  " } else { "" }),
            };
            page.push(line).end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(grid: &Grid) -> String {
        let mut page = Page::new();
        grid.write(&mut page, 0);
        page.plain()
    }

    #[test]
    fn columns_stand_under_their_heads_and_numbers_to_the_right() {
        let mut grid = Grid::new(&["NAME", ">RECORDS", "NOTE"]);
        let mark = Mark { tone: Tone::Bad, glyph: "✗" };
        grid.marked(mark, ["hr".to_owned(), "18,204".into(), "cut".into()]);
        grid.row(["corp-ldap".to_owned(), "7".into(), String::new()]);
        insta::assert_snapshot!(show(&grid), @r"
          NAME       RECORDS  NOTE
        ✗ hr          18,204  cut
          corp-ldap        7
        ");
    }

    #[test]
    fn a_long_cell_goes_on_in_further_lines() {
        let mut grid = Grid::new(&["CODE", "FOUND", ">LIMIT"]);
        let mark = Mark { tone: Tone::Bad, glyph: "✗" };
        let found =
            "7,019 of 18,204 users are gone, and they lie together at the end of the listing";
        grid.row_in_lines(Some(mark), ["D101", found, "50"].map(str::to_owned), 1);
        grid.row(["D102", "short", "-"].map(str::to_owned));
        insta::assert_snapshot!(show(&grid), @r"
          CODE  FOUND                                                                    LIMIT
        ✗ D101  7,019 of 18,204 users are gone, and they lie together at the end of the     50
                listing
          D102  short                                                                        -
        ");
    }

    #[test]
    fn a_hostile_cell_stays_one_cell_of_one_line() {
        let mut grid = Grid::new(&["ID", "NEXT"]);
        grid.row(["a\nb\u{1b}[31m".to_owned(), "x".into()]);
        grid.row(["c".repeat(500), "y".into()]);
        let text = show(&grid);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("a\\nb\\u{1b}[31m"));
        assert!(text.lines().all(|line| line.chars().count() < 110), "{text}");
    }
}
