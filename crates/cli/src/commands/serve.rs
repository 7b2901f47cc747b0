//! `bailiwick serve`: the broker.

use bailiwick_server::{config::Config, observe, serve};

use crate::{
    arguments::{Arguments, Serve},
    exit::{Exit, Failure},
    output::Output,
};

/// Runs until it is told to stop.
pub(crate) async fn run(arguments: &Arguments, ask: &Serve, output: &Output) -> Result<Exit, Failure> {
    observe::logs(ask.log_json);
    let config = Config::read(&arguments.config, ask.listen).map_err(|error| {
        let hint =
            error.hint.clone().unwrap_or_else(|| "`bailiwick doctor` looks at the whole installation".to_owned());
        Failure::new(error.to_string()).hint(hint)
    })?;
    let ready = |facts: &serve::Ready| {
        output.note(&format!(
            "bailiwick {} serves {}\n  agents     {}\n  operators  {}\n  policy     {}\n  evidence   {}",
            env!("CARGO_PKG_VERSION"),
            facts.public_url,
            facts.address,
            facts.socket.display(),
            facts.revision.as_deref().unwrap_or("none published: everything is denied"),
            facts.store.display(),
        ));
    };
    serve::serve(&config, ready).await.map_err(|error| Failure::new(error.to_string()))?;
    Ok(Exit::Done)
}
