# Podman where systemd is, as root or as `user`: rows of its own, and others of the suite that runs
# everywhere.
# shellcheck shell=bash disable=SC2016,SC2154,SC1091,SC2030,SC2031 # containers expand; common.sh defines

. /work/base/podman.sh
. /work/common.sh

# Podman's own default is not asked of the runtime there.
[ "$who $manager" != "user cgroupfs" ] || in_place_of row_pids '/same default 2048/d'

unset INVOCATION_ID # or Podman takes itself for a service, and leaves conmon where it is

# What docs/engines/podman.md tells users to write.
configure() {
    local name=${runtime##*/}
    export CONTAINERS_CONF=/work/containers.conf
    cat > $CONTAINERS_CONF <<- END
	[containers]
	log_driver = "k8s-file"
	[engine]
	cgroup_manager = "$manager"
	events_logger = "file"
	exit_command_delay = 1 # seconds, for the clean-up after a detached exec; 300 by default
	runtime = "$name"
	runtime_supports_json = ["$name"]
	runtime_supports_nocgroup = ["$name"]
	stop_timeout = 2
	[engine.runtimes]
	$name = ["$runtime"]
	[network]
	network_backend = "netavark"
	END
}

# The rows say `podman`, whoever's it is to be.
add_user() {
    [ "$who" = user ] || return 0
    wait_for "the user's systemd" systemd is-active default.target
    { declare -f as_user; echo "CONTAINERS_CONF=$CONTAINERS_CONF; as_user /usr/bin/podman \"\$@\""; } |
        sed '1i#!/bin/bash' > /usr/local/bin/podman
    chmod +x /usr/local/bin/podman
}

# Of a user there is but the one.
after_row() {
    podman pod rm -af -t 0
    podman rm -af -t 0
    podman volume prune -f
    podman network prune -f
}

unit() { echo "libpod-$(inspect .Id).scope"; }

# The cgroup that is above those of containers, and their slice.
home() { if [ "$who" = root ]; then echo /machine.slice; else echo "$(user_manager)/user.slice"; fi; }
slice() { if [ "$who" = root ]; then echo machine.slice; else echo user.slice; fi; }
user_manager() { echo /user.slice/user-1000.slice/user@1000.service; }

row_scope() {
    same manager "$manager v2" "$(podman info -f '{{.Host.CgroupManager}} {{.Host.CgroupsVersion}}')"
    box busybox sleep 1000
    local pid
    pid=$(inspect .State.Pid)
    if [ "$manager" = systemd ]; then
        is_scope "$pid" "$(unit)" "$(slice)"
        same path "$(home)/$(unit)" "$(cgroup_of "$pid")"
        same "conmon's" "$(home)/libpod-conmon-$(inspect .Id).scope" "$(cgroup_of "$(inspect .State.ConmonPid)")"
    elif [ "$who" = root ]; then
        same path "/libpod_parent/libpod-$(inspect .Id)" "$(cgroup_of "$pid")"
    elif [ "${runtime##*/}" = rind ]; then
        # Podman names no cgroup then, and rind asks the user's systemd all the same.
        is_scope "$pid" "rind-$(inspect .Id).scope" user.slice
    fi
    podman exec -d box sleep 999
    wait_for "the exec" pgrep -x -f 'sleep 999'
    same "cgroup of exec" "$(cgroup_of "$pid")" "$(cgroup_of "$(pgrep -x -f 'sleep 999')")"
}

row_reload() { # limits outlive it, and those of an update too
    box --memory 64m --memory-swap 80m --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 20 \
        busybox sleep 1000
    local pid set
    pid=$(inspect .State.Pid)
    set=$(limits "$pid")
    has limits "$set" "memory.max:67108864"
    has limits "$set" "memory.swap.max:16777216"
    has limits "$set" "cpu.max:50000 100000"
    has limits "$set" "cpuset.cpus:0"
    has limits "$set" "pids.max:20"
    reloads
    same "after a reload" "$set" "$(limits "$pid")"
    podman update --memory 96m --memory-swap 128m --cpus 0.7 box
    set=$(limits "$pid")
    has "after an update" "$set" "memory.max:100663296"
    has "after an update" "$set" "memory.swap.max:33554432"
    has "after an update" "$set" "cpu.max:70000 100000"
    has "after an update" "$set" "pids.max:20"
    reloads
    same "after both" "$set" "$(limits "$pid")"
    [ "$manager" != systemd ] || same MemoryMax 100663296 "$(property "$(unit)" MemoryMax)"
}

row_update() {
    box --memory 64m busybox sleep 1000
    podman update --memory 32m --memory-swap 48m --cpu-shares 512 --cpus 0.5 --cpuset-cpus 0 box
    local set
    set=$(limits "$(inspect .State.Pid)")
    has memory "$set" "memory.max:33554432"
    has swap "$set" "memory.swap.max:16777216"
    has quota "$set" "cpu.max:50000 100000"
    has processors "$set" "cpuset.cpus:0"
    podman update --cpus 1 box
    has "quota after" "$(limits "$(inspect .State.Pid)")" "cpu.max:100000 100000"
    [ "$(podman version -f '{{.Client.Version}}' | cut -d. -f1)" -ge 5 ] || return 0
    podman update --pids-limit 50 box # which older ones can't
    has pids "$(limits "$(inspect .State.Pid)")" "pids.max:50"
}

row_cpu() {
    box --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 busybox sleep 1000
    local set
    set=$(limits "$(inspect .State.Pid)")
    has quota "$set" "cpu.max:50000 100000"
    grep -xE 'cpu.weight:(20|59)' <<< "$set" # by the old formula and the new
    same affinity 0 "$(podman exec box sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status)"
}

row_gone() { # no unit and no cgroup is left, however it ended
    box --memory 16m --memory-swap 16m busybox tail /dev/zero
    podman wait box
    local id
    id=$(inspect .Id)
    wait_for "the clean-up" sh -c "[ -z \"\$(find /sys/fs/cgroup -type d -name '*$id*')\" ]"
    same units "" "$(units "*$id*")"
    podman rm box
    box busybox sleep 1000
    id=$(inspect .Id)
    podman rm -f -t 0 box
    wait_for "conmon's end" sh -c "[ -z \"\$(find /sys/fs/cgroup -type d -name '*$id*')\" ]"
    same units "" "$(units "*$id*")"
}

row_unit_stops() { # by somebody who asks systemd
    with_systemd
    box busybox sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c 'podman logs box | grep ready'
    systemd stop "$(unit)"
    same status 3 "$(podman wait box)"
    podman start box
    is_scope "$(inspect .State.Pid)" "$(unit)" "$(slice)"
}

row_slice() { # --cgroup-parent
    with_systemd
    box --cgroup-parent mine-inner.slice --memory 64m busybox sleep 1000
    is_scope "$(inspect .State.Pid)" "$(unit)" mine-inner.slice
    has path "$(cgroup_of "$(inspect .State.Pid)")" /mine.slice/mine-inner.slice/libpod-
    same memory 67108864 "$(limit memory.max)"
    podman exec box true
    podman rm -f -t 0 box
    wait_for "its conmon's end" sh -c '! pgrep -x conmon'
    systemd stop mine.slice
}

row_pod_slice() { # a pod is a slice, with limits of its own
    with_systemd
    podman pod create --name pod --memory 128m --cpus 0.5
    podman run -d --pod pod --name box --memory 64m busybox sleep 1000
    local pod slice
    pod=$(podman pod inspect -f '{{.ID}}' pod)
    slice=$(slice)
    slice=${slice%.slice}-libpod_pod_$pod.slice
    is_scope "$(inspect .State.Pid)" "$(unit)" "$slice"
    same memory 67108864 "$(limit memory.max)"
    same "the pod's" 134217728 "$(cat "/sys/fs/cgroup$(home)/$slice/memory.max")"
    reloads
    same "after a reload" "67108864 134217728" \
        "$(limit memory.max) $(cat "/sys/fs/cgroup$(home)/$slice/memory.max")"
    podman pod rm -f -t 0 pod
    wait_for "the slice's end" sh -c "[ -z \"\$(find /sys/fs/cgroup -type d -name '*$pod*')\" ]"
}

row_cgroups_disabled() {
    box --cgroups disabled busybox sleep 1000
    fails grep libpod- "/proc/$(inspect .State.Pid)/cgroup"
    podman exec box true
    podman stop -t 0 box
    same status 137 "$(inspect .State.ExitCode)"
}

row_cgroups_split() { # below the service that Podman is started in, as quadlets have it
    local run=(systemd-run --quiet --unit=split --property=Delegate=yes --property=Type=exec
        --setenv=CONTAINERS_CONF=$CONTAINERS_CONF /usr/bin/podman run --cgroups split --memory 64m
        --name box busybox sleep 1000)
    if [ "$who" = root ]; then
        "${run[@]}"
    else
        as_user "${run[0]}" --user "${run[@]:1}"
    fi
    wait_for "its start" sh -c 'podman inspect -f "{{.State.Status}}" box | grep running'
    local pid
    pid=$(inspect .State.Pid)
    same cgroup "$(property split.service ControlGroup)/libpod-payload-$(inspect .Id)" "$(cgroup_of "$pid")"
    same memory 67108864 "$(limit memory.max)"
    podman exec box true
    reloads
    same "after a reload" 67108864 "$(limit memory.max)"
    podman stop -t 0 box
    wait_for "the service's end" eval '[ "$(property split.service ActiveState)" != active ]'
    systemd reset-failed split.service || true
    podman rm box
    same cgroups "" "$(cgroups 'libpod-payload-*')"
}

row_other_session() { # made in one cgroup, used from others
    local run=(systemd-run --quiet --pipe --wait --setenv=CONTAINERS_CONF=$CONTAINERS_CONF) user=()
    if [ "$who" = user ]; then
        run+=(--user)
        user=(as_user)
    fi
    "${user[@]}" "${run[@]}" --service-type=exec --property=KillMode=process /usr/bin/podman run -d --name box busybox sleep 1000
    same exec hello "$(podman exec box echo hello)"
    same "exec from a service" hello "$("${user[@]}" "${run[@]}" /usr/bin/podman exec box echo hello)"
    podman exec -d box sleep 999
    wait_for "the exec" pgrep -x -f 'sleep 999'
    same "its cgroup" "$(cgroup_of "$(inspect .State.Pid)")" "$(cgroup_of "$(pgrep -x -f 'sleep 999')")"
    "${user[@]}" "${run[@]}" /usr/bin/podman rm -f -t 0 box
    same containers "" "$(podman ps -aq)"
}

row_cgroup_view() { # what containers see of their cgroup
    same private "0::/" "$(podman run --rm busybox cat /proc/self/cgroup)"
    shows "Read-only file system" podman run --rm busybox sh -c 'mkdir /sys/fs/cgroup/x || true'
    same limit 67108864 "$(podman run --rm --memory 64m busybox cat /sys/fs/cgroup/memory.max)"
    # What a systemd in the container would do.
    podman run --rm --systemd always busybox sh -ec 'mkdir /sys/fs/cgroup/init
        echo 1 > /sys/fs/cgroup/init/cgroup.procs
        echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control'
}

row_nothing_left() {
    same containers "" "$(podman ps -aq)"
    [ "$who" = root ] || podman system migrate # it ends the process that keeps the user's namespaces
    wait_for "conmon's end" sh -c '! pgrep -x conmon'
    same cgroups "" "$(cgroups '*libpod*-????????*')"
    same units "" "$(units 'libpod-*' '*libpod_pod*')"
    same state "" "$(find "/run/${runtime##*/}" "/run/user/1000/${runtime##*/}" -mindepth 1 2> /dev/null)"
    same interfaces "" "$(ip -br link | grep veth || true)"
}
