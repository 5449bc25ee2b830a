# The CRI of containerd, or of CRI-O where there is a crio, as a kubelet speaks to it: by crictl, with the
# example files of the documents (config.toml or crio.conf, RuntimeClass, pod and container).
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

examples=/work/examples
handler=$(sed -n 's/^handler: *\([a-z]*\).*/\1/p' $examples/runtimeclass.yaml)
states=/run/containerd/runc/k8s.io # the runtime's --root, as the shim gives it
socket=/run/containerd/containerd.sock
scope=cri-containerd # a container's unit is called so, and by its id
cgroup_prefix='' # a container's cgroup, where there is no systemd, by this and its id
monitor=containerd-shim

by_crio() { command -v crio > /dev/null; }

if by_crio; then
    states=$(sed -n 's/^runtime_root = "\(.*\)"/\1/p' $examples/crio.conf)
    socket=/run/crio/crio.sock
    scope=crio
    cgroup_prefix=crio-
    monitor=conmon
fi

start() {
    local release
    echo "runtime-endpoint: unix://$socket" > /work/crictl.yaml
    write_network
    if by_crio; then write_crio_config; else write_config; fi
    daemon || return
    image_archive docker.io/library/busybox:latest /work/box.tar sh
    import /work/box.tar
    # The sandbox's image, as each release of containerd names it, and CRI-O.
    for release in 3.6 3.8 3.10.2 3.10; do
        image_archive registry.k8s.io/pause:$release /work/pause.tar sleep infinity
        import /work/pause.tar
    done
}

# import FILE: into the engine's images. CRI-O's storage is the same as Podman's
import() {
    if by_crio; then
        podman --root /work/crio --runroot /run/crio/storage --storage-driver overlay load -i "$1"
    else
        ctr -n k8s.io images import "$1"
    fi
}

# The example, with the runtime under test, and what the tests' machine needs.
write_config() {
    local example=config.toml plugin=io.containerd.grpc.v1.cri directory='bin_dir = "/usr/lib/cni"'
    if [[ $(release) == 2.* ]]; then
        example=config-2.toml plugin=io.containerd.cri.v1.runtime directory='bin_dirs = ["/usr/lib/cni"]'
    fi
    sed "s|/usr/local/bin/rind|$runtime|" $examples/$example > /work/containerd.toml
    [ "$manager" != systemd ] || sed -i 's/\(SystemdCgroup = \)false/\1true/' /work/containerd.toml
    cat >> /work/containerd.toml << END
[plugins."$plugin"]
  restrict_oom_score_adj = true
[plugins."$plugin".cni]
  $directory
  conf_dir = "/work/cni"
END
}

# The same for CRI-O, which reads all files of a directory, the first one first.
write_crio_config() {
    mkdir -p /work/crio.conf.d
    sed "s|/usr/local/bin/rind|$runtime|" $examples/crio.conf > /work/crio.conf.d/10-rind.conf
    [ "$manager" != systemd ] || sed -i 's/= "cgroupfs"/= "systemd"/' /work/crio.conf.d/10-rind.conf
    cat > /work/crio.conf.d/20-tests.conf << 'END'
[crio]
root = "/work/crio"
runroot = "/run/crio/storage"
storage_driver = "overlay"
version_file = "/run/crio/version"
clean_shutdown_file = "/run/crio/clean.shutdown"
log_dir = "/work/pods"
[crio.image]
pause_command = "" # the image's
[crio.network]
network_dir = "/work/cni"
plugin_dirs = ["/usr/lib/cni"]
END
}

