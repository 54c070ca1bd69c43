//! `cordon` from outside: the built binary against a control server with scripted answers.

mod control {
    pub(crate) mod answers;
    pub(crate) mod daemon;
    pub(crate) mod run;

    mod commands;
    mod contract;
    mod release;
    mod select;
    mod unreachable;
}
