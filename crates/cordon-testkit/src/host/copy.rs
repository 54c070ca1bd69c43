//! One host's state, taken over by another, so that many drills begin at the same place.

use std::io;
use std::path::Path;

use super::Host;

impl Host {
    /// Takes over the state of a host that is stopped, and what its sinks got. The configurations
    /// should be alike.
    ///
    /// # Panics
    /// When it cannot be copied.
    #[track_caller]
    pub fn take_state_of(&self, other: &Host) {
        let copied = copy(other, self);
        copied.unwrap_or_else(|error| panic!("cannot copy {}: {error}", other.state().display()));
    }
}

fn copy(from: &Host, to: &Host) -> io::Result<()> {
    copy_folder(&from.state(), &to.state())?;
    for entry in std::fs::read_dir(from.folder())? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "ndjson") {
            std::fs::copy(entry.path(), to.folder().join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    std::fs::set_permissions(to, from.metadata()?.permissions())?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
