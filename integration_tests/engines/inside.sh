# What runs inside a tree, or in a guest: starts the suite's engine, runs its rows, tells how each went.
#
# A suite defines `start` (starts the engine, with the runtime under test as its own, and waits
# until it answers) and a function row_NAME for each row, whose NAME is in `$row` then; if it likes, also
# `before_row`, which is as a part of each row, and `after_row NAME`. A row passes if it ends with status 0.
# `set -e` is on in it; `skip REASON` ends it as one that can't run here. `$runtime` is the path of
# the runtime, `$image` the directory of a small root file system. `$place` is `host` or `guest`;
# `$manager` and `$who` are those of engines.tsv.
#
# A comment after a row's `{` begins with its marks, if it has any; a colon ends them:
#   quick    `--quick` runs it
#   host     no guest runs it: it looks at cgroups of v1, or at nothing that depends on who makes them
#   guest    only guests run it: it needs cgroup v2 and a systemd
#   systemd  the same, and systemd has to make the containers' cgroups
#   root     no user's engine runs it
# shellcheck shell=bash disable=SC2154 # its environment has them
set -euo pipefail

suite=$1
runtime=/work/$2
image=/work/image
logs=/work/logs
seconds=60 # a row's time limit
[ "$place" = host ] || seconds=300 # guests may be emulated

# A root file system of busybox.
make_image() {
    mkdir -p $image/{bin,etc,tmp,root,proc,sys,dev}
    cp "$(command -v busybox)" $image/bin/
    /bin/busybox --list | while read -r name; do
        [ "$name" = busybox ] || ln -sf busybox "$image/bin/$name"
    done
    printf 'root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n' > $image/etc/passwd
    printf 'root:x:0:\nuser:x:1000:\n' > $image/etc/group
    chmod 1777 $image/tmp
}

# wait_for WHAT COMMAND...: until the command succeeds
wait_for() {
    local what=$1
    shift
    for _ in {1..300}; do
        "$@" > /dev/null 2>&1 && return
        sleep 0.1
    done
    echo "waited in vain for $what"
    return 1
}

# same WHAT WANTED FOUND
same() { [ "$2" = "$3" ] || { echo "$1: wanted '$2', found '$3'"; return 1; }; }

# has WHAT TEXT PART: the text has the part in it
has() { [[ $2 == *"$3"* ]] || { echo "$1: no '$3' in '$2'"; return 1; }; }

# status WANTED COMMAND...: it ends with this status
status() {
    local wanted=$1 found=0
    shift
    "$@" || found=$?
    same "status of $*" "$wanted" "$found"
}

# shows PART COMMAND...: what the command prints, and says, has the part in it
shows() {
    local part=$1
    shift
    has "$*" "$("$@" 2>&1)" "$part"
}

# in_terminal COMMAND: runs it with a terminal of 33 rows and 99 columns
in_terminal() { script -qefc "stty rows 33 cols 99; $1" /dev/null < /dev/null; }

