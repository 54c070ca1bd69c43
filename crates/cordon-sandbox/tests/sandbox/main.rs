//! What the sandbox promises, tried on real processes through the real launcher.
//!
//! Groups are made below `cordon-test-<pid>` and removed. A test that needs what this host or user
//! lacks prints `skipped: <capability>`; as root the whole set runs once more as an ordinary user.

mod causes;
mod jail;
mod launcher;
mod rig;
mod spawning;
mod supervisors;
mod tree;
mod walls;
