//! `cordon-jail`: restricts itself as its supervisor tells it, then becomes the connector.
//!
//! Started by the supervisor alone; what it does is in the library's `jail` module.

use std::process::ExitCode;

fn main() -> ExitCode {
    cordon_sandbox::jail::run()
}
