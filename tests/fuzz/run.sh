#!/bin/sh
# Builds the fuzzers and runs one parser after the other, each for some seconds; finds end in the folder of its parser.
#   tests/fuzz/run.sh SECONDS [PARSER…]
set -eu
cd "$(dirname "$0")"
seconds=$1
shift
[ $# -gt 0 ] || set -- $(ls fuzz_targets | sed 's/\.rs$//')
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/../../target-fuzz}"
RUSTC_WRAPPER="$PWD/instrument.sh" ${CARGO:-cargo} build --release
for parser; do
    work=$CARGO_TARGET_DIR/fuzz/$parser
    program=$CARGO_TARGET_DIR/release/$parser
    mkdir -p "$work/corpus"
    SEEDS=$work/corpus "$program" -runs=0 >/dev/null 2>&1
    if "$program" -max_total_time="$seconds" -timeout=10 -max_len=8192 -print_final_stats=1 \
        -artifact_prefix="$work/" "$work/corpus" >"$work/log" 2>&1; then
        echo "$parser: clean after $seconds s, $(grep -o 'number_of_executed_units: *[0-9]*' "$work/log")"
    else
        echo "$parser: FAILED, see $work/log"
    fi
done
