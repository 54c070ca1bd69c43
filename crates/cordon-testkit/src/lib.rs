//! What tests and benches of Cordon stand on: a host fixture that runs the real `cordond`, a
//! scripted faulty connector and a generator of large syncs.
//!
//! Only tests depend on this crate. It drives what ships from outside and knows nothing of its
//! insides. A fixture that cannot do its work panics and says why: the test has failed.

pub mod baton;
pub mod between;
pub mod capability;
pub mod disk;
pub mod host;
pub mod jail;
pub mod ldap;
pub mod leak;
pub mod peer;
pub mod postgres;
pub mod process;
pub mod programs;
pub mod receiver;
pub mod scenario;
pub mod scim;
#[cfg(target_arch = "x86_64")]
pub mod trace;
mod wait;

pub use host::{Answer, Connector, Ended, Host, ServiceManager, Setup};
pub use receiver::{Receiver, Request, Response};
pub use scenario::Scenario;
pub use wait::{wait_for, wait_until};
