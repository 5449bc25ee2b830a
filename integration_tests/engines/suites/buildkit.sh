# BuildKit's own daemon, buildkitd, by buildctl. What Docker has of it is in docker.sh.
# shellcheck shell=bash disable=SC2016,SC2154 # steps expand what is in single quotes; inside.sh sets

socket=unix:///run/buildkit/buildkitd.sock

start() {
    mkdir -p /work/context
    tar -C $image -cf /work/context/image.tar . # no registry has to be asked for it
    daemon
}

daemon() {
    setsid buildkitd "${options[@]}" --addr $socket --root /work/buildkit \
        --allow-insecure-entitlement security.insecure --allow-insecure-entitlement network.host \
        >> "$logs/daemon.log" 2>&1 3>&- &
    wait_for buildkitd buildctl --addr $socket debug workers
}
# What docs/engines/docker.md tells users to say.
options=(--oci-worker-binary "$runtime" --containerd-worker=false --oci-worker-snapshotter overlayfs)

# What a row has left would be in the next one's way.
after_row() {
    buildctl --addr $socket debug workers > /dev/null || daemon
    rm -rf /work/built
}

# build OPTION...: what the Dockerfile that is the input says, after an image of busybox; the files
# of its last stage are in /work/built
build() {
    { printf 'FROM scratch AS busybox\nADD image.tar /\nENV PATH=/bin\n'; cat; } > /work/context/Dockerfile
    chmod o+r /work/context/*
    "${as[@]}" buildctl --addr "$socket" build --progress plain --frontend dockerfile.v0 --local context=/work/context \
        --local dockerfile=/work/context --output type=local,dest="${built-/work/built}" "$@"
}
as=() # who does it

# of FILE...: what is in them
of() { (cd "${built-/work/built}" && cat "$@"); }

row_run() { # quick: several steps, and the second time none
    local steps=$'FROM busybox AS made\nRUN echo made > /made\nENV A=b\nUSER user\nWORKDIR /tmp/inner
        RUN echo $A $(id -u) $PWD > /tmp/who\nFROM scratch\nCOPY --from=made /made /tmp/who /'
    build <<< "$steps"
    same files $'made\nb 1000 /tmp/inner' "$(of made who)"
    same "steps from the cache" 2 "$(build <<< "$steps" 2>&1 | grep -A 1 RUN | grep -c CACHED)"
}

row_runtime() { # quick: it is this one that runs a step, and the step ends with the build
    build <<< $'FROM busybox\nRUN exec sleep 999' &
    wait_for "the step" pgrep -x -f 'sleep 999'
    local step
    step=$(pgrep -x -f 'sleep 999')
    same program "$(stat -Lc %d:%i "$runtime")" "$(stat -Lc %d:%i "/proc/$(ps -o ppid= -p "$step" | xargs)/exe")"
    pkill -P $!
    fails wait $!
    wait_for "the step's end" test ! -e "/proc/$step"
}

row_mounts() { # quick
    echo hidden > /tmp/secret
    build --secret id=mine,src=/tmp/secret <<- 'END'
	FROM busybox AS made
	RUN --mount=type=cache,target=/cache echo kept > /cache/kept
	RUN --mount=type=bind,target=/here --mount=type=cache,target=/cache cat /cache/kept > /got; ls /here >> /got; touch /here/x || echo "may not" >> /got
	RUN --mount=type=secret,id=mine cat /run/secrets/mine >> /got
	RUN --mount=type=tmpfs,target=/scratch,size=1m grep -o "/scratch tmpfs" /proc/mounts >> /got
	RUN --mount=type=bind,from=busybox,source=/etc,target=/other grep -c user /other/passwd >> /got
	FROM scratch
	COPY --from=made /got /
	END
    same "what steps had" $'kept\nDockerfile\nimage.tar\nmay not\nhidden\n/scratch tmpfs\n1' "$(of got)"
}

row_options() { # quick
    build --opt shm-size=33554432 --opt ulimit=nofile=100:200 --opt add-hosts=there=1.2.3.4 \
        --opt cgroup-parent=/parent --allow network.host <<- 'END'
	FROM busybox AS made
	RUN grep -o size=32768k /proc/mounts > /got; ulimit -Sn >> /got; ulimit -Hn >> /got
	RUN grep -o "1.2.3.4" /etc/hosts >> /got; cut -d: -f3 /proc/self/cgroup | grep -o ^/parent/ | sort -u >> /got
	RUN --network=none ls /sys/class/net >> /got
	RUN --network=host readlink /proc/self/ns/net >> /got
	FROM scratch
	COPY --from=made /got /
	END
    same "what steps had" $'size=32768k\n100\n200\n1.2.3.4\n/parent/\nlo\n'"$(readlink /proc/self/ns/net)" "$(of got)"
    find /sys/fs/cgroup -depth -type d -path '*/parent*' -exec rmdir {} +
}

