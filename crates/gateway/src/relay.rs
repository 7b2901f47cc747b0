//! Passes on what an upstream says during one call, event by event as it comes,
//! and filters the answer before it leaves. Sends nothing upstream but the
//! client's own answers to what it was asked.

use bailiwick_engine::{conclude::OutcomeStatus, permitted::Permitted};
use bytes::Bytes;
use futures::StreamExt as _;
use http::StatusCode;
use serde_json::json;

use crate::{
    envelope, failure,
    mcp::{
        answer, deferred,
        outbox::{Piece, Writer},
        session::Session,
        translate,
    },
    phases::Passage,
    result::Duties,
    upstream::{Answer, Answers, Ask, Event, Reply, UpstreamError},
};

/// How a call ended: what the evidence says of it, and what its caller gets.
pub(crate) struct Ending {
    pub(crate) status: OutcomeStatus,
    /// A constant phrase.
    pub(crate) detail: Option<&'static str>,
    /// The result or error as the caller gets it.
    pub(crate) evidence: Option<Bytes>,
    /// The whole message and its HTTP status; `None` if nobody waits for it.
    pub(crate) answer: Option<(Bytes, StatusCode)>,
}

impl Ending {
    /// Nobody waits for an answer any more.
    pub(crate) const fn cancelled(detail: &'static str) -> Self {
        Self { status: OutcomeStatus::Cancelled, detail: Some(detail), evidence: None, answer: None }
    }
}

/// What an upstream answered.
enum Raw {
    Result(Bytes),
    Error(Bytes),
}

/// One call's way back.
pub(crate) struct Relay<'a> {
    pub(crate) passage: &'a Passage,
    pub(crate) duties: &'a Duties,
    pub(crate) permit: &'a Permitted,
    pub(crate) pieces: &'a Writer,
}

impl Relay<'_> {
    /// Follows the reply to its end.
    pub(crate) async fn run(self, reply: Reply) -> Ending {
        let mut exchange = match reply {
            Reply::Result(raw) => return self.finish(Raw::Result(raw)),
            Reply::Error(raw) => return self.finish(Raw::Error(raw)),
            Reply::Stream(exchange) => exchange,
        };
        let answers = exchange.answers();
        // What was asked and not answered is forgotten with the call.
        let mut asked = Asked { passage: self.passage, open: Vec::new() };
        while let Some(event) = exchange.next().await {
            match event {
                Ok(Event::Notification(message)) => self.notify(message).await,
                Ok(Event::Ask(ask)) => self.ask(ask, &answers, &mut asked).await,
                Ok(Event::Withdrawn(number)) => asked.withdraw(number),
                Ok(Event::Result(raw)) => return self.finish(Raw::Result(raw)),
                Ok(Event::Error(raw)) => return self.finish(Raw::Error(raw)),
                Err(error) => return failure::upstream(&error, self.permit, self.passage),
            }
        }
        failure::upstream(&UpstreamError::Gone("no answer came".to_owned()), self.permit, self.passage)
    }

    /// Passes a notification on, raw, unless it could carry past the mask what the mask hides.
    async fn notify(&self, message: Bytes) {
        let message = if self.duties.hold_whole() {
            let Some(progress) = bare_progress(&message) else { return };
            progress
        } else {
            message
        };
        self.pieces.put(Piece { message, last: None }).await;
    }

    /// Puts what a server asks to the client, if it has a session and nothing must be masked.
    async fn ask(&self, ask: Ask, answers: &Answers, asked: &mut Asked<'_>) {
        let Some(session) = self.passage.session.as_ref().filter(|_| !self.duties.masks()) else {
            return refuse(answers, ask.number).await;
        };
        let number = ask.number;
        let send = |message| async {
            self.pieces.put(Piece { message, last: None }).await;
        };
        if let Some(id) = ask_session(session, answers, ask, send).await {
            asked.open.push((id, number));
        }
    }

    /// Filters the answer and puts it into the caller's form.
    fn finish(self, raw: Raw) -> Ending {
        let passage = self.passage;
        let discharged = match &raw {
            Raw::Result(raw) => self.duties.discharge(raw),
            Raw::Error(raw) => self.duties.discharge_error(raw),
        };
        let filtered = match discharged {
            Ok(filtered) => filtered,
            Err(withheld) => return failure::withheld(withheld, self.permit, passage),
        };
        let id = passage.call.id.raw();
        match raw {
            Raw::Result(raw) => {
                let status = status_of(&raw);
                let shown = filtered.map_or(raw, Bytes::from);
                let Ok(shown) = translate::result(passage.era, &passage.call.method, &shown) else {
                    return failure::no_form(self.permit, passage);
                };
                deferred::note(passage, self.permit, self.duties, &shown);
                let message = envelope::result(id, std::str::from_utf8(&shown).unwrap_or("{}"));
                Ending { status, detail: None, evidence: Some(shown), answer: Some((message, StatusCode::OK)) }
            }
            Raw::Error(raw) => {
                let shown = translate::error(passage.era, &filtered.map_or(raw, Bytes::from));
                let message = envelope::error(id, std::str::from_utf8(&shown).unwrap_or("{}"));
                let status = answer::status_of(passage.era, &message);
                Ending {
                    status: OutcomeStatus::ToolError,
                    detail: None,
                    evidence: Some(shown),
                    answer: Some((message, status)),
                }
            }
        }
    }
}

