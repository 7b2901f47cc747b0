//! What a call costs: its intent with everything that it settles, its outcome, and tokens.

use bailiwick_audit_log::leaf::BootNonce;
use bailiwick_model::{decision::BudgetDraw, id::TokenId, jwk::Thumbprint, principal::Principal};
use bailiwick_ports::{
    entry::{Entry, Receipt},
    store::{Conclusion, FactRow, Intent, IssuedToken, ReliedOn, Spent, StoreError},
};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    agents,
    failure::{Failure, Step},
    grants,
    rows::Fields,
    safety, spent, statements,
    turn::{Turn, signed},
    users,
};

/// Microseconds of a minute: the last use of a credential is kept no finer.
const MINUTE_US: i64 = 60_000_000;

/// Makes an intent durable and settles what it relies on; the first thing that does not hold refuses all.
pub(crate) fn commit_intent(turn: &mut Turn<'_>, intent: Intent) -> Step<Receipt> {
    let Intent { entry, spent, budgets, facts, observed, relied_on } = intent;
    let now = entry.event.at.as_microsecond();
    use_up(turn, &spent)?;
    check(turn, &relied_on, now)?;
    if !budgets.is_empty() || !observed.is_empty() {
        turn.guard()?;
    }
    safety::count_observed(turn, &observed, now)?;
    budgets.iter().try_for_each(|draw| draw_on(turn, draw))?;
    let receipt = turn.place(entry)?;
    spent::keep(turn.connection, &spent)?;
    keep_facts(turn, &facts)?;
    Ok(receipt)
}

/// Records what came of an intent that is open.
pub(crate) fn conclude(turn: &mut Turn<'_>, conclusion: Conclusion) -> Step<Receipt> {
    let Conclusion { entry, facts, at_once: _ } = conclusion;
    let receipt = turn.place(entry)?;
    keep_facts(turn, &facts)?;
    Ok(receipt)
}

/// Records an event that changes no state.
pub(crate) fn append(turn: &mut Turn<'_>, entry: Entry, spent: &[Spent]) -> Step<Receipt> {
    use_up(turn, spent)?;
    let receipt = turn.place(entry)?;
    spent::keep(turn.connection, spent)?;
    Ok(receipt)
}

/// Records a token, and the last use of the credential that asked for it.
pub(crate) fn issue_token(turn: &mut Turn<'_>, token: &IssuedToken, spent: &[Spent], entry: Entry) -> Step<Receipt> {
    use_up(turn, spent)?;
    record_token(turn, token, spent, entry)
}

/// The same where the identifiers were used up already.
pub(crate) fn record_token(turn: &mut Turn<'_>, token: &IssuedToken, spent: &[Spent], entry: Entry) -> Step<Receipt> {
    turn.guard()?;
    spent::keep(turn.connection, spent)?;
    let (client, credential) = (token.client.as_str(), token.credential.to_string());
    let last: Option<Option<i64>> = turn
        .statement(statements::CREDENTIAL_LAST_USED)?
        .query_row([client, &credential], |row| row.get(0))
        .optional()?;
    // A credential that was taken away since it authenticated gets no token.
    let last = last.ok_or_else(|| StoreError::Conflict(client.to_owned()))?;
    let minute = token.issued_at.as_microsecond().div_euclid(MINUTE_US) * MINUTE_US;
    if last.is_none_or(|last| last < minute) {
        turn.execute(statements::USE_CREDENTIAL, params![minute, client, credential])?;
    }
    let row = params![
        token.id.as_bytes(),
        client,
        token.task.map(|task| *task.as_bytes()),
        token.confirmation.map(|key| key.to_string()),
        credential,
        token.issued_at.as_microsecond(),
        token.expires_at.as_microsecond(),
        token.grant.map(|grant| *grant.as_bytes()),
        token.audience,
    ];
    turn.insert(statements::INSERT_TOKEN, row, || token.id.to_string())?;
    turn.place(entry)
}

/// The credential that a token was issued on.
pub(crate) fn token_credential(connection: &Connection, id: TokenId) -> Step<Option<Thumbprint>> {
    let mut statement = connection.prepare_cached(statements::TOKEN_CREDENTIAL)?;
    let mut rows = statement.query([id.as_bytes()])?;
    rows.next()?.map(|row| Fields::of(row, "tokens").parse("credential")).transpose()
}

