#!/usr/bin/env bash
# Runs fuzz targets one after the other, and says at the end which of them found something, and with which input.
#
# run.sh [target…]; without arguments: all. FUZZ_SECONDS each (60); FUZZ_ARGS: more for libFuzzer. Inputs that reach something new are kept in fuzz/corpus/TARGET, those that
# break a law in fuzz/artifacts/TARGET; put such a one into fuzz/seeds/TARGET, and tests/fuzz has it for ever.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${FUZZ_SECONDS:-60}
[ $# -gt 0 ] || set -- $(ls fuzz/seeds)
# No sanitizer: there is no unsafe code of ours to look after, and every one halves the speed. Overflows and debug assertions are on.
cargo +nightly fuzz build --fuzz-dir fuzz -s none -a decoders || exit 1
found=()
for target in "$@"; do
  mkdir -p "fuzz/corpus/$target" "fuzz/artifacts/$target"
  printf '\n==> %s\n' "$target"
  LAKEHEAD_FUZZ_TARGET=$target cargo +nightly fuzz run --fuzz-dir fuzz -s none -a decoders "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=1 -verbosity=0 -artifact_prefix="fuzz/artifacts/$target/" ${FUZZ_ARGS:-} ||
    found+=("$target")
done
printf '\n%d targets, %s s each; broken: %s\n' $# "$seconds" "${found[*]:-none}"
[ ${#found[@]} = 0 ]