# Of a version of CNI without CHECK: by that CRI-O finds fault with devices whose address udev has changed.
write_network() {
    mkdir -p /work/cni
    cat > /work/cni/10-bridge.conflist << 'END'
{
  "cniVersion": "0.3.1",
  "name": "pods",
  "plugins": [{
    "type": "bridge", "bridge": "pods0", "isGateway": true,
    "ipam": { "type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{ "subnet": "10.99.0.0/16" }]] }
  }]
}
END
}

# The daemon in the background.
daemon() {
    if by_crio; then
        setsid crio --config /dev/null --config-dir /work/crio.conf.d >> $logs/daemon.log 2>&1 3>&- &
        wait_for "CRI-O" crictl info
        return
    fi
    setsid containerd --config /work/containerd.toml --root /work/containerd \
        --state /run/containerd >> $logs/daemon.log 2>&1 3>&- &
    wait_for "containerd's CRI" crictl info
}

crictl() { command crictl --config /work/crictl.yaml --timeout 45s "$@"; } # CRI-O gives a pod 30 s

# What a row has left would be in the next one's way.
after_row() {
    crictl info > /dev/null || daemon
    crictl ps --quiet | xargs -r crictl --config /work/crictl.yaml stop --timeout 0 # or CRI-O waits for 30 s
    crictl rmp --force --all
}

# pod NAME [LINUX [PORTION]]: makes one of pod.json, with these members in its `linux`, and these
# more of its own. Prints its id, which is in /work/NAME.pod too
pod() {
    local name=$1 json
    json=$(< $examples/pod.json)
    json=${json//example/"$name"}
    json=${json/'/var/log/pods'/"/work/pods"}
    json=${json/'"linux": {}'/"\"linux\": { \"cgroup_parent\": \"$(parent "$name")\"${2:+, $2} }${3:+, $3}"}
    json=$(own_processes "$json")
    # A kubelet gives a pod in the host's network no host name.
    [[ ${2-} != *'"network": 2'* ]] || json=$(grep -v '"hostname"' <<< "$json")
    rm -rf "/work/pods/$name"
    mkdir -p "/work/pods/$name"
    echo "$json" > "/work/$name.json"
    crictl runp --runtime "$handler" "/work/$name.json" | tee "/work/$name.pod"
}

# own_processes JSON: with a pid namespace for each container where nothing else is asked for, as a kubelet
# does. In CRI-O, nothing said means one for the pod, with a process of CRI-O's that keeps it
own_processes() {
    local json=$1 mode='"pid": 1' member
    ! by_crio || [[ $json == *'"pid": '* ]] || for member in namespace_options security_context linux; do
        if [[ $json == *"\"$member\": {"* ]]; then
            json=${json/"\"$member\": {"/"\"$member\": { $mode,"}
            break
        fi
        mode="\"$member\": { $mode }"
    done
    sed -E 's/,[[:space:]]*}/ }/' <<< "$json"
}

# parent POD: its cgroup; a slice by its whole path, as a kubelet has it whose cgroupDriver is `systemd`
parent() { if [ "$manager" = systemd ]; then echo "/kubepods.slice/kubepods-$1.slice"; else echo "/kubepods/$1"; fi; }

# pod_cgroups POD: those below its own, without conmon's: CRI-O leaves that of a refused create to the kubelet
pod_cgroups() { find /sys/fs/cgroup -type d -path "*$(parent "$1")/*" ! -name 'crio-conmon-*'; }

# create POD NAME COMMAND [LINUX [PORTION]]: a container of container.json with this command of a
# shell. Prints its id, which is in /work/NAME.id too
create() {
    local json
    json=$(< $examples/container.json)
    json=${json/'"box"'/"\"$2\""}
    json=${json/box.log/"$2.log"}
    json=${json/'["sleep", "1000"]'/"[\"sh\", \"-c\", \"$3\"]"}
    json=${json/'"linux": {}'/"\"linux\": { ${4-} }${5:+, $5}"}
    own_processes "$json" > "/work/$2.json"
    crictl create "$(< "/work/$1.pod")" "/work/$2.json" "/work/$1.json" | tee "/work/$2.id"
}

# box POD NAME COMMAND [LINUX [PORTION]]: the same, and starts it
box() { crictl start "$(create "$@")"; }

id() { cat "/work/$1.id"; }
# inspect FORMAT NAME
inspect() { crictl inspect --output go-template --template "{{$1}}" "$(id "$2")"; }
pid() { inspect .info.pid "$1"; }
unit() { echo "$scope-$(id "$1").scope"; }
# inspect_pod FORMAT POD
inspect_pod() { crictl inspectp --output go-template --template "{{$1}}" "$(< "/work/$2.pod")"; }
pod_pid() { inspect_pod .info.pid "$1"; }

# namespace KIND NAME: of a container. pod_namespace KIND POD: CRI-O's pods have no process, but where
# they share them, and files that keep the namespaces
namespace() { readlink "/proc/$(pid "$2")/ns/$1"; }
pod_namespace() {
    by_crio || { readlink "/proc/$(pod_pid "$2")/ns/$1"; return; }
    local type=${1/net/network}
    stat -L -c "$1:[%i]" "$(inspect_pod "range .info.runtimeSpec.linux.namespaces}}{{if eq .type \"$type\"}}{{.path}}{{end}}{{end" "$2")"
}

address() { inspect_pod .status.network.ip "$1"; }

# becomes NAME STATE
becomes() { wait_for "$1 to be $2, not $(inspect .status.state "$1")" is "$1" "$2"; }
is() { [ "$(inspect .status.state "$1")" = "CONTAINER_$2" ]; }

# in_box NAME COMMAND...
in_box() { crictl exec --sync "$(id "$1")" "${@:2}"; }

# exits_with STATUS NAME
exits_with() {
    becomes "$2" EXITED
    same "exit status of $2" "$1" "$(inspect .status.exitCode "$2")"
}

# status_of FIELD NAME: of its init, as /proc has it
status_of() { awk -v field="$1:" '$1 == field { $1 = ""; print substr($0, 2) }' "/proc/$(pid "$2")/status"; }

release() { by_crio || containerd --version | sed 's/.* \([0-9]*\.[0-9]*\)\..*/\1/'; }

row_pod() { # quick host
    pod a
    shows Ready crictl pods
    [[ $(address a) == 10.99.* ]] || { echo "address $(address a)"; return 1; }
    box a one 'hostname; echo $GREETING; exec sleep 1000'
    shows Running crictl ps
    same "host name" "a hello" "$(crictl logs "$(id one)" | paste -sd' ')"
    same network "$(pod_namespace net a)" "$(namespace net one)"
    has cgroup "$(cut -d: -f3 /proc/"$(pid one)"/cgroup)" "/kubepods/a/$cgroup_prefix$(id one)"
    shows "$(address a)" in_box one ip address show dev eth0
}

row_scope() { # systemd
    pod a
    box a one 'exec sleep 1000'
    is_scope "$(pid one)" "$(unit one)" kubepods-a.slice
    by_crio || is_scope "$(pod_pid a)" "$scope-$(< /work/a.pod).scope" kubepods-a.slice
    has path "$(cgroup_of "$(pid one)")" /kubepods.slice/kubepods-a.slice/
    same output hello "$(in_box one echo hello)"
}

row_created() { # host
    pod a
    create a one 'sleep 1000'
    is one CREATED
    crictl rm "$(id one)"
    fails crictl inspect "$(id one)"
}

row_exec() { # quick
    pod a
    box a one 'exec sleep 1000'
    same output hello "$(in_box one echo hello)"
    shows 'to stderr' in_box one sh -c 'echo to stderr >&2'
    fails in_box one sh -c 'exit 7'
    shows 'exited with 7' in_box one sh -c 'exit 7'
    shows 'executable file not found in $PATH' in_box one nonexistent
    same environment hello "$(in_box one sh -c 'echo $GREETING')"
    shows "$(if by_crio; then echo command timed out; else echo timeout 1s exceeded; fi)" \
        crictl exec --sync --timeout 1 "$(id one)" sleep 999
    wait_for "its end" eval '! pgrep -x -f "sleep 999"'
}

row_exec_stream() { # quick
    pod a
    box a one 'exec sleep 1000'
    same output hello "$(crictl exec "$(id one)" echo hello)"
    same input 6 "$(echo hello | crictl exec -i "$(id one)" wc -c)"
    fails crictl exec "$(id one)" sh -c 'exit 7'
    # CRI-O doesn't wait for a terminal's last output: with runc too it is lost where a command ends at once.
    shows /dev/pts/0 in_terminal "crictl --config /work/crictl.yaml exec -it $(id one) sh -c 'tty; sleep 1'"
    shows '33 99' in_terminal "crictl --config /work/crictl.yaml exec -it $(id one) sh -c 'sleep 1; stty size; sleep 1'"
}

row_terminal() { # host
    pod a
    box a one 'tty; exec sleep 1000' '' '"tty": true, "stdin": true'
    wait_for output eval 'crictl logs "$(id one)" | grep /dev/pts/0'
}

row_attach() { # host
    pod a
    box a one 'while read line; do echo read $line; done' '' '"stdin": true, "stdin_once": true'
    shows 'read hello' eval 'echo hello | timeout 10 crictl --config /work/crictl.yaml attach -i "$(id one)"'
    exits_with 0 one
}

row_logs() { # quick
    pod a
    box a one 'echo first; echo second >&2; printf unfinished'
    exits_with 0 one
    same output "first unfinished" "$(crictl logs "$(id one)" 2> /dev/null | paste -sd' ')"
    same errors second "$(crictl logs "$(id one)" 2>&1 > /dev/null)"
    shows 'stderr F second' cat /work/pods/a/one.log
}

row_stats() { # quick
    pod a
    box a one 'dd if=/dev/zero of=/dev/shm/file bs=1M count=20; exec sleep 1000'
    wait_for file in_box one test -s /dev/shm/file
    local memory
    wait_for statistics eval '[ "$(crictl stats --output json --id "$(id one)" | grep -c workingSetBytes)" = 1 ]'
    memory=$(crictl stats --output json --id "$(id one)" | tr -d ' \n' | sed 's/.*"workingSetBytes":{"value":"\([0-9]*\)".*/\1/')
    ((memory > 20 << 20 && memory < 64 << 20)) || { echo "working set is '$memory'"; return 1; }
    has "the pod's" "$(crictl statsp --output json --id "$(< /work/a.pod)" | tr -d ' \n')" '"name":"a"'
}

row_limits() { # quick
    pod a
    box a one 'exec sleep 1000' '"resources": { "memory_limit_in_bytes": 67108864, "cpu_quota": 20000,
        "cpu_period": 50000, "cpu_shares": 512, "oom_score_adj": 500, "cpuset_cpus": "0" }'
    same memory 67108864 "$(cgroup_file "$(pid one)" memory.limit_in_bytes memory.max)"
    same quota "20000 50000" "$(quota "$(pid one)")"
    same shares 512 "$(shares "$(pid one)")"
    same cpus 0 "$(cgroup_file "$(pid one)" cpuset.cpus)"
    same "OOM score" 500 "$(cat "/proc/$(pid one)/oom_score_adj")"
}

