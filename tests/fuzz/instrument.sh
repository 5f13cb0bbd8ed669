#!/bin/sh
# As cargo's RUSTC_WRAPPER: the project's own crates get libFuzzer's coverage and panic where a release wraps numbers; the
# crates that they use are built as ever. LLVM has the pass in every rustc, so that no nightly one is needed.
rustc=$1
shift
case " $* " in
*" --crate-name tnas_"*)
    exec "$rustc" "$@" --cfg fuzzing -Coverflow-checks=yes -Cdebug-assertions=yes -Ccodegen-units=1 \
        -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
        -Cllvm-args=-sanitizer-coverage-trace-compares
    ;;
esac
exec "$rustc" "$@"
