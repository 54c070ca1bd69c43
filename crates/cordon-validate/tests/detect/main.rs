//! What the detector promises, on sources that are made up.

mod properties;
mod shapes;
mod source;
mod sources;
