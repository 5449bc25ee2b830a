# Part of `run`: what is counted, not timed.
# shellcheck shell=bash disable=SC2154 # variables are run's

counts_file=$out/counts.tsv

# counts.tsv: bundle, runtime, what, count.
count() {
    local bundle runtime
    note "counts ..."
    for bundle in "${bundles[@]}"; do
        count_pages "$bundle"
        # shellcheck disable=SC2046 # words
        count_calls "$bundle" floor $(floor "$bundle") "$out/$bundle/rootfs" /bin/true
        for runtime in "${order[@]}"; do
            # shellcheck disable=SC2046 # words
            count_calls "$bundle" "$runtime" $(call "$runtime") run --bundle "$out/$bundle" "$name-strace"
            count_memory "$bundle" "$runtime"
        done
    done
    for runtime in "${order[@]}"; do
        printf '%s\t%s\tsize\t%s\n' - "$runtime" "$(stat -Lc %s "${runtimes[$runtime]}")"
    done >> "$counts_file"
}

# count_pages BUNDLE: page faults that trap, and peak memory in KiB; medians.
count_pages() {
    "$out/measure" -n "$name" -f -w -r 9 2>> "$out/errors.log" < <(run_scenarios "$1") |
        awk -v OFS='\t' -v bundle="$1" '$3 > 0 { print bundle, $1, "rss", $7; print bundle, $1, "faults", $8 }' \
            >> "$counts_file"
}

# count_calls BUNDLE RUNTIME COMMAND...: system calls, of all processes. strace's own sums (-c) leave out
# those that it has no name for, which on Debian 12 are some of rind's.
count_calls() {
    local bundle=$1 runtime=$2 trace=$out/strace.$1.$2
    shift 2
    has strace || return 0
    strace -f -o "$trace" "$@" < /dev/null > /dev/null 2>&1 || return 0
    printf '%s\t%s\tcalls\t%s\n' "$bundle" "$runtime" "$(grep -cE '^[0-9]+ +\w+\(' "$trace")" >> "$counts_file"
}

# count_memory BUNDLE RUNTIME: bytes that a container is charged before its program starts.
count_memory() {
    local bytes
    create_waiting "$2" "$1" || return 0
    bytes=$(charged "$(< "$state/$2.pid")")
    $(call "$2") delete --force "$name-waiting"
    [ -z "$bytes" ] || printf '%s\t%s\tcharged\t%s\n' "$1" "$2" "$bytes" >> "$counts_file"
}

# charged PID: of the cgroup that the process is in. The kernel charges 64 pages at a time for each CPU,
# which memory.usage_in_bytes and memory.current count with. On v1 force_empty gives back what is left
# of them (it also writes out pages of files and swaps, where there is anything of the kind); on v2
# memory.stat has only what is used, brought up to date every two seconds.
charged() {
    local v1 v2
    v1=$(awk '$3 == "cgroup" && $4 ~ /(^|,)memory(,|$)/ { print $2 }' /proc/mounts)
    v1+=$(sed -n 's/^[0-9]*:\([^:]*,\)*memory\(,[^:]*\)*://p' "/proc/$1/cgroup")
    v2=$(v2_mount)$(sed -n 's/^0:://p' "/proc/$1/cgroup")
    if [ -e "$v1/memory.usage_in_bytes" ]; then
        echo 0 > "$v1/memory.force_empty" || true
        cat "$v1/memory.usage_in_bytes"
    elif [ -e "$v2/memory.current" ]; then
        sleep 2.5
        awk -v current="$(< "$v2/memory.current")" '$1 ~ /^(anon|file|kernel)$/ { sum += $2 }
            $1 == "kernel" { exact = 1 }
            END { print exact ? sum : current }' "$v2/memory.stat"
    fi
}

# counted BUNDLE RUNTIME WHAT
counted() {
    [ -e "$counts_file" ] || return 0
    awk -F '\t' -v key="$1 $2 $3" '$1 " " $2 " " $3 == key { print $4 }' "$counts_file"
}

print_counts() {
    printf '\nCounts of run\n\n'
    awk -F '\t' -f "$here/counts.awk" "$counts_file"
}
