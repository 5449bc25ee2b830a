# containerd by ctr where systemd is: rows of its own, and others of the suite that runs everywhere.
# shellcheck shell=bash disable=SC2016,SC2154,SC1091 # containers expand; common.sh defines

. /work/base/containerd.sh
. /work/common.sh

# run ARG...: a container in the foreground, removed at its end; box ARG...: one in the background.
# Each in a scope of its own, whose name is in /work/scope.
run() { ctr run --runc-binary "$runtime" --runc-systemd-cgroup --cgroup "$(scope)" --rm "$@"; }
box() { ctr run --runc-binary "$runtime" --runc-systemd-cgroup --cgroup "$(scope)" --detach "$@"; }
scope() {
    local name=$RANDOM$RANDOM
    echo "ctr-$name.scope" > /work/scope
    echo "system.slice:ctr:$name"
}

row_scope() {
    box $name box sleep 1000
    is_scope "$(pid box)" "$(< /work/scope)" system.slice
    in_box --detach sleep 999
    wait_for "the exec" pgrep -x -f 'sleep 999'
    same "cgroup of exec" "$(cgroup_of "$(pid box)")" "$(cgroup_of "$(pgrep -x -f 'sleep 999')")"
}

row_limits() {
    box --memory-limit 67108864 --cpus 0.5 --cpu-shares 512 $name box sleep 1000
    local set
    set=$(limits "$(pid box)")
    has memory "$set" "memory.max:67108864"
    has quota "$set" "cpu.max:50000 100000"
    grep -xE 'cpu.weight:(20|59)' <<< "$set" # by the old formula and the new
    reloads
    same "after a reload" "$set" "$(limits "$(pid box)")"
    same MemoryMax 67108864 "$(property "$(< /work/scope)" MemoryMax)"
}

row_gone() { # no unit and no cgroup is left, however it ended
    status 137 run --memory-limit 16777216 $name box tail /dev/zero
    same units "" "$(units 'ctr-*')"
    box $name box sleep 1000
    ctr tasks rm --force box || true
    same units "" "$(units 'ctr-*')"
    same cgroups "" "$(cgroups 'ctr-*')"
}

row_unit_stops() { # by somebody who asks systemd
    box $name box sh -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" in_box test -e /ready
    systemctl stop "$(< /work/scope)"
    exits_with 3
}

row_shim_dies() { # containerd cleans up with `delete --force` then, and without --systemd-cgroup
    box $name box sleep 1000
    local pid
    pid=$(pid box)
    pkill -KILL -f 'containerd-shim.*-id box '
    wait_for "the container's end" eval "! [ -e /proc/$pid ]"
    wait_for "its state to go" eval "[ -z \"\$(ls $states)\" ]"
    wait_for "its unit to go" eval '[ -z "$(units "ctr-*")" ]'
    same cgroups "" "$(cgroups 'ctr-*')"
}

row_nothing_left() {
    same states "" "$(ls $states)"
    same units "" "$(units 'ctr-*')"
    same cgroups "" "$(cgroups 'ctr-*')"
    same shims "" "$(pgrep -f containerd-shim)"
}
