# Podman, by its command line: as root, and as an ordinary user.
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

unset INVOCATION_ID # or Podman takes itself for a service, and leaves conmon where it is

start() {
    chmod o+rx /work
    configure
    if [ "$place" = host ]; then add_user; elif [ "$who" = user ]; then become_user; fi
    image_archive localhost/busybox:latest /work/busybox.tar sh
    chmod o+r /work/busybox.tar
    podman load -q -i /work/busybox.tar
    podman info
}

# The configuration: what docs/engines/podman.md says, and what the tree and the machine ask for.
configure() {
    local name=${runtime##*/} ulimits='' firewall=''
    export CONTAINERS_CONF=/work/containers.conf PODMAN_IGNORE_CGROUPSV1_WARNING=1
    if [ "$place" = host ]; then
        ulimits='default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]' # root may not raise them here
        firewall='firewall_driver = "iptables"'
        export CONTAINERS_STORAGE_CONF=/work/storage.conf
        printf '[storage]\ndriver = "overlay"\ngraphroot = "/work/root"\nrunroot = "/run/containers"\n' > $CONTAINERS_STORAGE_CONF
    fi
    cat > $CONTAINERS_CONF <<- END
	[containers]
	log_driver = "k8s-file"
	$ulimits
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
	$firewall
	END
    # What systemd starts has it from here.
    [ "$place" = host ] || ln -sf $CONTAINERS_CONF /etc/containers/containers.conf
}

# The rows say `podman`, and in a guest it is the user's.
become_user() {
    wait_for "the user's systemd" systemd is-active default.target
    { declare -f as_user; echo "CONTAINERS_CONF=$CONTAINERS_CONF; as_user /usr/bin/podman \"\$@\""; } |
        sed '1i#!/bin/bash' > /usr/local/bin/podman
    chmod +x /usr/local/bin/podman
}

# rootless ARG...: podman, as `user`
rootless() { as_user podman "$@"; }

# The user's image, loaded when first asked for.
import_rootless() { rootless image exists busybox || rootless load -q -i /work/busybox.tar; }

# What a row has left would be in the next one's way.
after_row() {
    local as
    [ "$place" = host ] || drop_quadlets
    for as in podman rootless; do
        [ $as = podman ] || [ -d /work/user/.local ] || continue
        $as pod rm -af -t 0
        $as rm -af -t 0
        $as volume prune -f
        $as network prune -f
    done
}

# The directory of quadlets: units of which Podman makes services.
quadlets() { if [ "$who" = root ]; then echo /etc/containers/systemd; else echo /home/user/.config/containers/systemd; fi; }

# quadlet FILE: of what comes in
quadlet() { cat > "$(quadlets)/$1"; }

can_quadlet() {
    [ -x /usr/libexec/podman/quadlet ] || skip "Podman 4.3 knows no quadlets"
    mkdir -p "$(quadlets)"
    [ "$who" = root ] || chown -R user:user /home/user/.config
}

drop_quadlets() {
    local file units=()
    for file in "$(quadlets)"/*.*; do
        [ -e "$file" ] || return 0
        units+=("$(quadlet_unit "${file##*/}")")
    done
    systemd stop "${units[@]}" || true
    systemd reset-failed "${units[@]}" || true
    rm "$(quadlets)"/*.*
    systemd daemon-reload
}

# quadlet_unit FILE: its service
quadlet_unit() {
    case $1 in
        *.container | *.kube) echo "${1%.*}.service" ;;
        *) echo "${1%.*}-${1##*.}.service" ;;
    esac
}

# The journal of the units that the containers are.
journal() { if [ "$who" = root ]; then journalctl -o cat "$@"; else as_user journalctl --user -o cat "$@"; fi; }

# box ARG...: a container named box, in the background
box() { podman run -d --name box "$@"; }

# inspect FORMAT [CONTAINER]
inspect() { podman container inspect -f "{{$1}}" "${2-box}"; }

# becomes FORMAT WANTED: box does, in time
becomes() { wait_for "$1 to be $2, not $(inspect "$1")" is "$1" "$2"; }
is() { [ "$(inspect "$1")" = "$2" ]; }

# limit FILE...: what box's cgroup has in the first of these (v1's name, v2's) that there is
limit() { cgroup_file "$(inspect .State.Pid)" "$@"; }

unit() { echo "libpod-$(inspect .Id).scope"; }

# The cgroup that is above those of containers, and their slice.
home() { if [ "$who" = root ]; then echo /machine.slice; else echo /user.slice/user-1000.slice/user@1000.service/user.slice; fi; }
slice() { if [ "$who" = root ]; then echo machine.slice; else echo user.slice; fi; }

release() { podman version -f '{{.Client.Version}}' | cut -d. -f1; }

row_run() { # quick
    same output hello "$(podman run --rm busybox echo hello)"
    same runtime "${runtime##*/}" "$(podman info -f '{{.Host.OCIRuntime.Name}}')"
    same "its path" "$runtime" "$(podman info -f '{{.Host.OCIRuntime.Path}}')"
    same input 12 "$(echo hello again | podman run -i --rm busybox wc -c)"
}

row_run_by_path() { # host: no configuration but a flag
    same output hello "$(CONTAINERS_CONF=/dev/null podman --runtime "$runtime" --cgroup-manager cgroupfs \
        run --rm --network none --ulimit nofile=1024 --ulimit nproc=1024 busybox echo hello)"
    status 127 env CONTAINERS_CONF=/dev/null podman --runtime "$runtime" --cgroup-manager cgroupfs \
        run --rm --network none --ulimit nofile=1024 --ulimit nproc=1024 busybox nonexistent
}

row_detached() {
    box busybox sh -c 'echo out; echo err >&2; exit 7'
    same status 7 "$(podman wait box)"
    same state "exited 7 false" "$(inspect '.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled')"
    same event 7 "$(podman events --stream=false --filter event=died --filter "container=$(inspect .Id)" --format '{{.ContainerExitCode}}')"
}

row_terminal() { # quick host
    # Of one that ends at once, podman may lose what it writes, with every runtime.
    shows "the terminal is /dev/pts/0" in_terminal \
        'podman run -it --rm busybox sh -c "echo the terminal is \$(tty); sleep 1"'
    shows "33 99" in_terminal \
        'podman run -it --rm busybox sh -c "until stty size | grep 99; do sleep 0.1; done; sleep 1"'
    box -t busybox sh -c 'tty; exec sleep 1000'
    wait_for "its output" sh -c 'podman logs box | grep /dev/pts/0'
}

row_exec() { # quick
    box busybox sleep 1000
    same output "uid=1000(user) gid=1000(user)" "$(podman exec -u user box id | sed 's/ groups=.*//')"
    same environment "b /tmp" "$(podman exec -e A=b -w /tmp box sh -c 'echo $A $PWD')"
    same input hello "$(echo hello | podman exec -i box cat)"
    same "its cgroup" "$(podman exec box cat /proc/1/cgroup)" "$(podman exec box cat /proc/self/cgroup)"
    status 7 podman exec box sh -c 'exit 7'
    status 127 podman exec box nonexistent
    status 126 podman exec box /etc/passwd
}

row_exec_terminal() {
    box busybox sleep 1000
    shows /dev/pts/0 in_terminal 'podman exec -it box sh -c "tty; sleep 1"'
    shows "33 99" in_terminal \
        'podman exec -it box sh -c "until stty size | grep 99; do sleep 0.1; done; sleep 1"'
    status 7 in_terminal 'podman exec -it box sh -c "exit 7"'
}

row_exec_detached() {
    box busybox sleep 1000
    local session
    session=$(podman exec -d box sh -c 'echo done > /tmp/file; until [ -e /tmp/go ]; do sleep 0.1; done')
    wait_for "what it does" podman exec box grep done /tmp/file
    same session "[$session]" "$(inspect .ExecIDs)"
    podman exec box touch /tmp/go
    wait_for "the session's end" sh -c '[ "$(pgrep -xc conmon)" = 1 ]' # the container's
}

row_exec_privileged() { # host
    box --cap-drop ALL busybox sleep 1000
    local effective='sed -n s/^CapEff:.//p /proc/self/status'
    same none 0000000000000000 "$(podman exec box $effective)"
    [ "$(podman exec --privileged box $effective)" != 0000000000000000 ]
}

row_preserve_fds() { # quick host
    same run hello "$(echo hello | podman run --rm --preserve-fds 2 busybox cat /proc/self/fd/4 3< /dev/null 4<&0)"
    box busybox sleep 1000
    same exec hello "$(echo hello | podman exec --preserve-fds 2 box cat /proc/self/fd/4 3< /dev/null 4<&0)"
    fails podman run --rm --preserve-fds 1 busybox ls /proc/self/fd/4 3< /dev/null 4< /etc/passwd
}

row_logs() { # quick
    box busybox sh -c 'for i in 1 2 3; do echo line $i; done; echo error >&2'
    podman wait box
    same output $'line 1\nline 2\nline 3' "$(podman logs box 2> /dev/null)"
    same error error "$(podman logs box 2>&1 > /dev/null)"
    shows "line 3" podman logs --tail 2 box
}

row_attach() {
    box -i busybox sh -c 'read line; echo $line; exit 7'
    same output hello "$({ echo hello; podman wait box >&2; } | podman attach box)"
    same status 7 "$(podman wait box)"
}

row_start_attached() { # host
    podman create --name box -i busybox sh -c 'read line; echo $line; exit 7'
    same state created "$(inspect .State.Status)"
    same output hello "$(echo hello | podman start -ai box || echo "status $?" >&2)"
    same status 7 "$(inspect .State.ExitCode)"
    podman init box
    same initialized initialized "$(inspect .State.Status)"
    [ "$(inspect .State.Pid)" != 0 ]
}

row_top() { # quick
    box busybox sh -c 'sleep 1000 & exec sleep 999'
    wait_for "both processes" sh -c 'podman top box args | grep "sleep 1000"'
    shows "sleep 999" podman top box pid args
    shows root podman top box user
}

row_stats() {
    box --memory 64m busybox sh -c 'sleep 1000 & exec sleep 999'
    wait_for "both processes" sh -c '[ "$(podman stats --no-stream --format "{{.PIDs}}" box)" = 2 ]'
    shows 67.11MB podman stats --no-stream box
}

row_pause() { # quick
    box busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.01; done'
    wait_for "a step" podman exec box cat /tmp/count
    podman pause box
    same state paused "$(inspect .State.Status)"
    local count=/proc/$(inspect .State.Pid)/root/tmp/count before
    before=$(cat "$count")
    sleep 0.3
    same "a paused one's count" "$before" "$(cat "$count")"
    podman unpause box
    same state running "$(inspect .State.Status)"
    wait_for "a step after" sh -c "[ \"\$(podman exec box cat /tmp/count)\" != '$before' ]"
}

row_rm_paused() {
    box busybox sleep 1000
    podman pause box
    podman rm -f -t 0 box
    same containers "" "$(podman ps -aq)"
}

