//! What the detector promises, on sources that are made up.

mod listings;
mod properties;
mod recalled;
mod shapes;
mod source;
mod sources;
mod weighing;