row_update() { # quick
    pod a
    box a one 'exec sleep 1000' '"resources": { "memory_limit_in_bytes": 67108864 }'
    crictl update --memory 33554432 --cpu-quota 30000 --cpu-period 60000 --cpu-share 256 --cpuset-cpus 0 "$(id one)"
    same memory 33554432 "$(cgroup_file "$(pid one)" memory.limit_in_bytes memory.max)"
    same quota "30000 60000" "$(quota "$(pid one)")"
    same cpus 0 "$(cgroup_file "$(pid one)" cpuset.cpus)"
    fails crictl update --cpuset-cpus 4000 "$(id one)"
    same "cpus after a refused update" 0 "$(cgroup_file "$(pid one)" cpuset.cpus)"
    is one RUNNING
}

row_reload() { # systemd: limits outlive it, and those of an update too
    pod a
    box a one 'exec sleep 1000' '"resources": { "memory_limit_in_bytes": 67108864, "cpu_quota": 20000,
        "cpu_period": 50000, "cpu_shares": 512, "cpuset_cpus": "0" }'
    local set
    set=$(limits "$(pid one)")
    has limits "$set" "memory.max:67108864"
    has limits "$set" "cpu.max:20000 50000"
    same_after_reload "$set" "$(pid one)"
    crictl update --memory 33554432 --cpu-quota 30000 --cpu-period 60000 "$(id one)"
    set=$(limits "$(pid one)")
    has "after an update" "$set" "memory.max:33554432"
    has "after an update" "$set" "cpu.max:30000 60000"
    same_after_reload "$set" "$(pid one)"
}

