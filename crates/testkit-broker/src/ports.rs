//! Ports of loopback that no other test takes: below those that the system
//! hands out by itself, each held by a locked file until the process ends.

use std::{
    fs::{self, File},
    net::TcpListener,
    ops::Range,
    path::Path,
    sync::{Mutex, PoisonError},
};

/// Below 32768, where Linux begins to number outgoing connections and listeners on port 0
/// (`ip_local_port_range`): a port from there can be gone before the broker listens.
const PORTS: Range<u16> = 20_000..32_000;

/// The ports of this process: they are free for others when it ends.
static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// A port of loopback on which nothing listens, kept for this process. Panics if none is left.
pub fn free_port() -> u16 {
    let folder = std::env::temp_dir().join("bailiwick-test-ports");
    fs::create_dir_all(&folder).expect("a folder for the locks");
    let first = std::process::id() as usize * 7 % PORTS.len();
    let (port, lock) = PORTS
        .cycle()
        .skip(first)
        .take(PORTS.len())
        .find_map(|port| Some((port, held(&folder, port)?)))
        .expect("loopback has a free port");
    HELD.lock().unwrap_or_else(PoisonError::into_inner).push(lock);
    port
}

/// The lock of `port`, if no other test holds it and nothing listens there.
fn held(folder: &Path, port: u16) -> Option<File> {
    let lock = File::create(folder.join(port.to_string())).expect("a lock's file");
    lock.try_lock().ok()?;
    TcpListener::bind(("127.0.0.1", port)).ok().map(|_| lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_given_to_nobody_else() {
        let ports = [free_port(), free_port(), free_port()];
        assert!(ports[0] != ports[1] && ports[1] != ports[2] && ports[0] != ports[2], "{ports:?}");
        assert!(ports.iter().all(|port| PORTS.contains(port)), "{ports:?}");
    }

    #[test]
    fn a_port_on_which_something_listens_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let port = free_port();
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        assert!(held(folder.path(), port).is_none());
        drop(listener);
        assert!(held(folder.path(), port).is_some());
    }
}
