//! One file per command; this one only finds the right one.

mod agents;
mod audit;
mod bridge;
mod care;
mod check;
mod connect;
mod demo;
mod deregister;
mod doctor;
mod explain;
mod grants;
mod init;
mod keys;
mod observe;
mod permissions;
mod policy;
mod registration;
mod safe_mode;
mod scim;
mod secrets;
mod serve;
mod systems;
mod tasks;
mod token;
mod tokens;
mod users;

use bailiwick_server::config::Config;

use crate::{
    arguments::{Arguments, Command},
    door::Door,
    exit::{Exit, Failure},
    output::Output,
};

/// Runs the command that the line asks for.
pub(crate) async fn run(arguments: &Arguments, output: &Output) -> Result<Exit, Failure> {
    match &arguments.command {
        Command::Demo(ask) => demo::run(arguments, ask, output).await,
        Command::Init(ask) => init::run(ask, output).await,
        Command::Serve(ask) => serve::run(arguments, ask, output).await,
        Command::Doctor { probe, accept_observed } => {
            let probe = probe.then_some(doctor::Probing { accept_observed: *accept_observed });
            doctor::run(arguments, probe, output).await
        }
        Command::Bridge(ask) => bridge::run(ask, output).await,
        Command::Connect(ask) => connect::connect(ask, arguments.no_input, output).await,
        Command::Disconnect(ask) => connect::disconnect(ask, arguments.no_input, output).await,
        Command::Token(ask) => token::run(ask, output).await,
        Command::Deregister(ask) => deregister::run(ask, output).await,
        Command::Permissions(ask) => permissions::run(ask, output).await,
        Command::Check(ask) => check::check(arguments, ask, output).await,
        Command::Explain(ask) => explain::explain(arguments, ask, output).await,
        Command::Agents(ask) => agents::run(arguments, ask, output).await,
        Command::RegistrationTokens(ask) => registration::run(arguments, ask, output).await,
        Command::Users(ask) => users::run(arguments, ask, output).await,
        Command::Scim(ask) => scim::run(arguments, ask, output).await,
        Command::Systems(ask) => systems::run(arguments, ask, output).await,
        Command::Tasks(ask) => tasks::run(arguments, ask, output).await,
        Command::Grants(ask) => grants::run(arguments, ask, output).await,
        Command::Tokens(ask) => tokens::run(arguments, ask, output).await,
        Command::Keys(ask) => keys::run(arguments, ask, output).await,
        Command::Policy(ask) => policy::run(arguments, ask, output).await,
        Command::SafeMode(ask) => safe_mode::run(arguments, ask, output).await,
        Command::Observe(ask) => observe::run(arguments, ask, output).await,
        Command::Secrets(ask) => secrets::run(arguments, ask, output).await,
        Command::Audit(ask) => audit::run(arguments, ask, output).await,
        Command::Backup { file } => care::backup(arguments, file, output).await,
        Command::Restore { file } => care::restore(arguments, file, output).await,
        Command::SampleSystem { database } => crate::sample::serve(database),
    }
}

/// Reads the installation's configuration.
fn config(arguments: &Arguments) -> Result<Config, Failure> {
    Config::read(&arguments.config, None).map_err(|error| {
        let hint = error.hint.clone();
        let failure = Failure::new(error.to_string());
        if !arguments.config.exists() {
            return failure.hint(
                "make one with `bailiwick init --dir FOLDER`, or name yours: `--config FILE`, or `BAILIWICK_CONFIG`",
            );
        }
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })
}

/// Opens the operators' door of the installation.
async fn door(arguments: &Arguments) -> Result<Door, Failure> {
    Door::open(&config(arguments)?).await
}
