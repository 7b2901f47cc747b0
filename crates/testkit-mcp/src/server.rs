//! Which method does what. All state is shared: a client of 2026-07-28 comes
//! with no session, so each of its messages may meet another copy of this.
#![expect(
    deprecated,
    reason = "logging and subscriptions of 2025-11-25 are deprecated, and the suite still checks them"
)]

use std::sync::{Arc, Mutex, PoisonError};

use rmcp::{
    ErrorData, RoleServer, ServerHandler,
    model::{
        CallToolRequestParams, CallToolResponse, CancelTaskParams, CompleteRequestParams, CompleteResult,
        GetPromptRequestParams, GetPromptResponse, GetPromptResult, GetTaskParams, GetTaskResult, Implementation,
        ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
        ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult, ServerCapabilities, ServerConfig,
        SetLevelRequestParams, SubscribeRequestParams, SubscriptionFilter, Tool, UnsubscribeRequestParams,
        UpdateTaskParams,
    },
    service::{RequestContext, SubscriptionContext},
    task_manager::TaskManager,
};
use serde_json::json;
use tokio::sync::broadcast;

use crate::{
    catalogue, content,
    rounds::{Handles, Progress},
    tools,
};

/// Announcements that may wait for a subscriber.
const ANNOUNCEMENTS_MAX: usize = 64;

/// The list that changed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Change {
    Tools,
    Prompts,
}

/// The server; its copies share everything.
#[derive(Clone)]
pub struct ConformanceServer {
    pub(crate) tasks: TaskManager,
    pub(crate) handles: Arc<Handles>,
    changes: broadcast::Sender<Change>,
    /// Made with the copy that serves one message, so that nothing is missed between a subscription's
    /// acknowledgement and its start.
    inbox: Arc<Mutex<broadcast::Receiver<Change>>>,
}

impl Default for ConformanceServer {
    fn default() -> Self {
        let (changes, inbox) = broadcast::channel(ANNOUNCEMENTS_MAX);
        Self { tasks: TaskManager::new(), handles: Arc::default(), changes, inbox: Arc::new(Mutex::new(inbox)) }
    }
}

impl ConformanceServer {
    /// Another copy of the same server, for one session or one message.
    pub(crate) fn copy(&self) -> Self {
        Self { inbox: Arc::new(Mutex::new(self.changes.subscribe())), ..self.clone() }
    }

    /// What was announced since this copy was made.
    fn inbox(&self) -> broadcast::Receiver<Change> {
        let mut inbox = self.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *inbox, self.changes.subscribe())
    }

    /// Tells all subscribers.
    pub(crate) fn announce(&self, change: Change) {
        // Nobody need be listening.
        drop(self.changes.send(change));
    }
}

type Paged = Option<PaginatedRequestParams>;
type Context = RequestContext<RoleServer>;

impl ServerHandler for ConformanceServer {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_logging()
            .enable_completions()
            .enable_tools()
            .enable_tool_list_changed()
            .enable_prompts()
            .enable_prompts_list_changed()
            .enable_resources()
            .enable_resources_subscribe()
            .enable_tasks()
            .build();
        ServerConfig::new(capabilities).with_server_info(Implementation::new("conformance-server", "1"))
    }

    async fn list_tools(&self, _: Paged, _: Context) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(catalogue::tools()?))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        catalogue::tool(name)
    }

    async fn call_tool(&self, call: CallToolRequestParams, context: Context) -> Result<CallToolResponse, ErrorData> {
        tools::call(self, call, &context).await
    }

    async fn list_prompts(&self, _: Paged, _: Context) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::with_all_items(catalogue::prompts()?))
    }

    async fn get_prompt(&self, call: GetPromptRequestParams, context: Context) -> Result<GetPromptResponse, ErrorData> {
        let GetPromptRequestParams { name, arguments, input_responses, request_state, .. } = call;
        let client = context.client_capabilities().unwrap_or_default();
        let messages = match self.handles.progress(&name, &client, input_responses, request_state.as_deref())? {
            Progress::Asking(questions) => return Ok(questions.into()),
            Progress::Answered(answers) => content::messages(vec![content::text(&json!(answers).to_string())]),
            Progress::NotAsked => content::of_prompt(&name, &arguments.unwrap_or_default())
                .ok_or_else(|| ErrorData::invalid_params(format!("unknown prompt: {name}"), None))?,
        };
        Ok(content::result::<GetPromptResult>(messages)?.into())
    }

    async fn list_resources(&self, _: Paged, _: Context) -> Result<ListResourcesResult, ErrorData> {
        Ok(ListResourcesResult::with_all_items(catalogue::resources()?))
    }

    async fn list_resource_templates(&self, _: Paged, _: Context) -> Result<ListResourceTemplatesResult, ErrorData> {
        let template = json!({
            "uriTemplate": "test://template/{id}/data", "name": "template", "description": "One per id",
            "mimeType": "application/json",
        });
        Ok(ListResourceTemplatesResult::with_all_items(content::typed(json!([template]))?))
    }

    async fn read_resource(
        &self,
        call: ReadResourceRequestParams,
        _: Context,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let found = content::of_uri(&call.uri);
        let found =
            found.ok_or_else(|| ErrorData::resource_not_found("no such resource", Some(json!({ "uri": call.uri }))))?;
        Ok(content::result::<ReadResourceResult>(found)?.into())
    }

    async fn complete(&self, _: CompleteRequestParams, _: Context) -> Result<CompleteResult, ErrorData> {
        content::result(json!({ "completion": { "values": ["test"], "total": 1, "hasMore": false } }))
    }

    async fn set_level(&self, _: SetLevelRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn subscribe(&self, _: SubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(&self, _: UnsubscribeRequestParams, _: Context) -> Result<(), ErrorData> {
        Ok(())
    }

    fn accepted_subscription_filter(&self, wanted: &SubscriptionFilter) -> Option<SubscriptionFilter> {
        Some(wanted.supported_by(&self.get_info().capabilities))
    }

    async fn listen(&self, subscription: SubscriptionContext) -> Result<(), ErrorData> {
        let mut changes = self.inbox();
        loop {
            let change = tokio::select! {
                () = subscription.cancelled() => return Ok(()),
                change = changes.recv() => change,
            };
            // What was not asked for, and what a slow subscriber missed, is not said.
            match change {
                Ok(Change::Tools) => drop(subscription.sink().notify_tool_list_changed().await),
                Ok(Change::Prompts) => drop(subscription.sink().notify_prompt_list_changed().await),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Ok(()),
            }
        }
    }

    async fn get_task(&self, call: GetTaskParams, _: Context) -> Result<GetTaskResult, ErrorData> {
        Ok(GetTaskResult::new(self.tasks.get_task(&call.task_id)?))
    }

    async fn update_task(&self, call: UpdateTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.update_task(&call.task_id, call.input_responses)
    }

    async fn cancel_task(&self, call: CancelTaskParams, _: Context) -> Result<(), ErrorData> {
        self.tasks.cancel_task(&call.task_id)
    }
}
