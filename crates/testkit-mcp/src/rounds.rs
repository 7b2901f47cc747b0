//! What a client of 2026-07-28 is asked between calls: the first call is
//! answered with questions, the next one brings the answers. Where state goes
//! along, it is an opaque handle that only this server can have given out.
#![expect(deprecated, reason = "sampling is deprecated, and the suite still checks it")]

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use rmcp::{
    ErrorData,
    model::{ClientCapabilities, InputRequiredResult, InputResponses},
};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::content;

/// The questions of one round, by key.
type Questions = Vec<(&'static str, Value)>;

/// All rounds of one tool or prompt, and whether state goes along.
struct Plan {
    rounds: Vec<Questions>,
    stateful: bool,
}

/// Handles that were given out, each with what it is for and the round that it belongs to.
#[derive(Debug, Default)]
pub(crate) struct Handles(Mutex<HashMap<String, (String, usize)>>);

/// How far a call has got.
#[derive(Debug)]
pub(crate) enum Progress {
    /// Nothing is asked by this name.
    NotAsked,
    /// More has to be asked.
    Asking(InputRequiredResult),
    /// Everything was answered; the last answers.
    Answered(InputResponses),
}

/// A form with one field.
pub(crate) fn form(message: &str, field: &str, kind: &str) -> Value {
    let schema = json!({ "type": "object", "properties": { field: { "type": kind } }, "required": [field] });
    json!({ "method": "elicitation/create", "params": { "message": message, "requestedSchema": schema } })
}

fn sampling(prompt: &str) -> Value {
    let message = json!({ "role": "user", "content": content::text(prompt) });
    json!({ "method": "sampling/createMessage", "params": { "messages": [message], "maxTokens": 100 } })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

fn plan(name: &str, client: &ClientCapabilities) -> Result<Option<Plan>, ErrorData> {
    let user_name = || ("user_name", form("What is your name?", "name", "string"));
    let confirm = || ("confirm", form("Please confirm", "ok", "boolean"));
    let once = |questions: Questions, stateful| Plan { rounds: vec![questions], stateful };
    let plan = match name {
        "test_input_required_result_elicitation" | "test_streaming_elicitation" | "test_tool_with_task" => {
            once(vec![user_name()], false)
        }
        "test_input_required_result_sampling" => {
            once(vec![("capital_question", sampling("What is the capital of France?"))], false)
        }
        "test_input_required_result_list_roots" => once(vec![("client_roots", roots())], false),
        "test_input_required_result_request_state" | "test_input_required_result_tampered_state" => {
            once(vec![confirm()], true)
        }
        "test_input_required_result_multiple_inputs" => {
            once(vec![user_name(), ("greeting", sampling("Generate a greeting")), ("client_roots", roots())], true)
        }
        "test_input_required_result_multi_round" => Plan {
            rounds: vec![
                vec![("step1", form("Step 1: What is your name?", "name", "string"))],
                vec![("step2", form("Step 2: What is your favorite color?", "color", "string"))],
            ],
            stateful: true,
        },
        "test_input_required_result_capabilities" => once(possible(client)?, false),
        "test_input_required_result_prompt" => {
            once(vec![("user_context", form("What context should the prompt use?", "context", "string"))], false)
        }
        _ => return Ok(None),
    };
    Ok(Some(plan))
}

/// Only what this client said that it can be asked.
fn possible(client: &ClientCapabilities) -> Result<Questions, ErrorData> {
    let mut questions = Vec::new();
    if client.sampling.is_some() {
        questions.push(("greeting", sampling("Generate a greeting")));
    }
    if client.elicitation.is_some() {
        questions.push(("user_name", form("What is your name?", "name", "string")));
    }
    if questions.is_empty() {
        let needed = ClientCapabilities::builder().enable_sampling().build();
        return Err(ErrorData::missing_required_client_capability(needed));
    }
    Ok(questions)
}

impl Handles {
    fn issue(&self, name: &str, round: usize) -> String {
        let handle = Uuid::new_v4().to_string();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.insert(handle.clone(), (name.to_owned(), round));
        handle
    }

    /// The round that a handle belongs to.
    fn round(&self, name: &str, handle: &str) -> Result<usize, ErrorData> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(handle) {
            Some((owner, round)) if owner == name => Ok(*round),
            _ => Err(ErrorData::invalid_params("this server did not give out that `requestState`", None)),
        }
    }

    /// Looks at what came with a call.
    pub(crate) fn progress(
        &self,
        name: &str,
        client: &ClientCapabilities,
        answers: Option<InputResponses>,
        state: Option<&str>,
    ) -> Result<Progress, ErrorData> {
        let Some(plan) = plan(name, client)? else { return Ok(Progress::NotAsked) };
        let round = match state {
            Some(state) if plan.stateful => self.round(name, state)?,
            _ => 0,
        };
        let answers = answers.unwrap_or_default();
        let asked = plan.rounds.get(round).map(Vec::as_slice).unwrap_or_default();
        let answered = asked.iter().all(|(key, _)| answers.get(*key).is_some_and(Value::is_object));
        // Without its handle, a round of a stateful plan was never begun.
        let begun = !plan.stateful || state.is_some();
        let next = if answered && begun { round + 1 } else { round };
        let Some(questions) = plan.rounds.get(next) else { return Ok(Progress::Answered(answers)) };
        let requests: Map<String, Value> =
            questions.iter().map(|(key, question)| ((*key).to_owned(), question.clone())).collect();
        let handle = plan.stateful.then(|| self.issue(name, next));
        Ok(Progress::Asking(InputRequiredResult::new(Some(content::typed(requests.into())?), handle)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWICE: &str = "test_input_required_result_multi_round";

    fn answers(key: &str) -> Option<InputResponses> {
        Some(InputResponses::from([(key.to_owned(), json!({ "action": "accept" }))]))
    }

    fn asking(progress: Progress) -> (Vec<String>, Option<String>) {
        match progress {
            Progress::Asking(result) => (result.input_requests.unwrap().into_keys().collect(), result.request_state),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_round_needs_its_answers_and_its_handle() {
        let (handles, client) = (Handles::default(), ClientCapabilities::default());
        let go = |answers, state: Option<&str>| handles.progress(TWICE, &client, answers, state);
        let (keys, first) = asking(go(None, None).unwrap());
        assert_eq!(keys, ["step1"]);
        let (keys, _) = asking(go(answers("step1"), None).unwrap());
        assert_eq!(keys, ["step1"], "answers without a handle");
        let (keys, second) = asking(go(answers("step1"), first.as_deref()).unwrap());
        assert_eq!(keys, ["step2"]);
        assert_ne!(first, second);
        assert!(matches!(go(answers("step2"), second.as_deref()).unwrap(), Progress::Answered(_)));
        let forged = format!("{}-TAMPERED", second.unwrap());
        assert!(go(answers("step2"), Some(&forged)).is_err());
    }

    #[test]
    fn a_wrong_answer_is_asked_for_again() {
        let (handles, client) = (Handles::default(), ClientCapabilities::default());
        let name = "test_input_required_result_elicitation";
        let wrong = Some(InputResponses::from([("user_name".to_owned(), json!(12_345))]));
        for answers in [None, answers("wrong_key"), wrong] {
            let (keys, _) = asking(handles.progress(name, &client, answers, None).unwrap());
            assert_eq!(keys, ["user_name"]);
        }
        assert!(matches!(handles.progress(name, &client, answers("user_name"), None).unwrap(), Progress::Answered(_)));
        assert!(matches!(handles.progress("greet", &client, None, None).unwrap(), Progress::NotAsked));
    }

    #[test]
    fn a_client_is_asked_only_what_it_can_be_asked() {
        let handles = Handles::default();
        let name = "test_input_required_result_capabilities";
        let able = ClientCapabilities::builder().enable_sampling().build();
        let (keys, _) = asking(handles.progress(name, &able, None, None).unwrap());
        assert_eq!(keys, ["greeting"]);
        assert!(handles.progress(name, &ClientCapabilities::default(), None, None).is_err());
    }
}