# cgroup_file PID FILE...: what the process's cgroup has in the first of these (v1's name, v2's)
# that there is. The longest path first: a hierarchy that isn't mounted has it further up
cgroup_file() {
    local pid=$1 name file path
    shift
    for name in "$@"; do
        for path in $(cut -d: -f3 "/proc/$pid/cgroup" | sort -ru); do
            for file in /sys/fs/cgroup{,/*}"$path/$name"; do
                [ ! -f "$file" ] || { cat "$file"; return; }
            done
        done
    done
    echo "no $* in the cgroup of $pid" >&2
    return 1
}

# quota PID: its cgroup's, with the period, as v2 writes them
quota() {
    cgroup_file "$1" cpu.max ||
        echo "$(cgroup_file "$1" cpu.cfs_quota_us) $(cgroup_file "$1" cpu.cfs_period_us)"
}

# shares PID: its cgroup's. v2 has a weight: of 512 shares the old formula makes 20, the new one 59
shares() { cgroup_file "$1" cpu.shares || cgroup_file "$1" cpu.weight | sed -E 's/^(20|59)$/512/'; }

# limits PID: what its cgroup of v2 has, a line a file
limits() {
    (cd "/sys/fs/cgroup$(cgroup_of "$1")" &&
        grep -H . memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus)
}

# cgroup_of PID: of v2
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

# cgroups PATTERN: paths of all cgroups of such a name
cgroups() { find /sys/fs/cgroup -type d -name "$1"; }

# `user`, with subordinate ids, `lone`, without; and those that containers with `--userns auto` get.
add_user() {
    local name
    for name in passwd group subuid subgid; do
        cp /etc/$name /work/$name
        mount --bind /work/$name /etc/$name
    done
    echo user:x:1000:1000::/work/user:/bin/bash >> /etc/passwd
    echo lone:x:1001:1000::/work/lone:/bin/bash >> /etc/passwd
    echo user:x:1000: >> /etc/group
    echo friends:x:4000:user >> /etc/group
    for name in subuid subgid; do printf 'user:200000:65536\ncontainers:300000:655360\n' > /etc/$name; done
    for name in user lone; do install -d -o $name -g user -m 700 /work/$name "/run/user/$(id -u $name)"; done
    mknod /run/tun c 10 200
    chmod 666 /run/tun
    mount --bind /run/tun /dev/net/tun
}

# as_user COMMAND...: as `user`, or as $user, from whatever cgroup this is. For dash too
as_user() {
    (
        user=${user-user}
        cd "$(getent passwd "$user" | cut -d: -f6)" || exit
        own=/run/user/$(id -u "$user")
        [ ! -S "$own/bus" ] || set -- DBUS_SESSION_BUS_ADDRESS="unix:path=$own/bus" "$@"
        exec setpriv --reuid "$user" --regid user --init-groups env -i HOME="$PWD" USER="$user" \
            XDG_RUNTIME_DIR="$own" PATH="$PATH" PODMAN_IGNORE_CGROUPSV1_WARNING=1 \
            ${CONTAINERS_CONF:+CONTAINERS_CONF="$CONTAINERS_CONF"} "$@"
    )
}

# systemd COMMAND...: systemctl, of the manager whose units the containers are
systemd() {
    case $who in
        root) systemctl "$@" ;;
        user) as_user systemctl --user "$@" ;;
    esac
}

# property UNIT NAME
property() { systemd show --property="$2" --value "$1"; }

# is_scope PID UNIT SLICE: that process is in UNIT of SLICE, and systemd knows it
is_scope() {
    same slice "$3" "$(property "$2" Slice)"
    same state active "$(property "$2" ActiveState)"
    same cgroup "$(property "$2" ControlGroup)" "$(cgroup_of "$1")"
    same delegation yes "$(property "$2" Delegate)"
    has "systemctl status" "$(systemd status --no-pager "$2")" "$1 "
}

# units PATTERN...: those that systemd still knows, failed ones too; none where there is no systemd
units() {
    [ "$place" = guest ] || return 0
    systemd list-units --all --plain --no-legend "$@" | awk '{ print $1 }'
}

# reloads: systemd reads all its units again, and sets what they say
reloads() {
    systemctl daemon-reload
    [ "$who" = root ] || systemd daemon-reload
}

# same_after_reload SET PID: it has these limits then too
same_after_reload() {
    reloads
    same "after a reload" "$1" "$(limits "$2")"
}

# image_archive NAME FILE [WORD...]: a file to import an image of that name from: $image, run by WORDs, or
# as $image_config says (its members in JSON)
image_archive() {
    local name=$1 file=$2 words dir
    shift 2
    words=$(printf ',"%s"' "$@")
    dir=$(mktemp -d)
    tar -C $image --sort=name --mtime=@0 -cf "$dir/layer.tar" .
    printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],%s},
        "rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(dpkg --print-architecture)" "${image_config:-"\"Cmd\":[${words#,}]"}" "$(sha256sum < "$dir/layer.tar" | cut -d' ' -f1)" \
        > "$dir/config.json"
    printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" \
        > "$dir/manifest.json"
    tar -C "$dir" -cf "$file" manifest.json config.json layer.tar
    rm -r "$dir"
}

# fails COMMAND...: it does (`!` would not end a row)
fails() { ! "$@" || { echo "should have failed: $*"; return 1; }; }

# ten_at_once COMMAND...: ten times with a word more, which each is to print
ten_at_once() {
    local i pids=()
    for i in {0..9}; do
        "$@" "$i" > "/tmp/out$i" &
        pids+=($!)
    done
    for i in {0..9}; do
        wait "${pids[i]}"
        same "output of $i" "$i" "$(cat "/tmp/out$i")"
    done
}

skip() { echo "skip: $*"; exit 77; }

# What a row that is about to be stopped waits for: every process, where it is in the kernel, and who
# is whose child.
standing() {
    ps -eo pid,ppid,stat,etimes,wchan:30,args --forest
    local program
    for program in $(pgrep -f "^$runtime |^${runtime##*/} " || true); do
        printf '\n%s: %s\n' "$program" "$(tr '\0' ' ' < "/proc/$program/cmdline")"
        cat "/proc/$program/syscall" "/proc/$program/stack"
        ls -l "/proc/$program/fd"
    done
    dmesg | tail -n 20
}

run_row() {
    local row=$1 result=0 log=$logs/$1.log
    exec 8> >(read -r -t $((seconds - 5)) || [ $? -lt 128 ] || standing > "$logs/$row.standing" 2>&1)
    timeout --kill-after=5 $seconds bash -c "
        set -euo pipefail
        . /work/inside.sh $suite ${runtime##*/} functions
        . /work/$suite.sh
        PS4='+ \$EPOCHREALTIME ' BASH_XTRACEFD=9
        set -x
        row=$row
        ! declare -F before_row || before_row
        row_$row" > "$log" 2>&1 9> "$logs/$row.trace" 8>&- < /dev/null || result=$?
    exec 8>&-
    wait $! || true
    case $result in
        0) printf 'ok\t%s\t\n' "$row" >&3 ;;
        77) printf 'skip\t%s\t%s\n' "$row" "$(sed -n 's/^skip: //p' "$log" | tail -n 1)" >&3 ;;
        124 | 137) printf 'fails\t%s\ttook longer than %d s\n' "$row" $seconds >&3 ;;
        *) printf 'fails\t%s\t%s\n' "$row" "$(tail -n 1 "$log" | tr '\t' ' ')" >&3 ;;
    esac
    if declare -F after_row > /dev/null; then after_row "$row" >> "$log" 2>&1 || true; fi
}

[ "${3-}" != functions ] || return 0

mkdir -p $logs
mount -t tmpfs local /usr/local/bin # the tree is kept
ln -s "$runtime" $(find /work/programs -type f) /usr/local/bin/ # before the tree's own
exec 3>&1 1>&2 # results go to the first output, and nothing else
make_image
. "/work/$suite.sh"
start > $logs/start.log 2>&1 || { tail -n 5 $logs/start.log; exit 1; }
while read -r row; do run_row "$row"; done < /work/rows
