# containerd, by its own command line ctr: no network, no defaults of an engine's, one shim a
# container.
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

name=docker.io/library/box:latest
states=/run/containerd/runc/default # the runtime's --root, as the shim gives it

start() {
    daemon || return
    image_archive $name /work/box.tar sh
    ctr images import /work/box.tar
}

# The daemon in the background, without what CRI needs.
daemon() {
    printf 'version = 2\ndisabled_plugins = ["io.containerd.grpc.v1.cri"]\n' > /work/containerd.toml
    # ctr forgets --runc-binary where ids are mapped; the shim then takes what is called runc.
    mkdir -p /work/bin
    ln -sf "$runtime" /work/bin/runc
    PATH=/work/bin:$PATH setsid containerd --config /work/containerd.toml --root /work/containerd \
        --state /run/containerd >> $logs/daemon.log 2>&1 3>&- &
    wait_for containerd ctr version
}

# What a row has left would be in the next one's way.
after_row() {
    ctr version > /dev/null || daemon
    ctr tasks ls -q | xargs -r -n 1 ctr tasks rm --force
    ctr containers ls -q | xargs -r ctr containers rm
}

# run ARG...: a container in the foreground, removed at its end; box ARG...: one in the background.
# Those of systemd's are each in a scope of their own, whose name is in /work/scope.
run() { start_by --rm "$@"; }
box() { start_by --detach "$@"; }
start_by() {
    local by=() scope=$RANDOM$RANDOM
    if [ "$manager" = systemd ]; then
        by=(--runc-systemd-cgroup --cgroup "system.slice:ctr:$scope")
        echo "ctr-$scope.scope" > /work/scope
    fi
    ctr run --runc-binary "$runtime" "${by[@]}" "$@"
}

# task ID [COLUMN]: its status, or another column of `ctr tasks ls`
task() { ctr tasks ls | awk -v id="$1" -v column="${2-3}" '$1 == id { print $column }'; }
pid() { task "$1" 2; }
cgroup() { awk -F: '/memory|^0:/ { print $3; exit }' "/proc/$(pid "$1")/cgroup"; }
becomes() { wait_for "$1 to be $2, not $(task "$1")" is "$1" "$2"; }
is() { [ "$(task "$1")" = "$2" ]; }

# in_box [FLAG=VALUE...] COMMAND...: by exec, in the container box
in_box() {
    local flags=()
    while [[ $1 == -* ]]; do
        flags+=("$1")
        shift
    done
    ctr tasks exec "${flags[@]}" --exec-id "e$RANDOM$RANDOM" box "$@"
}

# exits_with STATUS: the task box ends, with this status
exits_with() {
    becomes box STOPPED
    shows "code $1" ctr tasks rm box
}

# release: which containerd this is, as MAJOR.MINOR
release() { ctr --version | sed 's/.* \([0-9]*\.[0-9]*\)\..*/\1/'; }

row_run() { # quick
    same output hello "$(run $name box echo hello)"
    same input hello "$(echo hello | run $name box head -n 1)"
    shows 'to stderr' run $name box sh -c 'echo to stderr >&2'
    same "containers left" "" "$(ctr containers ls -q)$(ls $states)"
}

row_status() { # quick
    status 0 run $name box true
    status 7 run $name box sh -c 'exit 7'
    status 137 run --memory-limit 16777216 $name box tail /dev/zero
}

row_detach() { # quick host
    box $name box sleep 1000
    same status RUNNING "$(task box)"
    same program "sleep 1000 " "$(tr '\0' ' ' < "/proc/$(pid box)/cmdline")"
    same "of the runtime" "$(pid box)" "$("$runtime" --root $states state box | sed -n 's/.*"pid": *\([0-9]*\).*/\1/p')"
    ctr tasks kill -s KILL box
    exits_with 137
    same task "" "$(task box)"
    same state "" "$(ls $states)"
}

row_scope() { # systemd
    box $name box sleep 1000
    is_scope "$(pid box)" "$(< /work/scope)" system.slice
    in_box --detach sleep 999
    wait_for "the exec" pgrep -x -f 'sleep 999'
    same "cgroup of exec" "$(cgroup_of "$(pid box)")" "$(cgroup_of "$(pgrep -x -f 'sleep 999')")"
}

