//! `authorization_details` (RFC 9396) held against what there is: the tools of the active bundle, their arguments, the
//! resource that a token is for, and what was granted before. They only ever narrow, beside scopes and task.

use std::collections::BTreeSet;

use bailiwick_model::{
    grant::Grant,
    limits::{DETAILS_MEMORY_BYTES_MAX, DETAILS_TOLD_BYTES_MAX},
    name::Scope,
    task::{Pin, ToolGrant},
};
use bailiwick_oauth::authorization_details::{AuthorizationDetails, ToolDetail, from_value, to_value};
use bailiwick_pdp::{narrowing::tools_within, normalise::path_is_under};

use crate::{
    broker::Broker,
    tasks::check_tool,
    tokens::{Audience, TokenRefusal},
    weight,
};

/// What a client asks for, one grant for each tool; refused as a whole where a part of it could open nothing.
pub(crate) fn tools(
    broker: &Broker,
    audience: &Audience,
    asked: &AuthorizationDetails,
) -> Result<Vec<ToolGrant>, TokenRefusal> {
    if !matches!(audience, Audience::System(_) | Audience::Aggregate | Audience::Agent(_)) {
        return Err(refused("this resource has no tools\nhint: leave `authorization_details` out"));
    }
    let live = broker.live();
    let policy = live.policy.as_deref().ok_or_else(|| refused("no policy bundle is active"))?;
    let memory = |detail: &ToolDetail| detail.actions.len() * weight::pins(&detail.pins);
    if asked.tools.iter().map(memory).sum::<usize>() > DETAILS_MEMORY_BYTES_MAX {
        return Err(refused("so many tools with so many values\nhint: ask for fewer of them in one token"));
    }
    for detail in &asked.tools {
        let at = locations(&broker.settings().issuer, audience, detail)?;
        for grant in detail.grants() {
            let there = |at: &Audience| match at {
                Audience::System(system) => grant.action.system() == system.as_str(),
                _ => true,
            };
            if !there(audience) || !at.is_empty() && !at.iter().any(there) {
                return Err(refused(&format!("`{}` is a tool of another resource", grant.action)));
            }
            check_tool(policy, &grant).map_err(|error| refused(&error.to_string()))?;
            for (argument, pin) in &grant.pins {
                if matches!(pin, Pin::Under(folder) if path_is_under(folder, folder) != Ok(true)) {
                    return Err(refused(&format!("the folder of `{argument}` is no path")));
                }
            }
        }
    }
    let mut tools: Vec<ToolGrant> = Vec::new();
    for grant in asked.tools.iter().flat_map(ToolDetail::grants) {
        if !tools.contains(&grant) {
            tools.push(grant);
        }
    }
    can_be_told(&broker.settings().issuer, &tools)?;
    Ok(tools)
}

/// A token that says them could be read by whoever it is shown to.
fn can_be_told(issuer: &str, tools: &[ToolGrant]) -> Result<(), TokenRefusal> {
    let told = to_value(issuer, tools);
    if told.to_string().len() > DETAILS_TOLD_BYTES_MAX || from_value(&told).as_deref() != Some(tools) {
        return Err(refused("a token cannot say all that\nhint: ask for fewer tools or arguments in one token"));
    }
    Ok(())
}

/// What a token of a grant, or of a client's own, may be used for: what it asks for, within what was granted.
pub(crate) fn within_grant(
    broker: &Broker,
    audience: &Audience,
    asked: Option<&AuthorizationDetails>,
    grant: Option<&Grant>,
) -> Result<Option<Vec<ToolGrant>>, TokenRefusal> {
    let granted = grant.and_then(|grant| grant.details.as_ref());
    let Some(asked) = asked else { return Ok(granted.cloned()) };
    let tools = tools(broker, audience, asked)?;
    match tools_within(Some(&tools), granted.map(Vec::as_slice)) {
        true => Ok(Some(tools)),
        false => Err(refused("they allow a call that was not granted\nhint: ask for the same or less")),
    }
}

/// The scopes that open these tools and nothing else: what whoever names no scopes is given.
pub(crate) fn scopes(tools: &[ToolGrant]) -> BTreeSet<Scope> {
    tools.iter().filter_map(|grant| grant.action.as_str().parse().ok()).collect()
}

/// The tools by name, as evidence has them: what their arguments are may be about somebody.
pub(crate) fn actions(tools: &[ToolGrant]) -> Vec<String> {
    tools.iter().map(|grant| grant.action.to_string()).collect()
}

/// The resources that a detail names, each of which its token must be for.
fn locations(issuer: &str, audience: &Audience, detail: &ToolDetail) -> Result<Vec<Audience>, TokenRefusal> {
    let of_token = |at: &Audience| match (at, audience) {
        (Audience::System(at), Audience::System(system)) => at == system,
        (Audience::System(_) | Audience::Aggregate, Audience::Aggregate | Audience::Agent(_)) => true,
        _ => false,
    };
    let read = |location: &String| {
        let at = Audience::of_resource(issuer, location).filter(of_token);
        at.ok_or_else(|| {
            refused("a location is not the resource that the token is for\nhint: compare it with `resource`")
        })
    };
    detail.locations.iter().map(read).collect()
}

pub(crate) fn refused(why: &str) -> TokenRefusal {
    TokenRefusal::Details(why.to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Arguments that are asked for once stand at each system.
    #[test]
    fn what_a_token_could_not_say_is_refused() {
        let tools = |systems: usize, bytes: usize| {
            let pins = BTreeMap::from([("path".to_owned(), Pin::Under(format!("/{}", "x".repeat(bytes))))]);
            let tool = |number| ToolGrant { action: format!("s{number}.read").parse().unwrap(), pins: pins.clone() };
            (0..systems).map(tool).collect::<Vec<_>>()
        };
        let told = |systems, bytes| can_be_told("https://broker.test", &tools(systems, bytes)).is_ok();
        assert!(told(1, 3_000) && told(32, 80));
        assert!(!told(32, 300), "a copy at each of them");
        let twice = [tools(1, 1), tools(1, 1)].concat();
        assert!(can_be_told("https://broker.test", &twice).is_ok(), "and it is read as what it is");
    }
}
