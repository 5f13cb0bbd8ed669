use std::{path::Path, time::Duration};

use tnas_latency::{MeasuringProcess, Outcome};

const OUTCOME: &str = r#"{"crashed":{"reason":"asked"}}"#;

fn shell(script: &str) -> MeasuringProcess {
    MeasuringProcess::new(Path::new("sh"), &["-c", script], 2, Duration::from_secs(20))
}

fn ask(script: &str) -> Outcome {
    shell(script).ask(&"request").unwrap()
}

fn crash(outcome: Outcome) -> String {
    match outcome {
        Outcome::Crashed { reason } => reason,
        other => panic!("expected a crash, found {other:?}"),
    }
}

#[test]
fn an_answer_is_an_outcome_and_the_request_arrives() {
    assert_eq!(ask(&format!("read line; echo '{OUTCOME}'")), Outcome::Crashed { reason: "asked".into() });
    let echo = r#"read line; echo "{\"crashed\":{\"reason\":$line}}""#;
    assert_eq!(crash(ask(echo)), "request");
}

#[test]
fn its_threads_are_fixed() {
    let script = r#"read line; echo "{\"crashed\":{\"reason\":\"$RAYON_NUM_THREADS\"}}""#;
    assert_eq!(crash(ask(script)), "2");
}

#[test]
fn each_request_has_a_process_of_its_own_unless_asked_otherwise() {
    let script = r#"n=0; while read line; do n=$((n+1)); echo "{\"crashed\":{\"reason\":\"$n\"}}"; done"#;
    let mut apart = shell(script);
    let counts = |process: &mut MeasuringProcess| -> Vec<String> {
        (0..4).map(|_| crash(process.ask(&1).unwrap())).collect()
    };
    assert_eq!(counts(&mut apart), ["1", "1", "1", "1"]);
    assert_eq!(counts(&mut shell(script).with_requests_each(3)), ["1", "2", "3", "1"]);
}

#[test]
fn want_of_memory_is_told_from_a_crash() {
    assert!(matches!(ask("read line; kill -9 $$"), Outcome::OutOfMemory { .. }));
    let said = "read line; echo 'memory allocation of 8589934592 bytes failed' >&2; kill -ABRT $$";
    assert!(matches!(ask(said), Outcome::OutOfMemory { reason } if reason.contains("8589934592")));
    let reason = crash(ask("read line; echo 'driver lost' >&2; kill -SEGV $$"));
    assert!(reason.contains("11") && reason.contains("driver lost"), "{reason}");
    let reason = crash(ask("echo 'bad weights' >&2; exit 3"));
    assert!(reason.contains('3') && reason.contains("bad weights"), "{reason}");
    assert!(crash(ask("read line; exit 0")).contains("it said nothing"));
}

#[test]
fn nonsense_and_silence_are_crashes() {
    assert!(crash(ask("read line; echo hello")).contains("hello"));
    let mut slow = MeasuringProcess::new(Path::new("sleep"), &["30"], 1, Duration::from_millis(100));
    let start = std::time::Instant::now();
    assert!(crash(slow.ask(&1).unwrap()).contains("0.1 s"));
    assert!(start.elapsed() < Duration::from_secs(10), "it was ended");
}

#[test]
fn the_next_request_finds_a_living_process_after_a_death() {
    let script = format!("read line; [ \"$line\" = 1 ] && kill -SEGV $$; echo '{OUTCOME}'");
    let mut process = shell(&script).with_requests_each(9);
    assert!(crash(process.ask(&1).unwrap()).contains("11"));
    assert_eq!(crash(process.ask(&2).unwrap()), "asked");
}

#[test]
fn a_program_that_is_not_there_is_an_error() {
    let mut missing = MeasuringProcess::new(Path::new("/no/such/program"), &[], 1, Duration::from_secs(1));
    assert!(missing.ask(&1).unwrap_err().to_string().contains("/no/such/program"));
}

#[test]
fn a_grandchild_that_keeps_the_error_pipe_does_not_keep_us() {
    let start = std::time::Instant::now();
    assert!(crash(ask("sleep 30 >/dev/null & read line; kill -SEGV $$")).contains("11"));
    assert!(start.elapsed() < Duration::from_secs(10));
}
