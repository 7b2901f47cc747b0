//! The stage: a scratch installation with the sample system, a running broker, a registered agent.

use std::path::{Path, PathBuf};

use bailiwick_keys::agent_key::AgentKey;
use bailiwick_model::jwk::SigningAlgorithm;
use bailiwick_server::{config::Config, init, serve};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::{policy, systems},
    door::Door,
    exit::Failure,
};

/// The agent of the story.
pub(crate) const AGENT: &str = "support-bot";

/// A running broker with everything around it.
pub(crate) struct Stage {
    /// The operators' door.
    pub(crate) door: Door,
    /// What clients call the broker.
    pub(crate) issuer: String,
    /// The agent's private key.
    pub(crate) key: PathBuf,
    /// The help desk's database.
    pub(crate) database: PathBuf,
    /// The installation's folder.
    pub(crate) folder: PathBuf,
    stop: CancellationToken,
    running: JoinHandle<Result<(), serve::ServeError>>,
    /// Removed with the stage, unless it is kept.
    _scratch: Option<tempfile::TempDir>,
}

impl Stage {
    /// Sets everything up, through the same doors that a person uses.
    pub(crate) async fn set(keep: Option<&Path>) -> Result<Self, Failure> {
        let scratch = match keep {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(|error| Failure::new(format!("no scratch folder: {error}")))?),
        };
        let folder = match (&scratch, keep) {
            (Some(scratch), _) => scratch.path().join("broker"),
            (None, Some(path)) => path.to_owned(),
            (None, None) => PathBuf::from("bailiwick-demo"),
        };
        init::init(&folder).await.map_err(|error| Failure::new(error.to_string()))?;
        let database = folder.join("helpdesk.db");
        write(&folder.join("roles/support.toml"), include_str!("../../../demo-files/support.toml"))?;
        write(&folder.join("systems/helpdesk.toml"), &helpdesk(&database)?)?;

        let configuration = folder.join("bailiwick.toml");
        let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
        let config = Config::read(&configuration, Some(listen)).map_err(|error| Failure::new(error.to_string()))?;
        let (stop, issuer, running) = start(config.clone()).await?;
        let door = Door::open(&config).await?;
        systems::pin(&door, &folder, "helpdesk").await?;
        policy::publish_folder(&door, &folder, false).await?;

        let key = folder.join("support-bot.pem");
        let pair = AgentKey::generate(SigningAlgorithm::ES256).map_err(|error| Failure::new(error.to_string()))?;
        pair.write_new(&key).map_err(|error| Failure::new(error.to_string()))?;
        let jwk: Value = serde_json::from_str(pair.public_jwk()).unwrap_or_default();
        door.change(
            "/api/v1/agents",
            &json!({
                "name": AGENT, "owner": "help desk team", "purpose": "Answers customers' tickets",
                "environment": "development", "role": "support", "key": jwk,
            }),
        )
        .await?;
        door.change(&format!("/api/v1/agents/{AGENT}/promote"), &json!({"reason": "it is the demo's agent"})).await?;
        Ok(Self { door, issuer, key, database, folder, stop, running, _scratch: scratch })
    }

    /// Stops the broker in order.
    pub(crate) async fn clear(self) {
        self.stop.cancel();
        let _ = self.running.await;
    }
}

type Started = (CancellationToken, String, JoinHandle<Result<(), serve::ServeError>>);

async fn start(config: Config) -> Result<Started, Failure> {
    let stop = CancellationToken::new();
    let (sender, ready) = tokio::sync::oneshot::channel();
    let stopping = stop.clone();
    let running = tokio::spawn(async move {
        serve::run(&config, stopping, |facts| {
            let _ = sender.send(facts.public_url.clone());
        })
        .await
    });
    match ready.await {
        Ok(issuer) => Ok((stop, issuer, running)),
        Err(_) => match running.await {
            Ok(Err(error)) => Err(Failure::new(error.to_string())),
            _ => Err(Failure::new("the demo's broker did not start")),
        },
    }
}

fn helpdesk(database: &Path) -> Result<String, Failure> {
    let program = std::env::current_exe().map_err(|error| Failure::new(format!("where am I: {error}")))?;
    let quoted = |path: &Path| {
        let text = toml::Value::String(path.display().to_string()).to_string();
        text.trim_matches('"').to_owned()
    };
    Ok(include_str!("../../../demo-files/helpdesk.toml")
        .replace("@PROGRAM@", &quoted(&program))
        .replace("@DATABASE@", &quoted(database)))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|error| Failure::file(path, &error))
}
