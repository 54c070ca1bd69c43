//! What the detector promises, on sources that are made up.

mod kept;
mod listings;
mod properties;
mod recalled;
mod shapes;
mod source;
mod sources;
mod weighing;
