//! Reports the workers of an HR export, a CSV file that somebody writes every day.
//!
//! What such a file gets wrong is known: it is cut, replaced while it is read, in another encoding
//! than yesterday, without a column. Each of these ends in a scope that says why it is not whole, or
//! in an error that names file, column and what to do; never in fewer workers.

use std::process::ExitCode;

mod charset;
mod config;
mod feed;
mod header;
mod hr;
mod manifest;
mod rows;
mod source;
#[cfg(test)]
mod tests;
mod worker;

fn main() -> ExitCode {
    cordon_sdk::serve::<hr::Hr>()
}