row_several() { # host
    local id
    for id in one two three four five; do box $name $id sleep 1000 & done
    wait
    same running 5 "$(ctr tasks ls | grep -c RUNNING)"
    same "processes of their own" 1 "$(ctr tasks exec --exec-id e three ps | grep -c sleep)"
}

row_exec() { # quick
    box --env A=b $name box sleep 1000
    same "environment" b "$(in_box sh -c 'echo $A')"
    same "working directory" /tmp "$(in_box --cwd=/tmp pwd)"
    same user 1000:1000 "$(in_box --user=1000:1000 sh -c 'echo $(id -u):$(id -g)')"
    same input hello "$(echo hello | in_box head -n 1)"
    same "init" "sleep 1000" "$(in_box sh -c 'tr "\0" " " < /proc/1/cmdline | sed "s/ $//"')"
    status 7 in_box sh -c 'exit 7'
    status 143 in_box sh -c 'kill $$'
    same "cgroup" "$(cut -d: -f3 /proc/"$(pid box)"/cgroup | sort -u)" \
        "$(in_box --detach sleep 999 && cut -d: -f3 /proc/"$(pgrep -x -f 'sleep 999')"/cgroup | sort -u)"
}

row_exec_fails() { # host
    box $name box sleep 1000
    shows 'executable file not found in $PATH' in_box nonexistent
    shows 'permission denied' in_box /etc/passwd
    same status RUNNING "$(task box)"
}

row_exec_many() {
    local i
    box $name box sleep 1000
    for i in {1..10}; do ctr tasks exec --exec-id "e$i" box sh -c "exit $i" & done
    for i in {1..10}; do wait -n || true; done
    same "processes left" 1 "$(ctr tasks ps box | tail -n +2 | grep -c .)"
}

row_terminal() { # quick
    shows /dev/pts/0 in_terminal "ctr run --runc-binary $runtime --rm --tty $name box tty"
    shows '33 99' in_terminal "ctr run --runc-binary $runtime --rm --tty $name box sh -c 'sleep 1; stty size'"
    box $name box sleep 1000
    shows /dev/pts/0 in_terminal "ctr tasks exec --exec-id tty --tty box tty"
    status 7 in_terminal "ctr tasks exec --exec-id status --tty box sh -c 'exit 7'"
}

row_pause() { # quick
    box $name box sh -c 'while :; do echo >> /beats; sleep 0.1; done'
    wait_for beats in_box test -e /beats
    ctr tasks pause box
    same status PAUSED "$(task box)"
    local beats=/proc/$(pid box)/root/beats before
    before=$(wc -l < "$beats")
    sleep 0.5
    same beats "$before" "$(wc -l < "$beats")"
    fails in_box true
    ctr tasks resume box
    same status RUNNING "$(task box)"
    wait_for "more beats" test "$before" -lt "$(sleep 0.5; wc -l < "$beats")"
    in_box true
}

row_kill_paused() { # host
    box $name box sleep 1000
    ctr tasks pause box
    ctr tasks kill -s KILL box
    ctr tasks resume box || true
    becomes box STOPPED
}

row_ps() { # quick
    box $name box sh -c 'sleep 1000 & sleep 1001 & wait'
    wait_for "both processes" eval '[ "$(ctr tasks ps box | tail -n +2 | grep -c .)" = 3 ]'
    shows "$(pid box)" ctr tasks ps box
}

row_metrics() { # quick
    box --memory-limit 67108864 $name box sh -c 'dd if=/dev/zero of=/dev/shm/file bs=1M count=20; echo > /done; sleep 1000'
    wait_for memory in_box test -s /done
    local metrics usage
    metrics=$(ctr tasks metrics --format json box | tr -d ' \n')
    usage=$(sed -n 's/.*"limit":67108864,"usage":\([0-9]*\).*/\1/p; s/.*"usage":\([0-9]*\),"usage_limit":67108864.*/\1/p' <<< "$metrics")
    ((usage > 20 << 20 && usage < 64 << 20)) || { echo "usage is '$usage' in $metrics"; return 1; }
    shows pids ctr tasks metrics box
}

