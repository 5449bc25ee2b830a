# Part of `run`: many containers, at the same time and standing, and configs with much in them.
# shellcheck shell=bash disable=SC2154 # variables are run's

readonly runs=64 at_once=8

# measure_throughput ROUNDS: `run`, as a machine does it that starts many containers.
measure_throughput() {
    local i
    for ((i = 0; i < runs; i++)); do
        another_bundle "$out/docker" "$out/docker/many/$i" "many-$i"
    done
    measure docker "$at_once at a time" -r $((($1 + 4) / 5)) < <(throughput_scenarios)
}

throughput_scenarios() {
    local runtime many="@many $runs $at_once"
    printf 'floor\t%s runs=%s\n' $runs "$many $(floor docker) $out/docker/rootfs /bin/true"
    for runtime in "${order[@]}"; do
        printf '%s\t%s runs=%s\n' "$runtime" $runs \
            "$many $(call "$runtime") run --bundle $out/docker/many/@N @ID-@N"
    done
}

# measure_standing ROUNDS: every runtime has as many, and none is stopped until all is measured.
measure_standing() {
    local count runtime i from=1
    for count in "${standing[@]}"; do
        note "$count standing containers of each ..."
        for runtime in "${order[@]}"; do
            for ((i = from; i <= count; i++)); do
                start_container "$runtime" docker "$runtime-$i"
            done
        done
        from=$((count + 1))
        measure docker "$count standing" -r "$1" < <(standing_scenarios)
    done
    note "stopping them ..."
    for runtime in "${order[@]}"; do
        for ((i = 1; i < from; i++)); do
            $(call "$runtime") delete --force "$name-$runtime-$i" || true
        done > "$out/stop.log" 2>&1
    done
}

standing_scenarios() {
    local runtime call first
    floor_life docker
    for runtime in "${order[@]}"; do
        call=$(call "$runtime")
        first=$name-$runtime-1
        [ -e "$state/$runtime/$first" ] || continue
        printf '%s' "$runtime"
        printf '\t%s' "create=$call create --bundle $out/docker/life --pid-file $state/$runtime.pid @ID" \
            "exec=$call exec $first /bin/true" "list=$call list" "list -q=$call list -q" \
            "state=$call state $first"
        end_of_life "$runtime"
    done
}

# Time of `run` of rind by the length of one list of its config, and by the number of the host's mounts.
# medians.tsv has them as of the bundle `odd`: what is many, rind, how many.
measure_odd_inputs() {
    local part
    [ -n "${runtimes[rind]-}" ] || return 0
    for part in 0 1 2 4; do
        odd_bundle annotations $((4096 * part)) '{' \
            '"annotations":{' '"of.no.use.%06d":"a value of forty characters, no more, as"' '},'
        odd_bundle masks $((15000 * part)) '"maskedPaths": [' '' '"/of/no/use/%d"' ','
        odd_bundle devices $((5000 * part)) '"linux": {' \
            '"devices":[' '{"path":"/dev/odd/%d","type":"c","major":1,"minor":3,"fileMode":438}' '],'
    done
    # Last, as they are not unmounted: they end with our mount namespace.
    for part in 0 2500 2500 5000; do
        add_host_mounts "$part"
        odd 'host mounts' "$(grep -c " $out/mounts/" /proc/self/mountinfo || true)" "$out/minimal"
    done
}

# odd WHAT COUNT BUNDLE
odd() {
    measure odd "$1" -r 5 < <(printf 'rind\t%s=%s\n' "$2" "$(call rind) run --bundle $3 @ID")
}

# odd_bundle WHAT COUNT ANCHOR OPENING ITEM CLOSING: the minimal bundle, with COUNT items behind the
# text ANCHOR; ITEM is a format of their number.
odd_bundle() {
    local bundle=$out/odd/$1-$2
    mkdir -p "$bundle"
    awk -v count="$2" -v anchor="$3" -v opening="$4" -v item="$5" -v closing="$6" '
        { text = text $0 "\n" }
        END {
            behind = index(text, anchor) + length(anchor)
            printf "%s", substr(text, 1, behind - 1)
            if (count > 0) printf "%s", opening
            for (i = 0; i < count; i++) printf "%s" item, i ? "," : "", i
            if (count > 0) printf "%s", closing
            printf "%s", substr(text, behind)
        }' "$out/minimal/life/config.json" | sed 's|"/bin/sleep", "[0-9]*"|"/bin/true"|' > "$bundle/config.json"
    odd "$1" "$2" "$bundle"
}

# add_host_mounts COUNT: bind mounts below mounts/, in hundreds, since one recursive bind makes so many.
add_host_mounts() {
    local i inner target hundred=$out/mounts/first
    mkdir -p "$hundred"/{1..99}
    for ((i = 0; i < $1 / 100; i++)); do
        if ! mountpoint -q "$hundred"; then
            mount --bind "$hundred" "$hundred"
            for inner in "$hundred"/*; do mount --bind "$inner" "$inner"; done
        else
            target=$(mktemp -d "$out/mounts/more.XXXXXX")
            mount --rbind "$hundred" "$target"
        fi
    done
}

# The longest time of twice as much, of the time of half.
twice_as_much() {
    awk -F '\t' '$1 == "odd" && $5 > 0 { wall[$2, $4] = $11 }
        END {
            for (row in wall) {
                split(row, at, SUBSEP)
                if ((at[1], at[2] * 2) in wall && at[2] > 0) {
                    ratio = wall[at[1], at[2] * 2] / wall[row]
                    if (ratio > most) most = ratio
                }
            }
            if (most) printf "%.2f", most
        }' "$medians"
}

print_odd_inputs() {
    [ "$full" = yes ] || return 0
    printf '\nrun of rind with much of one thing\n\n| much of | how many | shortest ms | CPU ms | peak RSS MB |\n'
    echo '|---|---:|---:|---:|---:|'
    awk -F '\t' '$1 == "odd" { printf "| %s | %s | %.2f | %.2f | %.2f |\n", $2, $4, $11 / 1000, $8 / 1000, $9 / 1024 }' \
        "$medians"
}
