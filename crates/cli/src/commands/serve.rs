//! `bailiwick serve`: the broker.

use bailiwick_server::{
    config::Config,
    observe,
    serve::{self, FirstAdministrator},
};

use crate::{
    arguments::{Arguments, Serve},
    exit::{Exit, Failure},
    output::Output,
};

/// Runs until it is told to stop.
pub(crate) async fn run(arguments: &Arguments, ask: &Serve, output: &Output) -> Result<Exit, Failure> {
    observe::logs(ask.log_json);
    let mut config = Config::read(&arguments.config, ask.listen).map_err(|error| {
        let hint =
            error.hint.clone().unwrap_or_else(|| "`bailiwick doctor` looks at the whole installation".to_owned());
        Failure::new(error.to_string()).hint(hint)
    })?;
    config.danger_new_keys = ask.danger_new_keys;
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
        match &facts.first_administrator {
            FirstAdministrator::There => {}
            FirstAdministrator::By(link) => output.note(&format!(
                "\nnobody administers it yet: open this link within the hour, once, and make a passkey\n  {}",
                link.expose()
            )),
            FirstAdministrator::Ask => output.hint(
                "nobody administers it in a browser yet: `bailiwick users invite NAME --administrator` prints a link",
            ),
        }
    };
    serve::serve(&config, ready).await.map_err(|error| stopped(&error.to_string()))?;
    Ok(Exit::Done)
}

/// Why it does not serve. Some of these errors bring their own next step.
fn stopped(error: &str) -> Failure {
    match error.split_once("\nhint: ") {
        Some((message, hint)) => Failure::new(message).hint(hint),
        None if error.contains("cannot listen") => Failure::new(error)
            .hint("is a broker running already? else choose another address: `--listen 127.0.0.1:0` takes a free port"),
        None => Failure::new(error).hint("`bailiwick doctor` looks at the whole installation"),
    }
}
