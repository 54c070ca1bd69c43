//! Which connectors a command is for.

use clap::{ArgGroup, Args};
use clap_complete::ArgValueCandidates;

use crate::complete;

/// Connectors by name, by what they are labelled with, or all of them.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("selected").required(true).args(["names", "label", "all"])))]
pub(crate) struct Selection {
    /// The connectors
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::connectors))]
    pub(crate) names: Vec<String>,
    #[command(flatten)]
    pub(crate) labels: Labels,
    /// All connectors
    #[arg(long)]
    pub(crate) all: bool,
}

/// What connectors are labelled with.
#[derive(Debug, Default, Args)]
pub(crate) struct Labels {
    /// Only connectors with this label, as owner=people-ops; of several, with each
    #[arg(short = 'l', long, value_name = "KEY=VALUE", value_delimiter = ',', value_parser = parse_label, add = ArgValueCandidates::new(complete::labels))]
    pub(crate) label: Vec<Label>,
}

/// A label and its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) key: String,
    pub(crate) value: String,
}

impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}", self.key, self.value)
    }
}

fn parse_label(text: &str) -> Result<Label, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => {
            Ok(Label { key: key.to_owned(), value: value.to_owned() })
        }
        _ => Err("a label is KEY=VALUE, as `cordon status -o wide` shows it".to_owned()),
    }
}
