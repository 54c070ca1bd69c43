//! Verdicts, one promise each, in the words that people read.

mod change;
mod completeness;
mod freshness;
mod lookup;
mod protocol;
mod reading;
mod record;
mod review;
mod shape;
mod unusual;
mod vocabulary;
