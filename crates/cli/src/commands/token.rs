//! `bailiwick token`: an access token for a script.

use serde_json::json;

use crate::{
    agent::{
        device::{self, Prompt},
        identity::Identity,
        tokens::{Target, Tokens, issuer_of},
    },
    arguments::Token,
    exit::{Exit, Failure},
    output::Output,
};

/// Prints a bearer token, or with `--proof-for` the two headers of one call with a token bound to the agent's key; with
/// `--device` one that acts for a user, once they allowed it.
pub(crate) async fn run(ask: &Token, output: &Output) -> Result<Exit, Failure> {
    let target = Target {
        issuer: issuer_of(&ask.resource)?,
        resource: ask.resource.clone(),
        agent: ask.credential.agent.parse().map_err(|error| Failure::new(format!("{error}")).exit(Exit::Usage))?,
        task: ask.credential.task.clone(),
        scope: ask.scope.clone(),
        bearer: ask.proof_for.is_none(),
    };
    if ask.proof_for.is_some() && ask.credential.certificate.is_some() {
        let failure = Failure::new("a token that is bound to a certificate needs no proof");
        return Err(failure.hint("leave `--proof-for` out, and call with the certificate").exit(Exit::Usage));
    }
    let tokens = Tokens::new(Identity::of(&ask.credential)?, target);
    let renewing = match ask.device {
        true if ask.credential.task.is_some() => {
            let failure = Failure::new("a user is not asked for a task").exit(Exit::Usage);
            return Err(failure.hint("leave out `--task`, and unset BAILIWICK_TASK"));
        }
        true => {
            device::consent(&tokens, |prompt| show(prompt, output)).await.map_err(|failure| explain(failure, ask))?
        }
        false => None,
    };
    let token = tokens.current().await.map_err(|failure| explain(failure, ask))?;
    let Some([method, url]) = ask.proof_for.as_deref() else {
        if output.is_json() {
            let mut document = json!({
                "access_token": token.value.expose(), "token_type": token.kind,
                "scope": token.scope, "expires_in": token.expires_in_s,
            });
            renewed_by(&mut document, renewing);
            output.document(&document, |_| String::new());
        } else {
            output.data(token.value.expose());
        }
        return Ok(Exit::Done);
    };
    let (authorization, proof) = tokens.headers(&method.to_ascii_uppercase(), url).await?;
    if output.is_json() {
        let mut document = json!({"authorization": authorization, "dpop": proof, "expires_in": token.expires_in_s});
        renewed_by(&mut document, renewing);
        output.document(&document, |_| String::new());
    } else {
        output.data(&format!("Authorization: {authorization}"));
        if let Some(proof) = proof {
            output.data(&format!("DPoP: {proof}"));
        }
    }
    Ok(Exit::Done)
}

/// Tells whoever sits there what their user has to do.
fn show(Prompt { page, code, page_with_code, expires_in_s }: &Prompt, output: &Output) {
    let told = json!({
        "verification_uri": page, "user_code": code, "verification_uri_complete": page_with_code,
        "expires_in": expires_in_s,
    });
    let words = format!(
        "On any device, open   {page}\nand type in the code   {code}\n\nWaiting for the answer, {expires_in_s} seconds at most."
    );
    output.prompt(&told, &words);
}

/// What renews the token, for a program that keeps it as well as the key.
fn renewed_by(document: &mut serde_json::Value, renewing: Option<String>) {
    if let (Some(renewing), Some(members)) = (renewing, document.as_object_mut()) {
        members.insert("refresh_token".to_owned(), renewing.into());
    }
}

fn explain(failure: Failure, ask: &Token) -> Failure {
    if ask.proof_for.is_none() && failure.exit == Exit::Denied && failure.message.contains("invalid_dpop_proof") {
        return failure.hint(
            "a plain bearer token needs a registration that allows it; `--proof-for METHOD URL` prints a bound token \
             with its proof instead",
        );
    }
    failure
}
