//! The systems behind us, as the use cases see them: control only, never calls.

use async_trait::async_trait;
use bailiwick_model::name::SystemName;

/// What a system said about itself: raw JSON, never trusted.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discovered {
    /// The protocol revision that was negotiated.
    pub protocol_version: String,
    /// `serverInfo`.
    pub server_info: serde_json::Value,
    /// `capabilities`.
    pub capabilities: serde_json::Value,
    /// `instructions`, if any.
    pub instructions: Option<String>,
    /// Whole tool objects.
    pub tools: Vec<serde_json::Value>,
    /// Whole prompt objects.
    pub prompts: Vec<serde_json::Value>,
    /// Whole resource objects.
    pub resources: Vec<serde_json::Value>,
    /// Whole resource template objects.
    pub resource_templates: Vec<serde_json::Value>,
}

/// A system that could not be reached or understood.
#[derive(Debug, thiserror::Error)]
#[error("system `{system}` cannot be discovered: {reason}")]
pub struct DiscoverError {
    /// Which.
    pub system: SystemName,
    /// Why, and what to check.
    pub reason: String,
}

/// Control connections to the upstream systems.
#[async_trait]
pub trait Upstreams: Send + Sync {
    /// Asks a system for everything it offers.
    async fn discover(&self, system: &SystemName) -> Result<Discovered, DiscoverError>;
    /// A credential of a system changed: connections that were opened with the old one are closed.
    fn secret_changed(&self, system: &SystemName);
}