row_kill() { # quick host
    box $name box sh -c 'trap "exit 9" USR1; echo ready > /ready; while :; do sleep 0.1; done'
    wait_for ready in_box test -e /ready
    ctr tasks kill -s USR1 box
    becomes box STOPPED
    shows 'not found' ctr tasks kill box
    exits_with 9
}

# created COMMAND...: the container box, of which ctr waits between creating and starting it: for a
# network plugin, which waits until /run/network is there
created() {
    local directory
    for directory in /etc/cni /opt; do
        mkdir -p $directory
        mount -t tmpfs cni $directory # the tree is kept
    done
    mkdir -p /etc/cni/net.d /opt/cni/bin
    echo '{"cniVersion": "0.4.0", "name": "slow", "plugins": [{"type": "slow"}]}' > /etc/cni/net.d/slow.conflist
    cat > /opt/cni/bin/slow <<- 'END'
	#!/bin/sh
	[ "$CNI_COMMAND" = ADD ] && until [ -e /run/network ]; do sleep 0.1; done
	[ "$CNI_COMMAND" != VERSION ] || { echo '{"cniVersion": "0.4.0", "supportedVersions": ["0.4.0"]}'; exit; }
	echo '{"cniVersion": "0.4.0", "ips": [{"version": "4", "address": "10.1.2.3/24"}]}'
	END
    chmod +x /opt/cni/bin/slow
    rm -f /run/network
    box --cni $name box "$@" &
    becomes box CREATED
}

row_kill_created() { # quick host: one that never ran
    created sh -c 'echo > /ran; exec sleep 1000'
    local pid
    pid=$(pid box)
    same state created "$("$runtime" --root $states state box | sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p')"
    ctr tasks kill -s TERM box
    becomes box STOPPED
    same process "" "$(ls -d "/proc/$pid" 2> /dev/null)"
    same "its program" "" "$(find /run/containerd -path '*/box/rootfs/ran')"
    touch /run/network
    status 1 wait $!
    ctr tasks rm box || true
    umount /etc/cni /opt
    same "states left" "" "$(ls $states)"
    same "cgroups left" "" "$(find /sys/fs/cgroup -type d -path '*/default/box')"
}

row_kill_all() {
    box $name box sh -c 'trap "" TERM; sleep 1000 & echo $! > /child; wait; wait; sleep 1000'
    wait_for child in_box test -s /child
    ctr tasks kill --all -s TERM box
    wait_for "the child's end" eval '! in_box sh -c "grep -q 1000 /proc/$(cat /child)/cmdline"'
    same status RUNNING "$(task box)"
    ctr tasks kill --all -s KILL box
    becomes box STOPPED
}

row_kill_exec() { # host
    box $name box sleep 1000
    ctr tasks exec --exec-id other --detach box sleep 999
    ctr tasks kill --exec-id other -s KILL box
    wait_for "the end of exec" eval '! pgrep -x -f "sleep 999"'
    same status RUNNING "$(task box)"
}

row_orphans() { # host
    # Nothing of the container outlives its init.
    box $name box sh -c 'setsid sleep 998 & setsid sleep 998 & sleep 0.5'
    becomes box STOPPED
    same "processes left" "" "$(pgrep -x -f 'sleep 998')"
}

row_delete() { # quick
    box $name box sleep 1000
    shows 'failed precondition' ctr tasks rm box
    local pid cgroup
    pid=$(pid box)
    cgroup=$(cgroup box)
    ctr tasks rm --force box || true
    same process "" "$(ls -d "/proc/$pid" 2> /dev/null)"
    same cgroups "" "$(find /sys/fs/cgroup -path "*$cgroup" -type d)"
    ctr containers rm box
    same snapshot "" "$(ctr snapshots ls | grep ^box)"
}

