//! A restore that is cut off: the old database with its log, or the new one without it. Nothing between.

use std::{env, fs, path::PathBuf, process::Command};

use bailiwick_testkit_crash::{
    explore::explore,
    recording::Recording,
    strace::{Fate, Fault, ready, recorded_with},
};

use super::{SEED, scratch, states, workload::say};
use crate::{restore, sqlite::open::take};

const FOLDER: &str = "BAILIWICK_TEST_RESTORE";
const NEW_BYTES: usize = 20_000;

#[test]
#[ignore = "runs in a process of its own"]
fn child() {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return };
    for (name, text) in [("a.db", "old"), ("a.db-wal", "log")] {
        fs::write(folder.join(name), text).unwrap();
        fs::File::open(folder.join(name)).unwrap().sync_all().unwrap();
    }
    fs::File::open(&folder).unwrap().sync_all().unwrap();
    say("begun");
    let kept = restore(&folder.join("a.db"), &folder.with_file_name("backup"), 7).unwrap();
    assert_eq!(kept.len(), 2);
    say("restored");
}

#[test]
fn a_restore_is_whole_or_not_at_all() {
    if !ready() {
        return;
    }
    let place = scratch();
    let (folder, told, new) = (place.path().join("store"), place.path().join("told"), vec![b'n'; NEW_BYTES]);
    fs::create_dir(&folder).unwrap();
    fs::write(place.path().join("backup"), &new).unwrap();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "sqlite::power_cut::restored::child", "--ignored", "--nocapture"]).env(FOLDER, &folder);
    // So that it copies with plain writes, which the model knows.
    let plain = ["copy_file_range", "sendfile"].map(|call| Fault::new(call, Fate::Error("ENOSYS"), "1+"));
    let output = recorded_with(&command, &told, &plain).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut recording = Recording::of(&folder);
    recording.read(&fs::read_to_string(&told).unwrap());
    let (mut old, mut restored) = (0, 0);
    explore(recording.operations(), states(300), SEED, |state| {
        if state.marks.is_empty() {
            return;
        }
        let after = scratch();
        for (name, bytes) in &state.left {
            fs::write(after.path().join(name), bytes).unwrap();
        }
        let database = after.path().join("a.db");
        let lock = take(&database).unwrap();
        let (bytes, log) = (fs::read(&database).unwrap(), fs::read(after.path().join("a.db-wal")).ok());
        if bytes == new && log.is_none() {
            restored += 1;
            assert_eq!(fs::read(after.path().join("a.db.before-7")).unwrap(), b"old", "what was there is kept");
            assert_eq!(fs::read(after.path().join("a.db-wal.before-7")).unwrap(), b"log", "with its log");
        } else {
            let told = format!("moment {}, {:?}", state.moment, state.surviving);
            assert_eq!((bytes.as_slice(), log.as_deref()), (&b"old"[..], Some(&b"log"[..])), "{told}");
            assert!(!state.marks.contains(&"restored"), "{told}: the restore was acknowledged");
            old += 1;
            // Another try is not in the way of the one that was cut off.
            drop(lock);
            restore(&database, &place.path().join("backup"), 8).unwrap();
            assert_eq!(fs::read(&database).unwrap(), new);
        }
    });
    assert!(old > 5 && restored > 2, "{old} old, {restored} restored");
}
