//! What the detector promises, on sources that are made up.

mod alone;
mod attributes;
mod day;
mod gains;
mod grant_ends;
mod kept;
mod listings;
mod losses;
mod properties;
mod recalled;
mod shapes;
mod source;
mod sources;
mod verdicts;
mod weighing;
