//! kill -9 under `backup` and `restore`: afterwards there is the old database or the new one, never half of one, and the
//! same command can be given again.

use std::{
    fs,
    path::{Path, PathBuf},
};

use bailiwick_testkit_broker::{
    broker::Broker,
    tools::{Need, ready},
};
use bailiwick_testkit_crash::strace::{self, Fate, Fault, counted, faulty};

use super::{Counted, death, moments};

/// What stands in every copy, and what only in the later one.
const FIRST: &str = "first-1";
const LATER: &str = "later-1";

fn data(broker: &Broker) -> PathBuf {
    broker.home().join("data")
}

/// Makes the files of `to` those of `from`.
fn put(from: &Path, to: &Path) {
    drop(fs::remove_dir_all(to));
    fs::create_dir_all(to).unwrap();
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

fn knows(broker: &Broker, agent: &str) -> bool {
    broker.run(&["agents", "show", agent]).code == 0
}

/// Whether a broker with this installation's keys goes on from this copy.
fn assert_whole(broker: &mut Broker, copy: &str, when: &str) {
    let aside = broker.scratch().join("aside");
    put(&data(broker), &aside);
    fs::remove_dir_all(data(broker)).unwrap();
    let restored = broker.run(&["restore", copy]);
    assert_eq!(restored.code, 0, "{when}: {}", restored.stderr);
    broker.serve();
    assert!(knows(broker, FIRST), "{when}");
    broker.run(&["audit", "verify"]).succeeded();
    broker.kill();
    put(&aside, &data(broker));
}

#[test]
fn a_backup_that_dies_leaves_a_whole_copy_or_none() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let mut broker = Broker::started(&tools);
    broker.register_new(FIRST, "reader", &[]);
    broker.kill();
    let (folder, told) = (broker.scratch().join("copies"), broker.scratch().join("told"));
    fs::create_dir(&folder).unwrap();
    let path = folder.join("copy.db");
    let copy = path.to_string_lossy().into_owned();
    assert!(broker.serve_traced(|command| counted(command, &told)), "{}", broker.log());
    broker.run(&["backup", &copy]).succeeded();
    broker.kill();
    fs::remove_file(&path).unwrap();
    let moments = moments(&told, &folder, Counted::Ours);
    let (mut deaths, mut whole) = (0, 0);
    for moment in &moments {
        let when = format!("killed at {moment:?}");
        assert!(broker.serve_traced(|command| faulty(command, &told, &death(moment), &moment.files())), "{when}");
        let is_told = broker.run(&["backup", &copy]).code == 0;
        deaths += usize::from(!is_told);
        broker.kill();
        let is_there = path.exists();
        assert!(is_there || !is_told, "{when}: it was told as done");
        if is_there {
            whole += 1;
            assert_whole(&mut broker, &copy, &when);
            fs::remove_file(&path).unwrap();
        }
        // Whatever was left is in nobody's way: not in the broker's, and not in the next backup's.
        broker.serve();
        assert!(knows(&broker, FIRST), "{when}");
        let again = broker.run(&["backup", &copy]);
        assert_eq!(again.code, 0, "{when}: {}", again.stderr);
        broker.kill();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "{when}: nothing else stays");
        fs::remove_file(&path).unwrap();
    }
    eprintln!("{deaths} of {} died, {whole} copies were whole", moments.len());
    assert!(deaths * 2 > moments.len(), "`backup` died in {deaths} of {} runs", moments.len());
}

#[test]
fn a_restore_that_dies_leaves_the_old_database_or_the_new_one() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let mut broker = Broker::started(&tools);
    broker.register_new(FIRST, "reader", &[]);
    broker.kill();
    let (early, told) = (broker.scratch().join("early"), broker.scratch().join("told"));
    put(&data(&broker), &early);
    broker.serve();
    broker.register_new(LATER, "reader", &[]);
    let copy = broker.scratch().join("later.db").to_string_lossy().into_owned();
    broker.run(&["backup", &copy]).succeeded();
    broker.kill();
    let words = ["restore", &copy];
    put(&early, &data(&broker));
    broker.run_traced(&words, |command| counted(command, &told)).succeeded();
    let moments = moments(&told, &data(&broker), Counted::All);
    let (mut deaths, mut old, mut new) = (0, 0, 0);
    for (run, moment) in moments.iter().enumerate() {
        let when = format!("killed at {moment:?}");
        put(&early, &data(&broker));
        let is_told = broker.run_traced(&words, |command| faulty(command, &told, &death(moment), &[])).code == 0;
        deaths += usize::from(!is_told);
        // Every other time it is asked for once more before a broker starts.
        let is_repeated = run % 2 == 1;
        if is_repeated {
            let again = broker.run(&words);
            assert_eq!(again.code, 0, "{when}: {}", again.stderr);
        }
        broker.serve();
        assert!(knows(&broker, FIRST), "{when}");
        broker.run(&["audit", "verify"]).succeeded();
        if knows(&broker, LATER) {
            new += 1;
            let names = fs::read_dir(data(&broker)).unwrap().map(|file| file.unwrap().file_name());
            let is_kept = |name: &std::ffi::OsString| name.to_string_lossy().starts_with("bailiwick.db.before-");
            assert!(names.into_iter().any(|name| is_kept(&name)), "{when}: what was there is kept");
        } else {
            old += 1;
            assert!(!is_told && !is_repeated, "{when}: it was told as done");
        }
        broker.kill();
    }
    eprintln!("{deaths} of {} died; {old} old, {new} new", moments.len());
    assert!(deaths * 2 > moments.len(), "`restore` died in {deaths} of {} runs", moments.len());
}

/// As on a file system that has none.
#[test]
fn a_backup_needs_no_hard_links() {
    let Some(tools) = ready(&[Need::Broker]) else { return };
    if !strace::ready() {
        return;
    }
    let mut broker = Broker::started(&tools);
    broker.register_new(FIRST, "reader", &[]);
    broker.kill();
    let (told, path) = (broker.scratch().join("told"), broker.scratch().join("copy.db"));
    let refused = [Fault::new("linkat", Fate::Error("EPERM"), "1+")];
    assert!(broker.serve_traced(|command| faulty(command, &told, &refused, &[])), "{}", broker.log());
    let copy = path.to_string_lossy().into_owned();
    broker.run(&["backup", &copy]).succeeded();
    assert!(fs::read_to_string(&told).unwrap().contains("INJECTED"), "no link was tried");
    assert!(!broker.scratch().join("copy.db.partial").exists());
    let before = fs::read(&path).unwrap();
    assert_ne!(broker.run(&["backup", &copy]).code, 0, "a copy is never replaced");
    assert_eq!(fs::read(&path).unwrap(), before);
    broker.kill();
    assert_whole(&mut broker, &copy, "without links");
}