row_insecure() { # quick: a step that may do what a privileged container may
    build --allow security.insecure <<- 'END'
	FROM busybox AS made
	RUN --security=insecure mount -t tmpfs tmpfs /tmp && grep Seccomp: /proc/self/status > /got && echo 0 > /proc/sys/net/ipv4/ip_forward
	RUN mount -t tmpfs tmpfs /tmp || grep Seccomp: /proc/self/status >> /got
	FROM scratch
	COPY --from=made /got /
	END
    same "what steps had" $'Seccomp:\t0\nSeccomp:\t2' "$(of got)"
}

row_fails() { # quick
    local told
    told=$(build <<< $'FROM busybox\nRUN echo before; exit 7' 2>&1) && return 1
    has "what it says" "$told" before
    has "what it says" "$told" "exit code: 7"
    shows 'exec: "nonexistent": executable file not found in $PATH' \
        fails build <<< $'FROM busybox\nRUN ["nonexistent"]'
    shows "exit code: 137" fails build <<< $'FROM busybox\nRUN sh -c "kill -KILL \\$\\$"; exit $?'
}

row_stages() { # two at once, each of which waits for what the other does
    build <<- 'END'
	FROM busybox AS one
	RUN --mount=type=cache,id=both,target=/both touch /both/one; until [ -e /both/other ]; do sleep 0.1; done; echo one > /one
	FROM busybox AS other
	RUN --mount=type=cache,id=both,target=/both touch /both/other; until [ -e /both/one ]; do sleep 0.1; done; echo other > /other
	FROM scratch
	COPY --from=one /one /
	COPY --from=other /other /
	END
    same files $'one\nother' "$(of one other)"
}

row_rootless() { # quick host: a user's daemon, as in a pod: its steps see the processes around
    add_user
    chmod o+rx /work
    local as=(as_user) socket=unix:///run/user/1000/buildkitd.sock built=/work/user/built
    as_user setsid rootlesskit --net=slirp4netns --disable-host-loopback --copy-up=/etc --copy-up=/run \
        buildkitd "${options[@]}" --oci-worker-no-process-sandbox --addr "$socket" >> "$logs/rootless.log" 2>&1 3>&- &
    local daemon=$!
    wait_for "the user's buildkitd" as_user buildctl --addr "$socket" debug workers
    build <<- 'END'
	FROM busybox AS made
	RUN cat /proc/self/uid_map > /got; ps | grep -c [b]uildkitd > /processes
	RUN --mount=type=tmpfs,target=/x chown user /got && stat -c %u /got >> /got
	FROM scratch
	COPY --from=made /got /processes /
	END
    same "what steps had" "0 1000 1 1 200000 65536 1000" "$(of got | xargs)"
    fails same processes 0 "$(of processes)"
    shows "exit code: 7" fails build <<< $'FROM busybox\nRUN exit 7'
    kill $daemon
    wait_for "the daemon's end" test ! -e /proc/$daemon
}

# The last row: of all that ran, nothing is left.
row_nothing_left() { # quick
    same containers "" "$("$runtime" list -q)"
    same cgroups "" "$(find /sys/fs/cgroup -type d -path '*/buildkit/*')" # its own stays
    same mounts "" "$(grep -E ' /work/buildkit/.+ ' /proc/self/mounts | cut -d ' ' -f 2)"
    same processes "" "$(pgrep -a -x "${runtime##*/}" || true)"
}