row_gone() { # systemd: no unit and no cgroup is left, however it ended
    status 137 run --memory-limit 16777216 $name box tail /dev/zero
    same units "" "$(units 'ctr-*')"
    box $name box sleep 1000
    ctr tasks rm --force box || true
    same units "" "$(units 'ctr-*')"
    same cgroups "" "$(cgroups 'ctr-*')"
}

row_snapshot() { # host
    box $name box sh -c 'echo kept > /file; sleep 1000'
    wait_for file in_box test -s /file
    shows 'box' ctr snapshots ls
    ctr tasks rm --force box || true
    ctr tasks start --detach box
    same file kept "$(in_box cat /file)"
    ctr tasks rm --force box || true
    ctr snapshots rm box
    same snapshot "" "$(ctr snapshots ls | grep ^box)"
}

row_environment() { # host
    printf 'C=d\nE=f g\n' > /work/environment
    same environment 'b d f g' "$(run --env A=b --env-file /work/environment $name box sh -c 'echo $A $C $E')"
    same "working directory" /new/one "$(run --cwd /new/one $name box pwd)"
}

row_annotations() { # host
    box --label l=m --annotation org.example.a=b $name box sleep 1000
    shows '"org.example.a": "b"' "$runtime" --root $states state box
    shows 'l=m' ctr containers ls || shows '"l": "m"' ctr containers info box
}

row_user() { # host
    [ "$(release)" != 1.6 ] || skip "this ctr has no --user"
    same user 'uid=1000(user) gid=1000(user)' "$(run --user 1000:1000 $name box id | cut -d' ' -f1,2)"
    same "host name" there "$(run --hostname there $name box hostname)"
}

row_limits() { # quick
    box --memory-limit 67108864 --cpus 0.5 --cpu-shares 512 $name box sleep 1000
    local pid
    pid=$(pid box)
    same memory 67108864 "$(cgroup_file "$pid" memory.limit_in_bytes memory.max)"
    same quota "50000 100000" "$(quota "$pid")"
    same shares 512 "$(shares "$pid")"
    if [ "$manager" = systemd ]; then
        same_after_reload "$(limits "$pid")" "$pid"
        same MemoryMax 67108864 "$(property "$(< /work/scope)" MemoryMax)"
    else
        same path /default/box "$(cgroup box)"
    fi
}

row_cpu_quota() { # host
    box --cpu-quota 20000 --cpu-period 50000 $name box sleep 1000
    same quota "20000 50000" "$(quota "$(pid box)")"
}

row_cgroup() { # host
    box --cgroup /elsewhere/below $name box sleep 1000
    same path /elsewhere/below "$(cgroup box)"
    ctr tasks rm --force box || true
    same cgroups "" "$(find /sys/fs/cgroup -type d -path '*/elsewhere/below')"
}

row_out_of_memory() { # quick
    ctr events > /work/events &
    local events=$!
    status 137 run --memory-limit 16777216 $name box tail /dev/zero
    wait_for "the event" grep -q /tasks/oom /work/events || { kill $events; return 1; }
    kill $events
}

row_mounts() { # quick host
    mkdir -p /work/shared && echo there > /work/shared/file
    same bind there "$(run --mount type=bind,src=/work/shared,dst=/new/place,options=rbind:rw $name box \
        sh -c 'cat /new/place/file; echo back > /new/place/other')"
    same "written by it" back "$(cat /work/shared/other)"
    shows 'Read-only file system' run --mount type=bind,src=/work/shared,dst=/s,options=rbind:ro $name box touch /s/file
    shows 'size=1024k' run --mount type=tmpfs,src=tmpfs,dst=/t,options=size=1m:mode=700 $name box grep ' /t ' /proc/mounts
    same file there "$(run --mount type=bind,src=/work/shared/file,dst=/f,options=bind:ro $name box cat /f)"
}

row_mount_typo() { # quick host: ctr passes a mount's options on as they are; this one's volume would be writable
    mkdir -p /work/typo
    shows 'readonly' fails run --mount type=bind,src=/work/typo,dst=/data,options=rbind:readonly $name box touch /data/file
    same written "" "$(ls /work/typo)"
    same "states left" "" "$(ls $states)"
}

