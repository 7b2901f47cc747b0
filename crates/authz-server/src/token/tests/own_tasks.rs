//! Tasks that agents make for themselves come at an agent's pace: no crowd of them holds off anybody else.

use bailiwick_engine::{safe_mode, tasks};
use bailiwick_model::{limits::TASKS_SELF_MADE_MAX, principal::Principal, safe_mode::SafeModeScope, task::ToolGrant};

use super::{exchange::token, *};
use crate::clients::TASKS;

const OWN: &str = r#"[{"type":"bailiwick_task","purpose":"read one file","expires_in":120},
    {"type":"bailiwick_tool","actions":["files.read_text_file"]}]"#;

impl Scene {
    async fn ask_for_a_task(&self, agent: &str) -> Answer {
        let form = with(self.form(agent), "authorization_details", OWN);
        self.ask(&form, Some(self.proof(agent))).await
    }

    fn tasks(&self) -> usize {
        self.world.broker.live().tasks.size()
    }
}

#[tokio::test]
async fn a_client_makes_tasks_no_faster_than_others_can_live_with() {
    let scene = Scene::new().await;
    for _ in 0..TASKS.burst {
        token(&scene.ask_for_a_task("reader").await);
    }
    let late = scene.ask_for_a_task("reader").await;
    assert_eq!((late.status, late.headers["retry-after"].to_str().unwrap()), (429, "1"));
    assert_eq!(scene.tasks(), usize::try_from(TASKS.burst).unwrap());
    assert_eq!(scene.honest("reader").await.status, 200, "other tokens of the same client are not concerned");
    scene.world.clock.advance(i64::from(TASKS.refill_s));
    token(&scene.ask_for_a_task("reader").await);
}

/// Changes take effect one by one, in the order in which they come.
#[tokio::test]
async fn an_operator_stands_behind_one_task_of_agents_at_most() {
    let scene = Scene::new().await;
    let broker = &scene.world.broker;
    let stop = async {
        safe_mode::enter(broker, &operator(), SafeModeScope::Everything, "stop").await.unwrap();
        scene.tasks()
    };
    let ask = || scene.ask_for_a_task("reader");
    let (_, _, _, _, _, _, before) = tokio::join!(biased; ask(), ask(), ask(), ask(), ask(), ask(), stop);
    assert!(before <= 1, "{before} tasks were made first");
    assert_eq!(scene.tasks(), 6, "the others were made after it");
}

#[tokio::test]
async fn no_crowd_of_requests_makes_more_tasks_than_there_may_be() {
    let scene = Scene::new().await;
    let by = Principal::Agent("reader".parse().unwrap());
    let own = || tasks::TaskAsk {
        agent: "reader".parse().unwrap(),
        purpose: "test".to_owned(),
        prompt: None,
        work: tasks::Work::Tools(vec![ToolGrant {
            action: "files.read_text_file".parse().unwrap(),
            pins: Default::default(),
        }]),
        lifetime_s: None,
    };
    for _ in 2..TASKS_SELF_MADE_MAX {
        tasks::create(&scene.world.broker, &by, own()).await.unwrap();
    }
    let ask = || scene.ask_for_a_task("reader");
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let (made, turned_away): (Vec<_>, Vec<_>) = [a, b, c, d].into_iter().partition(|answer| answer.status == 200);
    assert_eq!((made.len(), turned_away.len(), scene.tasks()), (2, 2, TASKS_SELF_MADE_MAX));
    for answer in turned_away {
        refused(&answer, 400, "invalid_authorization_details");
        assert!(answer.json["error_description"].as_str().unwrap().contains("hint: wait"), "{:?}", answer.json);
    }
}
