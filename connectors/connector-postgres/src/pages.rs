//! Rows of one question, a page at a time: memory does not grow with the answer, and the server's
//! timeout counts its own work and not how fast somebody takes the rows.

use tokio_postgres::{Portal, Row, Transaction};

use crate::fault::Trouble;
use crate::session::Waiting;

/// Rows that are asked for at once.
const PAGE_ROWS: i32 = 4_096;

/// An answer that is being read.
pub(crate) struct Pages<'t> {
    transaction: &'t Transaction<'t>,
    waiting: Waiting<'t>,
    what: &'t str,
    portal: Portal,
}

impl<'t> Pages<'t> {
    /// Asks; `only` are the numbers of the objects that matter, all without it.
    pub(crate) async fn open(
        transaction: &'t Transaction<'t>,
        waiting: Waiting<'t>,
        what: &'t str,
        sql: &str,
        only: Option<&[u32]>,
    ) -> Result<Self, Trouble> {
        let statement = waiting.on(what, transaction.prepare(sql)).await?;
        let portal = waiting.on(what, transaction.bind(&statement, &[&only])).await?;
        Ok(Self { transaction, waiting, what, portal })
    }

    /// The next rows; none is the end of the answer.
    pub(crate) async fn next(&mut self) -> Result<Vec<Row>, Trouble> {
        let page = self.transaction.query_portal(&self.portal, PAGE_ROWS);
        self.waiting.on(self.what, page).await
    }
}