row_scope() { # quick guest
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

row_update() { # quick
    box --memory 64m busybox sleep 1000
    local pids=() pid
    [ "$(release)" -lt 5 ] || pids=(--pids-limit 50) # which older ones can't
    podman update --memory 32m --memory-swap 48m --cpu-shares 512 --cpus 0.5 --cpuset-cpus 0 "${pids[@]}" box
    pid=$(inspect .State.Pid)
    same memory 33554432 "$(limit memory.limit_in_bytes memory.max)"
    limit memory.memsw.limit_in_bytes memory.swap.max | grep -xE '50331648|16777216' # v1 counts memory too
    same shares 512 "$(shares "$pid")"
    same quota "50000 100000" "$(quota "$pid")"
    same processors 0 "$(limit cpuset.cpus)"
    [ ${#pids[@]} = 0 ] || same processes 50 "$(limit pids.max)"
    podman update --cpus 1 box
    same "quota after" "100000 100000" "$(quota "$pid")"
    same "memory after" 33554432 "$(limit memory.limit_in_bytes memory.max)"
}

row_reload() { # quick guest: limits outlive it, and those of an update too
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
    same_after_reload "$set" "$pid"
    podman update --memory 96m --memory-swap 128m --cpus 0.7 box
    set=$(limits "$pid")
    has "after an update" "$set" "memory.max:100663296"
    has "after an update" "$set" "memory.swap.max:33554432"
    has "after an update" "$set" "cpu.max:70000 100000"
    has "after an update" "$set" "pids.max:20"
    same_after_reload "$set" "$pid"
    [ "$manager" != systemd ] || same MemoryMax 100663296 "$(property "$(unit)" MemoryMax)"
}

row_stop() { # quick
    box busybox sh -c 'trap "echo caught; exit 5" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c 'podman logs box | grep ready'
    podman stop -t 10 box
    same state "exited 5" "$(inspect '.State.Status}} {{.State.ExitCode')"
    same output $'ready\ncaught' "$(podman logs box)"
    podman run -d --name deaf busybox sleep 1000 # as a namespace's first process it has no TERM
    podman stop -t 1 deaf
    same status 137 "$(inspect .State.ExitCode deaf)"
}

row_stop_signal() { # host
    box --stop-signal USR1 busybox sh -c 'trap "exit 9" USR1; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c 'podman logs box | grep ready'
    podman stop -t 10 box
    same status 9 "$(inspect .State.ExitCode)"
}

row_stop_created() { # quick host: the runtime has made it, and it never runs
    podman create --name box busybox sh -c 'echo started; exec sleep 1000'
    podman init box
    local pid before=$SECONDS
    pid=$(inspect .State.Pid)
    same state created "$("$runtime" state "$(inspect .Id)" | sed -n 's/.*"status": *"\([a-z]*\)".*/\1/p')"
    podman stop -t 30 box
    [ $((SECONDS - before)) -lt 20 ] || { echo "TERM did not end it"; return 1; }
    same process "" "$(ls -d "/proc/$pid" 2> /dev/null)"
    same output "" "$(podman logs box)"
    podman rm box
    same state "" "$(find "/run/${runtime##*/}" -mindepth 1 2> /dev/null)"
}

row_kill() { # quick host
    box busybox sh -c 'trap "echo caught" HUP; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c 'podman logs box | grep ready'
    podman kill -s HUP box
    wait_for "the signal" sh -c 'podman logs box | grep caught'
    podman kill box
    same status 137 "$(podman wait box)"
    fails podman kill box
}

row_restart() { # quick
    box busybox sh -c 'echo started; exec sleep 1000'
    local pid
    pid=$(inspect .State.Pid)
    wait_for "its output" sh -c 'podman logs box | grep started'
    podman restart -t 0 box
    [ "$(inspect .State.Pid)" != "$pid" ]
    wait_for "its output" sh -c '[ "$(podman logs box | grep -c started)" = 2 ]'
    podman stop -t 0 box
    podman start box
    podman exec box true
}

row_restart_policy() { # host
    box --restart on-failure:2 busybox sh -c 'echo started; exit 3'
    wait_for "three starts" sh -c '[ "$(podman logs box | grep -c started)" = 3 ]'
    becomes '.RestartCount}} {{.State.Status}} {{.State.ExitCode' "2 exited 3"
}

row_remove() { # quick
    box busybox sleep 1000
    local pid
    pid=$(inspect .State.Pid)
    fails podman rm box
    podman rm -f -t 0 box
    [ ! -e "/proc/$pid" ]
    same containers "" "$(podman ps -aq)"
}

row_gone() { # guest: no unit and no cgroup is left, however it ended
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

row_killed_outside() { # host: nobody asked the runtime
    box busybox sleep 1000
    kill -KILL "$(inspect .State.Pid)"
    same status 137 "$(podman wait box)"
    podman start box
    podman exec box true
}

row_copy() { # host
    box busybox sh -c 'mkdir /data; exec sleep 1000'
    echo mine > /tmp/file
    wait_for "its directory" podman exec box ls /data
    podman cp /tmp/file box:/data/
    same inside mine "$(podman exec box cat /data/file)"
    podman exec box sh -c 'echo theirs > /data/file'
    podman cp box:/data/file /tmp/back
    same outside theirs "$(cat /tmp/back)"
    podman commit -q box localhost/changed
    same committed theirs "$(podman run --rm changed cat /data/file)"
    podman rmi -f changed
}

row_diff() { # host
    box busybox sh -c 'echo new > /etc/new; rm /etc/group; exec sleep 1000'
    wait_for "its changes" sh -c 'podman diff box | grep "D /etc/group"'
    shows "A /etc/new" podman diff box
}

row_health() { # quick host
    box --health-cmd 'test -e /healthy' --health-retries 1 --health-interval disable busybox sleep 1000
    status 1 podman healthcheck run box
    podman exec box touch /healthy
    podman healthcheck run box
    same state healthy "$(inspect .State.Health.Status || inspect .State.Healthcheck.Status)"
}

row_build() { # host: buildah runs containers of its own
    tar -C $image -c . | podman import -q - localhost/base
    printf 'FROM localhost/base\nRUN echo built > /file && id -u > /uid\nUSER user\nRUN id -u > /tmp/uid\n' > /tmp/Containerfile
    podman build -q --runtime "$runtime" --isolation oci --network none --ulimit nofile=1024:1024 \
        --ulimit nproc=1024:1024 -t built -f /tmp/Containerfile "$(mktemp -d)"
    same files $'built\n0\n1000' "$(podman run --rm built cat /file /uid /tmp/uid)"
    podman rmi -f built base
}

# A pod: one network, one shared memory, one name.
row_pod() { # quick
    podman pod create --name pod -p 8080:80 --hostname both
    podman run -d --pod pod --name web busybox httpd -f -h /etc
    podman run -d --pod pod --name ghost busybox sleep 1000
    wait_for "the server" podman exec ghost wget -qO /dev/null http://127.0.0.1/group
    shows user busybox wget -qO- http://127.0.0.1:8080/group
    podman exec web sh -c 'echo told > /dev/shm/note'
    same note told "$(podman exec ghost cat /dev/shm/note)"
    same name both "$(podman exec ghost hostname)"
    local kind
    for kind in net ipc uts; do
        same "$kind" "$(podman exec web readlink "/proc/self/ns/$kind")" \
            "$(podman exec ghost readlink "/proc/self/ns/$kind")"
    done
    [ "$(podman exec web readlink /proc/self/ns/pid)" != "$(podman exec ghost readlink /proc/self/ns/pid)" ]
    podman pod pause pod
    same paused "paused" "$(inspect .State.Status web)"
    podman pod unpause pod
    podman pod stop -t 0 pod
    same state exited "$(inspect .State.Status ghost)"
    podman pod start pod
    wait_for "the server" podman exec ghost wget -qO /dev/null http://127.0.0.1/group
}

row_pod_processes() { # host
    podman pod create --name pod --share pid,net,ipc,uts
    podman run -d --pod pod --name one busybox sh -c 'sleep 1000 & exec sleep 1001'
    podman run -d --pod pod --name two busybox sleep 2000
    wait_for "the other's processes" sh -c 'podman exec two ps | grep "sleep 1000"'
    shows "sleep 2000" podman exec one ps
    local pids
    pids=$(podman top one hpid | tail -n +2)
    podman stop -t 0 one # all of its own, and none of the other's
    same status 137 "$(inspect .State.ExitCode one)"
    for pid in $pids; do [ ! -e "/proc/$pid" ]; done
    podman exec two true
}

row_pod_limits() { # host
    podman pod create --name pod --cpus 0.5 --memory 128m
    podman run -d --pod pod --name box --memory 64m busybox sleep 1000
    same memory 67108864 "$(limit memory.limit_in_bytes memory.max)"
    local parent
    parent=$(sed -n 's/.*memory:\(.*\)\/libpod-.*/\1/p' "/proc/$(inspect .State.Pid)/cgroup")
    same "the pod's" 134217728 "$(cat "/sys/fs/cgroup/memory$parent/memory.limit_in_bytes")"
}

row_pod_slice() { # systemd: a pod is a slice, with limits of its own
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

row_play_kube() { # quick host
    mkdir -p /tmp/bind
    echo mine > /tmp/bind/file
    cat > /tmp/pod.yaml <<- 'END'
	apiVersion: v1
	kind: Pod
	metadata:
	  name: kube
	spec:
	  volumes:
	  - {name: bind, hostPath: {path: /tmp/bind}}
	  - {name: empty, emptyDir: {}}
	  containers:
	  - name: one
	    image: localhost/busybox
	    imagePullPolicy: Never
	    command: [httpd, -f, -h, /bind]
	    volumeMounts: [{name: bind, mountPath: /bind, readOnly: true}]
	    resources: {limits: {memory: 64Mi}}
	    securityContext: {capabilities: {drop: [MKNOD]}, readOnlyRootFilesystem: true}
	  - name: two
	    image: localhost/busybox
	    imagePullPolicy: Never
	    command: [sleep, '1000']
	    env: [{name: A, value: b}]
	    volumeMounts: [{name: empty, mountPath: /empty}]
	    securityContext: {runAsUser: 1000, runAsGroup: 1000, allowPrivilegeEscalation: false}
	END
    podman play kube /tmp/pod.yaml
    wait_for "the server" podman exec kube-two wget -qO- http://127.0.0.1/file
    same served mine "$(podman exec kube-two wget -qO- http://127.0.0.1/file)"
    podman exec kube-two ls /empty
    same environment b "$(podman exec kube-two sh -c 'echo $A')"
    same user "1000 1" "$(podman exec kube-two sh -c 'echo $(id -u) $(sed -n s/NoNewPrivs:.//p /proc/self/status)')"
    status 1 podman exec kube-one touch /file
    same memory 67108864 "$(cgroup_file "$(inspect .State.Pid kube-one)" memory.limit_in_bytes memory.max)"
    podman kube generate kube > /dev/null 2>&1 || podman generate kube kube > /dev/null
    podman play kube --down /tmp/pod.yaml
    same containers "" "$(podman ps -aq)"
}

row_play_kube_init() { # host: a container that comes before the others
    cat > /tmp/pod.yaml <<- 'END'
	apiVersion: v1
	kind: Pod
	metadata:
	  name: kube
	spec:
	  volumes:
	  - {name: empty, emptyDir: {}}
	  initContainers:
	  - name: first
	    image: localhost/busybox
	    imagePullPolicy: Never
	    command: [sh, -c, 'echo first > /empty/file']
	    volumeMounts: [{name: empty, mountPath: /empty}]
	  containers:
	  - name: one
	    image: localhost/busybox
	    imagePullPolicy: Never
	    command: [sleep, '1000']
	    volumeMounts: [{name: empty, mountPath: /empty}]
	END
    podman play kube /tmp/pod.yaml
    same "what the first left" first "$(podman exec kube-one cat /empty/file)"
}

# shop_yaml: /tmp/shop.yaml, a deployment of two containers and one before them, with volumes of all kinds
shop_yaml() {
    mkdir -p /tmp/bind
    echo mine > /tmp/bind/file
    cat > /tmp/shop.yaml <<- 'END'
	apiVersion: v1
	kind: ConfigMap
	metadata: {name: settings}
	data: {colour: blue, file.conf: set}
	---
	apiVersion: v1
	kind: Secret
	metadata: {name: hidden}
	data: {word: c2VzYW1l}
	---
	apiVersion: v1
	kind: PersistentVolumeClaim
	metadata: {name: claim}
	spec:
	  accessModes: [ReadWriteOnce]
	  resources: {requests: {storage: 1Gi}}
	---
	apiVersion: apps/v1
	kind: Deployment
	metadata: {name: shop}
	spec:
	  selector: {matchLabels: {app: shop}}
	  template:
	    metadata: {labels: {app: shop}}
	    spec:
	      hostname: till
	      terminationGracePeriodSeconds: 1
	      securityContext: {runAsUser: 1000, supplementalGroups: [7]}
	      volumes:
	      - {name: bind, hostPath: {path: /tmp/bind, type: Directory}}
	      - {name: empty, emptyDir: {}}
	      - {name: settings, configMap: {name: settings, items: [{key: file.conf, path: renamed}]}}
	      - {name: hidden, secret: {secretName: hidden, optional: false}}
	      - {name: claim, persistentVolumeClaim: {claimName: claim}}
	      initContainers:
	      - name: first
	        image: localhost/busybox
	        imagePullPolicy: Never
	        command: [sh, -c, 'echo first > /claim/file']
	        securityContext: {runAsUser: 0}
	        volumeMounts: [{name: claim, mountPath: /claim}]
	      containers:
	      - name: web
	        image: localhost/busybox
	        imagePullPolicy: Never
	        command: [httpd, -f, -p, '8000', -h, /bind]
	        ports: [{containerPort: 8000, hostPort: 8000}]
	        env:
	        - {name: COLOUR, valueFrom: {configMapKeyRef: {name: settings, key: colour}}}
	        - {name: WORD, valueFrom: {secretKeyRef: {name: hidden, key: word}}}
	        volumeMounts:
	        - {name: bind, mountPath: /bind, readOnly: true}
	        - {name: empty, mountPath: /empty}
	        - {name: settings, mountPath: /settings}
	        - {name: hidden, mountPath: /hidden}
	        - {name: claim, mountPath: /claim}
	        livenessProbe:
	          exec: {command: [test, -e, /empty/alive]}
	          periodSeconds: 1
	          failureThreshold: 1
	        resources: {limits: {memory: 64Mi, cpu: 500m}, requests: {memory: 32Mi}}
	        securityContext:
	          readOnlyRootFilesystem: true
	          allowPrivilegeEscalation: false
	          capabilities: {drop: [ALL]}
	      - name: side
	        image: localhost/busybox
	        imagePullPolicy: Never
	        command: [sleep, '1000']
	        securityContext: {runAsUser: 0, runAsGroup: 5, capabilities: {add: [NET_ADMIN], drop: [CHOWN]}}
	        volumeMounts: [{name: empty, mountPath: /empty}, {name: claim, mountPath: /claim}]
	END
    # Podman 4.3 can't read secrets of this kind, and often loses containers that come first: see
    # play_kube_init.
    [ "$(release)" -ge 5 ] ||
        sed -i '/initContainers:/,/volumeMounts/d; /secretName:/d; /secretKeyRef:/d; /mountPath: .hidden/d' /tmp/shop.yaml
}

# shop: plays it; $pod, $web and $side are what it makes
shop() {
    shop_yaml
    podman kube play /tmp/shop.yaml
    pod=$(podman pod ps --format '{{.Name}}')
    web=$pod-web side=$pod-side
}

# shop_closes: with all it has
shop_closes() {
    podman kube down /tmp/shop.yaml
    podman secret rm hidden || true # Podman 4 leaves it
}

row_kube_deployment() { # quick host: with ConfigMap, Secret and PersistentVolumeClaim
    shop
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8000/file
    same served mine "$(busybox wget -qO- http://127.0.0.1:8000/file)"
    same environment "blue till" "$(podman exec "$web" sh -c 'echo $COLOUR $(hostname)')"
    same file set "$(podman exec "$web" cat /settings/renamed)"
    [ "$(release)" -lt 5 ] || same "secret, what the first left" "sesame sesame first" \
        "$(podman exec "$web" sh -c 'echo $WORD $(cat /hidden/word) $(cat /claim/file)')"
    podman exec "$side" sh -c 'echo told > /empty/note'
    same "what the other wrote" told "$(podman exec "$web" cat /empty/note)"
    same "ended by its grace period" 137 "$(podman pod stop "$pod" > /dev/null; inspect .State.ExitCode "$side")"
    podman pod start "$pod"
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8000/file
    # An emptyDir goes with its pod; what is claimed stays until it is asked for.
    podman kube down /tmp/shop.yaml
    same containers "" "$(podman ps -aq)"
    same volumes claim "$(podman volume ls -q | grep -E '^(claim|empty)$')"
    [ "$(release)" -lt 5 ] || podman kube down --force /tmp/shop.yaml # which older ones can't
    podman secret rm hidden || true
}

row_kube_security() { # host: securityContext, of the pod and of its containers
    shop
    local status='sed -nE s/^(CapEff|CapBnd|NoNewPrivs):.//p /proc/self/status'
    same "the pod's user" "1000" "$(podman exec "$web" id -u)"
    has "the pod's groups" " $(podman exec "$web" id -G) " " 7 "
    same "its own" "0 5" "$(podman exec "$side" sh -c 'echo $(id -u) $(id -g)')"
    same nothing $'0000000000000000\n0000000000000000\n1' "$(podman exec "$web" $status)"
    local caps=$((0x$(podman exec "$side" $status | head -n 1)))
    same "NET_ADMIN, CHOWN" "1 0" "$((caps >> 12 & 1)) $((caps & 1))"
    shows "Read-only file system" podman exec "$web" sh -c 'touch /file || true'
    shows "Read-only file system" podman exec "$web" sh -c 'touch /bind/file || true'
    podman exec "$side" touch /file
    shop_closes
}

row_kube_resources() { # host: limits, and those of an update
    shop
    local pid
    pid=$(inspect .State.Pid "$web")
    same memory 67108864 "$(cgroup_file "$pid" memory.limit_in_bytes memory.max)"
    same reservation 33554432 "$(cgroup_file "$pid" memory.soft_limit_in_bytes memory.low)"
    same quota "50000 100000" "$(quota "$pid")"
    podman update --memory 96m "$web"
    same "memory after" 100663296 "$(cgroup_file "$pid" memory.limit_in_bytes memory.max)"
    shop_closes
}

row_kube_probe() { # a liveness probe is a health check, and who fails it is started again
    shop
    local pid
    pid=$(inspect .State.Pid "$web")
    if [ "$place" = host ]; then # in a guest a timer of systemd asks
        podman exec "$side" touch /empty/alive
        podman healthcheck run "$web"
        same process "$pid" "$(inspect .State.Pid "$web")"
        podman exec "$side" rm /empty/alive
        status 1 podman healthcheck run "$web"
    fi
    wait_for "another process" eval '[ "$(inspect .State.Pid "$web")" != "$pid" ]'
    shop_closes
}

row_kube_generate() { # host: what it writes can be played
    podman pod create --name pod -p 8080:8000
    podman run -d --pod pod --name web -v data:/data --memory 64m --cap-drop ALL -e A=b busybox \
        sh -c 'echo kept > /data/file; exec httpd -f -p 8000 -h /data'
    podman run -d --pod pod --name side --user 1000 --read-only busybox sleep 1000
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/file
    podman kube generate pod > /tmp/pod.yaml
    podman pod rm -f -t 0 pod
    podman kube play /tmp/pod.yaml
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/file
    same environment b "$(podman exec pod-web sh -c 'echo $A')"
    same capabilities 0000000000000000 "$(podman exec pod-web sed -n 's/^CapEff:.//p' /proc/self/status)"
    same user 1000 "$(podman exec pod-side id -u)"
    status 1 podman exec pod-side touch /file
    same memory 67108864 "$(cgroup_file "$(inspect .State.Pid pod-web)" memory.limit_in_bytes memory.max)"
    podman kube down /tmp/pod.yaml
}

row_volumes() { # quick host
    podman run --rm -v data:/data busybox sh -c 'echo kept > /data/file'
    same kept kept "$(podman run --rm -v data:/data:ro busybox cat /data/file)"
    status 1 podman run --rm -v data:/data:ro busybox touch /data/file
    same "owner" 1000 "$(podman run --rm -v other:/data:U --user 1000 busybox stat -c %u /data)"
    box -v /inner busybox sh -c 'echo inner > /inner/file; exec sleep 1000'
    wait_for "the file" podman run --rm --volumes-from box busybox grep inner /inner/file
    same copied user "$(podman run --rm -v copy:/etc busybox sed -n 's/^\(user\):.*/\1/p' /etc/group)"
}

row_binds() { # quick host
    mkdir -p /tmp/bind
    echo mine > /tmp/bind/file
    same file mine "$(podman run --rm -v /tmp/bind:/data busybox cat /data/file)"
    same "one file" mine "$(podman run --rm -v /tmp/bind/file:/etc/motd:ro busybox cat /etc/motd)"
    podman run --rm -v /tmp/bind:/data busybox sh -c 'echo theirs > /data/file'
    same written theirs "$(cat /tmp/bind/file)"
    status 1 podman run --rm -v /tmp/bind:/data:ro busybox touch /data/file
    status 1 podman run --rm --mount type=bind,src=/tmp/bind,dst=/data,ro=true busybox touch /data/file
    podman run --rm -v /tmp/bind:/data:O busybox sh -c 'echo passing > /data/file'
    same "below an overlay" theirs "$(cat /tmp/bind/file)"
    same image user "$(podman run --rm --mount type=image,src=busybox,dst=/image busybox sed -n 's/^\(user\):.*/\1/p' /image/etc/group)"
}

row_binds_idmap() { # host
    mkdir -p /tmp/bind
    echo mine > /tmp/bind/file
    same owner 0 "$(podman run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 -v /tmp/bind:/data:idmap busybox stat -c %u /data/file)"
    podman run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 -v /tmp/bind:/data:idmap busybox touch /data/theirs
    same "owner outside" 0 "$(stat -c %u /tmp/bind/theirs)"
}

row_propagation() { # host
    mkdir -p /run/shared/sub
    box -v /run/shared:/data:rslave --mount type=bind,src=/run/shared,dst=/private,bind-propagation=rprivate \
        busybox sleep 1000
    mount -t tmpfs tmpfs /run/shared/sub
    touch /run/shared/sub/file
    local seen
    seen=$(podman exec box sh -c 'ls /data/sub /private/sub' | tr '\n' ' ')
    umount /run/shared/sub
    same "what is seen" "/data/sub: file  /private/sub: " "$seen"
}

row_read_only() { # host
    status 1 podman run --rm --read-only busybox touch /file
    podman run --rm --read-only busybox touch /tmp/file /run/file # podman makes these tmpfs
    status 1 podman run --rm --read-only --read-only-tmpfs=false busybox touch /tmp/file
}

row_tmpfs() { # quick host
    local mounts
    mounts=$(podman run --rm --tmpfs /scratch:size=1m,mode=1700,noexec busybox sh -c 'grep /scratch /proc/mounts; stat -c %a /scratch')
    has mounts "$mounts" size=1024k
    has mounts "$mounts" noexec
    has mode "$mounts" 1700
    same "copied up" user "$(podman run --rm --tmpfs /etc busybox sed -n 's/^\(user\):.*/\1/p' /etc/group)"
    shows "size=32768k" podman run --rm --shm-size 32m busybox grep /dev/shm /proc/mounts
}

row_init() { # quick host
    command -v catatonit > /dev/null || skip "the tree has no catatonit"
    box --init busybox sh -c 'sleep 0.1 & exec sleep 1000'
    shows podman-init podman exec box cat /proc/1/cmdline
    podman stop -t 10 box # it passes TERM on, and sleep ends by it
    same status 143 "$(inspect .State.ExitCode)"
}

row_privileged() { # quick root
    local seen
    seen=$(podman run --rm --privileged busybox sh -c \
        'mount -t tmpfs tmpfs /tmp && echo mounts; grep Seccomp: /proc/self/status; echo 0 > /proc/sys/net/ipv4/ip_forward && echo writes; [ -e /dev/loop-control ] && echo sees')
    same "what it can" "mounts Seccomp: 0 writes sees" "$(tr '\t\n' ' ' <<< "$seen" | sed 's/ $//')"
}

row_user() { # quick host
    same user "uid=1000(user) gid=1000(user) groups=1000(user)" "$(podman run --rm --user user busybox id)"
    same groups "1 2 7 8" "$(podman run --rm --user 1:2 --group-add 7 --group-add 8 busybox sh -c 'echo $(id -u) $(id -G)')"
    same home /home/user "$(podman run --rm --user user busybox sh -c 'echo $HOME')"
    same umask 0077 "$(podman run --rm --umask 0077 busybox sh -c umask)"
    shows "new:x:3000" podman run --rm --user 3000 --passwd-entry 'new:x:$UID:$GID::/:/bin/sh' busybox grep 3000 /etc/passwd
}

row_capabilities() { # quick host
    local effective='sed -n s/^CapEff:.//p /proc/self/status'
    same none 0000000000000000 "$(podman run --rm --cap-drop ALL busybox $effective)"
    same one 0000000000000020 "$(podman run --rm --cap-drop ALL --cap-add KILL busybox $effective)"
    status 1 podman run --rm busybox mount -t tmpfs tmpfs /tmp
    podman run --rm --cap-add SYS_ADMIN busybox mount -t tmpfs tmpfs /tmp
    same user 0000000000000000 "$(podman run --rm --user 1000 busybox $effective)"
    same "user's one" 0000000000000020 "$(podman run --rm --user 1000 --cap-add KILL busybox $effective)"
}

row_security() { # quick host
    local status='sed -nE s/^(NoNewPrivs|Seccomp):.//p /proc/self/status'
    same default $'0\n2' "$(podman run --rm busybox $status)"
    same both $'1\n0' "$(podman run --rm --security-opt no-new-privileges --security-opt seccomp=unconfined busybox $status)"
    cat > /tmp/profile.json <<- 'END'
	{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
	    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
	END
    shows "not supported" podman run --rm --security-opt seccomp=/tmp/profile.json busybox sh -c 'mkdir /x || true'
    status 1 podman run --rm busybox sh -c 'echo 1 > /proc/sys/kernel/printk'
    same masked 0 "$(podman run --rm busybox sh -c 'wc -c < /proc/timer_list')"
    [ "$(podman run --rm --security-opt unmask=ALL busybox sh -c 'wc -c < /proc/timer_list')" != 0 ]
    same "a mask of one's own" 0 "$(podman run --rm --security-opt mask=/etc/group busybox sh -c 'wc -c < /etc/group')"
}

row_personality() { # host
    [ "$(podman run --rm --personality LINUX32 busybox uname -m)" != "$(uname -m)" ]
    same default "$(uname -m)" "$(podman run --rm busybox uname -m)"
}

row_sysctl() { # host
    same values $'512\n9000' "$(podman run --rm --sysctl net.core.somaxconn=512 --sysctl kernel.msgmax=9000 \
        busybox cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax)"
    fails podman run --rm --sysctl vm.swappiness=1 busybox true
}

row_ulimit() { # quick host
    # With any of these, podman 4 forgets the configuration's, and takes its own, which are too high.
    same "open files" $'100\n200' "$(podman run --rm --ulimit nproc=1024 --ulimit nofile=100:200 \
        busybox sh -c 'ulimit -Sn; ulimit -Hn')"
    same core 0 "$(podman run --rm --ulimit nproc=1024 --ulimit nofile=1024 --ulimit core=0 \
        busybox sh -c 'ulimit -c')"
}

row_devices() { # quick root
    local minor
    minor=$((0x$(stat -c %T /dev/loop-control)))
    shows "not permitted" podman run --rm --cap-add MKNOD busybox sh -c "mknod /d c 10 $minor; : < /d || true"
    podman run --rm --device /dev/loop-control:/dev/mine busybox sh -c ': < /dev/mine'
    shows "not permitted" podman run --rm --device /dev/loop-control:/dev/mine:r busybox sh -c ': > /dev/mine || true'
    podman run --rm --cap-add MKNOD --device-cgroup-rule "c 10:$minor rwm" busybox sh -c "mknod /d c 10 $minor; : < /d"
}

row_memory() {
    box --memory 64m --memory-reservation 32m --memory-swap 64m --oom-score-adj 500 busybox sleep 1000
    same limit 67108864 "$(limit memory.limit_in_bytes memory.max)"
    same reservation 33554432 "$(limit memory.soft_limit_in_bytes memory.low)"
    same score 500 "$(podman exec box cat /proc/1/oom_score_adj)"
}

row_oom() { # quick
    status 137 podman run --name box --memory 16m --memory-swap 16m busybox tail /dev/zero
    same killed true "$(inspect .State.OOMKilled)"
}

row_cpu() { # quick
    box --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 busybox sleep 1000
    same quota "50000 100000" "$(quota "$(inspect .State.Pid)")"
    same shares 512 "$(shares "$(inspect .State.Pid)")"
    same processors 0 "$(limit cpuset.cpus)"
    same affinity 0 "$(podman exec box sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status)"
}

row_pids() { # quick
    box --pids-limit 5 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait'
    becomes .State.ExitCode 2
    shows "can't fork" podman logs box
    podman run --rm --pids-limit 5 busybox true
    podman run --rm --pids-limit -1 busybox sh -c 'sleep 0 & wait' # which older ones hand on as 0
    [ "$who $manager" != "user cgroupfs" ] || return 0 # there Podman doesn't ask the runtime for its default
    box2=$(podman run -d busybox sleep 1000)
    same default 2048 "$(cgroup_file "$(inspect .State.Pid "$box2")" pids.max)"
}

row_blkio() { # host
    local device
    device=$(find /dev -maxdepth 1 -type b -name '[vs]da' | head -n 1)
    [ -n "$device" ] || skip "no disk's device"
    box --device-read-bps "$device:1mb" --device-write-iops "$device:100" busybox sleep 1000
    has read "$(limit blkio.throttle.read_bps_device io.max)" 1048576
    has write "$(limit blkio.throttle.write_iops_device io.max)" 100
}

row_cgroup_namespace() { # quick host
    same private "" "$(podman run --rm --cgroupns private busybox grep -v :/$ /proc/self/cgroup)"
    shows /libpod-conmon- podman run --rm --cgroups no-conmon --cgroupns host busybox cat /proc/self/cgroup || true
    shows /libpod- podman run --rm --cgroupns host busybox cat /proc/self/cgroup
    status 1 podman run --rm --cgroupns private busybox sh -c 'mkdir /sys/fs/cgroup/*/x'
}

row_cgroup_parent() { # host
    box --cgroup-parent /parent/inner --pids-limit 20 busybox sleep 1000
    same limit 20 "$(cat /sys/fs/cgroup/{pids/,}parent/inner/libpod-"$(inspect .Id)"/pids.max 2> /dev/null)"
    podman exec box true
    podman rm -f -t 0 box
    wait_for "its conmon's end" sh -c '! pgrep -x conmon'
    # These are the user's, and stay: podman makes no difference between old and new ones.
    find /sys/fs/cgroup -depth -type d -path '*/parent*' -exec rmdir {} +
}

row_unified_unmounted() { # quick host: a hybrid host without its unified hierarchy
    local unified
    unified=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
    [[ $unified == /sys/fs/cgroup/* ]] || skip "the host's cgroups are not a hybrid"
    unshare --mount --propagation slave bash -e -c "
        $(declare -f same fails inspect box)
        umount $unified"'
        fails grep -q cgroup2 /proc/self/mounts
        box --network none --memory 64m busybox sh -c "trap \"exit 5\" TERM; touch /ready; while :; do sleep 0.1; done"
        cgroup=$(sed -n "s/.*:memory://p" "/proc/$(inspect .State.Pid)/cgroup")
        same memory 67108864 "$(cat "/sys/fs/cgroup/memory$cgroup/memory.limit_in_bytes")"
        same exec "$(podman exec box cat /proc/1/cgroup)" "$(podman exec box cat /proc/self/cgroup)"
        until podman exec box test -e /ready; do sleep 0.1; done
        podman pause box
        same state paused "$(inspect .State.Status)"
        podman unpause box
        podman stop -t 10 box
        same status 5 "$(inspect .State.ExitCode)"
        podman rm box'
    same cgroups "" "$(find /sys/fs/cgroup -mindepth 2 -type d -path '*libpod-*')"
}

row_unit_stops() { # systemd: by somebody who asks systemd
    box busybox sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c 'podman logs box | grep ready'
    systemd stop "$(unit)"
    same status 3 "$(podman wait box)"
    podman start box
    is_scope "$(inspect .State.Pid)" "$(unit)" "$(slice)"
}

row_slice() { # systemd: --cgroup-parent
    box --cgroup-parent mine-inner.slice --memory 64m busybox sleep 1000
    is_scope "$(inspect .State.Pid)" "$(unit)" mine-inner.slice
    has path "$(cgroup_of "$(inspect .State.Pid)")" /mine.slice/mine-inner.slice/libpod-
    same memory 67108864 "$(limit memory.max)"
    podman exec box true
    podman rm -f -t 0 box
    wait_for "its conmon's end" sh -c '! pgrep -x conmon'
    systemd stop mine.slice
}

row_cgroups_disabled() { # quick
    box --cgroups disabled busybox sleep 1000
    fails grep libpod- "/proc/$(inspect .State.Pid)/cgroup"
    [ "$place" = guest ] || same cgroups "$(cat /proc/self/cgroup)" "$(cat "/proc/$(inspect .State.Pid)/cgroup")"
    podman exec box true
    podman stop -t 0 box
    same status 137 "$(inspect .State.ExitCode)"
}

row_cgroups_no_conmon() { # host
    box --cgroups no-conmon busybox sleep 1000
    same "conmon's" "$(cat /proc/self/cgroup)" "$(cat "/proc/$(inspect .State.ConmonPid)/cgroup")"
    shows /libpod- cat "/proc/$(inspect .State.Pid)/cgroup"
}

row_cgroups_split() { # guest: below the service that Podman is started in, as quadlets have it
    local run=(systemd-run --quiet --unit=split --property=Delegate=yes --property=Type=exec
        "--setenv=CONTAINERS_CONF=$CONTAINERS_CONF" /usr/bin/podman run --cgroups split --memory 64m
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

row_quadlet() { # quick guest: a service, with a volume and a network that are units too
    can_quadlet
    quadlet data.volume <<< '[Volume]'
    quadlet inner.network <<< $'[Network]\nSubnet=10.99.0.0/24'
    quadlet box.container <<- 'END'
	[Container]
	ContainerName=box
	Image=localhost/busybox
	Pull=never
	Exec=sh -c 'trap "echo stopped > /data/note; exit 0" TERM; echo started; touch /data/ready; while :; do sleep 0.1; done'
	Volume=data.volume:/data
	Network=inner.network
	Environment=A=b
	DropCapability=ALL
	ReadOnly=true
	NoNewPrivileges=true
	PodmanArgs=--memory 64m
	LogDriver=journald
	[Service]
	Restart=always
	END
    systemd daemon-reload
    systemd start box.service
    local pid conmon cgroup
    pid=$(inspect .State.Pid)
    conmon=$(inspect .State.ConmonPid)
    cgroup=$(property box.service ControlGroup)
    same service "notify active $conmon" \
        "$(property box.service Type) $(property box.service ActiveState) $(property box.service MainPID)"
    same cgroup "$cgroup/libpod-payload-$(inspect .Id)" "$(cgroup_of "$pid")"
    has "systemctl status" "$(systemd status --no-pager box.service)" "$pid sh -c"
    same memory 67108864 "$(limit memory.max)"
    has address "$(podman exec box ip addr)" 10.99.0.
    same environment b "$(podman exec box sh -c 'echo $A')"
    same security $'0000000000000000\n1' "$(podman exec box sed -nE 's/^(CapEff|NoNewPrivs):.//p' /proc/self/status)"
    wait_for "what it says" eval 'journal -u box.service | grep -x started'
    reloads
    same "after a reload" "67108864 active" "$(limit memory.max) $(property box.service ActiveState)"
    local ready
    ready=$(podman volume inspect -f '{{.Mountpoint}}' systemd-data)/ready
    rm "$ready"
    kill -KILL "$pid"
    wait_for "it to be started again" test -e "$ready"
    same restarts "1 active" "$(property box.service NRestarts) $(property box.service ActiveState)"
    [ "$(inspect .State.Pid)" != "$pid" ]
    systemd stop box.service
    same end "inactive success" "$(property box.service ActiveState) $(property box.service Result)"
    same "what TERM did" stopped "$(cat "${ready%/*}/note")"
    same containers "" "$(podman ps -aq)"
    wait_for "its cgroups' end" eval '[ -z "$(cgroups "libpod-payload-*")" ]'
}

row_quadlet_status() { # guest: how it ends
    can_quadlet
    printf '[Container]\nImage=localhost/busybox\nPull=never\nExec=sh -c "exit 7"\n[Service]\nType=oneshot\n' | quadlet seven.container
    printf '[Container]\nImage=localhost/busybox\nPull=never\nExec=nonexistent\n' | quadlet nonexistent.container
    systemd daemon-reload
    fails systemd start seven.service
    same status "exit-code 7" "$(property seven.service Result) $(property seven.service ExecMainStatus)"
    fails systemd start nonexistent.service
    same "without a program" "exit-code 127" "$(property nonexistent.service Result) $(property nonexistent.service ExecMainStatus)"
    same containers "" "$(podman ps -aq)"
}

row_quadlet_notify() { # guest: Notify=true: it says itself when it is ready; healthy: its probe does
    can_quadlet
    quadlet box.container <<- 'END'
	[Container]
	ContainerName=box
	Image=localhost/busybox
	Pull=never
	Exec=sh -c 'until [ -e /tmp/go ]; do sleep 0.1; done; perl /say; exec sleep 1000'
	Volume=/tmp/say:/say:ro
	Volume=/usr:/usr:ro
	Volume=/usr/lib:/lib:ro
	Volume=/usr/lib64:/lib64:ro
	Environment=PATH=/bin:/usr/bin
	Notify=true
	END
    quadlet other.container <<- 'END'
	[Container]
	ContainerName=other
	Image=localhost/busybox
	Pull=never
	Exec=sleep 1000
	HealthCmd=test -e /tmp/healthy
	HealthInterval=2s
	Notify=healthy
	END
    cat > /tmp/say <<- 'END'
	use IO::Socket::UNIX;
	IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send("READY=1\nSTATUS=open");
	END
    systemd daemon-reload
    systemd start --no-block box.service other.service
    wait_for "both to run" eval 'podman exec box true && podman exec other true'
    same "its state" activating "$(property box.service ActiveState)"
    podman exec box touch /tmp/go
    wait_for "its word" eval '[ "$(property box.service ActiveState)" = active ]'
    same "its main process" "$(inspect .State.ConmonPid)" "$(property box.service MainPID)"
    same "the other's state" activating "$(property other.service ActiveState)"
    podman exec other touch /tmp/healthy
    wait_for "its health" eval '[ "$(property other.service ActiveState)" = active ]'
}

row_quadlet_pod() { # guest
    can_quadlet
    quadlet pod.pod <<< $'[Pod]\nPodName=pod\nPublishPort=8080:80'
    local name
    for name in web:httpd,-f,-h,/etc side:sleep,1000; do
        printf '[Container]\nContainerName=%s\nImage=localhost/busybox\nPull=never\nPod=pod.pod\nExec=%s\n' \
            "${name%:*}" "$(tr , ' ' <<< "${name#*:}")" | quadlet "${name%:*}.container"
    done
    systemd daemon-reload
    systemd start pod-pod.service
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    podman exec side wget -qO /dev/null http://127.0.0.1/group
    for name in web side; do
        same "$name" "active $(inspect .State.ConmonPid $name)" \
            "$(property $name.service ActiveState) $(property $name.service MainPID)"
    done
    systemd restart pod-pod.service
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    systemd stop pod-pod.service
    fails systemd is-active web.service
    same pods "" "$(podman pod ps -q)"
    same containers "" "$(podman ps -aq)"
}

row_quadlet_kube() { # guest
    can_quadlet
    shop_yaml
    quadlet shop.kube <<< $'[Kube]\nYaml=/tmp/shop.yaml'
    systemd daemon-reload
    systemd start shop.service
    same state active "$(property shop.service ActiveState)"
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8000/file
    systemd stop shop.service
    same state inactive "$(property shop.service ActiveState)"
    same containers "" "$(podman ps -aq)"
}

row_other_session() { # guest: made in one cgroup, used from others
    local run=(systemd-run --quiet --pipe --wait "--setenv=CONTAINERS_CONF=$CONTAINERS_CONF") by=()
    if [ "$who" = user ]; then
        run+=(--user)
        by=(as_user)
    fi
    "${by[@]}" "${run[@]}" --service-type=exec --property=KillMode=process /usr/bin/podman run -d --name box busybox sleep 1000
    same exec hello "$(podman exec box echo hello)"
    same "exec from a service" hello "$("${by[@]}" "${run[@]}" /usr/bin/podman exec box echo hello)"
    podman exec -d box sleep 999
    wait_for "the exec" pgrep -x -f 'sleep 999'
    same "its cgroup" "$(cgroup_of "$(inspect .State.Pid)")" "$(cgroup_of "$(pgrep -x -f 'sleep 999')")"
    "${by[@]}" "${run[@]}" /usr/bin/podman rm -f -t 0 box
    same containers "" "$(podman ps -aq)"
}

row_cgroup_view() { # guest: what containers see of their cgroup
    same private "0::/" "$(podman run --rm busybox cat /proc/self/cgroup)"
    shows "Read-only file system" podman run --rm busybox sh -c 'mkdir /sys/fs/cgroup/x || true'
    same limit 67108864 "$(podman run --rm --memory 64m busybox cat /sys/fs/cgroup/memory.max)"
    # What a systemd in the container would do.
    podman run --rm --systemd always busybox sh -ec 'mkdir /sys/fs/cgroup/init
        echo 1 > /sys/fs/cgroup/init/cgroup.procs
        echo "+memory +pids" > /sys/fs/cgroup/cgroup.subtree_control'
}

row_host_namespaces() { # quick host
    local kind
    for kind in uts pid ipc net cgroup; do
        local flag=--$kind
        [ $kind != cgroup ] || flag=--cgroupns
        same "$kind" "$(readlink "/proc/self/ns/$kind")" \
            "$(podman run --rm "$flag" host busybox readlink "/proc/self/ns/$kind")"
        [ "$(readlink "/proc/self/ns/$kind")" != "$(podman run --rm "$flag" private busybox readlink "/proc/self/ns/$kind")" ]
    done
}

row_host_pid_end() { # without a pid namespace nothing but the cgroup holds them together
    box --pid host busybox sh -c 'sleep 1000 & exec sleep 999'
    wait_for "both processes" sh -c 'podman top box args | grep "sleep 1000"'
    local pids
    pids=$(podman top box hpid | tail -n +2)
    podman kill box
    becomes .State.ExitCode 137
    for pid in $pids; do wait_for "the end of $pid" test ! -e "/proc/$pid"; done
}

row_others_namespaces() { # host: those of another container
    podman run -d --name web busybox httpd -f -h /etc
    box --network container:web --pid container:web --ipc container:web --uts container:web busybox sleep 1000
    wait_for "the server" podman exec box wget -qO /dev/null http://127.0.0.1/group
    shows httpd podman exec box ps
    podman stop -t 0 web # it has the pid namespace: the other ends with it
    becomes .State.Running false
}

row_network() { # quick host
    shows "inet 10.88" podman run --rm busybox ip addr
    same none lo "$(podman run --rm --network none busybox sh -c 'ls /sys/class/net')"
    shows "LOOPBACK,UP" podman run --rm --network none busybox ip link
    same host "$(ls /sys/class/net)" "$(podman run --rm --network host busybox ls /sys/class/net)"
    shows "there" podman run --rm --add-host there:10.1.2.3 busybox grep 10.1.2.3 /etc/hosts
    ip netns add mine
    same path "$(stat -Lc %i /run/netns/mine)" "$(podman run --rm --network ns:/run/netns/mine busybox stat -Lc %i /proc/self/ns/net)"
    ip netns delete mine
}

row_network_names() { # host
    podman network create inner
    podman run -d --name web --network inner busybox httpd -f -h /etc
    wait_for "the server by its name" podman run --rm --network inner busybox wget -qO- http://web/group
    podman network disconnect inner web
    same left lo "$(podman exec web ls /sys/class/net)"
    podman network connect inner web
    wait_for "the server by its name" podman run --rm --network inner busybox wget -qO- http://web/group
}

row_network_user_mode() { # host
    shows tap0 podman run --rm --network slirp4netns busybox ip addr
    shows 10.0.2.100 podman run --rm --network slirp4netns busybox ip addr
}

row_ports() { # quick host
    box -p 8080:80 -p 127.0.0.1:8081:80 busybox httpd -f -h /etc
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    shows user busybox wget -qO- http://127.0.0.1:8081/group
    podman restart -t 0 box
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    podman stop -t 0 box
    fails busybox wget -qO- http://127.0.0.1:8080/group
}

row_userns_auto() { # host
    box --userns auto:size=4096 busybox sleep 1000
    same size 4096 "$(podman exec box awk '{ n += $3 } END { print n }' /proc/self/uid_map)"
    local owner
    owner=$(stat -c %u "/proc/$(inspect .State.Pid)")
    [ "$owner" -ge 300000 ]
    podman run -d --name other --userns auto:size=4096 busybox sleep 1000
    [ "$(stat -c %u "/proc/$(inspect .State.Pid other)")" != "$owner" ]
    same user 1000 "$(podman exec -u user box id -u)"
}

row_userns_auto_volumes() { # host: ids of files, for two containers with ids of their own
    mkdir -p /tmp/data /tmp/bind
    podman run --rm --userns auto -v /tmp/data:/data:idmap busybox touch /data/file
    same "owner outside" 0 "$(stat -c %u /tmp/data/file)"
    box --userns auto -v /tmp/data:/data:idmap -v /tmp/bind:/bind:U busybox sleep 1000
    podman run -d --name other --userns auto -v /tmp/data:/data:idmap busybox sleep 1000
    local owner
    owner=$(stat -c %u "/proc/$(inspect .State.Pid)")
    [ "$(stat -c %u "/proc/$(inspect .State.Pid other)")" != "$owner" ]
    same "the first's" 0:0 "$(podman exec box stat -c %u:%g /data/file)"
    same "the other's" 0:0 "$(podman exec other stat -c %u:%g /data/file)"
    podman exec -u user box touch /tmp/file
    podman exec box touch /bind/file
    same "of its own" "$owner $owner" "$(stat -c %u /tmp/bind /tmp/bind/file | xargs)"
}

row_userns_auto_device() { # quick host
    box --userns auto --device /dev/net/tun:/dev/mine busybox sleep 1000
    podman exec box sh -c ': <> /dev/mine; : > /dev/null; head -c 1 /dev/urandom'
    same kind "a c8" "$(podman exec box stat -c '%t %T' /dev/mine)" # 10, 200
    status 1 podman exec box test -e /dev/fuse
    shows "not permitted" podman run --rm --userns auto --device /dev/net/tun:/dev/mine:r busybox \
        sh -c ': < /dev/mine && : > /dev/mine || true'
}

row_userns_host_namespaces() { # host: in a user namespace nothing of these may be mounted anew
    local kind
    for kind in uts pid net cgroup; do
        # Podman 4 asks for a new /proc with the host's processes, which no kernel makes.
        [ "$kind $(release)" != "pid 4" ] || continue
        local flag=--$kind
        [ $kind != cgroup ] || flag=--cgroupns
        same "$kind" "$(readlink "/proc/self/ns/$kind")" \
            "$(podman run --rm --userns auto "$flag" host busybox readlink "/proc/self/ns/$kind")"
    done
    same devices "$(ls /sys/class/net)" "$(podman run --rm --userns auto --network host busybox ls /sys/class/net)"
    same privileged mounts "$(podman run --rm --userns auto --privileged busybox sh -c 'mount -t tmpfs tmpfs /tmp && echo mounts')"
}

row_userns_names() { # host: ranges by their owner's name in /etc/subuid, and extra ones
    same named "0 200000 65536" "$(podman run --rm --subuidname user --subgidname user busybox cat /proc/self/gid_map | xargs)"
    [ "$(release)" -ge 5 ] || return 0 # older ones make no root for these
    same asked "0 400000 10" "$(podman run --rm --userns auto:size=100,uidmapping=0:400000:10 busybox grep 400000 /proc/self/uid_map | xargs)"
    # Root keeps all ids, and has a namespace of them.
    same "root's keep-id" "0 0 4294967295" "$(podman run --rm --userns keep-id busybox cat /proc/self/uid_map | xargs)"
}

row_userns_path() { # host: one that somebody has made
    unshare --user --fork --kill-child sleep 1000 &
    local holder=$! pid
    wait_for "the namespace" pgrep -P $holder -x sleep
    pid=$(pgrep -P $holder -x sleep)
    echo 0 0 65536 > "/proc/$pid/uid_map"
    echo 0 0 65536 > "/proc/$pid/gid_map"
    box --userns "ns:/proc/$pid/ns/user" busybox sleep 1000
    same namespace "$(readlink "/proc/$pid/ns/user")" "$(readlink "/proc/$(inspect .State.Pid)/ns/user")"
    same exec "$(readlink "/proc/$pid/ns/user")" "$(podman exec box readlink /proc/self/ns/user)"
    same user 1000 "$(podman exec -u user box id -u)"
    status 1 podman exec box sh -c 'echo 1 > /proc/sys/vm/swappiness'
    kill $holder
}

row_pod_userns() { # host: a pod's containers are in its user namespace
    podman pod create --name pod --userns auto:size=2000 -p 8080:80
    podman run -d --pod pod --name web busybox httpd -f -h /etc
    podman run -d --pod pod --name box busybox sleep 1000
    same namespace "$(podman exec web readlink /proc/self/ns/user)" "$(podman exec box readlink /proc/self/ns/user)"
    same size 2000 "$(podman exec box awk '{ n += $3 } END { print n }' /proc/self/uid_map)"
    [ "$(stat -c %u "/proc/$(inspect .State.Pid)")" -ge 300000 ]
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    same file 0 "$(podman exec box sh -c 'touch /file; stat -c %u /file')"
    podman pod restart pod
    podman exec box true
}

row_user_namespace() { # quick host
    local maps=(--uidmap 0:200000:65536 --gidmap 0:200000:65536)
    box "${maps[@]}" -v data:/data busybox sh -c 'echo > /data/file; exec sleep 1000'
    same map "0 200000 65536" "$(podman exec box cat /proc/self/uid_map | xargs)"
    same "user outside" 200000 "$(stat -c %u "/proc/$(inspect .State.Pid)")"
    wait_for "its file" podman exec box ls /data/file
    same "owner outside" 200000 "$(stat -c %u "$(podman volume inspect -f '{{.Mountpoint}}' data)/file")"
    shows /dev/pts/0 in_terminal 'podman exec -it -u user box sh -c "tty; sleep 1"'
    status 1 podman exec box sh -c 'echo 1 > /proc/sys/vm/swappiness'
    same mounts mounts "$(podman run --rm "${maps[@]}" --cap-add SYS_ADMIN busybox sh -c 'mount -t tmpfs tmpfs /tmp && echo mounts')"
    same container "$(podman exec box readlink /proc/self/ns/user)" "$(podman run --rm --userns container:box busybox readlink /proc/self/ns/user)"
}

row_rootfs() { # host: a directory, not an image
    same output user "$(podman run --rm --rootfs $image:O sed -n 's/^\(user\):.*/\1/p' /etc/group)"
}

row_hooks() { # quick host
    mkdir -p /tmp/hooks
    cat > /tmp/hooks/hook.json <<- 'END'
	{"version": "1.0.0", "hook": {"path": "/bin/sh", "args": ["sh", "-c", "cat > /tmp/hooks/$STAGE"],
	    "env": ["STAGE=seen"]}, "when": {"annotations": {"^hook$": "^yes$"}},
	    "stages": ["prestart", "createRuntime", "poststart", "poststop"]}
	END
    podman --hooks-dir /tmp/hooks run --rm --name box --annotation hook=yes busybox true
    shows '"status":"stopped"' cat /tmp/hooks/seen
    sed -i 's/"sh", "-c", "[^"]*"/"sh", "-c", "echo no good >\&2; exit 3"/; s/, "poststart", "poststop"//' /tmp/hooks/hook.json
    shows "no good" status 126 podman --hooks-dir /tmp/hooks run --name box --annotation hook=yes busybox true
}

row_names() { # host
    same host "there" "$(podman run --rm --hostname there busybox hostname)"
    same entrypoint "a b" "$(podman run --rm --entrypoint echo busybox a b)"
    printf 'A=one\nB=two words\n' > /tmp/environment
    same environment "one two words three" "$(podman run --rm --env-file /tmp/environment -e C=three busybox sh -c 'echo $A $B $C')"
    same directory /tmp "$(podman run --rm --workdir /tmp busybox pwd)"
    echo hush > /tmp/secret
    podman secret create word /tmp/secret
    same secret hush "$(podman run --rm --secret word busybox cat /run/secrets/word)"
    podman secret rm word
}

row_sdnotify() { # quick host: the container itself says that it is ready, as a service's would
    cat > /tmp/listen <<- 'END'
	use IO::Socket::UNIX;
	my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $ARGV[0]) or die $!;
	$| = 1;
	while (defined $socket->recv(my $message, 4096)) { print "$message\n" }
	END
    local say='use IO::Socket::UNIX; IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => $ENV{NOTIFY_SOCKET})->send("READY=1")'
    perl /tmp/listen /run/caller > /tmp/heard &
    local listener=$! caller
    wait_for "the caller's socket" test -S /run/caller
    NOTIFY_SOCKET=/run/caller podman run -d --sdnotify container --name box -v /usr:/usr:ro -v /usr/lib:/lib:ro \
        -v /usr/lib64:/lib64:ro busybox sh -c "until [ -e /go ]; do sleep 0.1; done; /usr/bin/perl -e '$say'; exec sleep 1000" &
    caller=$!
    wait_for "its process" is .State.Status running
    sleep 0.5
    fails grep READY /tmp/heard
    podman exec box touch /go
    wait_for "what it says" grep -x READY=1 /tmp/heard
    wait $caller
    wait_for "its main process" grep -x "MAINPID=$(inspect .State.ConmonPid)" /tmp/heard
    podman rm -f -t 0 box
    kill $listener
}

row_parallel() { # quick
    ten_at_once podman run --rm busybox echo
}

row_statuses() { # quick
    status 125 podman run --rm --nonsense busybox true
    status 126 podman run --rm busybox /etc/passwd
    status 126 podman run --rm busybox /tmp
    status 127 podman run --rm busybox nonexistent
    status 127 podman run --rm busybox /nonexistent
    status 137 podman run --rm busybox sh -c 'kill -KILL $(cut -d " " -f 4 /proc/self/stat)' ||
        status 137 podman run --rm --pid host busybox sh -c 'kill -KILL $$'
    status 7 podman run --rm busybox sh -c 'exit 7'
    shows 'executable file `nonexistent` not found' podman run --rm busybox nonexistent ||
        shows 'exec: "nonexistent": executable file not found in $PATH' podman run --rm busybox nonexistent
}

row_service() { # host: by Docker's command line, at podman's socket
    podman system service -t 0 unix:///run/podman-test.sock &
    local service=$!
    export DOCKER_HOST=unix:///run/podman-test.sock
    wait_for "the service" docker version
    same output hello "$(docker run --rm busybox echo hello)"
    docker run -d --name box busybox sleep 1000
    same exec "b" "$(docker exec -e A=b box sh -c 'echo $A')"
    status 7 docker exec box sh -c 'exit 7'
    docker kill box
    same status 137 "$(docker wait box)"
    docker rm box
    kill $service
}

row_checkpoint() { # quick host
    can_checkpoint
    box busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done'
    wait_for "some steps" podman exec box grep -E '[0-9]{2}' /tmp/count
    local before
    podman container checkpoint --keep box
    same state "exited true" "$(inspect '.State.Status}} {{.State.Checkpointed')"
    before=$(cat "$(podman mount box)/tmp/count")
    podman container restore --keep box
    wait_for "steps after" podman exec box sh -c "[ \$(cat /tmp/count) -gt $((before + 2)) ]"
    podman exec box true
    podman stop -t 0 box
    same status 137 "$(inspect .State.ExitCode)"
}

row_checkpoint_running() { # host
    can_checkpoint
    box busybox sh -c 'while :; do sleep 0.1; done'
    local pid
    pid=$(inspect .State.Pid)
    podman container checkpoint --leave-running box
    same state "running $pid" "$(inspect '.State.Status}} {{.State.Pid')"
    podman exec box true
}

row_checkpoint_export() { # host
    can_checkpoint
    box --tmpfs /scratch -v data:/data busybox sh -c \
        'i=0; while :; do i=$((i+1)); echo $i > /scratch/count; echo $i > /data/count; sleep 0.1; done'
    wait_for "some steps" podman exec box grep -E '[0-9]{2}' /scratch/count
    podman container checkpoint --export /tmp/box.tar.gz --print-stats box
    local before
    before=$(cat "$(podman volume inspect -f '{{.Mountpoint}}' data)/count")
    podman rm box
    podman volume rm data
    podman container restore --import /tmp/box.tar.gz --name other --print-stats
    wait_for "steps after" podman exec other sh -c "[ \$(cat /scratch/count) -gt $((before + 2)) ]"
    fails podman container exists box
    podman rm -f -t 0 other
}

row_checkpoint_established() { # host: a connection goes on
    can_checkpoint
    box busybox sh -c 'nc -l -p 7000 -e cat & sleep 1; { while :; do echo tick; sleep 0.1; done; } | nc 127.0.0.1 7000 > /tmp/ticks'
    wait_for "some ticks" podman exec box grep tick /tmp/ticks
    podman container checkpoint --tcp-established box
    local before
    before=$(wc -l < "$(podman mount box)/tmp/ticks")
    podman container restore --tcp-established box
    wait_for "ticks after" podman exec box sh -c "[ \$(wc -l < /tmp/ticks) -gt $((before + 2)) ]"
}

row_checkpoint_pod() { # host
    can_checkpoint
    podman pod create --name one
    podman run -d --pod one --name box busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done'
    wait_for "some steps" podman exec box grep -E '[0-9]{2}' /tmp/count
    podman container checkpoint --export /tmp/box.tar.gz box
    podman pod rm -f -t 0 one
    podman pod create --name two
    podman container restore --import /tmp/box.tar.gz --pod two
    wait_for "it to run on" podman exec box grep -E '[0-9]{2}' /tmp/count
}

can_checkpoint() { command -v criu > /dev/null || skip "the tree has no criu"; }

row_rootless_run() { # quick host
    import_rootless
    same rootless true "$(rootless info -f '{{.Host.Security.Rootless}}')"
    same output "hello 0" "$(rootless run --rm busybox sh -c 'echo hello $(id -u)')"
    same map "0 1000 1 1 200000 65536" "$(rootless run --rm busybox cat /proc/self/uid_map | xargs)"
    rootless run -d --name box busybox sh -c 'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for "its trap" sh -c "$(declare -f rootless as_user); rootless logs box | grep ready"
    same owner 1000 "$(stat -c %u "/proc/$(rootless container inspect -f '{{.State.Pid}}' box)")"
    rootless stop -t 10 box
    same status 5 "$(rootless container inspect -f '{{.State.ExitCode}}' box)"
    rootless start box
    rootless rm -f -t 0 box
    status 126 rootless run --rm busybox /etc/passwd
    status 127 rootless run --rm busybox nonexistent
    status 7 rootless run --rm busybox sh -c 'exit 7'
}

row_rootless_exec() { # quick host
    import_rootless
    rootless run -d --name box busybox sleep 1000
    same user "1000 1000" "$(rootless exec -u user box sh -c 'echo $(id -u) $(id -g)')"
    same input hello "$(echo hello | rootless exec -i box cat)"
    status 7 rootless exec box sh -c 'exit 7'
    shows "/dev/pts/0" in_terminal "$(declare -f rootless as_user); rootless exec -it box sh -c 'tty; sleep 1'"
    shows "sleep 1000" rootless top box
}

row_rootless_terminal() { # host
    import_rootless
    shows "/dev/pts/0" in_terminal "$(declare -f rootless as_user); rootless run --rm -it busybox sh -c 'tty; sleep 1'"
}

row_rootless_ports() { # quick host
    import_rootless
    rootless run -d --name box -p 8080:80 busybox httpd -f -h /etc
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/group
    rootless stop -t 0 box
    fails busybox wget -qO- http://127.0.0.1:8080/group
}

row_rootless_networks() { # host
    import_rootless
    shows tap0 rootless run --rm --network slirp4netns busybox ip addr
    same none lo "$(rootless run --rm --network none busybox ls /sys/class/net)"
    same host "$(ls /sys/class/net)" "$(rootless run --rm --network host busybox ls /sys/class/net)"
    command -v pasta > /dev/null || return 0
    shows "scope global" rootless run --rm --network pasta busybox ip addr
}

row_rootless_bridge() { # host
    import_rootless
    rootless network create inner
    rootless run -d --name web --network inner busybox httpd -f -h /etc
    shows user rootless run --rm --network inner busybox wget -qO- http://web/group
}

row_rootless_pod() { # quick host
    import_rootless
    rootless pod create --name pod --share net,ipc,uts,pid --hostname both
    rootless run -d --pod pod --name web busybox httpd -f -h /etc
    rootless run -d --pod pod --name ghost busybox sleep 1000
    wait_for "the server" rootless_exec ghost wget -qO /dev/null http://127.0.0.1/group
    rootless exec web sh -c 'echo told > /dev/shm/note'
    same note told "$(rootless exec ghost cat /dev/shm/note)"
    shows httpd rootless exec ghost ps
    same name both "$(rootless exec ghost hostname)"
}
rootless_exec() { rootless exec "$@"; }

row_rootless_volumes() { # host
    import_rootless
    as_user mkdir -p /work/user/data
    rootless run --rm -v /work/user/data:/data busybox sh -c 'echo theirs > /data/file; chown 5 /data/file'
    same "owner outside" 200004 "$(stat -c %u /work/user/data/file)"
    status 1 rootless run --rm -v /work/user/data:/data:ro busybox touch /data/other
    rootless run --rm -v kept:/data busybox sh -c 'echo kept > /data/file'
    same kept kept "$(rootless run --rm -v kept:/data busybox cat /data/file)"
    rootless run --rm --read-only --tmpfs /scratch:size=1m busybox touch /scratch/file
    shows "/dev/null" rootless run --rm --device /dev/fuse busybox ls /dev/null /dev/fuse
}

row_rootless_keep_id() { # host
    import_rootless
    same user "1000 1000" "$(rootless run --rm --userns keep-id busybox sh -c 'echo $(id -u) $(id -g)')"
    as_user mkdir -p /work/user/mine
    rootless run --rm --userns keep-id -v /work/user/mine:/data busybox touch /data/file
    same "owner outside" 1000 "$(stat -c %u /work/user/mine/file)"
    rootless run -d --name box --userns keep-id busybox sleep 1000
    same exec 1000 "$(rootless exec box id -u)"
    same root 0 "$(rootless exec -u 0 box id -u)"
}

row_rootless_keep_id_as() { # quick host: one's own ids as others
    import_rootless
    [ "$(rootless version -f '{{.Client.Version}}' | cut -d. -f1)" -ge 5 ] || skip "Podman 4.3 knows no keep-id:uid="
    as_user mkdir -p /work/user/as
    same user "200 210" "$(rootless run --rm --userns keep-id:uid=200,gid=210 -v /work/user/as:/data busybox \
        sh -c 'touch /data/file; echo $(id -u) $(id -g)')"
    same "owner outside" 1000:1000 "$(stat -c %u:%g /work/user/as/file)"
    same size 300 "$(rootless run --rm --userns keep-id:uid=200,gid=210,size=300 busybox awk '{ n += $3 } END { print n }' /proc/self/uid_map)"
    rootless run -d --name box --userns keep-id:uid=200,gid=210 busybox sleep 1000
    same exec 200 "$(rootless exec box id -u)"
    same "exec of another" 5 "$(rootless exec -u 5 box id -u)"
    same container "200 $(rootless exec box readlink /proc/self/ns/user)" \
        "$(rootless run --rm --userns container:box --user 200 busybox sh -c 'echo $(id -u) $(readlink /proc/self/ns/user)')"
}

row_rootless_maps() { # host: --uidmap, which counts in the user's ids; + and @ since Podman 5
    import_rootless
    as_user mkdir -p /work/user/maps
    rootless run --rm --uidmap 0:1:1000 --uidmap 1000:0:1 --gidmap 0:0:2000 --user 1000 \
        -v /work/user/maps:/data busybox touch /data/one
    same "owner outside" 1000 "$(stat -c %u /work/user/maps/one)"
    [ "$(release)" -ge 5 ] || return 0
    rootless run --rm --uidmap +5:@1000:1 --user 5 -v /work/user/maps:/data busybox touch /data/two
    same "owner outside" 1000 "$(stat -c %u /work/user/maps/two)"
    same map "0 1 5 5 0 1 6 6 65531" "$(rootless run --rm --uidmap +5:@1000:1 busybox cat /proc/self/uid_map | xargs)"
    same groups "0 1 5 5 0 1 6 6 65531" "$(rootless run --rm --uidmap +5:@1000:1 busybox cat /proc/self/gid_map | xargs)"
}

row_rootless_volume_ids() { # host: U
    import_rootless
    as_user mkdir -p /work/user/own
    rootless run --rm --user 1000 -v /work/user/own:/data:U -v own:/volume:U busybox touch /data/file /volume/file
    same "a bind's" 200999 "$(stat -c %u /work/user/own/file)"
    same "a volume's" 200999 "$(stat -c %u /work/user/.local/share/containers/storage/volumes/own/_data/file)"
    rootless run --rm --userns keep-id -v own:/volume:U busybox touch /volume/file
    same "a volume's after" 1000 "$(stat -c %u /work/user/.local/share/containers/storage/volumes/own/_data/file)"
}

row_rootless_device() { # host
    import_rootless
    rootless run -d --name box --userns keep-id --device /dev/net/tun --device /dev/net/tun:/dev/mine busybox sleep 1000
    rootless exec box sh -c ': <> /dev/net/tun; : <> /dev/mine'
    same kind "a c8" "$(rootless exec box stat -c '%t %T' /dev/mine)" # 10, 200
    status 1 rootless exec box test -e /dev/fuse
    # What may be opened is what the user may open.
    shows "ermission denied" rootless run --rm --device /dev/loop-control:/dev/other busybox sh -c ': < /dev/other || true'
}

row_rootless_pod_keep_id() { # host
    import_rootless
    rootless pod create --name pod --userns keep-id -p 8080:8000
    as_user mkdir -p /work/user/pod
    rootless run -d --pod pod --name web -v /work/user/pod:/data busybox sh -c 'id -u > /data/file; exec httpd -f -p 8000 -h /data'
    rootless run -d --pod pod --name side busybox sleep 1000
    wait_for "the server" busybox wget -qO- http://127.0.0.1:8080/file
    same user 1000 "$(busybox wget -qO- http://127.0.0.1:8080/file)"
    same "owner outside" 1000 "$(stat -c %u /work/user/pod/file)"
    same namespace "$(rootless exec web readlink /proc/self/ns/user)" "$(rootless exec side readlink /proc/self/ns/user)"
    same root 0 "$(rootless exec -u 0 side id -u)"
}

row_rootless_kube() { # host
    import_rootless
    cat > /work/user/pod.yaml <<- 'END'
	apiVersion: v1
	kind: Pod
	metadata:
	  name: kube
	  annotations: {io.podman.annotations.userns: keep-id}
	spec:
	  terminationGracePeriodSeconds: 0
	  volumes:
	  - {name: own, hostPath: {path: /work/user/kube, type: DirectoryOrCreate}}
	  containers:
	  - name: one
	    image: localhost/busybox
	    imagePullPolicy: Never
	    command: [sh, -c, 'id -u > /own/file; exec sleep 1000']
	    volumeMounts: [{name: own, mountPath: /own}]
	END
    rootless kube play --userns keep-id /work/user/pod.yaml
    wait_for "its file" test -s /work/user/kube/file
    same "user, owner" "1000 1000" "$(cat /work/user/kube/file) $(stat -c %u /work/user/kube/file)"
    rootless kube down /work/user/pod.yaml
    same containers "" "$(rootless ps -aq)"
}

row_rootless_systemd_inside() { # host: what a systemd in the container needs
    import_rootless
    local mounts
    mounts=$(rootless run --rm --systemd always busybox cat /proc/self/mounts)
    has run "$mounts" "tmpfs /run tmpfs rw"
    has lock "$mounts" "tmpfs /run/lock tmpfs rw"
    has hierarchy "$mounts" " /sys/fs/cgroup/systemd cgroup rw,"
}

row_rootless_host_namespaces() { # host: one at a time, and all
    import_rootless
    local kind all=()
    for kind in uts pid net cgroup; do
        local flag=--$kind
        [ $kind != cgroup ] || flag=--cgroupns
        all+=("$flag" host)
        same "$kind" "$(readlink "/proc/self/ns/$kind")" \
            "$(rootless run --rm "$flag" host busybox readlink "/proc/self/ns/$kind")"
    done
    rootless run -d --name box "${all[@]}" busybox sleep 1000
    same all "$(stat -Lc %i /proc/self/ns/{uts,pid,net,cgroup})" \
        "$(rootless exec box stat -Lc %i /proc/self/ns/uts /proc/self/ns/pid /proc/self/ns/net /proc/self/ns/cgroup)"
    [ "$(readlink /proc/self/ns/user)" != "$(rootless exec box readlink /proc/self/ns/user)" ]
}

row_rootless_nomap() { # host
    import_rootless
    same user 0 "$(rootless run --rm --userns nomap busybox id -u)"
    same size 65536 "$(rootless run --rm --userns nomap busybox awk '{ n += $3 } END { print n }' /proc/self/uid_map)"
}

row_rootless_auto() { # host
    import_rootless
    same size 1024 "$(rootless run --rm --userns auto:size=1024 busybox awk '{ n += $3 } END { print n }' /proc/self/uid_map)"
}

row_rootless_keep_groups() { # host
    import_rootless
    same default 0 "$(rootless run --rm busybox id -G)"
    # The group has no number inside: it is seen as nobody's, and counts.
    same groups "0 65534" "$(rootless run --rm --group-add keep-groups busybox id -G)"
    same "with keep-id" "1000 65534" "$(rootless run --rm --userns keep-id --group-add keep-groups busybox id -G)"
    mkdir -p /work/user/shared
    chown root:friends /work/user/shared
    chmod 2770 /work/user/shared
    rootless run --rm --group-add keep-groups -v /work/user/shared:/data busybox touch /data/file
    status 1 rootless run --rm -v /work/user/shared:/data busybox touch /data/other
}

row_rootless_privileged() { # host
    import_rootless
    same "what it can" mounts "$(rootless run --rm --privileged busybox sh -c 'mount -t tmpfs tmpfs /tmp && echo mounts')"
    status 1 rootless run --rm --privileged busybox sh -c 'echo 1 > /proc/sys/vm/swappiness'
}

row_rootless_security() { # host
    import_rootless
    local status='sed -nE s/^(NoNewPrivs|Seccomp|CapEff):.//p /proc/self/status'
    same "all of it" $'0000000000000000\n1\n2' "$(rootless run --rm --cap-drop ALL --security-opt no-new-privileges busybox $status)"
    same sysctl 512 "$(rootless run --rm --sysctl net.core.somaxconn=512 busybox cat /proc/sys/net/core/somaxconn)"
    same files 100 "$(rootless run --rm --ulimit nofile=100 busybox sh -c 'ulimit -n')"
}

row_rootless_parallel() { # host
    import_rootless
    ten_at_once rootless run --rm busybox echo
}

row_rootless_lone() { # host: who has no ids but one's own
    # shellcheck disable=SC2034 # for as_user
    local user=lone
    import_rootless
    same map "0 1001 1" "$(rootless run --rm busybox cat /proc/self/uid_map | xargs)"
    rootless run -d --name box busybox sleep 1000
    same exec 0 "$(rootless exec box id -u)"
    rootless stop -t 0 box
    same status 137 "$(rootless container inspect -f '{{.State.ExitCode}}' box)"
    rootless rm box
    rootless system migrate
}

# nest: /work/nest, a root with what Podman's own image has: Podman and the runtime, the user of CI's
# jobs, and the configuration that needs least of what is around (no namespaces and cgroups but the
# container's).
nest() {
    local name=${runtime##*/} nest=/work/nest id directory
    mkdir -p $nest/{etc/containers,opt,usr,proc,sys,dev,run,tmp,var/tmp,work,root,home/user/.config/containers}
    chmod 1777 $nest/{tmp,var/tmp}
    for directory in bin sbin lib lib64; do ln -sfn usr/$directory $nest/$directory; done
    cp -r /etc/ld.so.c* /etc/nsswitch.conf $nest/etc/
    cp /etc/containers/{policy.json,registries.conf} $nest/etc/containers/
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/bash\n' > $nest/etc/passwd
    printf 'root:x:0:\nuser:x:1000:\n' > $nest/etc/group
    for id in uid gid; do
        printf 'user:1:999\nuser:1001:20000\n' > $nest/etc/sub$id
        # Debian's are setuid, and would need CAP_SYS_ADMIN here; that image's are so too.
        install "$(command -v new${id}map)" $nest/opt/
        setcap cap_set$id+ep $nest/opt/new${id}map
    done
    printf '[storage]\ndriver = "vfs"\ngraphroot = "/var/lib/containers"\nrunroot = "/run/containers"\n' > $nest/etc/containers/storage.conf
    cat > $nest/etc/containers/containers.conf <<- END
	[containers]
	cgroupns = "host"
	cgroups = "disabled"
	default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
	ipcns = "host"
	log_driver = "k8s-file"
	netns = "host"
	userns = "host"
	utsns = "host"
	[engine]
	cgroup_manager = "cgroupfs"
	events_logger = "file"
	runtime = "$name"
	runtime_supports_json = ["$name"]
	runtime_supports_nocgroup = ["$name"]
	stop_timeout = 1
	[engine.runtimes]
	$name = ["$runtime"]
	END
    printf '[containers]\nvolumes = ["/proc:/proc"]\ndefault_sysctls = []\n' > $nest/home/user/.config/containers/containers.conf
    chown -R 1000:1000 $nest/home/user
}

# nested FLAG... -- SCRIPT: in a container with what `nest` makes, as a job of CI
nested() {
    local flags=()
    while [ "$1" != -- ]; do flags+=("$1"); shift; done
    podman run --rm --network none -e PODMAN_IGNORE_CGROUPSV1_WARNING=1 -e PATH=/opt:/usr/sbin:/usr/bin:/sbin:/bin \
        -v /usr:/usr:ro -v "$runtime:$runtime:ro" -v /work/busybox.tar:/work/busybox.tar:ro \
        -v /var/lib/containers --device /dev/fuse "${flags[@]}" --rootfs /work/nest:O \
        bash -euc "podman load -q -i /work/busybox.tar > /dev/null; $2"
}

# nested_user FLAG... -- SCRIPT: the same as a user without privileges
nested_user() {
    nested --user user -e HOME=/home/user -w /home/user --security-opt label=disable \
        --security-opt apparmor=unconfined "$@"
}

row_nested() { # quick root: rootless, in a container without --privileged
    nest
    same output "hello 0" "$(nested_user -- 'podman run --rm busybox sh -c "echo hello \$(id -u)"')"
    same map "0 1000 1 1 1 999 1000 1001 20000" \
        "$(nested_user -- 'podman run --rm busybox cat /proc/self/uid_map' | xargs)"
    same "another user, exec, stop" "1000 in 143" "$(nested_user -- '
        podman run -d --name inner --user 1000 busybox sh -c "trap \"exit 143\" TERM; while :; do sleep 0.1; done" > /dev/null
        podman exec inner sh -c "echo \$(id -u) in"
        podman stop -t 5 inner > /dev/null
        podman inspect -f "{{.State.ExitCode}}" inner' | xargs)"
    status 7 nested_user -- 'podman run --rm busybox sh -c "exit 7"'
}

row_nested_proc() { # host: the same with a /proc of the inner container's own, for which the outer one's is to be whole
    nest
    rm /work/nest/home/user/.config/containers/containers.conf
    same first 1 "$(nested_user --security-opt unmask=ALL -- 'podman run --rm busybox sh -c "echo \$\$"')"
    shows "an unmasked /proc" nested_user -- 'podman run --rm busybox true || true'
}

row_nested_namespaces() { # host: and with all of a container's namespaces, which the outer profile forbids to make
    nest
    rm /work/nest/home/user/.config/containers/containers.conf
    same "name, devices" "inner lo" "$(nested_user --security-opt unmask=ALL --security-opt seccomp=unconfined -- '
        podman run --rm --uts private --hostname inner --ipc private --network none --cgroupns private busybox \
            sh -c "echo \$(hostname) \$(ls /sys/class/net)"')"
}

row_nested_build() { # root: images are what CI makes
    nest
    same file "built 0" "$(nested_user -- '
        printf "FROM localhost/busybox\nRUN echo built > /file; id -u >> /file\n" > /tmp/Containerfile
        podman build -q --isolation oci -t built -f /tmp/Containerfile /tmp > /dev/null
        podman run --rm built cat /file' | xargs)"
}

row_nested_root() { # host: root in the container, with the capabilities that it takes
    nest
    same output "hello 0" "$(nested --cap-add SYS_ADMIN -- 'podman run --rm busybox sh -c "echo hello \$(id -u)"')"
    same "name, devices" "inner lo" "$(nested --cap-add SYS_ADMIN,NET_ADMIN -- '
        podman run --rm --uts private --hostname inner --ipc private --network none busybox \
            sh -c "echo \$(hostname) \$(ls /sys/class/net)"')"
    same privileged "hello 0" "$(nested --privileged -- 'podman run --rm busybox sh -c "echo hello \$(id -u)"')"
}

row_nested_rootless() { # host: a user's container, and one in it
    import_rootless
    nest
    rm -rf /work/user/nest
    cp -a /work/nest /work/user/nest
    chown -R user:user /work/user/nest
    # By the ids of the container, or nobody has their capabilities.
    rootless unshare bash -ec 'cd /work/user/nest
        setcap cap_setuid+ep opt/newuidmap
        setcap cap_setgid+ep opt/newgidmap
        chown -R 1000:1000 home/user'
    same output "hello 0" "$(rootless run --rm --network none -e PODMAN_IGNORE_CGROUPSV1_WARNING=1 -e PATH=/opt:/usr/bin:/usr/sbin \
        -v /usr:/usr:ro -v "$runtime:$runtime:ro" -v /work/busybox.tar:/work/busybox.tar:ro --device /dev/fuse \
        --user user -e HOME=/home/user -w /home/user --security-opt label=disable --rootfs /work/user/nest \
        bash -euc 'podman load -q -i /work/busybox.tar > /dev/null; podman run --rm busybox sh -c "echo hello \$(id -u)"')"
}

# The last row: of all that ran, nothing is left.
row_nothing_left() { # quick
    same containers "" "$(podman ps -aq)"
    # It ends the process that keeps the user's namespaces.
    if [ "$who" = user ] || [ -d /work/user/.local ]; then as_user /usr/bin/podman system migrate; fi
    wait_for "conmon's end" sh -c '! pgrep -x conmon'
    same cgroups "" "$(cgroups '*libpod*-????????*')"
    same units "" "$(units 'libpod-*' '*libpod_pod*')"
    same state "" "$(find "/run/${runtime##*/}" "/run/user/1000/${runtime##*/}" -mindepth 1 2> /dev/null)"
    same mounts "" "$(grep -E ' /work/(root|home)/.+ ' /proc/self/mounts | cut -d ' ' -f 2 | grep -v '/overlay$' || true)"
    same interfaces "" "$(ip -br link | grep veth || true)"
}
