//! The shipped prior as source text.

use std::fmt::Write;

use cordon_validate::detect::Prior;

/// What `crates/cordon-validate/src/detect/prior/table.rs` holds.
pub(crate) fn source(prior: &Prior) -> String {
    let mut text = String::from(
        "//! How often honest syncs of other sources reached a value of a statistic. Made by\n\
         //! `cargo xtask detect --write-prior`; not for editing.\n\n\
         // A measured share may lie near the root of a half.\n\
         #![allow(clippy::approx_constant)]\n\n\
         use super::Statistic;\n\n",
    );
    let _ = writeln!(text, "/// Changed syncs that the table was made of.");
    let _ = writeln!(text, "pub(super) const SYNCS: u64 = {};\n", prior.syncs);
    let _ = writeln!(
        text,
        "/// By statistic: values, falling, and the share of syncs with at least that."
    );
    let _ = writeln!(text, "pub(super) const CURVES: &[(Statistic, &[(f64, f64)])] = &[");
    for (statistic, curve) in prior.curves() {
        let _ = writeln!(text, "    (\n        Statistic::{statistic:?},\n        &[");
        for (value, share) in curve {
            let _ = writeln!(text, "            ({value:.3e}, {share:.3e}),");
        }
        let _ = writeln!(text, "        ],\n    ),");
    }
    text.push_str("];\n");
    text
}