row_out_of_memory() { # quick
    pod a
    box a one 'tail /dev/zero' '"resources": { "memory_limit_in_bytes": 16777216 }'
    exits_with 137 one
    same reason OOMKilled "$(inspect .status.reason one)"
}

row_port_forward() { # host
    pod a
    box a one 'mkdir /www; echo served > /www/file; exec httpd -f -p 80 -h /www'
    crictl port-forward "$(< /work/a.pod)" 8080:80 &
    local forward=$!
    wait_for "the port" busybox wget -q -O /work/got http://127.0.0.1:8080/file || { kill $forward; return 1; }
    kill $forward
    same file served "$(cat /work/got)"
    same "by the pod's address" served "$(busybox wget -q -O - "http://$(address a)/file")"
}

row_stop() { # quick
    pod a
    box a one 'trap \"exit 9\" TERM; echo ready; while :; do sleep 0.1; done'
    box a two 'trap \"\" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for "both to be ready" eval '[ "$(crictl logs "$(id one)")$(crictl logs "$(id two)")" = readyready ]'
    local pid
    pid=$(pid two)
    crictl stop --timeout 10 "$(id one)"
    exits_with 9 one
    crictl stop --timeout 1 "$(id two)"
    exits_with 137 two
    same process "" "$(ls -d "/proc/$pid" 2> /dev/null)"
    crictl rm "$(id one)" "$(id two)"
    same containers "" "$(crictl ps -aq)"
}