/// Intents of earlier runs that nobody concluded.
pub(crate) fn open_intents(connection: &Connection, boot: BootNonce) -> Step<Vec<String>> {
    let mut statement = connection.prepare_cached(statements::OPEN_INTENTS)?;
    let ids = statement.query_map([boot.as_bytes()], |row| row.get(0))?.collect::<Result<_, _>>()?;
    Ok(ids)
}

/// How much of a window is used; a window that nobody drew on is unused.
pub(crate) fn budget_used(connection: &Connection, budget: &str, window_start_s: i64) -> Step<u64> {
    let used: Option<i64> = connection
        .prepare_cached(statements::BUDGET_USED)?
        .query_row(params![budget, window_start_s], |row| row.get(0))
        .optional()?;
    u64::try_from(used.unwrap_or(0)).map_err(|_| {
        let key = format!("{budget}@{window_start_s}");
        StoreError::Inconsistent { table: "budgets", column: "used", key }.into()
    })
}

/// Uses identifiers up for what is answered and leaves no evidence.
pub(crate) fn spend(turn: &mut Turn<'_>, spent: &[Spent]) -> Step<()> {
    use_up(turn, spent)?;
    spent::keep(turn.connection, spent)
}

/// Uses identifiers up; the first that was used before refuses all.
pub(crate) fn use_up(turn: &mut Turn<'_>, spent: &[Spent]) -> Step<()> {
    if turn.used.take(spent) { Ok(()) } else { Err(StoreError::Replayed.into()) }
}

fn check(turn: &Turn<'_>, relied_on: &ReliedOn, now: i64) -> Step<()> {
    let ReliedOn { agents, users, token, grant, task, facts, epoch } = relied_on;
    let conflict = |what: String| -> Step<()> { Err(StoreError::Conflict(what).into()) };
    let (current, decisive): (i64, i64) =
        turn.statement(statements::EPOCHS)?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // Changes of agents, users, grants and tasks raise the epoch too, but those that matter here are compared by themselves:
    // nobody's call waits for what concerns somebody else.
    if !(decisive..=current).contains(&signed(*epoch)?) {
        return conflict("policy".to_owned());
    }
    for (name, version) in agents {
        if agents::version(turn, name.as_str())? != Some(signed(*version)?) {
            return conflict(name.to_string());
        }
    }
    for (id, version) in users {
        if users::version(turn, id.as_str())? != Some(signed(*version)?) {
            return conflict(id.to_string());
        }
    }
    if let Some(token) = token
        && grants::is_revoked(turn, *token)?
    {
        return conflict(token.to_string());
    }
    if let Some(grant) = grant
        && !grants::stands(turn, *grant, now)?
    {
        return conflict(grant.to_string());
    }
    if let Some(task) = task {
        let standing: i64 =
            turn.statement(statements::TASK_STANDING)?.query_row(params![task.as_bytes(), now], |row| row.get(0))?;
        if standing == 0 {
            return conflict(task.to_string());
        }
    }
    if let Some((initiating, seen)) = facts
        && count_facts(turn, initiating, now)? != signed(*seen)?
    {
        return conflict(initiating.to_string());
    }
    Ok(())
}

fn count_facts(turn: &Turn<'_>, initiating: &Principal, now: i64) -> Step<i64> {
    let mut statement = turn.statement(statements::COUNT_FACTS)?;
    Ok(statement.query_row(params![initiating.to_string(), now], |row| row.get(0))?)
}

fn draw_on(turn: &Turn<'_>, draw: &BudgetDraw) -> Step<()> {
    let BudgetDraw { budget, window_start_s, window_s, amount, amount_max } = draw;
    let until_s = window_start_s.saturating_add_unsigned(*window_s);
    let used_up = || Failure::from(StoreError::BudgetUsedUp { budget: budget.clone(), until_s });
    // The first draw of a window meets no row to be compared with.
    if amount > amount_max {
        return Err(used_up());
    }
    let amount_max = i64::try_from(*amount_max).unwrap_or(i64::MAX);
    let row = params![budget, window_start_s, until_s.saturating_mul(1_000_000), signed(*amount)?, amount_max];
    if turn.execute(statements::DRAW, row)? == 0 { Err(used_up()) } else { Ok(()) }
}

fn keep_facts(turn: &Turn<'_>, facts: &[FactRow]) -> Step<()> {
    for FactRow { initiating, fact, until } in facts {
        let row = params![initiating.to_string(), fact.as_str(), until.as_microsecond()];
        turn.execute(statements::PUT_FACT, row)?;
    }
    Ok(())
}
