# Part of `run`: the figures of the runtime named rind, beside what they are to be.
# shellcheck shell=bash disable=SC2154 # variables are run's
#
# A goal is what the figure is to become, on both bundles. A limit is what it is today, on the Docker
# bundle and a cgroup v1 hybrid host, and some room: a few percent of a count, 15 percent or more of a
# ratio of times. Nothing here is a time, as that would be of one machine. Wall times are the shortest of
# all rounds, CPU times are medians. Where other programs keep all CPUs busy, wall times of a few
# milliseconds differ by half from one run to the next, and CPU times by a tenth. So limits are of CPU time,
# and of wall time only where rind is far below the other.

figures_file=$out/figures.tsv
wall=11 cpu=8
missed=0

# Writes figures.tsv, and prints it as a table; ends with status 1 where a limit is missed that counts.
figures() {
    [ -n "${runtimes[rind]-}" ] || return 0
    : > "$figures_file"
    [ "$counts" = yes ] || time_figures
    count_figures
    [ "$counts" = yes ] || seccomp_figures
    printf '\nThe figures of rind\n\n'
    awk -F '\t' -f "$here/figures.awk" "$figures_file"
    if [ $missed -gt 0 ] && { [ "$check" = yes ] || [ "$counts" = yes ]; }; then
        die "$missed limits missed"
    fi
}

time_figures() {
    local many="${standing[-1]} standing" few="${standing[0]} standing"
    of "run, warm, of the floor's time" warm run floor $wall 1.20 -
    of "run, cold, of the floor's time" cold run floor $wall 1.25 -
    of "run, warm, of the floor's CPU time" warm run floor $cpu 1.25 1.75
    of "run, warm, of crun's time" warm run crun $wall 0.55 0.32
    of "run, warm, of crun's CPU time" warm run crun $cpu - 0.29
    of "run, cold, of crun's time" cold run crun $wall 0.28 0.32
    of "create, of crun's time" life create crun $wall 0.50 0.25
    of "create, of crun's CPU time" life create crun $cpu 0.50 0.20
    of "exec, of crun's time" warm exec crun $wall 0.50 -
    of "exec, of crun's CPU time" warm exec crun $cpu 0.50 0.43
    of "delete, of crun's time" life delete crun $wall 0.50 -
    of "delete, of crun's CPU time" life delete crun $cpu - 0.18
    of "start, of crun's time" life start crun $wall 0.40 -
    of "state, of crun's time" life state crun $wall 0.40 -
    of "state, of crun's CPU time" life state crun $cpu - 0.12
    of "kill, of crun's time" life kill crun $wall 0.40 -
    figure "$runs runs, $at_once at a time, of crun's time" - \
        "$(ratio docker "$at_once at a time" "$runs runs" crun $wall)" 0.60 0.35
    figure "list, $many, of crun's time" - "$(ratio docker "$many" list crun $wall)" 0.50 0.45
    figure "create, $many, of that with ${standing[0]} (the floor's: $(growth floor))" - "$(growth rind)" 1.05 -
    if [ "$full" = yes ]; then figure "run, twice as much of one thing, of the time" - "$(twice_as_much)" 2.20 2.50; fi
}

# growth RUNTIME: what many standing containers do to the time of create
growth() {
    quotient "$(time_of docker "$many" create "$1" $wall)" "$(time_of docker "$few" create "$1" $wall)"
}