row_pod_stops() { # quick
    pod a
    # CRI-O kills what a TERM doesn't end after half a minute.
    box a one 'trap \"exit 137\" TERM; sleep 1000 & wait'
    box a two 'trap \"exit 137\" TERM; sleep 1000 & wait'
    fails crictl rmp "$(< /work/a.pod)"
    crictl stopp "$(< /work/a.pod)"
    exits_with 137 one
    shows NotReady crictl pods
    same addresses "" "$(ls /run/cni-addresses/pods | grep 10.99.0. || true)"
    crictl rmp "$(< /work/a.pod)"
    same pods "" "$(crictl pods -q)"
    same processes "" "$(pgrep -x -f 'sleep 1000')"
    same states "" "$(ls $states)"
    same cgroups "" "$(pod_cgroups a)"
}

row_restarts() { # host
    # As a kubelet has it: the next attempt is another container of this name.
    pod a
    box a one 'echo once; exit 3'
    exits_with 3 one
    same reason Error "$(inspect .status.reason one)"
    sed -i 's/\("name": "one", "attempt": \)0/\11/; s/exit 3/exec sleep 1000/' /work/one.json
    crictl create "$(< /work/a.pod)" /work/one.json /work/a.json > /work/second.id
    crictl start "$(id second)"
    is second RUNNING
    same attempt 1 "$(inspect .status.metadata.attempt second)"
}

row_fails() { # quick host
    pod a
    create a one ''
    sed -i 's/"sh", "-c", ""/"nonexistent"/; s/"name": "one"/"name": "two"/' /work/one.json
    if by_crio; then # where a create tells of it, and leaves nothing
        shows 'executable file not found in $PATH' crictl create "$(< /work/a.pod)" /work/one.json /work/a.json
        sed -i 's/"nonexistent"/"\/etc\/passwd"/' /work/one.json
        shows 'permission denied' crictl create "$(< /work/a.pod)" /work/one.json /work/a.json
        same containers "$(id one)" "$(crictl ps -aq --no-trunc)"
        same states "$(id one)" "$(ls $states)"
        return
    fi
    crictl create "$(< /work/a.pod)" /work/one.json /work/a.json > /work/two.id
    shows 'executable file not found in $PATH' crictl start "$(id two)"
    exits_with 128 two
    same reason StartError "$(inspect .status.reason two)"
    has message "$(inspect .status.message two)" 'exec: "nonexistent": executable file not found in $PATH'
    same states 1 "$(ls $states | grep -c .)"
    sed -i 's/"nonexistent"/"\/etc\/passwd"/; s/"name": "two"/"name": "three"/' /work/one.json
    crictl create "$(< /work/a.pod)" /work/one.json /work/a.json > /work/three.id
    shows 'permission denied' crictl start "$(id three)"
}

row_shared_network() { # quick host
    pod a
    box a one 'mkdir /www; echo served > /www/file; exec httpd -f -p 127.0.0.1:80 -h /www'
    box a two 'exec sleep 1000'
    wait_for "its localhost" in_box two wget -q -O - http://127.0.0.1/file
    pod b
    box b other 'exec sleep 1000'
    fails in_box other wget -q -T 2 -O - http://127.0.0.1/file
}

row_shared_memory() { # quick host
    local options='"security_context": { "namespace_options": { "pid": 1 } }' # but no processes
    pod a "$options"
    box a one 'exec sleep 1001' "$options"
    box a two 'exec sleep 1002' "$options"
    in_box one sh -c 'echo mine > /dev/shm/file'
    same file mine "$(in_box two cat /dev/shm/file)"
    same ipc "$(readlink "/proc/$(pid one)/ns/ipc")" "$(readlink "/proc/$(pid two)/ns/ipc")"
    same init "sleep 1002" "$(in_box two sh -c 'tr "\0" " " < /proc/1/cmdline | sed "s/ $//"')"
    fails eval 'in_box two ps | grep "sleep 1001"'
}

