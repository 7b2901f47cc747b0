//! `GET /api/v1/templates`: the kinds of tasks of the active bundle.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use bailiwick_model::task::Pin;
use bailiwick_pdp::templates::{Template, TemplatePin, TemplateTool};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Shared;
use crate::openapi::Refusals;

/// All kinds of tasks by name.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Templates")]
pub(crate) struct Templates {
    templates: Vec<TemplateView>,
}

/// A kind of task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Template")]
pub(crate) struct TemplateView {
    /// Its name.
    name: String,
    /// What its tasks are for.
    purpose: String,
    /// The roles whose holders take such tasks.
    roles: Vec<String>,
    /// Minutes until such a task ends by itself, unless its maker says otherwise.
    minutes: Option<u64>,
    /// What its maker states, and what that is.
    parameters: BTreeMap<String, String>,
    /// All that its tasks may call.
    tools: Vec<TemplateToolView>,
    /// Its file inside the bundle.
    file: String,
}

/// One tool of a template.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "TemplateTool")]
pub(crate) struct TemplateToolView {
    /// The action.
    action: String,
    /// Per argument, what it is pinned to, as in a task; `"$name"` stands for a parameter.
    #[schema(value_type = Object)]
    pins: BTreeMap<String, Value>,
}

/// Lists the kinds of tasks.
#[utoipa::path(get, path = "/api/v1/templates", tag = "tasks", responses((status = 200, body = Templates), Refusals))]
pub(super) async fn templates(State(admin): State<Shared>) -> Json<Templates> {
    let live = admin.broker.live();
    let templates = live.policy.as_deref().map(|policy| policy.templates()).into_iter().flatten();
    Json(Templates { templates: templates.map(view).collect() })
}

fn view(template: &Template) -> TemplateView {
    let Template { name, purpose, roles, minutes, parameters, tools, file } = template;
    TemplateView {
        name: name.to_string(),
        purpose: purpose.clone(),
        roles: roles.iter().map(ToString::to_string).collect(),
        minutes: *minutes,
        parameters: parameters.iter().map(|(name, about)| (name.to_string(), about.clone())).collect(),
        tools: tools.iter().map(tool).collect(),
        file: file.to_string(),
    }
}

fn tool(TemplateTool { action, pins, place: _ }: &TemplateTool) -> TemplateToolView {
    let pins = pins.iter().map(|(argument, of)| (argument.clone(), pin(of)));
    TemplateToolView { action: action.to_string(), pins: pins.collect() }
}

fn pin(pin: &TemplatePin) -> Value {
    match pin {
        TemplatePin::Fixed(Pin::OneOf(values)) => json!({"one_of": values}),
        TemplatePin::Fixed(Pin::Under(folder)) => json!({"under": folder}),
        TemplatePin::Fixed(Pin::AtMost(most)) => json!({"at_most": most}),
        TemplatePin::OneOf(name, _) => json!({"one_of": format!("${name}")}),
        TemplatePin::Under(name) => json!({"under": format!("${name}")}),
        TemplatePin::AtMost(name) => json!({"at_most": format!("${name}")}),
    }
}
