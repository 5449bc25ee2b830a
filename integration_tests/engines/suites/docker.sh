# Docker, by its command line.
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

start() {
    # What docs/engines/docker.md tells users to write. systemd is Docker's own choice where there is one.
    local driver=''
    [ "$manager" = systemd ] || driver=', "exec-opts": ["native.cgroupdriver=cgroupfs"]'
    cat > /work/daemon.json <<- END
	{"runtimes": {"under-test": {"path": "$runtime"}},
	 "default-runtime": "under-test"$driver}
	END
    ln -sf "$runtime" /usr/local/bin/runc # what BuildKit executes, whatever the daemon's runtime is
    daemon docker
    import_image
}

# daemon NAME [OPTION...]: one in the background; with --live-restore, containers survive its end
daemon() {
    local name=$1
    shift
    export DOCKER_HOST=unix:///run/$name.sock
    setsid "${within[@]}" dockerd --config-file /work/daemon.json --host "$DOCKER_HOST" --pidfile "/run/$name.pid" \
        --data-root "/work/$name" --exec-root "/run/$name" --storage-driver overlay2 --live-restore \
        --experimental "$@" >> "$logs/daemon.log" 2>&1 3>&- &
    wait_for dockerd docker version
}
within=() # what daemons are started by

# end_daemon NAME
end_daemon() {
    kill "$(cat "/run/$1.pid")"
    wait_for "the daemon's end" sh -c "! [ -e /run/$1.pid ]"
}

import_image() { tar -C $image -c . | docker import - busybox; }

# What a row has left would be in the next one's way.
after_row() {
    [ ! -e /run/remapped.pid ] || DOCKER_HOST=unix:///run/remapped.sock end_remapped
    [ ! -e /run/user/1000/docker.pid ] || DOCKER_HOST=unix:///run/user/1000/docker.sock end_rootless
    [ ! -e /run/swarm.pid ] || DOCKER_HOST=unix:///run/swarm.sock end_swarm
    docker version > /dev/null || daemon docker
    docker ps -aq | xargs -r docker rm -fv
    docker network prune -f
    docker volume ls -q | xargs -r docker volume rm
    docker image inspect built > /dev/null && docker rmi -f built
}

# box ARG...: a container named box, in the background
box() { docker run -d --name box "$@"; }

# inspect FORMAT [CONTAINER]
inspect() { docker inspect -f "{{$1}}" "${2-box}"; }

# becomes FORMAT WANTED: box does, in time
becomes() { wait_for "$1 to be $2, not $(inspect "$1")" is "$1" "$2"; }
is() { [ "$(inspect "$1")" = "$2" ]; }

# limit FILE...: what box's cgroup has in the first of these (v1's name, v2's) that there is
limit() { cgroup_file "$(inspect .State.Pid)" "$@"; }

unit() { echo "docker-$(inspect .Id).scope"; }

# differ WHAT ONE OTHER
differ() { [ "$2" != "$3" ] || { echo "$1: both are '$2'"; return 1; }; }

row_run() { # quick
    same output hello "$(docker run --rm busybox echo hello)"
    same runtime under-test "$(docker info -f '{{.DefaultRuntime}}')"
    same input "12" "$(echo hello again | docker run -i --rm busybox wc -c)"
}

row_detached() { # quick
    box busybox sh -c 'echo out; echo err >&2; exit 7'
    same status 7 "$(docker wait box)"
    same state "exited 7 false" "$(inspect '.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled')"
}

row_terminal() { # quick host
    shows "the terminal is /dev/pts/0" in_terminal \
        'docker run -it --rm busybox sh -c "echo the terminal is \$(tty)"'
    shows "33 99" in_terminal \
        'docker run -it --rm busybox sh -c "until stty size | grep 99; do sleep 0.1; done"'
    box -t busybox sh -c 'tty; exec sleep 1000'
    wait_for "its output" sh -c 'docker logs box | grep /dev/pts/0'
}

row_exec() { # quick
    box busybox sleep 1000
    same output "uid=1000(user) gid=1000(user) groups=1000(user)" "$(docker exec -u 1000 box id)"
    same group "uid=1000(user) gid=5 groups=5" "$(docker exec -u user:5 box id)"
    same environment "b /tmp" "$(docker exec -e A=b -w /tmp box sh -c 'echo $A $PWD')"
    same input hello "$(echo hello | docker exec -i box cat)"
    same "its cgroup" "$(docker exec box cat /proc/1/cgroup)" "$(docker exec box cat /proc/self/cgroup)"
    status 7 docker exec box sh -c 'exit 7'
    status 126 docker exec box nonexistent
    status 126 docker exec box /etc/passwd
}

row_exec_terminal() { # quick
    box busybox sleep 1000
    shows /dev/pts/0 in_terminal 'docker exec -it box tty'
    shows "33 99" in_terminal \
        'docker exec -it box sh -c "until stty size | grep 99; do sleep 0.1; done"'
    in_terminal 'docker exec -it box sh -c "exit 7"' && return 1
    same status 7 $?
}

row_exec_detached() { # quick host
    box busybox sleep 1000
    docker exec -d box sh -c 'echo done > /tmp/file; exec sleep 999'
    wait_for "what it does" docker exec box grep done /tmp/file
    shows "sleep 999" docker exec box ps
}

row_exec_privileged() { # host
    box busybox sleep 1000
    local capabilities='sed -n s/^CapEff:.//p /proc/self/status'
    differ capabilities "$(docker exec box $capabilities)" "$(docker exec --privileged box $capabilities)"
}

row_logs() { # quick
    box busybox sh -c 'for i in 1 2 3; do echo line $i; done; echo error >&2'
    docker wait box
    same output $'line 1\nline 2\nline 3' "$(docker logs box 2> /dev/null)"
    same error error "$(docker logs box 2>&1 > /dev/null)"
    shows "line 3" docker logs -n 2 box
}

row_attach() {
    box -i busybox sh -c 'read line; echo $line; exit 7'
    same output hello "$({ echo hello; docker wait box >&2; } | docker attach box)"
    same status 7 "$(docker wait box)"
}

row_top() { # quick
    box busybox sh -c 'sleep 1000 & exec sleep 999'
    local processes
    processes=$(docker top box)
    has processes "$processes" "sleep 1000"
    has processes "$processes" "sleep 999"
    same lines 3 "$(wc -l <<< "$processes")"
    same columns "sleep sleep" "$(docker top box -o pid,comm | awk 'NR > 1 { print $2 }' | paste -sd' ')"
}

row_stats() { # quick
    box --memory 64m busybox sleep 1000
    shows "/ 64MiB 1" docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' box
}

row_pause() { # quick
    box busybox sh -c 'while sleep 0.1; do echo >> /tmp/file; done'
    wait_for "its first step" docker exec box test -s /tmp/file
    docker pause box
    same state paused "$(inspect .State.Status)"
    status 1 docker exec box true
    local before
    docker cp box:/tmp/file /tmp/file
    before=$(wc -l < /tmp/file)
    sleep 0.5
    docker cp box:/tmp/file /tmp/file
    same steps "$before" "$(wc -l < /tmp/file)"
    docker unpause box
    wait_for "a step after" docker exec box sh -c "[ \$(wc -l < /tmp/file) -gt $before ]"
}

row_pause_end() { # host: a paused one can be stopped and removed
    box busybox sh -c 'trap "exit 3" TERM; while :; do sleep 0.1; done'
    docker pause box
    docker rm -f box
    box busybox sleep 1000
    docker pause box
    docker kill box
    becomes .State.ExitCode 137
}

