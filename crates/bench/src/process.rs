//! Programs that are measured: started, watched by what the kernel counts, killed when dropped.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::figure::number;

/// How long a program may take until it listens.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Clock ticks per second in `/proc/PID/stat`, on every Linux there is.
const TICKS_PER_S: f64 = 100.0;

/// A running program.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn start(command: &mut Command) -> std::io::Result<Self> {
        Ok(Self(command.stdin(Stdio::null()).spawn()?))
    }

    /// Starts a program that tells its URL in its first line.
    pub(crate) fn telling(command: &mut Command) -> std::io::Result<(Self, String)> {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take();
        let running = Self(child);
        let mut line = String::new();
        if let Some(output) = output {
            BufReader::new(output).read_line(&mut line)?;
        }
        line.truncate(line.trim_end().len());
        if line.starts_with("http://") { Ok((running, line)) } else { Err(std::io::Error::other("it ended at once")) }
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

/// The processor time that a process has used, in seconds.
pub(crate) fn cpu_s(process: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // The name in parentheses may hold anything; user and system time are the 12th and 13th word behind it.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: usize = rest.split_whitespace().skip(11).take(2).filter_map(|word| word.parse::<usize>().ok()).sum();
    number(ticks) / TICKS_PER_S
}

/// What of a process's memory is in RAM, in MB.
pub(crate) fn memory_mb(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    let kib: usize = line.split_whitespace().next().and_then(|word| word.parse().ok()).unwrap_or_default();
    number(kib) * 1_024.0 / 1e6
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Asks `path` again and again until it answers 200. How long that took, or `None`.
pub(crate) fn until_ready(address: &str, path: &str) -> Option<Duration> {
    let started = Instant::now();
    while started.elapsed() < READY_WITHIN {
        if answers(address, path) {
            return Some(started.elapsed());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    None
}

fn answers(address: &str, path: &str) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let ask = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut told = String::new();
    stream.write_all(ask.as_bytes()).is_ok()
        && stream.read_to_string(&mut told).is_ok()
        && told.starts_with("HTTP/1.1 200")
}

/// A file or folder that `cargo xtask bench` installed, by the variable that says where.
pub(crate) fn installed(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists())
}
