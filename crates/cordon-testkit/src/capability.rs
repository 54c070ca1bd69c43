//! What this machine lacks, and whether it may.
//!
//! A test that needs something of the host says so and ends where it is missing. Where nobody looks,
//! a green run could then have tested nothing: so `CORDON_TEST_HAVE` lists what a machine is known
//! to have, and a test that misses one of these fails.

/// Capabilities that this machine is known to have, by name, with commas between them.
const HAVE: &str = "CORDON_TEST_HAVE";

/// Says that a test ends here, because this machine lacks what it needs.
///
/// # Panics
/// When the machine is known to have it.
#[track_caller]
pub fn skipped(capability: &str) {
    eprintln!("skipped: {capability}");
    let known = std::env::var(HAVE).unwrap_or_default();
    assert!(!lists(&known, capability), "{capability} is missing, and {HAVE} says that it is here");
}

fn lists(known: &str, capability: &str) -> bool {
    known.split(',').any(|known| known.trim() == capability)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Runs the test below in a process of its own, on a machine that is known to have these.
    fn skip_where(known: &str) -> (bool, String) {
        let own = std::env::current_exe().unwrap();
        let output = Command::new(own)
            .args(["--exact", "capability::tests::a_test_that_needs_a_moon", "--nocapture"])
            .env(HAVE, known)
            .env("CORDON_TEST_MOON", "missing")
            .output()
            .unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn a_test_that_needs_a_moon() {
        if std::env::var_os("CORDON_TEST_MOON").is_some() {
            skipped("moon");
        }
    }

    #[test]
    fn a_test_that_misses_what_the_machine_is_known_to_have_fails() {
        for (known, passes) in [("", true), ("sun,moonlight", true), ("sun, moon", false)] {
            let (passed, told) = skip_where(known);
            assert_eq!(passed, passes, "{known:?}: {told}");
            assert!(told.contains("skipped: moon"), "{told}");
        }
    }
}
