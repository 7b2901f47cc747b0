//! Runs a broker: from configuration to listeners to an orderly end.

use std::{io::IsTerminal as _, net::SocketAddr, path::PathBuf, sync::Arc};

use axum::Router;
use bailiwick_api::{Administration, Facts};
use bailiwick_engine::{broker::Broker, invitations, refusal::Refusal, start};
use bailiwick_fetch::{FetchRules, Fetcher, FetcherError};
use bailiwick_gateway::{
    mcp,
    upstream::{HttpClientError, Pool, observer},
};
use bailiwick_model::{principal::Principal, secret::Secret};
use bailiwick_ports::{connections::FormPosts, signer::CheckpointSigner, upstreams::Upstreams};
use bailiwick_store::OpenError;
use bailiwick_web::{
    address::DeclaredProxies,
    entrance::{self, Entrance, PublicUrlError},
};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    background,
    config::{Config, ConfigError},
    listen::{self, TlsError, Transport},
    outgoing::Outgoing,
    router, sign_in,
    socket::{self, SocketError},
    upstreams,
    wiring::{self, Patience, Wired, WiringError},
};

/// The id of the administrator that a link of `serve` is for.
const FIRST_ADMINISTRATOR: &str = "administrator";

/// Why a broker does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Keys, database or state.
    #[error(transparent)]
    Wiring(#[from] WiringError),
    /// Whom to trust.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operators' door.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The issuer.
    #[error(transparent)]
    PublicUrl(#[from] PublicUrlError),
    /// The client towards upstreams.
    #[error(transparent)]
    Upstreams(#[from] HttpClientError),
    /// The client that fetches keys and documents of others.
    #[error(transparent)]
    Fetch(#[from] FetcherError),
    /// The file of certificates for it.
    #[error("`{path}`, which `fetch.roots` names, cannot be read: {reason}")]
    FetchRoots {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: std::io::Error,
    },
    /// The agents' door.
    #[error("cannot listen on {address}: {reason}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        reason: std::io::Error,
    },
    /// Signals cannot be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(std::io::Error),
}

impl ServeError {
    /// Whether another process holds the store.
    pub const fn is_in_use(&self) -> bool {
        matches!(self, Self::Wiring(WiringError::Open(OpenError::InUse(_))))
    }
}

/// A broker that answers.
#[derive(Debug, Clone)]
pub struct Ready {
    /// What clients call it.
    pub public_url: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The operators' socket.
    pub socket: PathBuf,
    /// The database.
    pub store: PathBuf,
    /// The active bundle, shortened.
    pub revision: Option<String>,
    /// How the first administrator gets in, as long as there is none.
    pub first_administrator: FirstAdministrator,
}

/// How the first administrator gets in.
#[derive(Debug, Clone)]
pub enum FirstAdministrator {
    /// There is one already.
    There,
    /// By this link, once, within the hour. Only a terminal is told: what is not one may be a log.
    By(Secret<String>),
    /// By a link that the command line makes.
    Ask,
}

async fn first_administrator(broker: &Broker) -> Result<FirstAdministrator, Refusal> {
    if invitations::administered(broker).await? {
        return Ok(FirstAdministrator::There);
    }
    let Ok(id) = FIRST_ADMINISTRATOR.parse() else { return Ok(FirstAdministrator::Ask) };
    if !std::io::stderr().is_terminal() {
        return Ok(FirstAdministrator::Ask);
    }
    let by = Principal::Operator(crate::init::operator_name());
    let invited = match invitations::first_administrator(broker, &by, &id).await {
        Err(Refusal::Conflict(_)) => return Ok(FirstAdministrator::Ask),
        invited => invited?,
    };
    let url = |token: &Secret<String>| Secret::new(entrance::setup_url(&broker.settings().issuer, token));
    Ok(invited.map_or(FirstAdministrator::There, |invited| FirstAdministrator::By(url(&invited.token))))
}

/// Runs until SIGINT or SIGTERM.
pub async fn serve(config: &Config, ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    let stop = CancellationToken::new();
    let signals = signals().map_err(ServeError::Signals)?;
    let stopping = stop.clone();
    tokio::spawn(async move {
        signals.await;
        stopping.cancel();
    });
    run(config, stop, ready).await
}

/// Runs until `stop` is cancelled.
pub async fn run(config: &Config, stop: CancellationToken, ready: impl FnOnce(&Ready)) -> Result<(), ServeError> {
    let (listener, address) = bind(config.address).await?;
    let transport = config.tls.as_ref().map_or(Ok(Transport::Plain), listen::tls)?;
    let mutual = match &config.mtls {
        None => None,
        Some(mtls) => Some((bind(mtls.address).await?, listen::mutual_tls(&mtls.files)?)),
    };
    let mutual_address = mutual.as_ref().map(|((_, address), _)| *address);
    let config = Config { address, ..config.clone() };
    let wired = Arc::new(wiring::wire_keys_and_store(&config, Patience::ForCommands).await?);
    start::begin(&wired.broker).await.map_err(WiringError::from)?;
    let first_administrator = first_administrator(&wired.broker).await.map_err(WiringError::from)?;
    // The socket comes after the store's lock: whoever holds the store owns the socket's place.
    let socket = socket::open(&config.socket).await?;
    let proxies = DeclaredProxies { networks: config.trusted_proxies.clone(), ..DeclaredProxies::default() };
    let rules = config.certificate_rules(&wired.broker.settings().issuer, mutual_address)?;
    let entrance = Entrance::new(Arc::clone(&wired.broker), wired.key_encryption.nonce_secret(), proxies)?;
    let entrance = Arc::new(entrance.with_certificates(rules).with_attesters(config.client_attesters()?));
    let fetcher = fetcher(&config)?;
    let posts = Arc::new(Outgoing(fetcher.clone())) as Arc<dyn FormPosts>;
    let pool = upstreams::pool(&wired.broker, Arc::clone(&posts))?;
    let gateway = mcp::Gateway::new(Arc::clone(&entrance), pool.clone(), mcp::RESUMABLE_FOR);
    let providers = sign_in::providers(&config, &fetcher);
    let agents = router::network(&entrance, gateway, &fetcher, (providers, Arc::clone(&posts)));
    let operators = administration(&config, &wired, &pool, listeners(address, mutual_address));

    let tracker = TaskTracker::new();
    let slots = listen::slots();
    if let Some(((listener, _), transport)) = mutual {
        tracker.spawn(listen::serve_tcp(listener, transport, agents.clone(), Arc::clone(&slots), stop.clone()));
    }
    tracker.spawn(listen::serve_tcp(listener, transport, agents, slots, stop.clone()));
    tracker.spawn(socket::serve(socket, operators, stop.clone()));
    tracker.spawn(background::end_observations(Arc::clone(&wired), stop.clone()));
    tracker.spawn(background::advance_lives(Arc::clone(&wired), stop.clone()));
    tracker.spawn(background::take_back(Arc::clone(&wired), posts, stop.clone()));
    tracker.spawn(background::rotate(Arc::clone(&wired), stop.clone()));
    tracker.spawn(upstreams::follow(Arc::clone(&wired.broker), pool.clone(), stop.clone()));
    pool.watch(observer(Arc::clone(&wired.broker)));
    ready(&Ready {
        public_url: wired.broker.settings().issuer.clone(),
        address,
        socket: config.socket.clone(),
        store: config.store.clone(),
        revision: wired.broker.live().policy.as_ref().map(|policy| policy.revision().short()),
        first_administrator,
    });
    let integrated = stop.child_token();
    let integrating = tokio::spawn(background::integrate(Arc::clone(&wired), CancellationToken::clone(&integrated)));
    stop.cancelled().await;
    tracker.close();
    tracker.wait().await;
    pool.shut_down();
    start::stop(&wired.broker).await;
    let _ = integrating.await;
    last_checkpoint(&wired).await;
    let _ = std::fs::remove_file(&config.socket);
    Ok(())
}

/// Fetches keys and documents of others, from where the operator allows.
fn fetcher(config: &Config) -> Result<Fetcher, ServeError> {
    let read =
        |path: &PathBuf| std::fs::read(path).map_err(|reason| ServeError::FetchRoots { path: path.clone(), reason });
    let roots = config.fetch_roots.as_ref().map(read).transpose()?.unwrap_or_default();
    Ok(Fetcher::new(FetchRules { allowed: config.fetch_allowed.clone(), roots })?)
}

async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let refused = |reason| ServeError::Listen { address, reason };
    let listener = TcpListener::bind(address).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    Ok((listener, address))
}

fn listeners(address: SocketAddr, mutual: Option<SocketAddr>) -> Vec<String> {
    let mutual = mutual.map(|address| format!("{address} (client certificates)"));
    std::iter::once(address.to_string()).chain(mutual).collect()
}

async fn last_checkpoint(wired: &Wired) {
    let signer = Arc::clone(&wired.checkpoint) as Arc<dyn CheckpointSigner>;
    if let Err(error) = wired.broker.store().integrate(signer).await {
        tracing::warn!(%error, "the last evidence is durable but not yet under a checkpoint");
    }
}

/// The operators' API in this process, for commands while no broker runs. The store's lock keeps a second one out.
pub async fn in_process(config: &Config) -> Result<Router, ServeError> {
    let wired = Arc::new(wiring::wire_keys_and_store(config, Patience::None).await?);
    let posts = Arc::new(Outgoing(fetcher(config)?)) as Arc<dyn FormPosts>;
    let pool = upstreams::pool(&wired.broker, posts)?;
    let router = administration(config, &wired, &pool, Vec::new());
    let operator = crate::init::operator_name();
    Ok(router.layer(axum::Extension(bailiwick_api::Operator(operator))))
}

fn administration(config: &Config, wired: &Arc<Wired>, pool: &Pool, listeners: Vec<String>) -> Router {
    let facts = Facts {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at: wired.broker.now(),
        listeners,
        store: config.store.display().to_string(),
        configuration: config.folder.join("bailiwick.toml").display().to_string(),
        keys: Vec::new(),
    };
    bailiwick_api::admin::router(Administration {
        broker: Arc::clone(&wired.broker),
        try_out: upstreams::try_out(pool),
        upstreams: Arc::new(pool.clone()) as Arc<dyn Upstreams>,
        checkpoint_signer: Arc::clone(&wired.checkpoint) as Arc<dyn CheckpointSigner>,
        facts,
    })
}

fn signals() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