row_gone() { # systemd: no unit and no cgroup is left, however it ended
    pod a
    box a one 'tail /dev/zero' '"resources": { "memory_limit_in_bytes": 16777216 }'
    exits_with 137 one
    wait_for "its unit to go" eval '[ -z "$(units "$(unit one)")" ]'
    crictl rmp --force "$(< /work/a.pod)"
    same units "" "$(units "$scope-*")"
    same cgroups "" "$(cgroups "$scope-*")"
}

row_pid_of_pod() { # quick
    local options='"security_context": { "namespace_options": { "pid": 0 } }'
    pod a "$options"
    box a one 'sleep 1001 & sleep 1001' "$options"
    box a two 'exec sleep 1002' "$options"
    shows 'sleep 1001' in_box two ps
    shows 'sleep 1002' in_box one ps
    same "the sandbox's init" "sleep infinity" "$(in_box two sh -c 'tr "\0" " " < /proc/1/cmdline | sed "s/ $//"')"
    crictl stop --timeout 0 "$(id one)"
    # All of its processes end with it, though their namespace goes on; CRI-O asks its first one politely, and
    # leaves the others until it is removed.
    if by_crio; then
        exits_with 143 one
        crictl rm "$(id one)"
    else
        exits_with 137 one
    fi
    wait_for "their end" eval '! pgrep -x -f "sleep 1001"'
    is two RUNNING
    crictl exec --sync "$(id two)" true
}

row_pid_of_target() { # host
    pod a
    box a one 'exec sleep 1001'
    box a two 'exec sleep 1002' "\"security_context\": { \"namespace_options\": { \"pid\": 3, \"target_id\": \"$(id one)\" } }"
    shows 'sleep 1001' in_box two ps
    same "pid namespace" "$(readlink "/proc/$(pid one)/ns/pid")" "$(readlink "/proc/$(pid two)/ns/pid")"
    crictl stop --timeout 0 "$(id two)"
    is one RUNNING
}

row_pid_of_host() { # host
    local options='"security_context": { "namespace_options": { "pid": 2, "ipc": 2 } }'
    pod a "$options"
    box a one 'sleep 1001 & exec sleep 1001' "$options"
    same pid "$(readlink /proc/self/ns/pid)" "$(readlink "/proc/$(pid one)/ns/pid")"
    same ipc "$(readlink /proc/self/ns/ipc)" "$(readlink "/proc/$(pid one)/ns/ipc")"
    crictl stop --timeout 0 "$(id one)"
    wait_for "their end" eval '! pgrep -x -f "sleep 1001"'
}

row_host_network() { # quick host
    local options='"security_context": { "namespace_options": { "network": 2 } }'
    pod a "$options"
    box a one 'exec sleep 1000' "$options"
    same network "$(readlink /proc/self/ns/net)" "$(readlink "/proc/$(pid one)/ns/net")"
    same "host name" "$(hostname)" "$(in_box one hostname)"
}

row_user() { # quick host
    pod a
    box a one 'exec sleep 1000' '"security_context": { "run_as_user": { "value": 1000 },
        "run_as_group": { "value": 2000 }, "supplemental_groups": [3000, 4000] }'
    same user "1000 1000 1000 1000" "$(status_of Uid one)"
    same group "2000 2000 2000 2000" "$(status_of Gid one)"
    same groups "2000 3000 4000" "$(status_of Groups one)" || same groups "3000 4000" "$(status_of Groups one)"
    same "capabilities" 0000000000000000 "$(status_of CapEff one)"
    box a two 'exec sleep 1000' '"security_context": { "run_as_username": "user" }'
    same user "1000 1000 1000 1000" "$(status_of Uid two)"
    same "in exec" 1000 "$(in_box two id -u)"
}

row_capabilities() { # quick host
    pod a
    box a one 'exec sleep 1000'
    box a two 'exec sleep 1000' '"security_context": { "capabilities": {
        "add_capabilities": ["SYS_ADMIN"], "drop_capabilities": ["CHOWN"] } }'
    same added $((1 << 21)) $((0x$(status_of CapEff two) & ~0x$(status_of CapEff one)))
    same dropped 1 $((0x$(status_of CapEff one) & ~0x$(status_of CapEff two)))
    box a three 'exec sleep 1000' '"security_context": { "capabilities": { "drop_capabilities": ["ALL"] } }'
    same none 0000000000000000 "$(status_of CapEff three)"
    same "none in exec" 0000000000000000 "$(in_box three awk '/CapEff/ { print $2 }' /proc/self/status)"
}