count_figures() {
    # Three of the calls are for a state directory on a disk: init is told with the boot that it is of.
    local calls=436 above=132 page_faults=127
    # With v2 alone: Debian 13, whose kernel (6.12) takes more faults for the same.
    [ -n "$(v1_mounts)" ] || calls=378 above=204 page_faults=143
    figure "run, system calls (the floor's: $(counted minimal floor calls), $(counted docker floor calls))" "$(counted minimal rind calls)" "$(counted docker rind calls)" 330 $calls
    figure "run, system calls above the floor's" "$(above_floor minimal)" "$(above_floor docker)" - $above
    figure "run, page faults" "$(counted minimal rind faults)" "$(counted docker rind faults)" 150 $page_faults
    figure "run, peak memory, MB" "$(megabytes minimal rss 1024)" "$(megabytes docker rss 1024)" 1.45 1.40
    figure "memory charged before the start, MB" "$(megabytes minimal charged 1048576)" \
        "$(megabytes docker charged 1048576)" 0.20 0.12
    figure "the program's file, MB" - "$(megabytes - size 1048576)" - 2.60
}

# What rind's own processes call beyond what the floor's do.
above_floor() {
    local floor
    floor=$(counted "$1" floor calls)
    [ -z "$floor" ] || echo $(($(counted "$1" rind calls) - floor))
}

# megabytes BUNDLE WHAT UNITS: a count of which there are so many in a megabyte
megabytes() { counted "$1" rind "$2" | awk -v units="$3" '{ printf "%.2f", $1 / units }'; }

seccomp_figures() {
    local peer=libseccomp tree=libseccomp-tree
    figure "seccomp, filters of a container" - \
        "$(awk '$1 == "filters" && $2 == "rind" { print $3 }' "$seccomp")" - 1
    has_libseccomp || return 0
    figure "seccomp, instructions, of libseccomp's" - "$(filter_ratio $peer 2)" - 0.30
    figure "seccomp, compiling, of libseccomp's time" - "$(filter_ratio $peer 3)" - 0.03
    figure "seccomp, allowed call, of libseccomp's time" - "$(filter_ratio $peer 4)" - 1.10
    figure "seccomp, call by argument, of its tree's time" - "$(filter_ratio $tree 5)" - 1.10
    figure "seccomp, denied call, of its tree's time" - "$(filter_ratio $tree 6)" - 1.10
}

# filter_ratio PEER COLUMN: rind's over the peer's; columns as cost.rs prints them
filter_ratio() {
    awk -F '\t' -v peer="$1" -v column="$2" '{ value[$1] = $column } END {
        if (value["rind"] > 0 && value[peer] > 0) printf "%.3f", value["rind"] / value[peer] }' "$seccomp"
}

# of NAME PACE STEP PEER COLUMN GOAL LIMIT: rind's time over the peer's, on both bundles
of() {
    figure "$1" "$(ratio minimal "$2" "$3" "$4" "$5")" "$(ratio docker "$2" "$3" "$4" "$5")" "$6" "$7"
}

# figure NAME MINIMAL DOCKER GOAL LIMIT: an empty value could not be measured here, `-` is not looked for.
# A limit that there is no value for is missed with --check, which sees to it that all can be measured.
figure() {
    local verdict=-
    if [ "$5" != - ] && { [ -n "$3" ] || [ "$check" = yes ] || [ "$counts" = yes ]; }; then
        verdict=$(awk -v is="$3" -v limit="$5" 'BEGIN { print (is + 0 > 0 && is + 0 <= limit) ? "kept" : "MISSED" }')
        [ "$verdict" = kept ] || missed=$((missed + 1))
    fi
    printf '%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "${2:--}" "${3:--}" "$4" "$5" "$verdict" >> "$figures_file"
}

# ratio BUNDLE PACE STEP PEER COLUMN: rind's time over the peer's
ratio() {
    quotient "$(time_of "$1" "$2" "$3" rind "$5")" "$(time_of "$1" "$2" "$3" "$4" "$5")"
}

quotient() { awk -v a="$1" -v b="$2" 'BEGIN { if (a > 0 && b > 0) printf "%.2f", a / b }'; }

# time_of BUNDLE PACE STEP RUNTIME COLUMN
time_of() {
    awk -F '\t' -v key="$1 $2 $4 $3" -v column="$5" \
        '$1 " " $2 " " $3 " " $4 == key { print $column }' "$medians"
}
