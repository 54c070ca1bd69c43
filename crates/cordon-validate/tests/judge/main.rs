//! What the judge promises, shown through its public door alone.

mod agreement;
mod edges;
mod edits;
mod monotone;
mod parts;
mod policy;
mod properties;
mod release;
mod rules;
mod scene;
mod simulation;
mod source;
mod verdicts;
