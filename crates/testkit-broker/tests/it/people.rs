//! People in a real browser with a real (if virtual) authenticator: the one-time link, sign-in, the account, abuse.

use bailiwick_testkit_broker::{
    broker::Broker,
    browser::browse,
    tools::{Need, Tools, ready},
};
use serde_json::json;

/// A broker, and a one-time link for an administrator.
fn invited(tools: &Tools) -> (Broker, String, String) {
    let broker = Broker::started(tools);
    let told = broker.run(&["users", "invite", "ada", "--administrator"]).succeeded();
    let link = told.stdout.trim().to_owned();
    let (origin, _) = link.split_once("/setup/").unwrap();
    let origin = origin.to_owned();
    (broker, origin, link)
}

#[test]
fn the_first_administrator_gets_in_by_a_link_and_then_by_a_passkey() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let (broker, origin, link) = invited(&tools);
    let at = |path: &str| format!("{origin}{path}");
    let told = browse(
        &tools,
        &json!([
            ["goto", link],
            ["unlabelled"],
            ["overflow", 320],
            ["inject"],
            ["fill", "#name", "Laptop"],
            ["send", "form[data-passkey] button"],
            ["url"],
            ["text"],
            ["unlabelled"],
            ["overflow", 320],
            ["cookies"],
            ["send", "form[action='/sign-out'] button"],
            ["goto", at("/account")],
            ["url"],
            ["overflow", 320],
            ["send", "form[data-passkey] button"],
            ["url"],
            ["goto", link],
            ["text"],
        ]),
    );
    assert_eq!([&told[0], &told[1], &told[2], &told[3]], [&json!(200), &json!([]), &json!(false), &json!(false)]);
    assert_eq!([&told[5], &told[6]], [&json!(200), &json!(at("/account"))]);
    let account = told[7].as_str().unwrap();
    assert!(account.contains("Laptop") && account.contains("an administrator"), "{account}");
    assert_eq!([&told[8], &told[9]], [&json!([]), &json!(false)]);
    let cookies = told[10].as_array().unwrap();
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert_eq!([&cookies[0]["httpOnly"], &cookies[0]["sameSite"]], [&json!(true), &json!("Lax")]);
    assert_eq!(told[13], json!(at("/sign-in?return_to=%2Faccount")), "signed out");
    assert_eq!([&told[14], &told[16]], [&json!(false), &json!(at("/account"))]);
    assert_eq!(told[17], json!(404), "a link works once");
    let users = broker.run(&["users", "show", "ada", "--output", "json"]).succeeded().json();
    assert_eq!(users["administrator"], true);
    let events = broker.run(&["audit", "tail", "--kind", "session_changed", "--output", "json"]).succeeded().stdout;
    assert!(events.contains("hwk") && events.contains("signed_out"), "{events}");
    let token = cookies[0]["value"].as_str().unwrap();
    assert!(!events.contains(token) && !broker.log().contains(token), "no token is told anywhere");
    let secret = link.rsplit('/').next().unwrap();
    assert!(!broker.log().contains(secret), "nor a link");
}

#[test]
fn a_device_without_verification_or_a_copy_of_one_does_not_sign_in() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let (broker, origin, link) = invited(&tools);
    let again = format!("{origin}/sign-in?step_up=1");
    let told = browse(
        &tools,
        &json!([
            ["goto", link],
            ["send", "form[data-passkey] button"],
            ["credentials"],
            ["goto", again],
            ["send", "form[data-passkey] button"],
            ["goto", again],
            ["send", "form[data-passkey] button"],
            // A copy of the device from before these sign-ins: its counter does not rise.
            ["restore", 2],
            ["goto", again],
            ["send", "form[data-passkey] button"],
            ["text"],
            ["verify", false],
            ["goto", again],
            ["click", "form[data-passkey] button"],
            ["wait", "form[data-passkey] [role=status]", "did not work"],
            ["url"],
        ]),
    );
    assert_eq!([&told[1], &told[4], &told[6]], [&json!(200), &json!(200), &json!(200)]);
    assert_eq!(told[9], json!(403), "{told:?}");
    assert!(told[10].as_str().unwrap().contains("does not sign anybody in"));
    assert_eq!(told[15], json!(again));
    broker.run(&["users", "suspend", "ada", "--reason", "story"]).succeeded();
    let refused = broker.run(&["users", "invite", "ada"]);
    assert_ne!(refused.code, 0, "nobody invites who is suspended: {refused:?}");
}

#[test]
fn the_pages_work_by_keyboard_and_say_so_without_a_script() {
    let Some(tools) = ready(&[Need::Broker, Need::Browser]) else { return };
    let (_broker, origin, link) = invited(&tools);
    let told = browse(
        &tools,
        &json!([
            ["goto", link],
            // Past the link to the content and the name, to the button.
            ["press", "Tab", "Tab", "Tab", "Enter"],
            ["url"],
            ["script", false],
            ["goto", format!("{origin}/account")],
            ["text"],
            ["send", "form[action='/sign-out'] button"],
            ["url"],
            ["text"],
        ]),
    );
    assert_eq!(told[2], json!(format!("{origin}/account")));
    assert!(told[5].as_str().unwrap().contains("First passkey"), "{told:?}");
    assert_eq!(told[7], json!(format!("{origin}/sign-in")), "signing out needs no script");
    assert!(told[8].as_str().unwrap().contains("needs JavaScript"), "{told:?}");
}