row_privileged() { # quick
    pod a '"security_context": { "privileged": true }'
    box a one 'exec sleep 1000' '"security_context": { "privileged": true }'
    same capabilities "$(awk '/CapBnd/ { print $2 }' /proc/self/status)" "$(status_of CapEff one)"
    in_box one sh -c 'mount -t tmpfs none /tmp && : < /dev/loop-control'
    same seccomp 0 "$(status_of Seccomp one)"
    box a two 'exec sleep 1000'
    fails in_box two mount -t tmpfs none /tmp
}

row_no_new_privileges() { # host
    pod a
    box a one 'exec sleep 1000' '"security_context": { "no_new_privs": true }'
    same set 1 "$(status_of NoNewPrivs one)"
    box a two 'exec sleep 1000'
    same "not set" 0 "$(status_of NoNewPrivs two)"
}

row_read_only() { # quick host
    mkdir -p /work/volume
    pod a
    box a one 'exec sleep 1000' '"security_context": { "readonly_rootfs": true }' \
        '"mounts": [{ "container_path": "/data", "host_path": "/work/volume" }]'
    shows 'Read-only file system' in_box one touch /file
    in_box one touch /data/file /dev/shm/file
}

row_seccomp() { # quick host
    pod a
    box a one 'exec sleep 1000' '"security_context": { "seccomp": { "profile_type": 0 } }'
    same "runtime/default" 2 "$(status_of Seccomp one)"
    fails in_box one unshare -U true
    box a two 'exec sleep 1000' '"security_context": { "seccomp": { "profile_type": 1 } }'
    same unconfined 0 "$(status_of Seccomp two)"
    echo '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir", "mkdirat"],
        "action": "SCMP_ACT_ERRNO"}]}' > /work/profile.json
    box a three 'exec sleep 1000' '"security_context": { "seccomp": { "profile_type": 2,
        "localhost_ref": "/work/profile.json" } }'
    shows 'Operation not permitted' in_box three mkdir /new
}

row_masked_paths() { # host
    pod a
    box a one 'exec sleep 1000' '"security_context": { "masked_paths": ["/proc/version", "/etc"],
        "readonly_paths": ["/proc/sys", "/root"] }'
    same masked "" "$(in_box one cat /proc/version)"
    same "masked directory" "" "$(in_box one ls /etc)"
    shows 'Read-only file system' in_box one touch /root/file
    box a two 'exec sleep 1000'
    [ -n "$(in_box two cat /proc/version)" ] || { echo "masked without being asked"; return 1; }
}

row_user_namespace() { # quick host: a pod with `hostUsers: false`
    [ "$(release)" != 1.6 ] || skip "containerd 1.6 has no user namespaces for pods"
    local options='"security_context": { "namespace_options": { "userns_options": { "mode": 0,
        "uids": [{ "host_id": 100000, "container_id": 0, "length": 65536 }],
        "gids": [{ "host_id": 100000, "container_id": 0, "length": 65536 }] } } }'
    pod a "$options"
    box a one 'touch /mine; exec sleep 1000' "$options"
    box a two 'exec sleep 1000' "$options, \"resources\": { \"oom_score_adj\": 500 }"
    same mapping "0 100000 65536" "$(in_box one awk '{ print $1, $2, $3 }' /proc/self/uid_map)"
    same "its user" 100000 "$(stat -c %u "/proc/$(pid one)")"
    same "its file" 0:0 "$(in_box one stat -c %u:%g /mine)"
    same "one for the pod" "$(readlink "/proc/$(pid one)/ns/user")" "$(readlink "/proc/$(pid two)/ns/user")"
    if [[ $(release) == 2.* ]]; then # the sandbox joins it too, by a file
        shows "/sandboxes/$(< /work/a.pod)/pinned-namespaces/user" \
            cat "/run/containerd/io.containerd.runtime.v2.task/k8s.io/$(< /work/a.pod)/config.json"
    fi
    same "the sandbox's" "$(pod_namespace user a)" "$(namespace user one)"
    same "OOM score" 500 "$(cat "/proc/$(pid two)/oom_score_adj")"
    in_box one sh -c 'echo mine > /dev/shm/file'
    same file mine "$(in_box two cat /dev/shm/file)"
}

