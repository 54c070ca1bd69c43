//! Asks a person to confirm by typing a name.
//!
//! Typing `y` is a reflex; the name of the connector has to be read first.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use crate::errors::Failure;
use crate::output;
use crate::output::page::Page;

/// Bytes of an answer, at most.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Succeeds only if the person types `name`.
pub(crate) async fn confirm(name: &str) -> Result<(), Failure> {
    let mut page = Page::new();
    page.push(&format!("Type the connector's name ({name}) to go on: "));
    output::say(page);
    let mut answer = String::new();
    let mut stdin = BufReader::new(tokio::io::stdin().take(ANSWER_BYTES_MAX));
    // An answer that cannot be read is no answer.
    let read = stdin.read_line(&mut answer).await;
    if read.is_ok() && answer.trim() == name {
        return Ok(());
    }
    Err(Failure::NotConfirmed { expected: name.to_owned() })
}
