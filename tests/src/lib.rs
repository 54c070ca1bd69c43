//! Cordon's promises, kept by the programs that ship.
//!
//! Everything here drives `cordond`, `cordon` and real connector processes from outside, over the
//! control socket and the files that a consumer reads. Nothing here knows the insides of a crate.
//! PROMISES.md says which promise each test holds us to.

#[cfg(test)]
mod backtest;
#[cfg(test)]
mod baton;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod company;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod containment;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod descriptors;
#[cfg(test)]
mod disk_faults;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod export;
#[cfg(test)]
mod gate;
#[cfg(test)]
mod grace;
#[cfg(test)]
mod held;
#[cfg(test)]
mod hindsight;
#[cfg(test)]
mod host_faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod kill_drills;
#[cfg(test)]
mod kill_sweep;
#[cfg(test)]
mod kit;
#[cfg(test)]
mod ldap;
#[cfg(test)]
mod liveness;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod misnamed;
#[cfg(test)]
mod orders;
#[cfg(test)]
mod pacing;
#[cfg(test)]
mod partial;
#[cfg(test)]
mod policy;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod reread;
#[cfg(test)]
mod rules;
#[cfg(test)]
mod scim;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod service;
#[cfg(test)]
mod shape;
#[cfg(test)]
mod shipped;
#[cfg(test)]
mod state;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod two_people;
#[cfg(test)]
mod verified;
#[cfg(test)]
mod vocabulary;
#[cfg(test)]
mod walls;
#[cfg(test)]
mod world;
