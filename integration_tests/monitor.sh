# What scripts that run a suite share: the machine must be as it was before. They set `out`, the
# directory of the suite, `here`, which lies beside this file, and define `note` and `die`.
# shellcheck shell=bash

# monitor before|after RUNTIME: looks at the machine, or what is different
monitor() {
    # cargo executes it in its place, so that its parent is this script.
    cargo run --quiet --locked --manifest-path "$here/../Cargo.toml" --bin monitor -- \
        "$1" "$out/machine.json" "$out/" -- "$2"
}

# monitor_starts RUNTIME
monitor_starts() {
    rm -f "$out/machine.json"
    command -v cargo > /dev/null || { note "no cargo: what is left on the machine is not looked for"; return; }
    monitor before "$1" || die "could not look at the machine"
}

# monitor_ends RUNTIME: fails if anything is different
monitor_ends() {
    [ ! -e "$out/machine.json" ] || monitor after "$1"
}