row_sysctls() { # host
    pod a '"sysctls": { "net.ipv4.ip_unprivileged_port_start": "42", "kernel.msgmax": "4242" }'
    box a one 'exec sleep 1000'
    same net 42 "$(in_box one cat /proc/sys/net/ipv4/ip_unprivileged_port_start)"
    same ipc 4242 "$(in_box one cat /proc/sys/kernel/msgmax)"
}

row_mounts() { # quick host
    mkdir -p /work/volume/deep
    echo there > /work/volume/file
    pod a
    box a one 'exec sleep 1000' '' '"mounts": [
        { "container_path": "/data", "host_path": "/work/volume" },
        { "container_path": "/fixed", "host_path": "/work/volume", "readonly": true },
        { "container_path": "/one/file", "host_path": "/work/volume/file", "readonly": true },
        { "container_path": "/late", "host_path": "/work/volume", "propagation": 1 }]'
    same file there "$(in_box one cat /one/file)"
    in_box one touch /data/new
    shows 'Read-only file system' in_box one touch /fixed/new
    mount -t tmpfs tmpfs /work/volume/deep
    touch /work/volume/deep/late
    in_box one ls /late/deep/late || { umount /work/volume/deep; return 1; }
    fails in_box one ls /data/deep/late || { umount /work/volume/deep; return 1; }
    umount /work/volume/deep
}

row_devices() {
    [ -c /dev/fuse ] || skip "no /dev/fuse"
    pod a
    box a one 'exec sleep 1000' '' '"devices": [{ "container_path": "/dev/mine", "host_path": "/dev/fuse", "permissions": "r" }]'
    in_box one sh -c ': < /dev/mine'
    shows 'Operation not permitted' in_box one sh -c ': > /dev/mine'
    shows 'Operation not permitted' in_box one sh -c 'mknod /loop c 10 237; : < /loop'
}

row_daemon_restarts() { # host
    pod a
    box a one 'trap \"exit 5\" TERM; echo ready; while :; do sleep 0.1; done'
    wait_for output eval '[ "$(crictl logs "$(id one)")" = ready ]'
    local before
    before=$(pid one)
    if by_crio; then pkill -x -KILL crio; else pkill -x -KILL containerd; fi
    daemon
    same pid "$before" "$(pid one)"
    in_box one true
    crictl stop --timeout 10 "$(id one)"
    exits_with 5 one
}

row_monitor_dies() { # host: a container ends with its shim, but not with its conmon
    pod a
    box a one 'exec sleep 1003'
    if by_crio; then
        pkill -KILL -f "conmon .*-c $(id one) "
        same output hello "$(in_box one echo hello)"
        crictl stop --timeout 0 "$(id one)"
    else
        pkill -KILL -f "containerd-shim.*-id $(< /work/a.pod) "
    fi
    wait_for "its end" eval '! pgrep -x -f "sleep 1003"'
    becomes one EXITED
    crictl rmp --force "$(< /work/a.pod)"
    same states "" "$(ls $states)"
}

row_checkpoint() { # host
    by_crio || [[ $(release) == 2.* ]] || skip "containerd 1 has no checkpoints by its CRI"
    pod a
    box a one 'read -r it < /proc/sys/kernel/random/uuid; while :; do echo $it > /it; sleep 0.1; done'
    wait_for "what it remembers" in_box one test -s /it
    crictl checkpoint --export /work/one.tar "$(id one)"
    is one RUNNING
    shows checkpoint/pages-1.img tar -tf /work/one.tar
    by_crio || return 0 # containerd restores from images only
    local it
    it=$(in_box one cat /it)
    crictl rm --force "$(id one)"
    sed -i 's|"image": "[^"]*"|"image": "/work/one.tar"|' /work/one.json
    crictl create "$(< /work/a.pod)" /work/one.json /work/a.json > /work/restored.id
    crictl start "$(id restored)"
    in_box restored rm /it
    wait_for "it to write that again" in_box restored grep -x "$it" /it
}

row_nothing_left() { # quick
    same pods "" "$(crictl pods -q)$(crictl ps -aq)"
    same states "" "$(ls $states)"
    same units "" "$(units "$scope-*")"
    same cgroups "" "$(pod_cgroups '*')$(cgroups "$scope-*.scope")"
    same monitors "" "$(pgrep -f "$monitor")"
    same "network namespaces" "" "$(ls /run/netns)"
    [ "$manager" != systemd ] || systemctl stop kubepods.slice
}
