#![no_main]

use tnas_fuzz::{outside::webp::PARSER, run, start};

libfuzzer_sys::fuzz_target!(init: start(&PARSER), |bytes: &[u8]| run(&PARSER, bytes));