row_scope() { # quick guest
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

row_update() { # quick
    box --memory 64m --memory-swap 64m busybox sleep 1000
    docker update --memory 96m --memory-swap 96m --cpus 0.5 --pids-limit 20 --cpu-shares 512 \
        --cpuset-cpus 0 --restart on-failure:3 box
    same memory 100663296 "$(limit memory.limit_in_bytes memory.max)"
    same quota "50000 100000" "$(quota "$(inspect .State.Pid)")"
    same pids 20 "$(limit pids.max)"
    same processors 0 "$(limit cpuset.cpus)"
    same restart on-failure "$(inspect .HostConfig.RestartPolicy.Name)"
    docker update --memory 32m box # lower: the swap limit stays
    same memory 33554432 "$(limit memory.limit_in_bytes memory.max)"
    same quota "50000 100000" "$(quota "$(inspect .State.Pid)")"
    docker update --pids-limit -1 box
    same pids max "$(limit pids.max)"
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
    docker update --memory 96m --memory-swap 128m --cpus 0.7 --pids-limit 30 box
    set=$(limits "$pid")
    has "after an update" "$set" "memory.max:100663296"
    has "after an update" "$set" "cpu.max:70000 100000"
    has "after an update" "$set" "pids.max:30"
    same_after_reload "$set" "$pid"
    [ "$manager" != systemd ] || same MemoryMax 100663296 "$(property "$(unit)" MemoryMax)"
    shows "not permitted" docker exec box sh -c 'mknod /d b 7 0; : < /d' # devices as well
}

row_stop() { # quick host
    box busybox sh -c 'trap "echo trapped; exit 3" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" docker exec box test -e /ready
    docker stop box
    same state "exited 3" "$(inspect '.State.Status}} {{.State.ExitCode')"
    same output trapped "$(docker logs box)"
}

row_stop_deaf() {
    box --stop-signal USR1 busybox sleep 1000
    docker stop -t 1 box # an init without a handler gets nothing but KILL
    same state "exited 137" "$(inspect '.State.Status}} {{.State.ExitCode')"
}

row_kill() { # quick host
    box busybox sh -c 'trap "echo one >> /tmp/got" USR1; trap "exit 4" INT; touch /ready; while :; do sleep 0.1; done'
    wait_for "its traps" docker exec box test -e /ready
    docker kill -s USR1 box
    wait_for "the signal" docker exec box grep one /tmp/got
    docker kill -s 2 box
    becomes .State.ExitCode 4
    status 1 docker kill box
}

row_signal_proxy() { # host
    docker run --name box busybox sh -c 'trap "exit 5" TERM; touch /ready; while :; do sleep 0.1; done' &
    wait_for "its trap" docker exec box test -e /ready
    kill $!
    status 5 wait $!
}

row_restart() { # quick
    box busybox sh -c 'echo started; exec sleep 1000'
    local before
    before=$(inspect .State.Pid)
    docker restart -t 0 box
    differ processes "$before" "$(inspect .State.Pid)"
    wait_for "two starts" sh -c '[ "$(docker logs box | wc -l)" = 2 ]'
    docker stop -t 0 box
    docker start box
    becomes .State.Status running
}

row_stop_created() { # quick host: there is nothing of the runtime's yet
    docker create --name box busybox sh -c 'echo started; exec sleep 1000'
    docker stop box
    same state created "$(inspect .State.Status)"
    docker start box
    wait_for "its output" sh -c 'docker logs box | grep started'
    docker stop -t 0 box
    same state "exited 137" "$(inspect '.State.Status}} {{.State.ExitCode')"
}

row_create_start() { # host
    docker create --name box busybox cat /etc/hostname
    same state created "$(inspect .State.Status)"
    same output "$(inspect .Config.Hostname)" "$(docker start -a box)"
}

row_remove() { # quick
    box busybox sleep 1000
    local id pid
    id=$(inspect .Id)
    pid=$(inspect .State.Pid)
    docker rm -f box
    status 1 test -e "/proc/$pid"
    same "what is left" "" "$(find /sys/fs/cgroup /run/docker -name "*$id*")"
    docker run --rm busybox true
    same containers "" "$(docker ps -aq)"
}

row_gone() { # quick guest: no unit and no cgroup is left, however it ended
    box --memory 16m --memory-swap 16m busybox tail /dev/zero
    docker wait box
    local id
    id=$(inspect .Id)
    wait_for "the cgroup's end" eval '[ -z "$(cgroups "*$id*")" ]'
    same units "" "$(units "docker-*")"
    docker rm box
    box busybox sleep 1000
    id=$(inspect .Id)
    docker rm -f box
    same cgroups "" "$(cgroups "*$id*")"
    same units "" "$(units "docker-*")"
}

row_copy() { # quick host
    box busybox sleep 1000
    echo hello > /tmp/hello
    docker cp /tmp/hello box:/tmp/there
    same "copy in" hello "$(docker exec box cat /tmp/there)"
    docker exec box sh -c 'mkdir /tmp/dir; echo back > /tmp/dir/file'
    docker cp box:/tmp/dir /tmp/
    same "copy out" back "$(cat /tmp/dir/file)"
    shows "C /tmp" docker diff box
}

row_commit() { # host
    docker run --name box busybox sh -c 'echo made > /made'
    docker commit -c 'CMD cat /made' box made
    same output made "$(docker run --rm made)"
    docker rmi -f made
}

row_build() { # host: by the builder that runs its steps by the daemon's runtime
    mkdir -p /tmp/context
    printf 'FROM busybox\nRUN echo made > /made\nUSER user\nRUN id -u > /tmp/who\nCMD cat /made /tmp/who\n' \
        > /tmp/context/Dockerfile
    DOCKER_BUILDKIT=0 docker build -t built /tmp/context
    same output $'made\n1000' "$(docker run --rm built)"
    docker rmi -f built
}

# build OPTION...: an image named built, by BuildKit, of the Dockerfile that is the input
build() {
    mkdir -p /tmp/context
    cat > /tmp/context/Dockerfile
    DOCKER_BUILDKIT=1 docker build --progress plain -t built "$@" /tmp/context
}

row_buildkit() { # quick: several steps, and the second time none
    local steps=$'FROM busybox
        RUN echo made > /made
        ENV A=b
        USER user
        WORKDIR /tmp/inner
        RUN echo $A $(id -u) $PWD > /tmp/who
        USER root
        RUN touch file && mknod /node c 1 3
        CMD cat /made /tmp/who; stat -c %F%a /node; ls'
    build <<< "$steps"
    same output $'made\nb 1000 /tmp/inner\ncharacter special file644\nfile' "$(docker run --rm built)"
    local before again
    before=$(inspect .Id built)
    again=$(build <<< "$steps" 2>&1)
    same "steps from the cache" 4 "$(grep -c CACHED <<< "$again")"
    same image "$before" "$(inspect .Id built)"
}

row_buildkit_runtime() { # quick: it is this one that runs a step, and the step ends with the build
    build <<< $'FROM busybox\nRUN exec sleep 999' &
    wait_for "the step" pgrep -x -f 'sleep 999'
    local step
    step=$(pgrep -x -f 'sleep 999')
    same program "$(stat -Lc %d:%i "$runtime")" "$(stat -Lc %d:%i "/proc/$(ps -o ppid= -p "$step" | xargs)/exe")"
    pkill -P $!
    fails wait $!
    wait_for "the step's end" test ! -e "/proc/$step"
}

row_buildkit_mounts() { # quick host
    mkdir -p /tmp/context
    echo given > /tmp/context/file
    echo hidden > /tmp/secret
    build --secret id=mine,src=/tmp/secret <<- 'END'
	FROM busybox
	RUN --mount=type=cache,target=/cache,mode=0700 stat -c %a /cache > /mode; echo kept > /cache/kept
	RUN --mount=type=bind,target=/here --mount=type=cache,target=/cache,mode=0700 cat /here/file /cache/kept > /got; touch /here/x || echo "may not" >> /got
	RUN --mount=type=secret,id=mine cat /run/secrets/mine >> /got; stat -c %a /run/secrets/mine >> /got
	RUN --mount=type=secret,id=mine,target=/own,uid=1000,mode=0440 stat -c %u.%a /own >> /got
	RUN --mount=type=tmpfs,target=/scratch grep -c "/scratch tmpfs" /proc/mounts >> /got; touch /scratch/lost
	CMD cat /got /mode; ls -A /cache /here /run/secrets /scratch
	END
    same "what steps had" $'given\nkept\nmay not\nhidden\n400\n1000.440\n1\n700' \
        "$(docker run --rm built | head -n 8)"
    fails docker run --rm built grep -rl -e hidden -e kept /own /cache /here /run
    build <<< $'FROM busybox\nRUN --mount=type=cache,target=/cache,mode=0700 cat /cache/kept > /again'
    same "what is kept" kept "$(docker run --rm built cat /again)"
}

row_buildkit_options() { # host
    build --network none --add-host there:1.2.3.4 --build-arg A=b <<- 'END'
	FROM busybox
	ARG A
	RUN echo $A > /got; ls /sys/class/net >> /got; grep -c 1.2.3.4.*there /etc/hosts >> /got
	END
    same "what steps had" $'b\nlo\n1' "$(docker run --rm built cat /got)"
    build --network host <<< $'FROM busybox\nRUN readlink /proc/self/ns/net > /network'
    same network "$(readlink /proc/self/ns/net)" "$(docker run --rm built cat /network)"
    build <<< $'FROM busybox\nRUN readlink /proc/self/ns/net > /own; ping -c 1 -W 5 172.17.0.1'
    differ network "$(readlink /proc/self/ns/net)" "$(docker run --rm built cat /own)"
}

row_buildkit_limits() { # host
    docker buildx version || skip "its options are of newer builders"
    build --shm-size 32m --ulimit nofile=100:200 --cgroup-parent /parent <<- 'END'
	FROM busybox
	RUN grep -o size=32768k /proc/mounts > /got; ulimit -Sn >> /got; ulimit -Hn >> /got
	RUN cut -d: -f3 /proc/self/cgroup | grep -o ^/parent/ | sort -u >> /got
	END
    same "what steps had" $'size=32768k\n100\n200\n/parent/' "$(docker run --rm built cat /got)"
    find /sys/fs/cgroup -depth -type d -path '*/parent*' -exec rmdir {} +
}

row_buildkit_fails() { # quick host: the build tells how the step ended
    local told
    told=$(build <<< $'FROM busybox\nRUN echo before; exit 7' 2>&1) && return 1
    same status 1 $?
    has "what it says" "$told" before
    has "what it says" "$told" "exit code: 7"
    fails docker inspect built
    shows 'exec: "nonexistent": executable file not found in $PATH' \
        fails build <<< $'FROM busybox\nRUN ["nonexistent"]'
    shows "exit code: 137" fails build <<< $'FROM busybox\nRUN sh -c "kill -KILL \\$\\$"; exit $?'
    shows "can't create /proc/sys/vm/swappiness: Read-only" \
        fails build <<< $'FROM busybox\nRUN echo 1 > /proc/sys/vm/swappiness'
}

row_buildkit_stages() { # host: two at once, each of which waits for what the other does
    build <<- 'END'
	FROM busybox AS one
	RUN --mount=type=cache,id=both,target=/both touch /both/one; until [ -e /both/other ]; do sleep 0.1; done; echo one > /one
	FROM busybox AS other
	RUN --mount=type=cache,id=both,target=/both touch /both/other; until [ -e /both/one ]; do sleep 0.1; done; echo other > /other
	FROM busybox
	COPY --from=one /one /
	COPY --from=other /other /
	END
    same files $'one\nother' "$(docker run --rm built cat /one /other)"
}

row_health() { # quick host
    box --health-cmd 'test -e /healthy' --health-interval 0.5s --health-retries 1 \
        --health-timeout 10s busybox sleep 1000
    becomes .State.Health.Status unhealthy
    docker exec box touch /healthy
    becomes .State.Health.Status healthy
}

row_restart_policy() { # quick host
    box --restart on-failure:2 busybox false
    becomes '.RestartCount}} {{.State.Status' "2 exited"
    docker rm box
    box --restart always busybox sleep 1000
    kill -KILL "$(inspect .State.Pid)"
    becomes '.RestartCount}} {{.State.Status' "1 running"
}

row_ports() { # quick host
    box -p 8080:80 busybox httpd -f -h /etc
    same port 0.0.0.0:8080 "$(docker port box 80 | head -n 1)"
    wait_for "the server" busybox wget -qO /dev/null http://127.0.0.1:8080/group
    shows user busybox wget -qO- "http://127.0.0.1:8080/group"
    shows user busybox wget -qO- "http://$(inspect .NetworkSettings.IPAddress)/group"
}

row_network() { # quick host
    docker network create --subnet 10.99.0.0/24 net
    docker network create other
    box --network net --ip 10.99.0.9 --network-alias alias busybox httpd -f -h /etc
    wait_for "the server" docker run --rm --network net busybox wget -qO- http://box/group
    shows user docker run --rm --network net busybox wget -qO- http://alias/group
    shows 10.99.0.9 docker run --rm --network net busybox nslookup box
    status 1 docker run --rm --network other busybox ping -c 1 -W 1 10.99.0.9
    docker network connect other box
    shows user docker run --rm --network other busybox wget -qO- http://box/group
    same interfaces 3 "$(docker exec box ls /sys/class/net | wc -w)"
    docker network disconnect other box
    same interfaces 2 "$(docker exec box ls /sys/class/net | wc -w)"
}

row_network_none() { # host
    same interfaces lo "$(docker run --rm --network none busybox ls /sys/class/net)"
    shows "1.2.3.4	there" docker run --rm --add-host there:1.2.3.4 busybox cat /etc/hosts
    shows "nameserver 1.2.3.4" docker run --rm --dns 1.2.3.4 busybox cat /etc/resolv.conf
}

row_volumes() { # quick host
    docker run --rm -v data:/data busybox sh -c 'echo kept > /data/file'
    same volume kept "$(docker run --rm -v data:/data:ro busybox cat /data/file)"
    shows "Read-only file system" docker run --rm -v data:/data:ro busybox touch /data/file
    box -v /inner busybox sh -c 'echo inner > /inner/file; exec sleep 1000'
    wait_for "the file" docker run --rm --volumes-from box busybox grep inner /inner/file
}

row_binds() { # quick host
    mkdir -p /tmp/bind
    echo mine > /tmp/bind/file
    same file mine "$(docker run --rm -v /tmp/bind:/data busybox cat /data/file)"
    same "one file" mine "$(docker run --rm -v /tmp/bind/file:/etc/motd:ro busybox cat /etc/motd)"
    docker run --rm -v /tmp/bind:/data busybox sh -c 'echo theirs > /data/file'
    same written theirs "$(cat /tmp/bind/file)"
    status 1 docker run --rm -v /tmp/bind:/data:ro busybox touch /data/file
    status 1 docker run --rm --mount type=bind,src=/tmp/bind,dst=/data,readonly busybox touch /data/file
}

row_propagation() { # host
    mkdir -p /run/shared/sub
    box -v /run/shared:/data:rslave --mount type=bind,src=/run/shared,dst=/private,bind-propagation=rprivate \
        busybox sleep 1000
    mount -t tmpfs tmpfs /run/shared/sub
    touch /run/shared/sub/file
    local seen
    seen=$(docker exec box sh -c 'ls /data/sub /private/sub' | tr '\n' ' ')
    umount /run/shared/sub
    same "what is seen" "/data/sub: file  /private/sub: " "$seen"
}

row_read_only() { # quick host
    status 1 docker run --rm --read-only busybox touch /file
    docker run --rm --read-only --tmpfs /tmp busybox touch /tmp/file
}

row_tmpfs() { # quick host
    local mounts
    mounts=$(docker run --rm --tmpfs /scratch:size=1m,mode=1700,noexec busybox \
        sh -c 'grep /scratch /proc/mounts; stat -c %a /scratch')
    has mounts "$mounts" size=1024k
    has mounts "$mounts" noexec
    has mode "$mounts" 1700
    shows "size=32768k" docker run --rm --shm-size 32m busybox grep /dev/shm /proc/mounts
}

row_tmpfs_user() { # quick host: where the runtime makes the mount point, all may write, as on any new tmpfs
    same mode 1777 "$(docker run --rm --user 1000 --tmpfs /cache busybox \
        sh -c 'echo mine > /cache/file && stat -c %a /cache')"
}

row_init() { # quick host
    box --init busybox sh -c 'sleep 0.1 & exec sleep 1000'
    shows docker-init docker exec box cat /proc/1/cmdline
    docker stop box # tini passes TERM on, and sleep ends by it
    same status 143 "$(inspect .State.ExitCode)"
}

row_privileged() { # quick
    local seen
    seen=$(docker run --rm --privileged busybox sh -c 'mount -t tmpfs tmpfs /tmp && echo mounts
        grep Seccomp: /proc/self/status; echo 0 > /proc/sys/net/ipv4/ip_forward && echo writes')
    same "what it can" "mounts Seccomp: 0 writes" "$(tr '\t\n' ' ' <<< "$seen" | sed 's/ $//')"
}

row_user() { # quick host
    same user "uid=1000(user) gid=1000(user) groups=1000(user)" "$(docker run --rm --user user busybox id)"
    same groups "uid=1 gid=2 groups=7,8" \
        "$(docker run --rm --user 1:2 --group-add 7 --group-add 8 busybox id | sed 's/groups=2,/groups=/')"
    same home /home/user "$(docker run --rm --user user busybox sh -c 'echo $HOME')"
}

row_capabilities() { # quick host
    local effective='sed -n s/^CapEff:.//p /proc/self/status'
    same none 0000000000000000 "$(docker run --rm --cap-drop ALL busybox $effective)"
    same one 0000000000000020 "$(docker run --rm --cap-drop ALL --cap-add KILL busybox $effective)"
    same default 00000000a80425fb "$(docker run --rm busybox $effective)"
    docker run --rm --cap-add SYS_ADMIN busybox mount -t tmpfs tmpfs /tmp
    same user 0000000000000000 "$(docker run --rm --user 1000 busybox $effective)"
}

row_security() { # quick host
    local status='sed -nE s/^(NoNewPrivs|Seccomp):.//p /proc/self/status'
    same default $'0\n2' "$(docker run --rm busybox $status)"
    same both $'1\n0' \
        "$(docker run --rm --security-opt no-new-privileges --security-opt seccomp=unconfined busybox $status)"
    status 1 docker run --rm busybox unshare -U true
    docker run --rm --security-opt seccomp=unconfined busybox unshare -U true
    cat > /tmp/profile.json <<- 'END'
	{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
	    {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]}
	END
    shows "not supported" docker run --rm --security-opt seccomp=/tmp/profile.json busybox mkdir /x
    status 1 docker run --rm busybox sh -c 'echo 1 > /proc/sys/kernel/printk'
    same masked 0 "$(docker run --rm busybox sh -c 'wc -c < /proc/timer_list')"
    differ unmasked 0 \
        "$(docker run --rm --security-opt systempaths=unconfined busybox sh -c 'wc -c < /proc/timer_list')"
}

row_apparmor() { # quick guest
    has "what there is" "$(docker info -f '{{.SecurityOptions}}')" name=apparmor || skip "no AppArmor"
    local current='cat /proc/self/attr/current'
    box --cap-add SYS_ADMIN busybox sleep 1000
    same default "docker-default (enforce)" "$(docker exec box $current)"
    fails docker exec box mount -t tmpfs tmpfs /tmp # that profile lets nobody
    same none unconfined "$(docker run --rm --security-opt apparmor=unconfined busybox $current)"
    docker run --rm --cap-add SYS_ADMIN --security-opt apparmor=unconfined busybox mount -t tmpfs tmpfs /tmp
    same privileged unconfined "$(docker run --rm --privileged busybox $current)"
    apparmor_parser --replace <<< 'profile mine { file, capability, deny /etc/passwd r, }'
    same own "mine (enforce)" "$(docker run --rm --security-opt apparmor=mine busybox $current)"
    shows "Permission denied" fails docker run --rm --security-opt apparmor=mine busybox cat /etc/passwd
    shows apparmor fails docker run --rm --security-opt apparmor=nonexistent busybox true
    apparmor_parser --remove <<< 'profile mine { }'
}

row_sysctl() { # quick host
    same values $'512\n9000' "$(docker run --rm --sysctl net.core.somaxconn=512 --sysctl kernel.msgmax=9000 \
        busybox cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax)"
    status 125 docker run --rm --sysctl vm.swappiness=1 busybox true
}

row_ulimit() { # quick host
    same "open files" $'100\n200' "$(docker run --rm --ulimit nofile=100:200 busybox sh -c 'ulimit -Sn; ulimit -Hn')"
    same core 0 "$(docker run --rm --ulimit core=0 busybox sh -c 'ulimit -c')"
}

row_devices() { # quick
    local minor
    minor=$(stat -c %T /dev/loop-control)
    minor=$((0x$minor))
    shows "not permitted" docker run --rm busybox sh -c "mknod /d c 10 $minor; : < /d"
    docker run --rm --device /dev/loop-control:/dev/mine busybox sh -c ': < /dev/mine'
    shows "not permitted" docker run --rm --device /dev/loop-control:/dev/mine:r busybox sh -c ': > /dev/mine'
    docker run --rm --device-cgroup-rule "c 10:$minor rwm" busybox sh -c "mknod /d c 10 $minor; : < /d"
}

row_memory() { # quick
    box --memory 64m --memory-reservation 32m --memory-swap 64m --oom-score-adj 500 busybox sleep 1000
    same limit 67108864 "$(limit memory.limit_in_bytes memory.max)"
    same reservation 33554432 "$(limit memory.soft_limit_in_bytes memory.low)"
    same score 500 "$(docker exec box cat /proc/1/oom_score_adj)"
}

row_oom() { # quick
    status 137 docker run --name box --memory 16m --memory-swap 16m busybox tail /dev/zero
    same killed true "$(inspect .State.OOMKilled)"
}

row_oom_child() { # host: it is not init that is killed
    box --memory 16m --memory-swap 16m busybox sh -c 'tail /dev/zero; echo $?; exit 3'
    docker wait box
    same status "3 137" "$(inspect .State.ExitCode) $(docker logs box 2> /dev/null | tail -n 1)"
}

row_cpu() { # quick
    box --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 busybox sleep 1000
    same quota "50000 100000" "$(quota "$(inspect .State.Pid)")"
    same shares 512 "$(shares "$(inspect .State.Pid)")"
    same processors 0 "$(limit cpuset.cpus)"
    same affinity 0 "$(docker exec box sed -n 's/^Cpus_allowed_list:.//p' /proc/self/status)"
}

row_pids() { # quick
    box --pids-limit 5 busybox sh -c 'for i in 1 2 3 4 5 6 7 8; do sleep 1000 & done; wait'
    becomes .State.ExitCode 2
    shows "can't fork" docker logs box
    docker run --rm --pids-limit 5 busybox true
}

row_blkio() { # quick
    local device
    device=$(find /dev -maxdepth 1 -type b -name '[vs]da' | head -n 1)
    [ -n "$device" ] || skip "no disk's device"
    box --device-read-bps "$device:1mb" --device-write-iops "$device:100" busybox sleep 1000
    local number
    number=$(stat -c %Hr:%Lr "$device")
    if [ "$place" = guest ]; then
        same limits "$number rbps=1048576 wbps=max riops=max wiops=100" "$(limit io.max)"
    else
        same read "$number 1048576" "$(limit blkio.throttle.read_bps_device)"
        same write "$number 100" "$(limit blkio.throttle.write_iops_device)"
    fi
}

# newer NUMBER: this Docker is at least of this version
newer() { [ "$(docker version -f '{{.Server.Version}}' | cut -d. -f1)" -ge "$1" ]; }

row_read_only_below() { # host: Docker 25 and later makes what is mounted below read-only too, if the runtime can
    newer 25 || skip "its read-only binds don't hold for mounts below"
    mkdir -p /tmp/bind/sub
    mount -t tmpfs tmpfs /tmp/bind/sub
    local result=0
    seen() { docker run --rm "$@" busybox sh -c 'touch /data/x; touch /data/sub/x; echo $?' 2> /dev/null; }
    { same default 1 "$(seen -v /tmp/bind:/data:ro)" &&
        same asked 1 "$(seen --mount type=bind,src=/tmp/bind,dst=/data,readonly,bind-propagation=rprivate,bind-recursive=readonly)" &&
        same "this one only" 0 "$(seen --mount type=bind,src=/tmp/bind,dst=/data,readonly,bind-recursive=writable)" &&
        same none 0 "$(docker run --rm --mount type=bind,src=/tmp/bind,dst=/data,bind-recursive=disabled busybox \
            grep -c /data/sub /proc/mounts || true)"; } || result=$?
    umount /tmp/bind/sub
    same status 0 $result
}

row_runtimes() { # host: others than the default, with arguments or options of their own; told as the daemon runs
    local before options=''
    before=$(cat /work/daemon.json)
    newer 23 && options=", \"options\": {\"runtimeType\": \"io.containerd.runc.v2\", \"options\": {\"BinaryName\": \"$runtime\", \"Root\": \"/run/other\"}}"
    sed "s|\"runtimes\": {|&\"arguments\": {\"path\": \"$runtime\", \"runtimeArgs\": [\"--debug\"]}, |; s|}},|}$options},|" \
        <<< "$before" > /work/daemon.json
    kill -HUP "$(cat /run/docker.pid)"
    wait_for "what it is told" sh -c 'docker info -f "{{.Runtimes}}" | grep arguments'
    same arguments hello "$(docker run --rm --runtime arguments busybox echo hello)"
    if newer 23; then
        box --runtime options busybox sleep 1000
        same "its state" "$(inspect .Id)" "$(ls /run/other/moby)"
        docker exec box true
        docker rm -f box
        same "its state" "" "$(ls /run/other/moby)"
    fi
    echo "$before" > /work/daemon.json
    kill -HUP "$(cat /run/docker.pid)"
    wait_for "what it is told" sh -c '! docker info -f "{{.Runtimes}}" | grep arguments'
}

row_events() { # host
    local since
    since=$(date +%s.%N)
    box --memory 16m --memory-swap 16m busybox sh -c 'until [ -e /go ]; do sleep 0.1; done; tail /dev/zero; exit 3'
    docker pause box
    docker unpause box
    fails docker exec box sh -c 'exit 7'
    docker exec box touch /go
    docker wait box
    docker rm box
    same events "create start pause unpause exec_die 7 exec_die 0 oom die 3 destroy" \
        "$(docker events --since "$since" --until "$(date +%s.%N)" --filter type=container \
            --format '{{.Action}} {{.Actor.Attributes.exitCode}}' |
            sed -n 's/ <no value>$//; /^\(create\|start\|pause\|unpause\|exec_die\|oom\|die\|destroy\)\b/p' | xargs)"
}

row_cdi() { # host: devices that are told by a file, which may have mounts and hooks too
    newer 25 || skip "it knows nothing of CDI"
    mkdir -p /tmp/cdi
    cat > /tmp/hook <<- 'END'
	#!/bin/sh
	cat > /tmp/hook.state
	END
    chmod +x /tmp/hook
    cat > /tmp/cdi/vendor.json <<- 'END'
	{"cdiVersion": "0.6.0", "kind": "vendor.example/device", "devices": [{"name": "one", "containerEdits": {
	    "env": ["A=b"], "deviceNodes": [{"path": "/dev/mine", "hostPath": "/dev/loop-control"}],
	    "mounts": [{"hostPath": "/tmp/cdi", "containerPath": "/cdi", "options": ["ro", "bind"]}],
	    "hooks": [{"hookName": "createContainer", "path": "/tmp/hook", "args": ["hook"]}]}}]}
	END
    sed '1s/{/&"features": {"cdi": true}, /' /work/daemon.json > /tmp/daemon.json
    daemon_in_network cdi --config-file /tmp/daemon.json --cdi-spec-dir /tmp/cdi
    import_image
    same "what it has" "b vendor.json 0" "$(docker run --rm --device vendor.example/device=one busybox \
        sh -c ': < /dev/mine; echo $A $(ls /cdi) $?')"
    has "the hook's input" "$(cat /tmp/hook.state)" '"status":"creat'
    end_daemon cdi
}

row_kernel_limits() { # host
    box --memory 64m --memory-swappiness 10 --oom-kill-disable --cpuset-mems 0 --cpu-period 50000 --cpu-quota 20000 \
        --blkio-weight 300 --kernel-memory 32m busybox sleep 1000
    same quota "20000 50000" "$(quota "$(inspect .State.Pid)")"
    same mems 0 "$(limit cpuset.mems)"
    same swappiness 10 "$(limit memory.swappiness)"
    has oom "$(limit memory.oom_control)" "oom_kill_disable 1"
}

row_cgroup_namespace() { # quick host
    same private "" "$(docker run --rm --cgroupns private busybox grep -v :/$ /proc/self/cgroup)"
    shows :/docker/ docker run --rm --cgroupns host busybox cat /proc/self/cgroup
    status 1 docker run --rm --cgroupns private busybox sh -c 'mkdir /sys/fs/cgroup/*/x'
}

row_cgroup_parent() { # quick host
    box --cgroup-parent /parent/inner --pids-limit 20 busybox sleep 1000
    same limit 20 "$(cat /sys/fs/cgroup/{pids/,}parent/inner/"$(inspect .Id)"/pids.max 2> /dev/null)"
    docker exec box true
    docker rm -f box
    # runc leaves them.
    find /sys/fs/cgroup -depth -type d -path '*/parent*' -exec rmdir {} +
}

row_unit_stops() { # systemd: by somebody who asks systemd
    box busybox sh -c 'trap "exit 3" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" docker exec box test -e /ready
    systemctl stop "$(unit)"
    becomes .State.Status exited
    same status 3 "$(inspect .State.ExitCode)"
    docker start box
    is_scope "$(inspect .State.Pid)" "$(unit)" system.slice
}

row_slice() { # systemd: --cgroup-parent
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

row_cgroup_view() { # guest: what containers see of their cgroup
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

row_host_namespaces() { # quick host
    local kind
    for kind in uts pid ipc net; do
        same "$kind" "$(readlink "/proc/self/ns/$kind")" \
            "$(docker run --rm "--$kind" host busybox readlink "/proc/self/ns/$kind")"
        differ "$kind" "$(readlink "/proc/self/ns/$kind")" \
            "$(docker run --rm busybox readlink "/proc/self/ns/$kind")"
    done
}

row_host_pid_end() { # without a pid namespace nothing but the cgroup holds them together
    box --pid host busybox sh -c 'sleep 1000 & exec sleep 999'
    local pid pids
    pids=$(docker top box -o pid | tail -n +2)
    docker kill box
    becomes .State.ExitCode 137
    for pid in $pids; do wait_for "the end of $pid" test ! -e "/proc/$pid"; done
}

row_names() { # quick host
    printf 'A=one\nB=two words\n' > /tmp/environment
    same "what it is told" "there.example.org one two words three /new/one" \
        "$(docker run --rm --hostname there --domainname example.org --env-file /tmp/environment -e C=three \
            --workdir /new/one busybox sh -c 'echo $(hostname -f) $A $B $C $PWD')"
    same entrypoint "a b" "$(docker run --rm --entrypoint echo busybox a b)"
}

row_parallel() { # quick
    ten_at_once docker run --rm busybox echo
}

row_statuses() { # quick
    status 125 docker run --rm --nonsense busybox true
    status 126 docker run --rm busybox /etc/passwd
    status 127 docker run --rm busybox nonexistent
    status 127 docker run --rm busybox /nonexistent
    status 137 docker run --rm --init busybox sh -c 'kill -KILL $$'
    status 7 docker run --rm busybox sh -c 'exit 7'
    shows 'exec: "nonexistent": executable file not found in $PATH' docker run --rm busybox nonexistent
}

row_status_directory() { status 126 docker run --rm busybox /tmp; } # host

# Two that are one pod: the other's network, processes and shared memory.
row_pod() { # quick host
    docker run -d --name web --ipc shareable -p 8080:80 busybox httpd -f -h /etc
    docker run -d --name ghost --net container:web --ipc container:web --pid container:web busybox sleep 1000
    wait_for "the server" docker exec ghost wget -qO /dev/null http://127.0.0.1/group
    shows user busybox wget -qO- http://127.0.0.1:8080/group
    shows httpd docker exec ghost ps
    shows "sleep 1000" docker exec web ps
    docker exec web sh -c 'echo told > /dev/shm/note'
    same note told "$(docker exec ghost cat /dev/shm/note)"
    local kind
    for kind in net ipc pid; do
        same "$kind" "$(docker exec web readlink "/proc/self/ns/$kind")" \
            "$(docker exec ghost readlink "/proc/self/ns/$kind")"
    done
    same name "$(inspect .Config.Hostname web)" "$(docker exec ghost hostname)"
    docker stop ghost # the other's processes live on
    same ghost "exited 143" "$(inspect '.State.Status}} {{.State.ExitCode' ghost)"
    shows user busybox wget -qO- http://127.0.0.1:8080/group
    docker start ghost
    docker stop -t 0 web # it has the pid namespace: the other ends with it
    wait_for "ghost's end" sh -c '[ "$(docker inspect -f {{.State.Running}} ghost)" = false ]'
}

row_daemon_restart() { # the daemon goes and comes back; its containers don't notice
    box busybox sh -c 'echo first; until [ -e /go ]; do sleep 0.1; done; echo second; exec sleep 1000'
    docker run -d --name brief busybox sh -c 'until [ -e /go ]; do sleep 0.1; done; exit 7'
    local pid brief
    pid=$(inspect .State.Pid)
    brief=$(inspect .State.Pid brief)
    end_daemon docker
    touch "/proc/$brief/root/go" "/proc/$pid/root/go"
    daemon docker
    same process "$pid" "$(inspect .State.Pid)"
    docker exec box true
    wait_for "its output" sh -c 'docker logs box | grep second'
    docker wait brief # its status went unseen
    docker stop -t 0 box
    same status 137 "$(inspect .State.ExitCode)"
}

# remapped: a daemon whose containers have user namespaces
remapped() {
    echo www-data:200000:65536 > /tmp/ids
    mount --bind /tmp/ids /etc/subuid
    mount --bind /tmp/ids /etc/subgid
    chmod o+x /work # the daemon insists that its container root can get there
    ip link add remapped type bridge # not the other daemon's, nor none: that would remove docker0
    ip addr add 10.98.0.1/24 dev remapped
    daemon remapped --userns-remap www-data --bridge remapped --iptables=false
    import_image
}

end_remapped() {
    docker ps -aq | xargs -r docker rm -fv
    end_daemon remapped
    ip link del remapped
    umount /etc/subuid /etc/subgid
}

row_user_namespace() { # host
    remapped
    box -v data:/data busybox sh -c 'echo > /data/file; exec sleep 1000'
    same map "0 200000 65536" "$(docker exec box cat /proc/self/uid_map | xargs)"
    same user 0 "$(docker exec box id -u)"
    same "user outside" 200000 "$(stat -c %u "/proc/$(inspect .State.Pid)")"
    same "owner outside" 200000 "$(stat -c %u "$(inspect '(index .Mounts 0).Source')/file")"
    docker exec -t -u user box tty
    status 1 docker exec box sh -c 'echo 1 > /proc/sys/vm/swappiness'
    end_remapped
}

row_user_namespace_network() { # quick host: who joins a container's network joins its user namespace too
    remapped
    docker run -d --name web busybox httpd -f -h /etc
    box --net container:web busybox sleep 1000
    wait_for "the server" docker exec box wget -qO /dev/null http://127.0.0.1/group
    local kind
    for kind in net user; do
        same "$kind" "$(readlink "/proc/$(inspect .State.Pid web)/ns/$kind")" \
            "$(readlink "/proc/$(inspect .State.Pid)/ns/$kind")"
    done
    for kind in mnt pid; do
        differ "$kind" "$(docker exec web readlink "/proc/self/ns/$kind")" \
            "$(docker exec box readlink "/proc/self/ns/$kind")"
    done
    same map "0 200000 65536" "$(docker exec box cat /proc/self/uid_map | xargs)"
    same "user outside" 200000 "$(stat -c %u "/proc/$(inspect .State.Pid)")"
    shows "inet 10.98.0." docker exec box ip addr show eth0
    docker exec box ping -c 1 -W 5 10.98.0.1
    end_remapped
}

row_user_namespace_pod() { # host: two that share processes and memory too, and a volume
    remapped
    docker run -d --name web --ipc shareable -v data:/data busybox sh -c 'echo mine > /data/file; exec sleep 1001'
    box --net container:web --ipc container:web --pid container:web --volumes-from web busybox sleep 1000
    local kind
    for kind in net ipc pid user; do
        same "$kind" "$(readlink "/proc/$(inspect .State.Pid web)/ns/$kind")" \
            "$(readlink "/proc/$(inspect .State.Pid)/ns/$kind")"
    done
    docker exec web sh -c 'echo told > /dev/shm/note'
    same note told "$(docker exec box cat /dev/shm/note)"
    shows "sleep 1001" docker exec box ps
    same volume "0 mine" "$(docker exec box sh -c 'echo $(stat -c %u /data/file) $(cat /data/file)')"
    same "user of exec" "1000 200000" "$(docker exec -u user box sh -c 'echo $(id -u) $(awk "{ print \$2 }" /proc/self/uid_map)')"
    docker stop -t 0 box
    same state "exited 143" "$(inspect '.State.Status}} {{.State.ExitCode')"
    docker exec web true
    docker rm -fv web
    end_remapped
}

row_user_namespace_host() { # host: one that is spared of it may do all that a privileged one may
    remapped
    same map "0 0 4294967295" "$(docker run --rm --privileged --userns host busybox cat /proc/self/uid_map | xargs)"
    same written 1 "$(docker run --rm --privileged --userns host busybox sh -c 'mount -t tmpfs tmpfs /tmp
        echo 0 > /proc/sys/net/ipv4/ip_forward && grep -c "/tmp tmpfs" /proc/mounts')"
    same network "$(readlink /proc/self/ns/net)" \
        "$(docker run --rm --userns host --network host busybox readlink /proc/self/ns/net)"
    same user 200000 "$(docker run --rm --userns host -v data:/data busybox stat -c %u /data)"
    end_remapped
}

row_user_namespace_build() { # host
    remapped
    build <<< $'FROM busybox\nRUN cat /proc/self/uid_map > /map; touch /file; chown user /file'
    same map "0 200000 65536" "$(docker run --rm built cat /map | xargs)"
    same owners "0 1000" "$(docker run --rm built sh -c 'echo $(stat -c %u /map /file)')"
    DOCKER_BUILDKIT=0 docker build -t built - <<< $'FROM busybox\nRUN cat /proc/self/uid_map > /map2'
    same map "0 200000 65536" "$(docker run --rm built cat /map2 | xargs)"
    docker rmi -f built
    end_remapped
}

# rootless: a daemon of user's, as Docker's own script starts it
rootless() {
    if [ "$place" = host ] && [ ! -d /work/user ]; then
        chmod o+rx /work
        add_user
    fi
    export DOCKER_HOST=unix:///run/user/1000/docker.sock
    as_user setsid /usr/share/docker.io/contrib/dockerd-rootless.sh --config-file /work/daemon.json \
        --storage-driver overlay2 >> "$logs/rootless.log" 2>&1 3>&- &
    wait_for dockerd docker version
    import_image
}

end_rootless() {
    docker ps -aq | xargs -r docker rm -fv
    local pid
    pid=$(pgrep -o rootlesskit)
    kill "$pid"
    wait_for "the daemon's end" sh -c "! [ -e /proc/$pid ]"
}

row_rootless() { # quick host
    rootless
    has "what it is" "$(docker info -f '{{.SecurityOptions}} {{.DefaultRuntime}}')" "name=rootless] under-test"
    same output "hello 0" "$(docker run --rm busybox sh -c 'echo hello $(id -u)')"
    same map "0 1000 1 1 200000 65536" "$(docker run --rm busybox cat /proc/self/uid_map | xargs)"
    box --memory 64m busybox sh -c 'trap "exit 5" TERM; touch /ready; while :; do sleep 0.1; done'
    wait_for "its trap" docker exec box test -e /ready
    same "user outside" 1000 "$(stat -c %u "/proc/$(inspect .State.Pid)")"
    docker stop box
    same status 5 "$(inspect .State.ExitCode)"
    docker start box
    docker restart -t 0 box
    docker rm -f box
    status 125 docker run --rm --nonsense busybox true
    status 126 docker run --rm busybox /etc/passwd
    status 127 docker run --rm busybox nonexistent
    status 7 docker run --rm busybox sh -c 'exit 7'
    end_rootless
}

row_rootless_exec() { # host
    rootless
    box busybox sleep 1000
    same user "1000 1000" "$(docker exec -u user box sh -c 'echo $(id -u) $(id -g)')"
    same input hello "$(echo hello | docker exec -i box cat)"
    status 7 docker exec box sh -c 'exit 7'
    shows /dev/pts/0 in_terminal 'docker exec -it box tty'
    shows /dev/pts/0 in_terminal 'docker run --rm -it busybox tty'
    shows "sleep 1000" docker exec box ps
    end_rootless
}

row_rootless_volumes() { # host
    rootless
    install -d -o user -g user /work/user/mine
    docker run --rm -v data:/data -v /work/user/mine:/mine busybox sh -c 'echo kept > /data/file; touch /mine/root; chown 5 /mine'
    same volume kept "$(docker run --rm -v data:/data:ro busybox cat /data/file)"
    same owners "1000 200004" "$(echo $(stat -c %u /work/user/mine/root /work/user/mine))"
    shows "Read-only file system" docker run --rm --read-only -v data:/data:ro --tmpfs /tmp busybox touch /tmp/x /data/x
    status 1 docker run --rm -v /opt:/there busybox touch /there/x # not the user's
    docker volume rm data
    end_rootless
}

row_rootless_networks() { # host
    rootless
    docker network create net
    docker run -d --name web --network net -p 8080:80 busybox httpd -f -h /etc
    wait_for "the server" docker run --rm --network net busybox wget -qO- http://web/group
    shows user busybox wget -qO- http://127.0.0.1:8080/group
    same none lo "$(docker run --rm --network none busybox ls /sys/class/net)"
    shows tap0 docker run --rm --network host busybox ip addr
    box --network container:web --pid container:web busybox sleep 1000
    shows user docker exec box wget -qO- http://127.0.0.1/group
    shows httpd docker exec box ps
    docker rm -f box web
    docker network rm net
    end_rootless
}

row_rootless_build() { # host
    rootless
    build <<< $'FROM busybox\nRUN --mount=type=tmpfs,target=/x cat /proc/self/uid_map > /map; chown user /map'
    same map "0 1000 1 1 200000 65536" "$(docker run --rm built cat /map | xargs)"
    docker rmi -f built
    end_rootless
}

row_rootless_limits() { # quick systemd: the user's own systemd makes the cgroups
    rootless
    box --memory 64m --memory-swap 64m --cpus 0.5 --pids-limit 20 busybox sleep 1000
    local pid set
    pid=$(inspect .State.Pid)
    who=user is_scope "$pid" "$(unit)" user.slice
    has path "$(cgroup_of "$pid")" /user.slice/user-1000.slice/user@1000.service/user.slice/docker-
    set=$(limits "$pid")
    has limits "$set" "memory.max:67108864"
    has limits "$set" "cpu.max:50000 100000"
    has limits "$set" "pids.max:20"
    docker update --memory 96m --memory-swap 96m --pids-limit 30 box
    has "after an update" "$(limits "$pid")" "memory.max:100663296"
    has "after an update" "$(limits "$pid")" "pids.max:30"
    docker pause box
    same state paused "$(inspect .State.Status)"
    docker unpause box
    docker exec box true
    status 137 docker run --rm --memory 16m --memory-swap 16m busybox tail /dev/zero
    shows "/ 96MiB 1" docker stats --no-stream --format '{{.MemUsage}} {{.PIDs}}' box
    docker rm -f box
    same cgroups "" "$(cgroups 'docker-*')"
    end_rootless
}

row_rootless_options() { # host: what a user may ask for, of a container that isn't root's
    rootless
    same "init's limits" $'100\n200' "$(docker run --rm --init --ulimit nofile=100:200 busybox sh -c 'ulimit -Sn; ulimit -Hn')"
    same sysctl 512 "$(docker run --rm --sysctl net.core.somaxconn=512 busybox cat /proc/sys/net/core/somaxconn)"
    docker run --rm --device /dev/net/tun busybox sh -c ': < /dev/net/tun'
    docker run --rm --cap-add SYS_ADMIN busybox mount -t tmpfs tmpfs /tmp
    docker run --rm --privileged busybox sh -c 'mount -t tmpfs tmpfs /tmp && mount -t proc proc /root'
    same user "uid=1000(user) gid=1000(user) groups=1000(user)" "$(docker run --rm --user user --read-only busybox id)"
    docker run --rm --uts host --network host busybox true
    ! newer 23 || docker run --rm --pid host busybox ps # before, Docker wants a new proc, which is not the user's to make
    docker run --rm --cgroupns host busybox true
    same both $'1\n2' "$(docker run --rm --security-opt no-new-privileges busybox sed -nE 's/^(NoNewPrivs|Seccomp):.//p' /proc/self/status)"
    end_rootless
}

row_user_namespace_options() { # host
    remapped
    same limits $'100\n200' "$(docker run --rm --init --ulimit nofile=100:200 busybox sh -c 'ulimit -Sn; ulimit -Hn')"
    same sysctl 512 "$(docker run --rm --sysctl net.core.somaxconn=512 busybox cat /proc/sys/net/core/somaxconn)"
    docker run --rm --device /dev/loop-control:/dev/mine busybox ls -l /dev/mine
    docker run --rm --device /dev/null:/dev/mine busybox sh -c ': > /dev/mine'
    docker run --rm --cap-add SYS_ADMIN --tmpfs /run:mode=700 --read-only busybox mount -t tmpfs tmpfs /run
    same user "uid=1000(user) gid=1000(user) groups=1000(user)" "$(docker run --rm --user user busybox id)"
    same memory 67108864 "$(box --memory 64m --shm-size 32m busybox sleep 1000 > /dev/null; limit memory.limit_in_bytes memory.max)"
    echo hello > /tmp/hello
    docker cp /tmp/hello box:/tmp/there
    same "copy in" "0 hello" "$(docker exec box sh -c 'echo $(stat -c %u /tmp/there) $(cat /tmp/there)')"
    shows size=32768k docker exec box grep /dev/shm /proc/mounts
    shows /dev/pts/0 in_terminal 'docker exec -it -u user box tty'
    docker pause box
    docker unpause box
    docker restart -t 0 box
    status 125 docker run --rm --pid host busybox true # no namespace of another's
    end_remapped
}

# inner OPTION...: box is a container with a daemon of its own, which has this runtime too
inner() {
    local path mounts=()
    for path in /usr /etc/alternatives /work/daemon.json "$runtime" "$image"; do mounts+=(-v "$path:$path:ro"); done
    box --privileged -v /usr/lib:/lib:ro -v /usr/lib64:/lib64:ro "${mounts[@]}" -v /var/lib/docker "$@" \
        busybox dockerd --config-file /work/daemon.json
    wait_for "the daemon in it" docker exec box docker version
    docker exec box sh -c "tar -C $image -c . | docker import - busybox"
}

row_inner() { # quick host: Docker in Docker
    inner
    same output hello "$(docker exec box docker run --rm busybox echo hello)"
    docker exec box docker run -d --name inmost --memory 64m busybox sleep 1001
    local pid id
    id=$(inspect .Id)
    pid=$(pgrep -x -f 'sleep 1001')
    same memory 67108864 "$(cgroup_file "$pid" memory.limit_in_bytes memory.max)"
    has cgroup "$(cat "/proc/$pid/cgroup")" "/docker/$id/docker/"
    same exec inmost "$(docker exec box docker exec inmost sh -c 'echo inmost')"
    status 7 docker exec box docker exec inmost sh -c 'exit 7'
    docker exec box docker run --rm busybox ping -c 1 -W 5 "$(inspect .NetworkSettings.IPAddress)"
    docker exec box docker stop -t 0 inmost
    same status 137 "$(docker exec box docker inspect -f '{{.State.ExitCode}}' inmost)"
    docker exec box docker start inmost
    docker rm -fv box # as it runs
    same processes "" "$(pgrep -x -f 'sleep 1001' || true)"
    same cgroups "" "$(cgroups "*$id*")"
}

row_inner_namespace() { # host: the daemon in it sees no cgroups but its own
    inner --cgroupns private
    docker exec box docker run -d --name inmost --pids-limit 20 --stop-signal KILL busybox sleep 1001
    same limit 20 "$(cgroup_file "$(pgrep -x -f 'sleep 1001')" pids.max)"
    docker exec box docker exec inmost true
    docker exec box sh -c 'mkdir /context; printf "FROM busybox\nRUN echo made > /made" > /context/Dockerfile'
    docker exec -e DOCKER_BUILDKIT=1 box docker build -t built /context
    same built made "$(docker exec box docker run --rm built cat /made)"
    docker stop box # its daemon ends what it has
    same state exited "$(inspect .State.Status)"
    docker rm -v box
}

# daemon_in_network NAME [OPTION...]: one that has a network of its own
daemon_in_network() {
    within=(unshare --net sh -c 'ip link set lo up; exec "$@"' sh)
    daemon "$@"
}

# swarm: a daemon that is a swarm of one
swarm() {
    daemon_in_network swarm --live-restore=false # swarms want none
    import_image
    docker swarm init --advertise-addr 127.0.0.1 --listen-addr 127.0.0.1:2377
}

end_swarm() {
    docker swarm leave --force || true
    docker ps -aq | xargs -r docker rm -fv
    end_daemon swarm
}

# tasks SERVICE NUMBER: so many run
tasks() { [ "$(docker service ps "$1" --filter desired-state=running --format '{{.CurrentState}}' | grep -c ^Running)" = "$2" ]; }

row_swarm() { # host: a service, of more or fewer containers, and of newer ones
    swarm
    echo hidden | docker secret create mine -
    docker service create --detach --no-resolve-image --name web --replicas 3 --secret mine --limit-memory 64m \
        --stop-signal KILL --update-parallelism 0 --env A=old busybox sh -c 'exec sleep 1000'
    wait_for "three tasks" tasks web 3
    local one
    one=$(docker ps -q | head -n 1)
    same secret hidden "$(docker exec "$one" cat /run/secrets/mine)"
    same memory 67108864 "$(cgroup_file "$(inspect .State.Pid "$one")" memory.limit_in_bytes memory.max)"
    docker kill "$one" # another takes its place
    wait_for "another" sh -c "[ \$(docker ps -q | grep -vc $one) = 3 ]"
    docker service scale --detach web=5
    wait_for "five tasks" tasks web 5
    docker service update --detach --no-resolve-image --env-add A=new web
    wait_for "newer ones" sh -c '[ "$(docker ps -q | xargs docker inspect -f "{{.Config.Env}}" | grep -c A=new)" = 5 ]'
    docker service scale --detach web=1
    wait_for "one task" sh -c '[ "$(docker ps -q | wc -l)" = 1 ]'
    docker service rm web
    wait_for "the end of all" sh -c '[ -z "$(docker ps -aq)" ]'
    end_swarm
}

row_swarm_network() { # host: services that know each other by name
    swarm
    docker network create --driver overlay net
    docker service create --detach --no-resolve-image --name web --network net --endpoint-mode dnsrr \
        --health-cmd 'wget -qO- http://127.0.0.1/group' --health-interval 1s busybox httpd -f -h /etc
    docker service create --detach --no-resolve-image --name box --network net busybox sleep 1000
    wait_for "the server" tasks web 1
    wait_for "the other" tasks box 1
    wait_for "its answer" sh -c 'docker exec "$(docker ps -q --filter name=box)" wget -qO- http://web/group'
    end_swarm
}

compose() {
    if docker compose version; then docker compose "$@"; else docker-compose "$@"; fi 2>&1
}

row_compose() { # quick host
    mkdir -p /tmp/project
    cd /tmp/project
    cat > docker-compose.yml <<- 'END'
	version: "3.9"
	services:
	  store:
	    image: busybox
	    command: sh -c "sleep 1; httpd -f -h /data"
	    volumes: ["data:/data"]
	    networks: [back]
	    healthcheck: {test: wget -qO- http://127.0.0.1/made, interval: 0.5s, timeout: 10s, retries: 100}
	    depends_on: {maker: {condition: service_completed_successfully}}
	  maker:
	    image: busybox
	    command: sh -c "echo made > /data/made"
	    volumes: ["data:/data"]
	  web:
	    image: busybox
	    command: sh -c "wget -qO /got http://store/made && exec sleep 1000"
	    networks: [front, back]
	    init: true
	    read_only: false
	    cap_drop: [ALL]
	    environment: {A: b}
	    deploy: {resources: {limits: {memory: 64m}}}
	    depends_on: {store: {condition: service_healthy}}
	networks: {front: {}, back: {internal: true}}
	volumes: {data: {}}
	END
    compose up -d
    same "what was made" $'made\nb' "$(compose exec -T web sh -c 'cat /got; echo $A' | tr -d '\r' | tail -n 2)"
    shows httpd compose top store
    compose up -d --scale web=3
    same containers 4 "$(docker ps -q | wc -l)"
    compose restart -t 0 web
    compose pause store
    compose unpause store
    compose stop -t 0
    same running "" "$(docker ps -q)"
    compose start
    same containers 4 "$(docker ps -q | wc -l)"
    compose down -t 0 -v
    same left "" "$(docker ps -aq; docker volume ls -q; docker network ls -q --filter name=project)"
}

row_daemon_killed() { # neither it nor its containerd had the time to say anything
    box busybox sh -c 'trap "exit 3" TERM; echo first; until [ -e /go ]; do sleep 0.1; done; echo second; while :; do sleep 0.1; done'
    docker run -d --name brief --restart always busybox sh -c 'until [ -e /go ]; do sleep 0.1; done; exit 7'
    local pid brief
    pid=$(inspect .State.Pid)
    brief=$(inspect .State.Pid brief)
    kill -KILL "$(cat /run/docker.pid)" "$(cat /run/docker/containerd/containerd.pid)"
    touch "/proc/$brief/root/go" "/proc/$pid/root/go"
    wait_for "brief's end" test ! -e "/proc/$brief"
    daemon docker
    same process "$pid" "$(inspect .State.Pid)"
    same output hello "$(docker exec box echo hello)"
    wait_for "its output" sh -c 'docker logs box | grep second'
    wait_for "another start" sh -c '[ "$(docker inspect -f {{.RestartCount}} brief)" -gt 0 ]'
    docker restart -t 0 box
    docker stop box
    same status 3 "$(inspect .State.ExitCode)"
}

row_fifty() { # at once
    local i pids=()
    for i in {1..50}; do
        docker run -d --name "many$i" --network none busybox sleep 1000 &
        pids+=($!)
    done
    for i in "${pids[@]}"; do wait "$i"; done
    same running 50 "$(docker ps -q | wc -l)"
    docker ps -q | xargs -P 50 -n 1 docker rm -f
    same containers "" "$(docker ps -aq)"
    same cgroups 0 "$(find /sys/fs/cgroup -path '*/docker/*' -type d ! -name buildkit | wc -l)"
}

row_checkpoint() { # host
    command -v criu > /dev/null || skip "the tree has no criu"
    box busybox sh -c 'i=0; while :; do i=$((i+1)); echo $i > /tmp/count; sleep 0.1; done'
    wait_for "some steps" docker exec box grep -E '[0-9]{2}' /tmp/count
    docker checkpoint create box one
    becomes .State.Status exited
    local before
    docker cp box:/tmp/count /tmp/count
    before=$(cat /tmp/count)
    # Docker puts the checkpoint into containerd's store, where that of its making may still be.
    wait_for "the checkpoint's start" docker start --checkpoint one box
    wait_for "steps after" docker exec box sh -c "[ \$(cat /tmp/count) -gt $((before + 2)) ]"
}

row_checkpoint_running() { # host
    command -v criu > /dev/null || skip "the tree has no criu"
    box busybox sh -c 'while :; do sleep 0.1; done'
    docker checkpoint create --leave-running box one
    same state running "$(inspect .State.Status)"
    same checkpoints one "$(docker checkpoint ls box | tail -n +2)"
    docker exec box true
}

# The last row: of all that ran, nothing is left.
row_nothing_left() { # quick
    same containers "" "$(docker ps -aq)"
    same cgroups "" "$(find /sys/fs/cgroup -mindepth 2 -type d -path '*/docker/*' ! -name buildkit)" # which runc leaves
    same "cgroups of scopes" "" "$(cgroups 'docker-*')"
    same units "" "$(units 'docker-*')"
    same "state" "" "$(find /run/docker -mindepth 1 -path '*/moby/*')"
    same mounts "" "$(grep -E '/docker/(overlay2|containers)/.+ ' /proc/self/mounts | cut -d ' ' -f 2)"
    same processes "" "$(pgrep -a 'shim|^tini' || true)"
    same interfaces "" "$(ip -br link | grep veth || true)"
}
