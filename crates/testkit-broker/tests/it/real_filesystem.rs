//! `@modelcontextprotocol/server-filesystem` behind the broker, with rules on its arguments: every path of an array
//! lies under the allowed folder, or nothing is read.

use std::fs;

use bailiwick_testkit_broker::{
    broker::Broker,
    stdio_client::{StdioClient, codes, succeeded},
    tools::{Need, Tools, ready},
};
use serde_json::{Value, json};

const CLASSES: &str = r#"
[read_text_file]
class = "read"
resource = { type = "File", id = "path" }
normalise = { path = "path" }
effect = { records = 1, reversible = true }

[read_multiple_files]
class = "read"
each = "paths"
resource = { type = "File", id = "paths" }
normalise = { paths = "path" }
effect = { records = "len:paths", reversible = true }

[list_directory]
class = "read"
resource = { type = "File", id = "path" }
normalise = { path = "path" }
effect = { records = 1, reversible = true }

[write_file]
class = "write"
resource = { type = "File", id = "path" }
normalise = { path = "path" }
effect = { records = 1, reversible = false }

[move_file]
class = "write"
resource = { type = "File", id = ["source", "destination"] }
normalise = { source = "path", destination = "path" }
effect = { records = 2, reversible = true }
"#;

struct Files {
    broker: Broker,
    data: String,
}

impl Files {
    fn new(tools: &Tools) -> Self {
        let mut broker = Broker::init(tools);
        let data = broker.scratch().join("data");
        for folder in ["public", "private"] {
            fs::create_dir_all(data.join(folder)).unwrap();
            fs::write(data.join(folder).join("a.txt"), format!("{folder} words")).unwrap();
        }
        fs::write(data.join("public/b.txt"), "more public words").unwrap();
        let data = data.canonicalize().unwrap().to_string_lossy().into_owned();
        broker.add_stdio("files", &["node", &tools.node_server("filesystem"), &data], &[]);
        broker.classify("files", CLASSES);
        let rule = format!(
            "@id(\"public-only\")\n@reason(\"agents work under public\")\n@help(\"use a path under public\")\n\
             forbid (principal is Bailiwick::Agent, action in Bailiwick::Action::\"files:*\", resource is Files::File)\n\
             unless {{ resource.id like \"{data}/public/*\" || resource.id == \"{data}/public\" }};\n"
        );
        broker.write("policies/organisation/files.cedar", &rule);
        broker.publish();
        broker.serve_verified();
        Self { broker, data }
    }

    fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.data)
    }

    fn paths(&self, paths: &[&str]) -> Value {
        json!({ "paths": paths.iter().map(|path| self.path(path)).collect::<Vec<_>>() })
    }
}

#[tokio::test]
async fn every_path_of_an_array_is_under_the_allowed_folder() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let files = Files::new(&tools);
    let agent = files.broker.register("worker-1", "worker", &[]);
    let mut client = StdioClient::bridge(&files.broker, &agent, "files", &[]).await;
    let told = succeeded(&client.call("read_multiple_files", files.paths(&["public/a.txt", "public/b.txt"])).await);
    assert!(told.contains("public words") && told.contains("more public words"), "{told}");
    for paths in [
        &["private/a.txt"][..],
        &["public/a.txt", "private/a.txt"],
        &["public/a.txt", "public/../private/a.txt"],
        &["public/a.txt", "public/./../private//a.txt"],
        &["publicx/a.txt"],
    ] {
        let answer = client.call("read_multiple_files", files.paths(paths)).await;
        assert!(codes(&answer).contains(&"forbidden".to_owned()), "{paths:?}: {answer}");
        assert!(!answer.to_string().contains("private words"), "{answer}");
    }
    let answer = client.call("read_text_file", json!({ "path": files.path("private/a.txt") })).await;
    assert_eq!(codes(&answer), ["forbidden"]);
}

#[tokio::test]
async fn writes_and_both_ends_of_a_move_are_held_to_it() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let files = Files::new(&tools);
    let agent = files.broker.register("worker-1", "worker", &[]);
    let mut client = StdioClient::bridge(&files.broker, &agent, "files", &[]).await;
    let write = |path: &str| json!({ "path": files.path(path), "content": "new" });
    succeeded(&client.call("write_file", write("public/new.txt")).await);
    assert_eq!(fs::read_to_string(files.path("public/new.txt")).unwrap(), "new");
    assert_eq!(codes(&client.call("write_file", write("private/new.txt")).await), ["forbidden"]);
    assert!(!fs::exists(files.path("private/new.txt")).unwrap());
    let step = |from: &str, to: &str| json!({ "source": files.path(from), "destination": files.path(to) });
    for (from, to) in [("private/a.txt", "public/stolen.txt"), ("public/a.txt", "private/gone.txt")] {
        let answer = client.call("move_file", step(from, to)).await;
        assert!(codes(&answer).contains(&"forbidden".to_owned()), "{answer}");
        assert!(fs::exists(files.path(from)).unwrap());
    }
    succeeded(&client.call("move_file", step("public/new.txt", "public/moved.txt")).await);
}

#[tokio::test]
async fn a_reader_is_not_shown_what_writes() {
    let Some(tools) = ready(&[Need::Broker, Need::Node]) else { return };
    let files = Files::new(&tools);
    let agent = files.broker.register("reader-1", "reader", &[]);
    let mut client = StdioClient::bridge(&files.broker, &agent, "files", &[]).await;
    let seen = client.tools().await;
    assert!(seen.contains(&"read_text_file".to_owned()), "{seen:?}");
    assert!(!seen.contains(&"write_file".to_owned()) && !seen.contains(&"move_file".to_owned()), "{seen:?}");
    let answer = client.call("write_file", json!({ "path": files.path("public/x"), "content": "x" })).await;
    assert_eq!(codes(&answer), ["no_permit"]);
}
