//! Asks a user for their consent, who has another device at hand (RFC 8628), and waits for their answer.

use std::time::Duration;

use serde_json::Value;

use super::tokens::{NotGiven, TOKEN_PATH, Tokens};
use crate::exit::{Exit, Failure};

/// Where the request goes, below the issuer.
const DEVICE_PATH: &str = "/oauth/device_authorization";
/// The grant that is polled for.
const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
/// Seconds between two questions where the broker names none (RFC 8628 §3.2), and by which `slow_down` lengthens them.
const INTERVAL_S: u64 = 5;
/// Seconds between two questions at most.
const INTERVAL_S_MAX: u64 = 60;
/// Seconds that anybody is waited for at most, whatever the broker says.
const WAIT_S_MAX: u64 = 1_800;

/// What a user has to be told.
pub(crate) struct Prompt {
    /// The page where they type the code in.
    pub(crate) page: String,
    /// The code.
    pub(crate) code: String,
    /// The page with the code in it, for those who can only click.
    pub(crate) page_with_code: String,
    /// Seconds until the code is over.
    pub(crate) expires_in_s: u64,
}

/// Asks; `told` shows the user what to do. From then on `tokens` has a token that acts for them, and what renews it is given
/// back.
pub(crate) async fn consent(tokens: &Tokens, told: impl FnOnce(&Prompt)) -> Result<Option<String>, Failure> {
    let target = tokens.target();
    let mut fields = vec![("resource", target.resource.as_str())];
    fields.extend(target.scope.as_deref().map(|scope| ("scope", scope)));
    let asked = match tokens.ask(DEVICE_PATH, &fields).await {
        Ok(asked) => asked,
        Err(NotGiven::Refused { error, why }) => return Err(tokens.refused(&error, &why)),
        Err(NotGiven::Failed(failure)) => return Err(failure),
    };
    let text = |name: &str| asked.get(name).and_then(Value::as_str).map(crate::output::clean);
    let (Some(secret), Some(code), Some(page)) = (text("device_code"), text("user_code"), text("verification_uri"))
    else {
        return Err(Failure::new("the broker's answer lacks `device_code`, `user_code` or `verification_uri`"));
    };
    let seconds = |name: &str| asked.get(name).and_then(Value::as_u64);
    let expires_in_s = seconds("expires_in").unwrap_or(WAIT_S_MAX).min(WAIT_S_MAX);
    let page_with_code = text("verification_uri_complete").unwrap_or_else(|| page.clone());
    told(&Prompt { page, code, page_with_code, expires_in_s });
    let given = wait(tokens, &secret, expires_in_s, seconds("interval").unwrap_or(INTERVAL_S)).await?;
    tokens.hold(&given).await?;
    Ok(given.get("refresh_token").and_then(Value::as_str).map(str::to_owned))
}

/// Asks at the pace that the broker wants until the user answered or the time is over.
async fn wait(tokens: &Tokens, secret: &str, wait_s: u64, interval_s: u64) -> Result<Value, Failure> {
    let (mut waited_s, mut interval_s) = (0, interval_s.clamp(1, INTERVAL_S_MAX));
    let fields = [("grant_type", DEVICE_CODE), ("device_code", secret)];
    while waited_s <= wait_s {
        tokio::time::sleep(Duration::from_secs(interval_s)).await;
        waited_s += interval_s;
        match tokens.ask(TOKEN_PATH, &fields).await {
            Ok(given) => return Ok(given),
            Err(NotGiven::Refused { error, why }) => match error.as_str() {
                "authorization_pending" => {}
                "slow_down" => interval_s = (interval_s + INTERVAL_S).min(INTERVAL_S_MAX),
                "temporarily_unavailable" => interval_s = (interval_s * 2).min(INTERVAL_S_MAX),
                "access_denied" => {
                    let failure = Failure::new("the user refused, or took it back").exit(Exit::Denied);
                    return Err(failure.hint("ask them what they would allow; `--scope` asks for less"));
                }
                "expired_token" => break,
                _ => return Err(tokens.refused(&error, &why)),
            },
            // Its user may be typing: a broker that restarts loses no request (RFC 8628 §3.5).
            Err(NotGiven::Failed(failure)) if failure.exit == Exit::Unreachable => {
                interval_s = (interval_s * 2).min(INTERVAL_S_MAX);
            }
            Err(NotGiven::Failed(failure)) => return Err(failure),
        }
    }
    let failure = Failure::new("nobody answered in time").exit(Exit::Denied);
    Err(failure.hint("run it again for a new code, and type it in while it is shown"))
}
