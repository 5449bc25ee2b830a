# containerd's CRI where systemd is: rows of its own, and others of the suite that runs everywhere.
# shellcheck shell=bash disable=SC2016,SC2154,SC1091 # containers expand; common.sh defines

. /work/base/cri.sh
. /work/common.sh

# A pod's parent is a slice, by its whole path, as a kubelet has it whose cgroupDriver is `systemd`.
in_place_of pod 's|/kubepods/$name|/kubepods.slice/kubepods-$name.slice|'
in_place_of write_config '/sed/s/sed "/sed "s|SystemdCgroup = false.*|SystemdCgroup = true|; /'
# v2's weight for 512 shares, by the formula that newer runtimes have.
in_place_of row_limits 's/ 512 20 / 512 20 59 /'

[ -x /work/programs/crictl ] || crictl() { skip "crictl is built by integration_tests/engines/run cri-1.7"; }
in_place_of start '1s/.*/base_start()/'
start() { [ ! -x /work/programs/crictl ] || base_start; }
in_place_of after_row '1s/.*/base_after_row()/'
after_row() { [ ! -x /work/programs/crictl ] || base_after_row; }

unit() { echo "cri-containerd-$(id "$1").scope"; }

row_scope() {
    pod a
    box a one 'exec sleep 1000'
    is_scope "$(pid one)" "$(unit one)" kubepods-a.slice
    is_scope "$(pod_pid a)" "cri-containerd-$(< /work/a.pod).scope" kubepods-a.slice
    has path "$(cgroup_of "$(pid one)")" /kubepods.slice/kubepods-a.slice/
    same output hello "$(in_box one echo hello)"
}

row_reload() { # limits outlive it, and those of an update too
    pod a
    box a one 'exec sleep 1000' '"resources": { "memory_limit_in_bytes": 67108864, "cpu_quota": 20000,
        "cpu_period": 50000, "cpu_shares": 512, "cpuset_cpus": "0" }'
    local set
    set=$(limits "$(pid one)")
    has limits "$set" "memory.max:67108864"
    has limits "$set" "cpu.max:20000 50000"
    reloads
    same "after a reload" "$set" "$(limits "$(pid one)")"
    crictl update --memory 33554432 --cpu-quota 30000 --cpu-period 60000 "$(id one)"
    set=$(limits "$(pid one)")
    has "after an update" "$set" "memory.max:33554432"
    has "after an update" "$set" "cpu.max:30000 60000"
    reloads
    same "after both" "$set" "$(limits "$(pid one)")"
}

row_gone() { # no unit and no cgroup is left, however it ended
    pod a
    box a one 'tail /dev/zero' '"resources": { "memory_limit_in_bytes": 16777216 }'
    exits_with 137 one
    wait_for "its unit to go" eval '[ -z "$(units "$(unit one)")" ]'
    crictl rmp --force "$(< /work/a.pod)"
    same units "" "$(units 'cri-containerd-*')"
    same cgroups "" "$(cgroups 'cri-containerd-*')"
}

row_nothing_left() {
    same pods "" "$(crictl pods -q)$(crictl ps -aq)"
    same states "" "$(ls $states)"
    same units "" "$(units 'cri-containerd-*')"
    same cgroups "" "$(cgroups 'cri-containerd-*')"
    same shims "" "$(pgrep -f containerd-shim)"
    systemctl stop kubepods.slice
}
