#![no_main]

use tnas_fuzz::{outside::metadata_csv::PARSER, run, start};

libfuzzer_sys::fuzz_target!(init: start(&PARSER), |bytes: &[u8]| run(&PARSER, bytes));
