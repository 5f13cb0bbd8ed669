use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{LatencyError, Outcome};

/// A process that measures: one JSON request a line on its stdin, one JSON [`Outcome`] a line on its stdout.
///
/// Each model in a process of its own has its own peak memory, and what kills it (memory, a driver) is a result
/// instead of the end of the profile.
#[derive(Debug)]
pub struct MeasuringProcess {
    program: PathBuf,
    args: Vec<String>,
    threads: usize,
    timeout: Duration,
    requests_each: u32,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    stderr: Receiver<String>,
    asked: u32,
}

/// How much of the child's talk is kept for the reason of its death.
const STDERR_BYTES: usize = 4096;

/// How long a dead child's talk is waited for.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl MeasuringProcess {
    /// A program that will be started when something is asked: anew for each request, with a fixed number of threads.
    pub fn new(program: &Path, args: &[&str], threads: usize, timeout: Duration) -> Self {
        let args = args.iter().map(|arg| arg.to_string()).collect();
        Self { program: program.into(), args, threads, timeout, requests_each: 1, running: None }
    }

    /// Lets one process answer so many requests: faster to start, but its peak memory is no longer one model's unless
    /// the child calls [`crate::reset_peak_memory`].
    pub fn with_requests_each(mut self, requests: u32) -> Self {
        self.requests_each = requests.max(1);
        self
    }

    /// Asks for one measurement. A child that dies, answers nonsense or is too slow is an outcome; only one that cannot
    /// be started is an error.
    pub fn ask<Q: Serialize>(&mut self, request: &Q) -> Result<Outcome, LatencyError> {
        let request = serde_json::to_string(request).map_err(|error| self.fail(error.to_string()))?;
        let mut running = match self.running.take() {
            Some(running) if running.asked < self.requests_each => running,
            spent => {
                drop(spent);
                self.start()?
            }
        };
        running.asked += 1;
        // A child that is dead already cannot be written to: its status says more than the broken pipe.
        let _ = writeln!(running.stdin, "{request}").and_then(|()| running.stdin.flush());
        match running.lines.recv_timeout(self.timeout) {
            Ok(line) => match serde_json::from_str(&line) {
                Ok(outcome) => {
                    self.running = Some(running);
                    Ok(outcome)
                }
                Err(error) => {
                    let line: String = line.chars().take(200).collect();
                    Ok(Outcome::Crashed { reason: format!("it answered {line:?}, which is no outcome: {error}") })
                }
            },
            Err(RecvTimeoutError::Timeout) => {
                let reason = format!("no answer within {} s", self.timeout.as_secs_f64());
                Ok(Outcome::Crashed { reason })
            }
            Err(RecvTimeoutError::Disconnected) => Ok(running.autopsy()),
        }
    }

    fn start(&self) -> Result<Running, LatencyError> {
        let mut child = Command::new(&self.program)
            .args(&self.args)
            .env("RAYON_NUM_THREADS", self.threads.to_string())
            .env("OMP_NUM_THREADS", self.threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| self.fail(error.to_string()))?;
        let (Some(stdin), Some(stdout), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(self.fail("it has no pipes".into()));
        };
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(stdout).lines().map_while(Result::ok);
            lines.take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        let (last_words, heard) = channel();
        // Nobody listens any more where the child was ended: then its words are of no use.
        std::thread::spawn(move || last_words.send(tail(stderr)).unwrap_or_default());
        Ok(Running { child, stdin, lines, stderr: heard, asked: 0 })
    }

    fn fail(&self, message: String) -> LatencyError {
        LatencyError::Child { program: self.program.clone(), message }
    }
}

impl Running {
    /// What a child that closed its stdout died of.
    fn autopsy(mut self) -> Outcome {
        // It may live on without stdout: it is of no use then.
        let status = match wait_briefly(&mut self.child) {
            Some(status) => status,
            None => return Outcome::Crashed { reason: "it closed its output without an answer".into() },
        };
        // A grandchild may keep the pipe open for ever.
        let stderr = self.stderr.recv_timeout(LAST_WORDS).unwrap_or_default();
        cause_of_death(status, &stderr)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where the process has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The child's side: answers each line of `input` until it ends.
pub fn serve<Q: DeserializeOwned>(
    input: impl BufRead,
    mut output: impl Write,
    mut handler: impl FnMut(Q) -> Outcome,
) -> std::io::Result<()> {
    for line in input.lines() {
        let outcome = match serde_json::from_str(&line?) {
            Ok(request) => handler(request),
            Err(error) => Outcome::Crashed { reason: format!("the request cannot be read: {error}") },
        };
        serde_json::to_writer(&mut output, &outcome)?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// Waits a second at most: the exit follows the closed pipe at once, or not at all.
fn wait_briefly(child: &mut Child) -> Option<ExitStatus> {
    for _ in 0..100 {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) => std::thread::sleep(Duration::from_millis(10)),
            Err(_) => return None,
        }
    }
    None
}

fn tail(mut stderr: ChildStderr) -> String {
    let (mut kept, mut buffer) = (Vec::new(), [0; 1024]);
    while let Ok(count @ 1..) = stderr.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..count]);
        let extra = kept.len().saturating_sub(STDERR_BYTES);
        kept.drain(..extra);
    }
    String::from_utf8_lossy(&kept).into_owned()
}

fn cause_of_death(status: ExitStatus, stderr: &str) -> Outcome {
    let last = stderr.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    let reason = format!("{status}: {}", last.trim());
    // What Rust, C++ and the runtimes say when an allocation fails.
    const SIGNS: [&str; 4] = ["memory allocation of", "out of memory", "bad_alloc", "cannot allocate memory"];
    let said = stderr.to_lowercase();
    if SIGNS.iter().any(|sign| said.contains(sign)) || was_killed(status) {
        Outcome::OutOfMemory { reason }
    } else {
        Outcome::Crashed { reason }
    }
}

/// SIGKILL that we did not send is the kernel's, for want of memory.
#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    std::os::unix::process::ExitStatusExt::signal(&status) == Some(9)
}

#[cfg(not(unix))]
fn was_killed(_status: ExitStatus) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_answered_and_a_bad_one_too() {
        let mut output = Vec::new();
        let handler = |n: u32| Outcome::Crashed { reason: format!("asked {n}") };
        serve(&b"1\nx\n2\n"[..], &mut output, handler).unwrap();
        let lines: Vec<Outcome> =
            String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0], Outcome::Crashed { reason: "asked 1".into() });
        assert!(matches!(&lines[1], Outcome::Crashed { reason } if reason.contains("request")));
        assert_eq!(lines[2], Outcome::Crashed { reason: "asked 2".into() });
    }
}
