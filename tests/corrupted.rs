//! Files from outside that are cut, flipped, spliced or hostile by design: each is read or refused with a word, none ends the
//! program, and none takes more memory than its size gives reason for.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod outside;

use std::{
    collections::BTreeSet,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Mutex,
};

use outside::{PARSERS, Parser, counted};
use rand::{RngExt, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;

#[global_allocator]
static COUNTED: counted::Counted = counted::Counted;

/// Memory is counted for the whole process: one parser at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// For each parser; the 10,000 that are promised are passed several times over.
const CORRUPTIONS: usize = 2_000;

/// What stands in for a number.
const NUMBERS: &[&str] = &[
    "0",
    "-1",
    "1",
    "7",
    "255",
    "65536",
    "1048577",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999",
    "1e3",
    "1e999",
    "-0.0",
    "0.5",
    "null",
    "[]",
    "[0, 0]",
    "\"3\"",
];

/// What stands in for a word in quotes.
const WORDS: &[&str] = &[
    "F16",
    "BF16",
    "F64",
    "I64",
    "U8",
    "F8_E4M3",
    "",
    "..",
    "../secret.safetensors",
    "/etc/passwd",
    "out.safetensors",
    "circle.safetensors",
    "a.gif",
    "down.*",
    "*",
    "none",
    "conv1d(k=999999999999)",
    "CrossAttnDownBlock2D",
    "KDownBlock2D",
    "spatial",
    "\\u0000",
    "\\ud800",
    "\u{202e}",
    "a.b.c.d.e",
    "encoder.999999999.weight",
    "encoder.5.conv.0.weight",
];

/// What is put in anywhere.
const SPLICES: &[&[u8]] = &[
    b"\0",
    b"\xff\xfe",
    b"[[[[[[[[[[[[[[[[",
    b"{\"a\":{\"a\":{\"a\":",
    b"\"",
    b"}",
    b",",
    b"\n",
    b";",
    b"=",
    b"+",
    b"(",
    b"#",
];

#[test]
fn every_example_is_read_or_refused_by_name() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    for parser in PARSERS {
        let results: Vec<_> = (parser.examples)().iter().map(|example| (parser.read)(example)).collect();
        assert!(results.iter().any(Result::is_ok), "{}: {results:?}", parser.name);
    }
}

#[test]
fn corrupted_files_are_refused_with_a_word() {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    let mut total = 0;
    for parser in PARSERS {
        let examples = (parser.examples)();
        examples.iter().for_each(|example| drop((parser.read)(example)));
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let (mut refused, mut messages, mut most) = (0, BTreeSet::new(), 0.0f64);
        for _ in 0..CORRUPTIONS {
            let bytes = corrupted(examples.choose(&mut rng).unwrap(), &mut rng);
            let (result, peak) = read(parser, &bytes);
            let allowed = counted::allowed_bytes(bytes.len()) + parser.room_bytes;
            let shown = || format!("{}: {}", parser.name, String::from_utf8_lossy(&bytes));
            assert!(peak <= allowed, "{peak} bytes of memory, {allowed} are allowed: {}", shown());
            most = most.max(peak as f64 / allowed as f64);
            if let Err(message) = result {
                assert!(!message.trim().is_empty(), "{}", shown());
                refused += 1;
                messages.insert(message.chars().filter(|c| !c.is_ascii_digit()).collect::<String>());
            }
        }
        eprintln!(
            "{:<13} {refused} of {CORRUPTIONS} refused with {} different messages, {:.0} % of the memory allowed",
            parser.name,
            messages.len(),
            100.0 * most
        );
        assert!(refused > CORRUPTIONS / 10, "{}: {refused} refused: the corruptions hardly corrupt", parser.name);
        total += CORRUPTIONS;
    }
    assert!(total >= 10_000);
}

/// One reading and the memory that it took; a panic shows the input.
fn read(parser: &Parser, bytes: &[u8]) -> (Result<(), String>, usize) {
    let reading = AssertUnwindSafe(|| counted::counted(|| (parser.read)(bytes)));
    catch_unwind(reading)
        .unwrap_or_else(|_| panic!("{} panicked on {:?}", parser.name, String::from_utf8_lossy(bytes)))
}

fn corrupted(whole: &[u8], rng: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..rng.random_range(1..4) {
        match rng.random_range(0..9) {
            0 => bytes.truncate(rng.random_range(0..=bytes.len())),
            1 => flip(&mut bytes, rng),
            2 => replace(&mut bytes, rng, |b| b.is_ascii_digit() || b"-.".contains(&b), NUMBERS),
            3 => replace(&mut bytes, rng, |b| b.is_ascii_digit(), NUMBERS),
            4 => replace(&mut bytes, rng, |b| b.is_ascii_alphanumeric() || b"_./*-".contains(&b), WORDS),
            5 => splice(&mut bytes, rng),
            6 => repeat(&mut bytes, rng),
            7 => cut(&mut bytes, rng),
            _ => header_fits(&mut bytes),
        }
    }
    bytes
}

fn flip(bytes: &mut [u8], rng: &mut ChaCha8Rng) {
    if !bytes.is_empty() {
        let at = rng.random_range(0..bytes.len());
        bytes[at] ^= 1 << rng.random_range(0..8);
    }
}

/// Another text in the place of a run of bytes of one kind.
fn replace(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng, kind: impl Fn(u8) -> bool, by: &[&str]) {
    let starts: Vec<usize> =
        (0..bytes.len()).filter(|&i| kind(bytes[i]) && (i == 0 || !kind(bytes[i - 1]))).collect();
    if let Some(&start) = starts.choose(rng) {
        let length = bytes[start..].iter().take_while(|&&byte| kind(byte)).count();
        bytes.splice(start..start + length, by.choose(rng).unwrap().bytes());
    }
}

fn splice(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let at = rng.random_range(0..=bytes.len());
    bytes.splice(at..at, SPLICES.choose(rng).unwrap().iter().copied());
}

/// A part stands there many times.
fn repeat(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let part = part(bytes, rng);
    let again = bytes[part.clone()].repeat(rng.random_range(1..20));
    bytes.splice(part.end..part.end, again);
}

fn cut(bytes: &mut Vec<u8>, rng: &mut ChaCha8Rng) {
    let part = part(bytes, rng);
    bytes.drain(part);
}

fn part(bytes: &[u8], rng: &mut ChaCha8Rng) -> std::ops::Range<usize> {
    let start = rng.random_range(0..=bytes.len());
    start..(start + rng.random_range(0..40)).min(bytes.len())
}

/// A safetensors header that says its own length: corrupted ones are then looked at beyond it.
fn header_fits(bytes: &mut [u8]) {
    let end = bytes.iter().rposition(|&byte| byte == b'}').map_or(0, |at| at + 1);
    if let (Some(length), Some(first)) = (end.checked_sub(8), bytes.first_chunk_mut::<8>())
        && bytes_look_binary(first)
    {
        *first = (length as u64).to_le_bytes();
    }
}

fn bytes_look_binary(first: &[u8; 8]) -> bool {
    first[4..] == [0; 4]
}
