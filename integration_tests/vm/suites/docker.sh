# Docker where systemd is: rows of its own, and others of the suite that runs everywhere.
# shellcheck shell=bash disable=SC2016,SC2154,SC1091 # containers expand; common.sh defines

. /work/base/docker.sh
. /work/common.sh

# What docs/engines/docker.md tells users to write. systemd is Docker's own choice here.
start() {
    local driver=''
    [ "$manager" = systemd ] || driver=', "exec-opts": ["native.cgroupdriver=cgroupfs"]'
    cat > /work/daemon.json <<- END
	{"runtimes": {"under-test": {"path": "$runtime"}},
	 "default-runtime": "under-test"$driver}
	END
    daemon docker
    import_image
}

# limit V1NAME V2NAME: what box's cgroup has in the file
limit() { cgroup_file "$(inspect .State.Pid)" "$@"; }
unit() { echo "docker-$(inspect .Id).scope"; }

row_scope() {
    same driver "$manager 2" "$(docker info -f '{{.CgroupDriver}} {{.CgroupVersion}}')"
    box busybox sleep 1000
    local pid
    pid=$(inspect .State.Pid)
    if [ "$manager" = systemd ]; then
        is_scope "$pid" "$(unit)" system.slice
    else
        same cgroup "/docker/$(inspect .Id)" "$(cgroup_of "$pid")"
    fi
    docker exec -d box sleep 999
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
    docker update --memory 96m --memory-swap 128m --cpus 0.7 --pids-limit 30 box
    set=$(limits "$pid")
    has "after an update" "$set" "memory.max:100663296"
    has "after an update" "$set" "cpu.max:70000 100000"
    has "after an update" "$set" "pids.max:30"
    reloads
    same "after both" "$set" "$(limits "$pid")"
    [ "$manager" != systemd ] || same MemoryMax 100663296 "$(property "$(unit)" MemoryMax)"
    shows "not permitted" docker exec box sh -c 'mknod /d b 7 0; : < /d' # devices as well
}

row_gone() { # no unit and no cgroup is left, however it ended
    box --memory 16m --memory-swap 16m busybox tail /dev/zero
    docker wait box
    local id
    id=$(inspect .Id)
    wait_for "the cgroup's end" test -z "$(cgroups "*$id*")"
    same units "" "$(units "docker-*")"
    docker rm box
    box busybox sleep 1000
    id=$(inspect .Id)
    docker rm -f box
    same cgroups "" "$(cgroups "*$id*")"
    same units "" "$(units "docker-*")"
}

row_unit_stops() { # by somebody who asks systemd
    with_systemd
    box busybox sh -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" docker exec box test -e /ready
    systemctl stop "$(unit)"
    becomes .State.Status exited
    same status 3 "$(inspect .State.ExitCode)"
    docker start box
    is_scope "$(inspect .State.Pid)" "$(unit)" system.slice
}

row_slice() { # --cgroup-parent
    with_systemd
    box --cgroup-parent mine-inner.slice --memory 64m busybox sleep 1000
    is_scope "$(inspect .State.Pid)" "$(unit)" mine-inner.slice
    has path "$(cgroup_of "$(inspect .State.Pid)")" /mine.slice/mine-inner.slice/docker-
    same memory 67108864 "$(limit memory.max)"
    systemctl set-property --runtime mine-inner.slice MemoryMax=128M
    same "the slice's" 134217728 "$(cat /sys/fs/cgroup/mine.slice/mine-inner.slice/memory.max)"
    same "still its own" 67108864 "$(limit memory.max)"
    docker exec box true
    docker rm -f box
    same cgroups "" "$(cgroups 'docker-*')"
    systemctl stop mine.slice
}

row_cgroup_view() { # what containers see of their cgroup
    same private "0::/" "$(docker run --rm busybox cat /proc/self/cgroup)"
    local path=/docker/
    [ "$manager" != systemd ] || path=/system.slice/docker-
    has host "$(docker run --rm --cgroupns host busybox cat /proc/self/cgroup)" "0::$path"
    has controllers "$(docker run --rm busybox cat /sys/fs/cgroup/cgroup.controllers)" memory
    shows "Read-only file system" docker run --rm busybox sh -c 'mkdir /sys/fs/cgroup/x || true'
    same limit 67108864 "$(docker run --rm --memory 64m busybox cat /sys/fs/cgroup/memory.max)"
    docker run --rm --privileged busybox sh -ec 'mkdir /sys/fs/cgroup/init
        echo $$ > /sys/fs/cgroup/init/cgroup.procs
        echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control'
}

row_io() { # limits of a disk
    box --device-read-bps /dev/vda:1mb --device-write-iops /dev/vda:100 busybox sleep 1000
    same limits "$(stat -c %Hr:%Lr /dev/vda) rbps=1048576 wbps=max riops=max wiops=100" "$(limit io.max)"
}

in_place_of row_nothing_left '1s/.*/base_nothing_left()/'

row_nothing_left() {
    base_nothing_left
    same units "" "$(units 'docker-*')"
    same "cgroups of scopes" "" "$(cgroups 'docker-*')"
}
