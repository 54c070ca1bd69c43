//! What runs inside the virtual machine: this same program, told by a hidden command which part.
//!
//! `suite` runs as a service of the guest, beside the package that it installs and tries, and prints
//! a line a case in the Test Anything Protocol. `cuts` runs as the guest's first process; see there.

mod cuts;
mod host;
mod isolation;
mod lifecycle;
mod package;
mod shell;
mod supervision;
mod world;

use std::time::Instant;

use anyhow::bail;

use crate::run::say;

/// What the guest is to do.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum Part {
    /// Every case, in one boot
    Suite,
    /// Commit for ever, and check at first what the last cut left
    Cuts,
}

/// A case: its name is the promise that it holds.
pub(super) struct Case {
    module: &'static str,
    name: &'static str,
    run: fn() -> anyhow::Result<()>,
}

/// A case named after its function.
macro_rules! case {
    ($module:ident :: $name:ident) => {
        Case { module: stringify!($module), name: stringify!($name), run: $module::$name }
    };
}

/// In this order: each takes the guest as the one before left it.
static CASES: [Case; 25] = [
    case!(package::the_package_installs_and_the_service_starts),
    case!(package::members_of_the_group_may_ask_and_strangers_may_not),
    case!(isolation::as_root_every_connector_has_a_user_of_its_own),
    case!(isolation::limits_stand_in_version_2_groups_beside_the_supervisor),
    case!(isolation::every_wall_stands_and_what_the_kernel_lacks_is_told),
    case!(isolation::a_memory_hog_dies_of_memory_and_the_service_stays),
    case!(isolation::a_fork_flood_is_denied_and_its_tree_ends),
    case!(isolation::a_connector_that_spins_is_throttled),
    case!(supervision::a_restart_of_one_connector_leaves_the_others),
    case!(supervision::a_credential_of_the_service_manager_reaches_the_connector_and_no_file),
    case!(supervision::the_journal_has_fields_and_priorities),
    case!(host::a_connector_in_uninterruptible_sleep_blocks_nobody),
    case!(host::a_clock_that_jumps_a_day_kills_nothing),
    case!(supervision::a_blocked_main_loop_is_killed_by_the_watchdog_and_started_again),
    case!(supervision::a_configuration_that_no_restart_can_mend_is_not_retried),
    case!(supervision::a_service_that_keeps_dying_meets_its_start_limit),
    case!(lifecycle::a_stop_lets_a_running_sync_come_to_its_end),
    case!(lifecycle::a_sync_that_a_stop_called_off_runs_after_the_start),
    case!(lifecycle::what_a_kill_leaves_is_gone_before_the_next_start),
    case!(lifecycle::an_upgrade_loses_no_row),
    case!(isolation::without_root_the_limits_bite_the_same),
    case!(isolation::without_root_a_memory_hog_dies_alone),
    case!(isolation::without_root_a_tree_ends_whole),
    case!(package::a_removal_keeps_the_evidence),
    case!(package::a_purge_leaves_nothing),
];

pub(crate) fn run(part: Part) -> anyhow::Result<()> {
    match part {
        Part::Suite => suite(),
        Part::Cuts => cuts::run(),
    }
}

/// The cases whose module or name holds the word on the kernel's command line, or all.
fn chosen() -> Vec<&'static Case> {
    let line = std::fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let only = line.split_whitespace().find_map(|word| word.strip_prefix("cordon.only="));
    let is_chosen = |case: &&Case| {
        only.is_none_or(|only| case.module.contains(only) || case.name.contains(only))
    };
    CASES.iter().filter(is_chosen).collect()
}

fn suite() -> anyhow::Result<()> {
    let cases = chosen();
    say(&format!("1..{}", cases.len()));
    let mut failed = 0;
    for (index, case) in cases.iter().enumerate() {
        let (number, begun) = (index + 1, Instant::now());
        let done = (case.run)();
        let seconds = begun.elapsed().as_secs_f64();
        match done {
            Ok(()) => say(&format!("ok {number} - {} # {seconds:.1} s", case.name)),
            Err(error) => {
                failed += 1;
                say(&format!("not ok {number} - {} # {seconds:.1} s", case.name));
                format!("{error:#}").lines().for_each(|line| say(&format!("# {line}")));
                let journal = shell::sh("journalctl -u cordond -n 40 --no-pager -o short-precise");
                journal.unwrap_or_default().lines().for_each(|line| say(&format!("#   {line}")));
            }
        }
    }
    if failed > 0 {
        bail!("{failed} of {} cases failed", cases.len());
    }
    Ok(())
}
