//! The command line of commands that change a client's configuration.

use std::path::PathBuf;

use clap::Args;

use super::Credential;
use crate::connect::client::{Client, Scope};

/// `connect`.
#[derive(Debug, Args)]
#[command(after_help = "Claude Code also gets a hook that asks the broker before every tool and blocks it when there \
                        is no answer.\nNo secret is written: the bridge reads the key, the hook's token comes from \
                        `BAILIWICK_HOOK_TOKEN`.")]
pub(crate) struct Connect {
    /// The client.
    #[arg(value_enum)]
    pub(crate) client: Client,
    /// One system; without it all systems, their tools named `<system>__<tool>`.
    pub(crate) system: Option<String>,
    /// Who will call.
    #[command(flatten)]
    pub(crate) credential: Credential,
    /// The broker.
    #[arg(long, env = "BAILIWICK_URL", hide_env_values = true, default_value = "http://127.0.0.1:8420")]
    pub(crate) url: String,
    /// `project` is the configuration in this folder, `user` the one for all projects.
    #[arg(long, value_enum, default_value = "project", hide_possible_values = true)]
    pub(crate) scope: Scope,
    /// The project, if it is not this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) project: Option<PathBuf>,
    /// The program that the client starts, if it is not this one.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Write without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// `disconnect`.
#[derive(Debug, Args)]
pub(crate) struct Disconnect {
    /// The client.
    #[arg(value_enum)]
    pub(crate) client: Client,
    /// The system, where `connect` was given one.
    pub(crate) system: Option<String>,
    /// `project` is the configuration in this folder, `user` the one for all projects.
    #[arg(long, value_enum, default_value = "project", hide_possible_values = true)]
    pub(crate) scope: Scope,
    /// The project, if it is not this folder.
    #[arg(long, value_name = "FOLDER")]
    pub(crate) project: Option<PathBuf>,
    /// Write without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
}
