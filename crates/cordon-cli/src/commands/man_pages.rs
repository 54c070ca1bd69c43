//! `cordon man-pages`: the manual, generated from the same words as the help.

use clap::CommandFactory;

use crate::args::{Cli, ManPagesArgs};
use crate::errors::Failure;
use crate::exit::Exit;

pub(super) fn run(args: &ManPagesArgs) -> Result<Exit, Failure> {
    clap_mangen::generate_to(Cli::command(), &args.folder).map_err(Failure::Write)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_that_is_shown_has_a_manual_page_with_its_examples() {
        let folder = tempfile::tempdir().unwrap();
        run(&ManPagesArgs { folder: folder.path().to_owned() }).unwrap();
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = format!("cordon-{}.1", command.get_name());
            let page = std::fs::read_to_string(folder.path().join(&name));
            let page = page.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(page.starts_with(".ie") || page.contains(".TH"), "{name}: {page}");
            let children = command.get_subcommands().next().is_some();
            assert!(children || page.contains("Examples"), "{name} has no examples");
        }
        assert!(folder.path().join("cordon.1").exists());
    }
}
