//! What the judge promises, shown through its public door alone.

mod agreement;
mod parts;
mod policy;
mod properties;
mod release;
mod scene;
mod simulation;
mod verdicts;
