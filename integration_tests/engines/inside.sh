# What runs inside a tree: starts the suite's engine, runs its rows, tells how each went.
#
# A suite defines `start` (starts the engine, with the runtime under test as its own, and waits
# until it answers) and a function row_NAME for each row. A row passes if it ends with status 0.
# `set -e` is on in it; `skip REASON` ends it as one that can't run here. `$runtime` is the path of
# the runtime, `$image` the directory of a small root file system.
set -euo pipefail

suite=$1
runtime=/work/$2
image=/work/image
logs=/work/logs
seconds=60 # a row's time limit

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
# that there is
cgroup_file() {
    local pid=$1 name file path
    shift
    for name in "$@"; do
        for path in $(cut -d: -f3 "/proc/$pid/cgroup" | sort -u); do
            for file in /sys/fs/cgroup{,/*}"$path/$name"; do
                [ ! -f "$file" ] || { cat "$file"; return; }
            done
        done
    done
    echo "no $* in the cgroup of $pid"
}

# image_archive NAME FILE WORD...: a file to import an image of that name from: $image, run by WORDs
image_archive() {
    local name=$1 file=$2 words dir
    shift 2
    words=$(printf ',"%s"' "$@")
    dir=$(mktemp -d)
    tar -C $image --sort=name --mtime=@0 -cf "$dir/layer.tar" .
    printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":[%s]},
        "rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
        "$(dpkg --print-architecture)" "${words#,}" "$(sha256sum < "$dir/layer.tar" | cut -d' ' -f1)" \
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
        row_$row" > "$log" 2>&1 9> "$logs/$row.trace" 8>&- < /dev/null || result=$?
    exec 8>&-
    wait $! || true
    case $result in
        0) printf 'ok\t%s\t\n' "$row" >&3 ;;
        77) printf 'skip\t%s\t%s\n' "$row" "$(sed -n 's/^skip: //p' "$log" | tail -n 1)" >&3 ;;
        124 | 137) printf 'fails\t%s\ttook longer than %d s\n' "$row" $seconds >&3 ;;
        *) printf 'fails\t%s\t%s\n' "$row" "$(tail -n 1 "$log" | tr '\t' ' ')" >&3 ;;
    esac
    if declare -F after_row > /dev/null; then after_row >> "$log" 2>&1 || true; fi
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
