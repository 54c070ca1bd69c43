//! What the judge promises, shown through its public door alone.

mod policy;
mod properties;
mod release;
mod scene;
mod verdicts;
