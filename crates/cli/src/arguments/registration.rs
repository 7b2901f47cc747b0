//! What operators type about clients that register by themselves.

use clap::{Args, Subcommand};

use super::observe::seconds;

/// `registration-tokens`.
#[derive(Debug, Subcommand)]
pub(crate) enum RegistrationTokens {
    /// Make a token: prints it, this once. Whoever has it registers clients on its terms, and on no others.
    Create(Box<CreateRegistrationToken>),
    /// List tokens that are not over: their terms, how many registered.
    List,
    /// Remove a token; who registered by it stays.
    Remove {
        /// Its id, `regtok_…`.
        id: String,
    },
}

/// `registration-tokens create`.
#[derive(Debug, Args)]
pub(crate) struct CreateRegistrationToken {
    /// Who answers for the clients.
    #[arg(long)]
    pub(crate) owner: String,
    /// What they are for, in one sentence.
    #[arg(long)]
    pub(crate) purpose: String,
    /// Their job: a file of `roles/`.
    #[arg(long)]
    pub(crate) role: String,
    /// Where they run: development, staging or production.
    #[arg(long, default_value = "development")]
    pub(crate) environment: String,
    /// Only this system; repeat for several, all unless given.
    #[arg(long = "system", value_name = "NAME")]
    pub(crate) systems: Vec<String>,
    /// How their names begin; the rest is made by chance. The role's name unless given.
    #[arg(long, value_name = "NAME")]
    pub(crate) name_prefix: Option<String>,
    /// Days until each of them expires: 1 unless given.
    #[arg(long, value_name = "DAYS")]
    pub(crate) lifetime_days: Option<u32>,
    /// How many may register: 1 unless given.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) max_uses: Option<u64>,
    /// How long the token is good, such as `30m`, `12h` or `7d`: a day unless given.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub(crate) ttl: Option<u64>,
}
