#!/bin/sh
# As cargo's RUSTC_WRAPPER: the project's own crates with libFuzzer's coverage and without truncating the others' build.
rustc=$1
shift
case " $* " in
*" --crate-name tnas_"*)
    exec "$rustc" "$@" --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1
    ;;
esac
exec "$rustc" "$@"