/// What the client was asked during one call.
struct Asked<'a> {
    passage: &'a Passage,
    open: Vec<(u64, u64)>,
}

impl Asked<'_> {
    fn withdraw(&mut self, number: u64) {
        let Some(session) = &self.passage.session else { return };
        self.open.retain(|(id, asked)| {
            if *asked == number {
                session.unask(*id);
            }
            *asked != number
        });
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if let Some(session) = &self.passage.session {
            for (id, _) in &self.open {
                session.unask(*id);
            }
        }
    }
}

/// Puts what a server asks to the client of a session, if it said that it can be asked that; nobody else answers in
/// its place. Gives the id that it was asked under.
pub(crate) async fn ask_session<F: Future<Output = ()>>(
    session: &Session,
    answers: &Answers,
    ask: Ask,
    send: impl FnOnce(Bytes) -> F,
) -> Option<u64> {
    let Ask { number, method, params } = ask;
    let able = capability(&method).is_some_and(|name| session.declares(name));
    let Some(id) = able.then(|| session.ask(answers.clone(), number)).flatten() else {
        refuse(answers, number).await;
        return None;
    };
    let params = params.as_deref().and_then(|raw| std::str::from_utf8(raw).ok());
    send(envelope::call(&id.to_string(), &method, params)).await;
    Some(id)
}

/// Tells a server that its question reaches nobody.
async fn refuse(answers: &Answers, number: u64) {
    let error = envelope::error_object(-32_601, "the client cannot be asked this");
    if answers.answer(number, Answer::Error(error.into())).await.is_err() {
        tracing::debug!("a server no longer wants the answer that it asked for");
    }
}

/// The client capability that an ask needs (2025-11-25, client features).
fn capability(method: &str) -> Option<&'static str> {
    match method {
        "sampling/createMessage" => Some("sampling"),
        "elicitation/create" => Some("elicitation"),
        "roots/list" => Some("roots"),
        _ => None,
    }
}

/// A progress notification with its numbers alone.
fn bare_progress(message: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(message).ok()?;
    if envelope::text_member(text, "method").as_deref() != Some("notifications/progress") {
        return None;
    }
    let params = envelope::member(text, "params")?;
    let token: serde_json::Value = serde_json::from_str(envelope::member(params, "progressToken")?).ok()?;
    let number =
        |key| envelope::member(params, key).and_then(|raw| serde_json::from_str::<serde_json::Number>(raw).ok());
    let mut bare = json!({ "progressToken": token, "progress": number("progress")? });
    if let (Some(total), Some(members)) = (number("total"), bare.as_object_mut()) {
        members.insert("total".to_owned(), json!(total));
    }
    Some(envelope::notification("notifications/progress", Some(&bare.to_string())))
}

/// What a result says of its call. A request for input (`resultType`, 2026-07-28) and the handle of a task (2025-11-25)
/// are no success: what waits for this step to be completed goes on waiting.
fn status_of(result: &[u8]) -> OutcomeStatus {
    let Ok(text) = std::str::from_utf8(result) else { return OutcomeStatus::Unfinished };
    let complete = envelope::member(text, "resultType").is_none_or(|kind| kind == "\"complete\"");
    if !complete || envelope::member(text, "task").is_some() {
        OutcomeStatus::Unfinished
    } else if envelope::member(text, "isError").is_some_and(|failed| !matches!(failed, "false" | "null")) {
        OutcomeStatus::ToolError
    } else {
        OutcomeStatus::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_end_of_a_call_is_its_success() {
        let check = |result: &str, expected| assert_eq!(status_of(result.as_bytes()), expected, "{result}");
        check(r#"{"content":[]}"#, OutcomeStatus::Succeeded);
        check(r#"{"content":[],"resultType":"complete","isError":false}"#, OutcomeStatus::Succeeded);
        check(r#"{"content":[],"isError":true}"#, OutcomeStatus::ToolError);
        check(r#"{"resultType":"input_required","inputRequests":{}}"#, OutcomeStatus::Unfinished);
        check(r#"{"resultType":"task","task":{"taskId":"1"}}"#, OutcomeStatus::Unfinished);
        check(r#"{"task":{"taskId":"1","status":"working"}}"#, OutcomeStatus::Unfinished);
    }

    #[test]
    fn progress_is_passed_on_without_its_words() {
        let check = |message: &str, expected: Option<&str>| {
            let bare = bare_progress(message.as_bytes());
            let bare = bare.map(|bare| serde_json::from_slice::<serde_json::Value>(&bare).unwrap()["params"].take());
            assert_eq!(bare, expected.map(|text| serde_json::from_str(text).unwrap()), "{message}");
        };
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":0.5,"total":2,"message":"mailing a@b.c"}}"#,
            Some(r#"{"progress":0.5,"progressToken":"t","total":2}"#),
        );
        check(r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"a@b.c"}}"#, None);
        check(
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"t","progress":"a@b.c"}}"#,
            None,
        );
    }
}
