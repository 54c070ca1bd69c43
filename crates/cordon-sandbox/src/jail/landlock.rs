//! Landlock: a second wall behind the view, and the only one where a host gives no namespaces.
//!
//! Three rule sets, one behind the other, so that each is reported for itself: files, TCP ports,
//! and signals with abstract sockets. A kernel that knows less gets what it knows, and the report
//! says which version that is.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, NetPort, PathBeneath, PathFd,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::{
    ladder::{Done, Failure},
    task::Task,
    view,
};
use crate::{
    report::ItemState,
    spec::{Network, View},
};

type Result<T = Done> = std::result::Result<T, Failure>;

/// Newest first; each has all rights of those before it.
const VERSIONS: [(ABI, u32); 7] = [
    (ABI::V7, 7),
    (ABI::V6, 6),
    (ABI::V5, 5),
    (ABI::V4, 4),
    (ABI::V3, 3),
    (ABI::V2, 2),
    (ABI::V1, 1),
];

/// The newest version that this kernel knows whole, of those that begin at `oldest`, and what
/// `handle` makes for it.
fn newest(
    oldest: u32,
    handle: impl Fn(Ruleset, ABI) -> std::result::Result<Ruleset, landlock::RulesetError>,
) -> Option<(Ruleset, ABI, u32)> {
    let tried = VERSIONS.iter().filter(|(_, number)| *number >= oldest);
    tried.copied().find_map(|(abi, number)| {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        Some((handle(ruleset, abi).ok()?, abi, number))
    })
}

fn unavailable(oldest: u32) -> Done {
    Done::new(ItemState::Unavailable)
        .errno(libc::EOPNOTSUPP)
        .detail(format!("this kernel has no Landlock of version {oldest} or later"))
}

fn failed(error: impl std::error::Error) -> Failure {
    let mut detail = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        detail = format!("{detail}: {error}");
        cause = error.source();
    }
    Failure { errno: libc::EINVAL, detail }
}

fn enforce(ruleset: landlock::RulesetCreated, number: u32) -> Result {
    let status = ruleset.restrict_self().map_err(failed)?;
    match status.ruleset {
        RulesetStatus::FullyEnforced => Ok(Done::applied().detail(format!("version {number}"))),
        other => Err(Failure { errno: libc::EOPNOTSUPP, detail: format!("{other:?}") }),
    }
}

pub(super) fn files(task: &Task) -> Result {
    if task.plan.view == View::Shared {
        return Ok(Done::new(ItemState::NotAsked));
    }
    let handled = newest(1, |ruleset, abi| ruleset.handle_access(AccessFs::from_all(abi)));
    let Some((ruleset, abi, number)) = handled else { return Ok(unavailable(1)) };
    let (all, read) = (AccessFs::from_all(abi), AccessFs::from_read(abi));
    // Nothing that it wrote itself can be executed.
    let own = all & !AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile;
    let mut ruleset = ruleset.create().map_err(failed)?;
    let mut allow = |path: &std::path::Path, access| -> Result<()> {
        // What is not there needs no rule.
        let Ok(opened) = PathFd::new(path) else { return Ok(()) };
        let plain = !path.is_dir();
        let access = if plain { access & AccessFs::from_file(abi) } else { access };
        (&mut ruleset).add_rule(PathBeneath::new(opened, access)).map_err(failed)?;
        Ok(())
    };
    match &task.plan.view {
        View::Only(listed) => {
            view::base(&task.plan.network).try_for_each(|path| allow(path, read))?;
            listed.iter().try_for_each(|path| allow(path, read))?;
            if task.plan.script {
                allow(&task.plan.program, read)?;
            }
            for path in ["/proc", "/etc/hosts"] {
                allow(path.as_ref(), read & !AccessFs::Execute)?;
            }
        }
        View::ReadOnly | View::Shared => allow("/".as_ref(), read)?,
    }
    view::devices().try_for_each(|path| allow(path, device))?;
    allow(&task.plan.private_dir, own)?;
    if !task.plan.private_dir.starts_with("/tmp") {
        // The same space, where the view gives it this name too.
        match &task.plan.view {
            View::Only(_) => allow("/tmp".as_ref(), own)?,
            View::ReadOnly | View::Shared => {}
        }
    }
    enforce(ruleset, number)
}

pub(super) fn ports(task: &Task) -> Result {
    let Network::Only(destinations) = &task.plan.network else {
        return Ok(Done::new(ItemState::NotAsked));
    };
    // Landlock knows ports and no addresses: rules that let processes meet on ports that they choose
    // would hold nothing. What holds is the network of its own, on which `loopback` depends.
    if task.plan.loopback {
        return Ok(Done::new(ItemState::NotAsked).detail("its own loopback is open to it"));
    }
    let handled = newest(4, |ruleset, abi| ruleset.handle_access(AccessNet::from_all(abi)));
    let Some((ruleset, _, number)) = handled else { return Ok(unavailable(4)) };
    let mut ruleset = ruleset.create().map_err(failed)?;
    for destination in destinations {
        let port = NetPort::new(destination.port(), AccessNet::ConnectTcp);
        (&mut ruleset).add_rule(port).map_err(failed)?;
    }
    enforce(ruleset, number)
}

pub(super) fn scope(task: &Task) -> Result {
    if task.plan.view == View::Shared {
        return Ok(Done::new(ItemState::NotAsked));
    }
    let handled = newest(6, |ruleset, abi| ruleset.scope(Scope::from_all(abi)));
    let Some((ruleset, _, number)) = handled else { return Ok(unavailable(6)) };
    enforce(ruleset.create().map_err(failed)?, number)
}