row_propagation() { # host
    mkdir -p /work/outer/inner
    box --rootfs-propagation rslave --mount type=bind,src=/work/outer,dst=/o,options=rbind:rslave $name box sleep 1000
    mount -t tmpfs tmpfs /work/outer/inner
    echo late > /work/outer/inner/file
    same "a later mount" late "$(in_box cat /o/inner/file)" || { umount /work/outer/inner; return 1; }
    umount /work/outer/inner
}

row_read_only() { # host
    shows 'Read-only file system' run --read-only $name box touch /file
}

row_rootfs() { # host
    same output hello "$(run --rootfs $image box /bin/echo hello)"
    same output hello "$(run --no-pivot $name box echo hello)"
}

row_config() { # host
    # A whole config of one's own.
    ctr oci spec | tr -d ' \n' | sed 's|"process":{|&"args":["/bin/echo","by config"],|
        s|"root":{[^}]*}|"root":{"path":"/work/image"}|
        s|"cgroupsPath":"[^"]*"|"cgroupsPath":"/default/box"|' > /work/spec.json
    same output "by config" "$(run --config /work/spec.json box)"
}

row_capabilities() { # quick host
    local default with without
    default=$(run $name box awk '/CapEff/ { print $2 }' /proc/self/status)
    with=$(run --cap-add CAP_SYS_ADMIN $name box awk '/CapEff/ { print $2 }' /proc/self/status)
    without=$(run --cap-drop CAP_CHOWN $name box awk '/CapEff/ { print $2 }' /proc/self/status)
    same "added" $((1 << 21)) $((0x$with & ~0x$default))
    same "dropped" 1 $((0x$default & ~0x$without))
    same "no new privileges" 1 "$(run $name box awk '/NoNewPrivs/ { print $2 }' /proc/self/status)"
    same "new privileges" 0 "$(run --allow-new-privs $name box awk '/NoNewPrivs/ { print $2 }' /proc/self/status)"
}

row_privileged() {
    same capabilities "$(awk '/CapBnd/ { print $2 }' /proc/self/status)" \
        "$(run --privileged $name box awk '/CapEff/ { print $2 }' /proc/self/status)"
    run --privileged $name box sh -c 'mount -t tmpfs none /tmp && test -e /dev/loop-control'
    fails run $name box mount -t tmpfs none /tmp
}

row_seccomp() { # quick host
    same "no filter" 0 "$(run $name box awk '/Seccomp:/ { print $2 }' /proc/self/status)"
    same "default filter" 2 "$(run --seccomp $name box awk '/Seccomp:/ { print $2 }' /proc/self/status)"
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"],
        "action": "SCMP_ACT_ERRNO"}]}' > /work/profile.json
    shows 'Operation not permitted' run --seccomp --seccomp-profile /work/profile.json $name box mkdir /new
}

row_devices() {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    fails run $name box test -e /dev/fuse
    run --device /dev/fuse $name box sh -c ': <> /dev/fuse'
    shows 'Operation not permitted' run --cap-add CAP_MKNOD $name box sh -c 'mknod /fuse c 10 229; : <> /fuse'
    run $name box sh -c ': > /dev/null; head -c 1 /dev/urandom; ls /dev/ptmx /dev/full /dev/tty'
}

row_namespaces() { # quick host
    local kind
    box $name box sleep 1000
    for kind in ipc mnt net pid uts; do
        [ "$(readlink "/proc/$(pid box)/ns/$kind")" != "$(readlink /proc/self/ns/$kind)" ] || { echo "shares $kind"; return 1; }
    done
    same "network of the host" "$(readlink /proc/self/ns/net)" "$(run --net-host $name other readlink /proc/self/ns/net)"
    same "network of the other" "$(readlink "/proc/$(pid box)/ns/net")" \
        "$(run --with-ns "network:/proc/$(pid box)/ns/net" $name other readlink /proc/self/ns/net)"
    shows 'sleep 1000' run --with-ns "pid:/proc/$(pid box)/ns/pid" $name other ps
}

