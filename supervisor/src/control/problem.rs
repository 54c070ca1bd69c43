//! Refusals: what happened, what still holds, what to do, and what `cordon` ends with.

use cordon_ledger::{ReadError, WriteError};
use cordon_store::ComposeError;
use cordon_wire::v1::Problem;
use tonic::{Code, Status};

use crate::config::ConfigError;
use crate::gate::GateError;
use crate::session::chain;

/// Why a call was refused.
#[derive(Debug)]
pub(super) struct Refusal {
    code: Code,
    problem: Problem,
}

impl Refusal {
    fn new(code: Code, name: &str, exit_code: u32, message: impl Into<String>) -> Self {
        let problem = Problem {
            code: name.to_owned(),
            message: message.into(),
            exit_code,
            ..Problem::default()
        };
        Self { code, problem }
    }

    /// It was tried and did not work.
    pub(super) fn failed(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, "CRD-H001", 1, message)
    }

    /// The words of the call are wrong.
    pub(super) fn invalid(name: &str, message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, name, 2, message)
    }

    /// A configuration was not taken over.
    pub(super) fn configuration(error: &anyhow::Error) -> Self {
        match error.downcast_ref::<ConfigError>() {
            Some(error) => Self::invalid("CRD-H007", error.fault().to_string())
                .hint(error.hint().unwrap_or_default()),
            None => Self::invalid("CRD-H007", format!("{error:#}")),
        }
    }

    /// There is no such thing.
    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, "CRD-H004", 4, message)
    }

    /// The peer may not.
    pub(super) fn forbidden(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, "CRD-H005", 5, message)
    }

    /// The peer may, together with another person.
    pub(super) fn second_person(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, "CRD-H008", 5, message)
    }

    /// It is no longer what was looked at.
    pub(super) fn changed(message: impl Into<String>) -> Self {
        Self::new(Code::Aborted, "CRD-H006", 6, message)
    }

    /// What happened.
    pub(super) fn message(&self) -> &str {
        &self.problem.message
    }

    /// Adds what still holds.
    pub(super) fn still(mut self, still: impl Into<String>) -> Self {
        self.problem.still = still.into();
        self
    }

    /// Adds what to do.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = hint.into();
        self
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        cordon_wire::error::problem_to_status(refusal.code, &refusal.problem)
    }
}

impl From<ReadError> for Refusal {
    fn from(error: ReadError) -> Self {
        Self::failed(format!("cannot read the ledger: {}", chain(&error)))
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        Self::failed(format!("cannot write the ledger: {}", chain(&error)))
            .still("nothing was changed")
    }
}

impl From<GateError> for Refusal {
    fn from(error: GateError) -> Self {
        use cordon_validate::ReleaseError;
        let still = "nothing was released; the last known good stays";
        match &error {
            GateError::Release(
                refused @ (ReleaseError::OtherDigest { .. } | ReleaseError::Outrun { .. }),
            ) => Self::changed(refused.to_string())
                .still(still)
                .hint("look again with `cordon diff`, and release what it shows"),
            GateError::Release(refused) => {
                Self::invalid("CRD-H002", refused.to_string()).still(still)
            }
            GateError::Alone(same) => Self::second_person(same.to_string())
                .still(still)
                .hint("another user id has to give the same command"),
            GateError::Compose(ComposeError::Stage(_)) => {
                Self::failed(error.to_string()).still(still)
            }
            GateError::Compose(open) => {
                let hint = match open {
                    ComposeError::Nothing { .. } => "`cordon diff` lists the changes there are",
                    _ => "select both, by --type and --select, or release everything",
                };
                Self::invalid("CRD-H002", open.to_string()).still(still).hint(hint)
            }
            _ => Self::failed(error.to_string()).still(still),
        }
    }
}
