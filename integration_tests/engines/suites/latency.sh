# How long pods take on rind and on runc, in turns, in a cluster of one node; and what a pod costs. Each
# row prints its figures, which `just kube-latency` shows.
# shellcheck shell=bash disable=SC2016,SC2154 # inside.sh sets

. /work/kubernetes.sh
eval "$(declare -f start | sed '1s/start/cluster/')"
unset -f start
seconds=600
rounds=15

start() {
    cluster
    sed 's/rind/runc/' $examples/runtimeclass.yaml | k apply -f -
}

# specification NAME [MEMBERS]: a pod of $handler as JSON, whose container has these members too
specification() {
    printf '{ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "%s" }, "spec": {
        "runtimeClassName": "%s", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
        "containers": [{ "name": "box", "image": "busybox:1", "command": ["sleep", "1000"] %s }] } }' \
        "$1" "$handler" "${2:+, $2}"
}

# create NAME...: without the time that a kubectl takes to begin
create() {
    local name
    for name; do
        specification "$name" | curl --silent --show-error --fail --insecure --output /dev/null \
            --header 'Authorization: Bearer admin' --header 'Content-Type: application/json' --data @- \
            "https://127.0.0.1:6443/api/v1/namespaces/${row//_/-}/pods" &
    done
}

# run NAME...: creates these pods, prints the milliseconds until all of them run
run() {
    local began=$EPOCHREALTIME count=0 name phase
    create "$@"
    while [ $count -lt $# ] && read -r -u "${events[0]}" name phase; do
        [[ $phase != Running || " $* " != *" $name "* || -n ${seen[$name]-} ]] || { seen[$name]=yes; count=$((count + 1)); }
    done
    echo $(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
}

# watch: from now on `run` sees what becomes of pods
watch() {
    declare -gA seen=()
    coproc events { k get pods --watch -o 'jsonpath={.metadata.name} {.status.phase}{"\n"}'; }
}

# median NUMBER...
median() { printf '%s\n' "$@" | sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

# compare WHAT TIMES: of $times, which has a list for each runtime
compare() {
    local rind runc
    rind=$(median ${times[rind]}) runc=$(median ${times[runc]})
    echo "$1: rind $rind, runc $runc ($(awk "BEGIN { printf \"%.2f\", $rind / $runc }"))" | tee -a $logs/figures
}

row_one() {
    declare -A times
    watch
    local round
    for ((round = 0; round < rounds + 2; round++)); do
        for handler in rind runc; do
            run "$handler-$round" > /tmp/took
            [ $round -lt 2 ] || times[$handler]+=" $(< /tmp/took)" # the first warm up
            k delete pod "$handler-$round" --grace-period=0 --force --wait
        done
    done
    compare "a pod, from its creation to running, ms"
}

row_thirty() {
    declare -A times
    watch
    local round
    for ((round = 0; round < 5; round++)); do
        for handler in rind runc; do
            run $(printf "$handler-$round-%d " {1..30}) > /tmp/took
            times[$handler]+=" $(< /tmp/took)"
            k delete pods --all --grace-period=0 --wait
            wait_for "the sandboxes' end" none_left
        done
    done
    compare "30 pods at once, until all run, ms"
}
none_left() { [ -z "$(pgrep -f "containerd-shim.* -id" | tail -n +2)" ]; }

# As the kubelet measures it, of ten containers that it asks each second.
row_probe() {
    declare -A times
    local round before after
    for ((round = 0; round < 4; round++)); do
        for handler in rind runc; do
            members='"readinessProbe": { "exec": { "command": ["true"] }, "periodSeconds": 1 }'
            for number in {1..10}; do specification "$handler-$number" "$members" | k create -f -; done
            k wait --for=condition=Ready pods --all --timeout=60s
            before=$(probes)
            sleep 10 # a hundred probes
            after=$(probes)
            times[$handler]+=" $(awk -v b="$before" -v a="$after" 'BEGIN { split(b, x); split(a, y);
                printf "%.1f", (y[1] - x[1]) / (y[2] - x[2]) * 1000 }')"
            k delete pods --all --grace-period=0 --wait
        done
    done
    compare "an exec probe, mean, ms"
}

# probes: the seconds that all execs took, and how many they were
probes() {
    k get --raw /api/v1/nodes/node/proxy/metrics | awk '
        /^kubelet_runtime_operations_duration_seconds_(sum|count).*operation_type="exec_sync"/ { printf "%s ", $2 }'
}

# Of 30 pods that run.
row_memory() {
    local kind before
    for handler in rind runc; do
        before=$(total containerd kubelet)
        for number in {1..30}; do specification "$handler-$number"; done | k create -f -
        k wait --for=condition=Ready pods --all --timeout=100s
        echo "a pod on $handler, KiB: shim $(($(total containerd-shim) / 30)), pause $(($(total pause) / 30))," \
            "its container $(($(total sleep) / 30)), more in containerd and kubelet $((($(total containerd kubelet) - before) / 30))" |
            tee -a $logs/figures
        k delete pods --all --grace-period=0 --wait
        wait_for "the sandboxes' end" none_left
    done
}

# total NAME...: memory of all processes of these names (the first 15 bytes), shared pages by their parts, KiB
total() {
    local name
    for name; do pgrep -x "${name:0:15}"; done |
        while read -r process; do awk '/^Pss:/ { print $2 }' "/proc/$process/smaps_rollup"; done |
        awk '{ sum += $1 } END { print sum + 0 }'
}