row_user_namespace() { # host
    box --uidmap 0:100000:65536 --gidmap 0:200000:65536 $name box sh -c 'touch /mine; sleep 1000'
    same mapping "0 100000 65536" "$(in_box awk '{ print $1, $2, $3 }' /proc/self/uid_map)"
    same "its user" 100000 "$(stat -c %u "/proc/$(pid box)")"
    same "its file" 100000:200000 "$(stat -c %u:%g "/proc/$(pid box)/root/mine")"
    same "root in it" 0 "$(in_box id -u)"
}

row_log() { # host
    box --log-uri "file:///work/box.log" $name box sh -c 'echo first; echo second >&2'
    becomes box STOPPED
    shows first cat /work/box.log
    shows second cat /work/box.log
}

row_pid_file() { # host
    box --pid-file /work/pid $name box sleep 1000
    same pid "$(pid box)" "$(cat /work/pid)"
}

row_fails() { # quick host
    shows 'executable file not found in $PATH' box $name box nonexistent
    same "states left" "" "$(ls $states)"
    ctr containers rm box || true
    shows 'permission denied' box $name box /etc/passwd
    ctr containers rm box || true
    shows 'no such file or directory' box --mount type=bind,src=/nonexistent,dst=/x,options=rbind $name box true
    ctr containers rm box || true
    same "cgroups left" "" "$(find /sys/fs/cgroup -type d -path '*/default/box')"
    same "states left" "" "$(ls $states)"
    run $name box true
}

row_unit_stops() { # systemd: by somebody who asks systemd
    box $name box sh -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" in_box test -e /ready
    systemctl stop "$(< /work/scope)"
    exits_with 3
}

row_daemon_restarts() {
    box $name box sh -c 'trap "exit 5" TERM; echo ready > /ready; while :; do sleep 0.1; done'
    wait_for ready in_box test -e /ready
    local before
    before=$(pid box)
    pkill -x -KILL containerd
    daemon
    same pid "$before" "$(pid box)"
    in_box true
    ctr tasks kill box
    exits_with 5
}

row_shim_dies() { # containerd cleans up with `delete --force` then, and without --systemd-cgroup
    box $name box sleep 1000
    local pid
    pid=$(pid box)
    pkill -KILL -f 'containerd-shim.*-id box '
    wait_for "the container's end" eval "! [ -e /proc/$pid ]"
    wait_for "its state to go" eval "[ -z \"\$(ls $states)\" ]"
    wait_for "its unit to go" eval '[ -z "$(units "ctr-*")" ]'
    same cgroups "" "$(find /sys/fs/cgroup -type d -path '*/default/box')$(cgroups 'ctr-*')"
}

row_checkpoint() { # quick host
    command -v criu > /dev/null || skip "no criu in this tree"
    box $name box sh -c 'i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done'
    wait_for count in_box test -s /count
    ctr tasks checkpoint --image-path /work/images --work-path /work/criu box
    same "goes on" RUNNING "$(task box)"
    [ -s /work/images/inventory.img ] || { echo "no images"; return 1; }
}

row_restore() { # quick host
    command -v criu > /dev/null || skip "no criu in this tree"
    box $name box sh -c 'i=0; while :; do i=$((i+1)); echo $i > /count; sleep 0.1; done'
    wait_for count in_box test -s /count
    ctr containers checkpoint --rw --image --task box example.org/checkpoint:1
    ctr tasks rm --force box || true
    ctr containers rm box
    ctr containers restore --rw --live box example.org/checkpoint:1
    becomes box RUNNING
    local first
    wait_for "a whole count" eval 'first=$(in_box cat /count) && [ -n "$first" ]'
    wait_for "the count to go on" eval "[ \"\$(in_box cat /count)\" -gt $first ]"
    ctr images rm example.org/checkpoint:1
}

row_nothing_left() { # quick
    same states "" "$(ls $states)"
    same units "" "$(units 'ctr-*')"
    same cgroups "" "$(find /sys/fs/cgroup -type d -path '*/default/*')$(cgroups 'ctr-*')"
    same shims "" "$(pgrep -f containerd-shim)"
    same tasks "" "$(ls /run/containerd/io.containerd.runtime.v2.task/default 2> /dev/null)"
}
