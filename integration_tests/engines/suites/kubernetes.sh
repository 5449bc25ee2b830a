# A whole cluster of one node: etcd, API server, scheduler, controller manager, kubelet, containerd.
# ../kubernetes has its programs. The runtime comes to the node by the DaemonSet that the documents
# have, and all pods are of its RuntimeClass, but where a row says otherwise.
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

export KUBECONFIG=/work/kubeconfig CONTAINER_RUNTIME_ENDPOINT=unix:///run/containerd/containerd.sock
examples=/work/examples
handler=rind
states=/run/containerd/runc/k8s.io # the runtime's --root, as the shim gives it
node=10.77.0.1
patience=$((seconds / 60)) # an emulated guest is slow
seconds=$((seconds * 3)) # some things a kubelet looks at each ten seconds only

start() {
    machine
    programs
    write_configs
    daemon bash -c 'while :; do containerd --root /work/containerd --state /run/containerd; done'
    containerd_answers
    daemon /run/programs/etcd --data-dir /work/etcd --unsafe-no-fsync --log-level warn
    daemon /run/programs/kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.1 \
        --advertise-address $node --cert-dir /work/pki --token-auth-file /work/tokens \
        --authorization-mode RBAC --service-cluster-ip-range 10.79.0.0/16 --allow-privileged \
        --service-account-issuer https://kubernetes --service-account-key-file /work/pki/tokens.pub \
        --service-account-signing-key-file /work/pki/tokens.key \
        --kubelet-preferred-address-types InternalIP
    images &
    local loading=$!
    wait_for "the API server" k get --raw /readyz
    daemon /run/programs/kube-scheduler --kubeconfig $KUBECONFIG --leader-elect=false
    daemon /run/programs/kube-controller-manager --kubeconfig $KUBECONFIG --leader-elect=false --kube-api-qps 200 \
        --kube-api-burst 400 --service-account-private-key-file /work/pki/tokens.key \
        --root-ca-file /work/pki/apiserver.crt
    kubelet_starts
    wait $loading
    wait_for "the node" k wait --for=condition=Ready node/node --timeout=1s
    deploy
}

# As an administrator does it.
deploy() {
    sed 's|REGISTRY/rind:0.1.0|docker.io/library/rind:1|' $examples/daemonset.yaml | k apply -f -
    k label node node rind=install
    k --namespace kube-system rollout status daemonset/rind --timeout=$((60 * patience))s
    k --namespace kube-system logs daemonset/rind
    rm /usr/local/bin/systemctl # rows ask the node's own
}

# What a machine has, and namespaces lack. The kernel may have no `dummy` links.
machine() {
    hostname node
    ip link add eth0 type veth peer name outside
    ip link set outside up
    ip address add $node/24 dev eth0
    ip link set eth0 up
    ip route add default via 10.77.0.254
    mkdir -p /work/{kubelet,log,pki,cni,etc} /var/lib/kubelet /etc/containerd
    mount --bind /work/etc /etc/containerd
    mount --bind /work/kubelet /var/lib/kubelet
    mount --make-shared /var/lib/kubelet
    mount --bind /work/log /var/log
}

# Those of the cluster, by their names. The kubelet's stands before it: where it wants settings of the
# whole machine's kernel other than they are, it finds files that have them so; in a mount namespace of
# its own, as below such a /proc no container could mount its own.
programs() {
    local program
    mkdir -p /run/programs
    for program in etcd kube-apiserver kube-controller-manager kube-scheduler kubelet; do
        ln -s /work/programs/kubernetes /run/programs/$program
    done
    cat > /usr/local/bin/kubelet << 'END'
#!/bin/bash
set -eu
[ -n "${in_namespace-}" ] || in_namespace=yes exec unshare --mount --propagation unchanged "$0" "$@"
mount --make-rprivate /proc
mkdir -p /run/settings
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1 \
    kernel/keys/root_maxkeys=1000000 kernel/keys/root_maxbytes=25000000; do
    file=/run/settings/${setting//\//.}
    echo "${setting#*=}" > "$file"
    mount --bind "$file" "/proc/sys/${setting%=*}"
done
exec /run/programs/kubelet "$@"
END
    chmod +x /usr/local/bin/kubelet
}

write_configs() {
    local systemd=false
    [ "$manager" != systemd ] || systemd=true
    cat > /etc/containerd/config.toml << END
version = 3
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/usr/lib/cni"]
  conf_dir = "/work/cni"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
    SystemdCgroup = $systemd
END
    # All that the DaemonSet asks of the node's systemd.
    printf '#!/bin/sh\nexec pkill -x containerd\n' > /usr/local/bin/systemctl
    chmod +x /usr/local/bin/systemctl
    cat > /work/cni/10-bridge.conflist << 'END'
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge", "bridge": "cni0", "isGateway": true, "hairpinMode": true,
      "ipam": {
        "type": "host-local", "dataDir": "/run/cni-addresses", "ranges": [[{ "subnet": "10.78.0.0/16" }]],
        "routes": [{ "dst": "0.0.0.0/0" }]
      }
    },
    { "type": "portmap", "capabilities": { "portMappings": true } }
  ]
}
END
    openssl genrsa -out /work/pki/tokens.key 2048
    openssl rsa -in /work/pki/tokens.key -pubout -out /work/pki/tokens.pub
    echo 'admin,admin,admin,"system:masters"' > /work/tokens
    cat > $KUBECONFIG << END
apiVersion: v1
kind: Config
clusters: [{ name: one, cluster: { server: "https://127.0.0.1:6443", insecure-skip-tls-verify: true } }]
users: [{ name: admin, user: { token: admin } }]
contexts: [{ name: one, context: { cluster: one, user: admin } }]
current-context: one
END
    cat > /work/kubelet.yaml << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: $manager
authentication: { anonymous: { enabled: true }, webhook: { enabled: false } }
authorization: { mode: AlwaysAllow }
containerRuntimeEndpoint: $CONTAINER_RUNTIME_ENDPOINT
seccompDefault: false
failSwapOn: false
oomScoreAdj: 0
maxPods: 200
kubeAPIQPS: 200
kubeAPIBurst: 400
serializeImagePulls: false
makeIPTablesUtilChains: false
syncFrequency: 10s
volumeStatsAggPeriod: 3s
evictionHard: { memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1% }
imageGCHighThresholdPercent: 100
allowedUnsafeSysctls: ["kernel.msg*"]
END
    [ "$manager" = systemd ] || return 0
    cat >> /work/kubelet.yaml << END
featureGates: { MemoryQoS: true }
memoryThrottlingFactor: 0.9
memorySwap: { swapBehavior: LimitedSwap }
END
    dd if=/dev/zero of=/var/swap bs=1M count=256
    chmod 600 /var/swap
    mkswap /var/swap
    swapon /var/swap
}

# daemon COMMAND...: in the background, with a log of its own
daemon() { setsid "$@" >> "$logs/${1##*/}.log" 2>&1 3>&- 8>&- 9>&- & }

containerd_answers() { wait_for "containerd's CRI" crictl info; }

kubelet_starts() {
    daemon kubelet --config /work/kubelet.yaml --kubeconfig $KUBECONFIG --hostname-override node \
        --node-ip $node --v 2
    wait_for "the kubelet" wget -qO /dev/null http://127.0.0.1:10248/healthz
}

images() {
    echo 'shared:x:50:user' >> $image/etc/group
    image_archive docker.io/library/busybox:1 /work/box.tar sh
    cp /work/programs/pause $image/
    image_archive registry.k8s.io/pause:3.10.2 /work/pause.tar /pause
    install -m 755 "$runtime" $image/rind
    image_archive docker.io/library/rind:1 /work/rind.tar /rind
    rm $image/rind
    for image in box pause rind; do ctr -n k8s.io images import --local /work/$image.tar; done
}

# Each row has a namespace of its own, with whose end all ends that it has made.
k() { kubectl ${row:+--namespace="${row//_/-}"} "$@"; }

before_row() {
    k create namespace "${row//_/-}"
    wait_for "the pods' account" k get serviceaccount default
}

after_row() {
    containerd_answers
    pgrep -x kubelet || kubelet_starts
    kubectl delete namespace "${1//_/-}" --wait=false
}

wget() { busybox wget "$@"; }

# pod NAME: whose spec, two spaces deep, is the standard input
pod() {
    k create -f - << END
apiVersion: v1
kind: Pod
metadata: { name: $1, labels: { app: $1 } }
spec:
  runtimeClassName: $handler
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 1
$(cat)
END
}

# ready NAME...: waits until those pods are
ready() {
    local name
    for name; do
        k wait --for=condition=Ready "pod/$name" --timeout=$((60 * patience))s || { k describe pod "$name" | tail -n 12; return 1; }
    done
}

# ends NAME PHASE: waits until the pod has come to that
ends() { k wait --for=jsonpath="{.status.phase}=$2" "pod/$1" --timeout=$((90 * patience))s; }

# of POD PATH: what its object has there
of() { k get pod "$1" -o "jsonpath={$2}"; }
# container POD NAME PATH: what its status says of that container
container() { of "$1" ".status.containerStatuses[?(@.name==\"$2\")]$3"; }
# in_pod POD CONTAINER COMMAND...
in_pod() { k exec "$1" -c "$2" -- "${@:3}"; }
# gone NAME...: waits until those pods are no more
gone() { k wait --for=delete "${@/#/pod/}" --timeout=$((60 * patience))s; }

# becomes WANTED COMMAND...: waits until it prints that
becomes() {
    local wanted=$1
    shift
    wait_for "$* to print $wanted, not $("$@" 2>&1)" prints "$wanted" "$@"
}
prints() { [ "$("${@:2}")" = "$1" ]; }

# inspect POD CONTAINER FORMAT: what containerd knows of it
inspect() {
    local id
    id=$(container "$1" "$2" .containerID)
    crictl inspect --output go-template --template "{{$3}}" "${id#containerd://}"
}
# pid POD CONTAINER: of its init, as the node sees it
pid() { inspect "$1" "$2" .info.pid; }
# by_this_runtime POD CONTAINER: it is the one under test that made it
by_this_runtime() { inspect "$1" "$2" .info.runtimeOptions | grep -F /usr/local/bin/rind; }

row_pod() { # quick
    pod two << 'END'
  containers:
  - { name: web, image: "busybox:1", command: [sh, -c, "echo hello; echo web > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"] }
  - { name: user, image: "busybox:1", command: [sh, -c, "echo shared > /dev/shm/file; exec sleep 1000"] }
END
    ready two
    same "by localhost" web "$(in_pod two user wget -qO- http://127.0.0.1:8080/)"
    same "by the pod's address" web "$(wget -qO- "http://$(of two .status.podIP):8080/")"
    same /dev/shm shared "$(in_pod two web cat /dev/shm/file)"
    same "processes of the other" 0 "$(in_pod two user sh -c 'ps | grep -c "[h]ttpd"' || true)"
    same "name of the host" two "$(in_pod two web hostname)"
    same output hello "$(k logs two -c web)"
    local kind
    for kind in net ipc uts; do
        same "$kind namespace" "$(readlink "/proc/$(pid two web)/ns/$kind")" "$(readlink "/proc/$(pid two user)/ns/$kind")"
    done
    by_this_runtime two web
}

row_run() { # quick: as the documents have it
    shows hello k run try --rm --attach --restart=Never --image=busybox:1 \
        --overrides='{"spec": {"runtimeClassName": "rind"}}' -- echo hello
}

row_exec() { # quick
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready a
    status 7 in_pod a box sh -c 'exit 7'
    same input in "$(echo in | k exec -i a -- cat)"
    # An emulated guest takes long for so much, and kubectl once had only the most of it.
    [ "$place" = guest ] || same bytes 20000000 "$(in_pod a box head -c 20000000 /dev/zero | wc -c)"
    has terminal "$(in_terminal 'kubectl --namespace exec exec -it a -- sh -c "tty; stty size"')" /dev/pts/0
    has size "$(in_terminal 'kubectl --namespace exec exec -it a -- sh -c "sleep 0.5; stty size"')" "33 99"
    ten_at_once k exec a -- echo
    shows "no such file" status 1 in_pod a box /no/such
    echo data > /tmp/file
    k cp /tmp/file a:/tmp/copy
    same "copied in" data "$(in_pod a box cat /tmp/copy)"
    k cp a:/tmp/copy /tmp/back
    same "copied out" data "$(cat /tmp/back)"
}

row_attach() {
    pod a << 'END'
  restartPolicy: Never
  containers: [{ name: box, image: "busybox:1", stdin: true, stdinOnce: true, command: [sh, -c, "read word; echo got $word"] }]
END
    ready a
    has output "$(echo word | k attach -i a)" 'got word'
    ends a Succeeded
    same log 'got word' "$(k logs a)"
}

row_port_forward() {
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "echo web > /tmp/index.html; exec httpd -f -p 8080 -h /tmp"], ports: [{ containerPort: 8080, hostPort: 18081 }] }]
END
    ready a
    k port-forward pod/a 18080:8080 &
    wait_for "the port" wget -qO- http://127.0.0.1:18080/
    kill $!
    same "port of the host" web "$(wget -qO- http://$node:18081/)"
}

row_shared_pids() { # quick
    pod a << 'END'
  shareProcessNamespace: true
  containers:
  - { name: one, image: "busybox:1", command: [sh, -c, "sleep 4321"] }
  - { name: two, image: "busybox:1", command: [sleep, "1000"], securityContext: { capabilities: { add: [SYS_PTRACE] } } }
END
    ready a
    local other='$(ps | awk "/[s]leep 4321/ { print \$1; exit }")'
    same "first process" /pause "$(in_pod a two cat /proc/1/cmdline | tr -d '\0')"
    shows busybox in_pod a two sh -c "ls /proc/$other/root/bin"
    in_pod a two sh -c "kill -9 $other"
    becomes 1 container a one .restartCount
}

row_init_containers() { # quick
    pod a << 'END'
  restartPolicy: Never
  terminationGracePeriodSeconds: 5
  volumes: [{ name: shared, emptyDir: {} }]
  initContainers:
  - { name: first, image: "busybox:1", volumeMounts: [{ name: shared, mountPath: /shared }], command: [sh, -c, "echo first >> /shared/order"] }
  - name: sidecar
    image: "busybox:1"
    restartPolicy: Always
    volumeMounts: [{ name: shared, mountPath: /shared }]
    command: [sh, -c, "trap 'echo bye; exit 0' TERM; echo sidecar >> /shared/order; touch /shared/up; while :; do sleep 0.1; done"]
    startupProbe: { exec: { command: [cat, /shared/up] }, periodSeconds: 1 }
  - { name: last, image: "busybox:1", volumeMounts: [{ name: shared, mountPath: /shared }], command: [sh, -c, "echo last >> /shared/order"] }
  containers:
  - { name: box, image: "busybox:1", volumeMounts: [{ name: shared, mountPath: /shared }], command: [sh, -c, "cat /shared/order; sleep 1"] }
END
    ends a Succeeded
    same order "first sidecar last" "$(k logs a -c box | paste -sd' ')"
    same "the sidecar's end" bye "$(k logs a -c sidecar)"
}

row_probes() {
    pod a << 'END'
  containers:
  - name: box
    image: "busybox:1"
    command: [sh, -c, "touch /tmp/alive; exec sleep 1000"]
    livenessProbe: { exec: { command: [cat, /tmp/alive] }, periodSeconds: 1, failureThreshold: 2 }
    readinessProbe: { exec: { command: [sh, -c, "test ! -e /tmp/busy"] }, periodSeconds: 1 }
END
    ready a
    sleep 8 # that many probes, of which none may fail
    same restarts 0 "$(container a box .restartCount)"
    in_pod a box touch /tmp/busy
    becomes false container a box .ready
    in_pod a box rm /tmp/alive
    becomes 1 container a box .restartCount
    same "status of the first" 137 "$(container a box .lastState.terminated.exitCode)"
}

row_resources() { # quick
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"], resources: { requests: { cpu: 100m, memory: 64Mi }, limits: { cpu: 250m, memory: 64Mi } } }]
END
    ready a
    local init
    init=$(pid a box)
    same memory 67108864 "$(cgroup_file "$init" memory.limit_in_bytes memory.max)"
    same processors "25000 100000" "$(quota "$init")"
    same class Burstable "$(of a .status.qosClass)"
    shows Read-only in_pod a box sh -c 'mkdir /sys/fs/cgroup/new /sys/fs/cgroup/memory/new || true'
    k patch pod a --subresource resize --patch '{ "spec": { "containers": [{ "name": "box", "resources":
        { "requests": { "cpu": "200m", "memory": "96Mi" }, "limits": { "cpu": "500m", "memory": "96Mi" } } }] } }'
    becomes 96Mi container a box .resources.limits.memory
    same "memory then" 100663296 "$(cgroup_file "$init" memory.limit_in_bytes memory.max)"
    same "processors then" "50000 100000" "$(quota "$init")"
    same restarts 0 "$(container a box .restartCount)"
}

# slice POD: of a burstable one
slice() { echo "kubepods-burstable-pod$(of "$1" .metadata.uid | tr - _).slice"; }

row_slices() { # quick systemd
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"], resources: { requests: { cpu: 100m, memory: 32Mi }, limits: { memory: 64Mi } } }]
END
    ready a
    local scope before
    scope=cri-containerd-$(container a box .containerID | sed 's|.*/||').scope
    is_scope "$(pid a box)" "$scope" "$(slice a)"
    before=$(limits "$(pid a box)")
    same_after_reload "$before" "$(pid a box)"
    k delete pod a
    becomes "" units "$scope"
}

row_memory_qos() { # quick systemd
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"], resources: { requests: { memory: 32Mi }, limits: { memory: 64Mi } } }]
END
    ready a
    # The request, and nine tenths of what is above it, in whole pages.
    same memory.max 67108864 "$(cgroup_file "$(pid a box)" memory.max)"
    same memory.high $(((33554432 + 33554432 * 9 / 10) / 4096 * 4096)) "$(cgroup_file "$(pid a box)" memory.high)"
    same_after_reload "$(limits "$(pid a box)")" "$(pid a box)"
}

row_swap() { # quick systemd
    pod a << 'END'
  containers:
  - { name: some, image: "busybox:1", command: [sleep, "1000"], resources: { requests: { memory: 128Mi }, limits: { memory: 256Mi } } }
  - { name: none, image: "busybox:1", command: [sleep, "1000"], resources: { requests: { memory: 32Mi }, limits: { memory: 32Mi } } }
END
    ready a
    # As much of the node's swap as of its memory is asked for; none where request and limit are the same.
    local some
    some=$(cgroup_file "$(pid a some)" memory.swap.max)
    [ "$some" -gt 1000000 ] && [ "$some" -lt 268435456 ] || { echo "memory.swap.max is $some"; return 1; }
    same "without a share" 0 "$(cgroup_file "$(pid a none)" memory.swap.max)"
}

row_out_of_memory() { # quick
    pod a << 'END'
  restartPolicy: Never
  containers: [{ name: box, image: "busybox:1", command: [dd, if=/dev/zero, of=/dev/null, bs=200M, count=4], resources: { limits: { memory: 24Mi } } }]
END
    ends a Failed
    same reason "OOMKilled 137" "$(container a box .state.terminated.reason) $(container a box .state.terminated.exitCode)"
}

# On v2 the kernel kills all of a container; on v1 the one process.
row_child_out_of_memory() { # host
    pod a << 'END'
  restartPolicy: Never
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "dd if=/dev/zero of=/dev/null bs=200M count=4; echo status $?; exit 5"], resources: { limits: { memory: 24Mi } } }]
END
    ends a Failed
    has output "$(k logs a)" "status 137"
    same "exit status" 5 "$(container a box .state.terminated.exitCode)"
}

row_lifecycle_hooks() { # quick
    mkdir -p /work/hooks
    pod a << 'END'
  terminationGracePeriodSeconds: 8
  volumes: [{ name: host, hostPath: { path: /work/hooks } }]
  containers:
  - name: box
    image: "busybox:1"
    volumeMounts: [{ name: host, mountPath: /host }]
    command: [sh, -c, "trap 'echo term >> /host/order; exit 0' TERM; while :; do sleep 0.1; done"]
    lifecycle:
      postStart: { exec: { command: [sh, -c, "echo start >> /host/order"] } }
      preStop: { exec: { command: [sh, -c, "echo stop >> /host/order"] } }
END
    ready a
    k delete pod a
    same order "start stop term" "$(paste -sd' ' /work/hooks/order)"
}

row_grace() {
    pod a << 'END'
  terminationGracePeriodSeconds: 3
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "trap '' TERM; while :; do sleep 0.1; done"] }]
END
    ready a
    local began=$EPOCHREALTIME took
    k delete pod a
    took=$((${EPOCHREALTIME/./} - ${began/./}))
    [ $took -gt 2800000 ] && [ $took -lt 15000000 ] || { echo "it took $took microseconds"; return 1; }
}

row_volumes() { # quick
    mkdir -p /work/host
    echo host > /work/host/file
    k create configmap words --from-literal=one=ONE --from-literal=two=TWO
    k create secret generic secret --from-literal=three=THREE
    pod a << 'END'
  securityContext: { fsGroup: 1234 }
  volumes:
  - { name: empty, emptyDir: {} }
  - { name: memory, emptyDir: { medium: Memory, sizeLimit: 8Mi } }
  - { name: host, hostPath: { path: /work/host } }
  - { name: words, configMap: { name: words } }
  - { name: secret, secret: { secretName: secret, defaultMode: 0400 } }
  - { name: fields, downwardAPI: { items: [{ path: name, fieldRef: { fieldPath: metadata.name } }] } }
  - name: all
    projected:
      sources:
      - { configMap: { name: words } }
      - { secret: { name: secret } }
      - { serviceAccountToken: { path: token, audience: somebody, expirationSeconds: 600 } }
  containers:
  - name: box
    image: "busybox:1"
    command: [sleep, "1000"]
    volumeMounts:
    - { name: empty, mountPath: /empty }
    - { name: empty, mountPath: /below, subPath: a/b }
    - { name: empty, mountPath: /named, subPathExpr: "$(NAME)" }
    - { name: memory, mountPath: /memory }
    - { name: host, mountPath: /host, readOnly: true }
    - { name: host, mountPath: /etc/file, subPath: file }
    - { name: words, mountPath: /words }
    - { name: words, mountPath: /etc/one, subPath: one }
    - { name: secret, mountPath: /secret }
    - { name: fields, mountPath: /fields }
    - { name: all, mountPath: /all, readOnly: true }
    env: [{ name: NAME, valueFrom: { fieldRef: { fieldPath: metadata.name } } }]
END
    ready a
    same "group of emptyDir" 1234 "$(in_pod a box stat -c %g /empty)"
    same subPath x "$(in_pod a box sh -c 'echo x > /below/c; cat /empty/a/b/c')"
    in_pod a box sh -c 'touch /named/by-name && ls /empty/a/by-name'
    shows "No space" in_pod a box sh -c 'dd if=/dev/zero of=/memory/big bs=1M count=20 || true'
    same hostPath host "$(in_pod a box cat /host/file)"
    shows Read-only in_pod a box sh -c 'touch /host/new || true'
    same "a file" host "$(in_pod a box cat /etc/file)"
    same configMap ONEONE "$(in_pod a box cat /words/one /etc/one)"
    same secret THREE "$(in_pod a box cat /secret/three)"
    same "mode of a secret" 440 "$(in_pod a box stat -L -c %a /secret/three)"
    same downwardAPI a "$(in_pod a box cat /fields/name)"
    same projected TWOTHREE "$(in_pod a box cat /all/two /all/three)"
    shows '"aud":["somebody"]' in_pod a box sh -c 'cut -d. -f2 /all/token | base64 -d 2> /dev/null || true'
    k patch configmap words --patch '{ "data": { "one": "ANOTHER" } }'
    becomes ANOTHER in_pod a box cat /words/one
    same "subPath, which stays" ONE "$(in_pod a box cat /etc/one)"
}

# What is mounted below a volume meanwhile.
row_propagation() {
    mkdir -p /work/tree/below
    mount -t tmpfs below /work/tree/below
    pod a << 'END'
  volumes: [{ name: host, hostPath: { path: /work/tree } }]
  containers:
  - name: box
    image: "busybox:1"
    command: [sleep, "1000"]
    securityContext: { privileged: true }
    volumeMounts:
    - { name: host, mountPath: /both, mountPropagation: Bidirectional }
    - { name: host, mountPath: /in, mountPropagation: HostToContainer }
    - { name: host, mountPath: /none }
    - { name: host, mountPath: /plain, readOnly: true }
    - { name: host, mountPath: /recursive, readOnly: true, recursiveReadOnly: Enabled }
END
    ready a
    in_pod a box sh -c 'mkdir /both/new && mount -t tmpfs new /both/new && touch /both/new/file'
    ls /work/tree/new/file
    in_pod a box ls /in/new/file
    fails in_pod a box ls /none/new/file
    in_pod a box umount /both/new
    in_pod a box touch /plain/below/file
    shows Read-only in_pod a box sh -c 'touch /recursive/below/file || true'
    same status Enabled "$(container a box '.volumeMounts[?(@.mountPath=="/recursive")].recursiveReadOnly')"
    k delete pod a
    umount /work/tree/below
}

row_security() { # quick
    pod a << 'END'
  securityContext:
    runAsUser: 1000
    runAsGroup: 3000
    supplementalGroups: [4000]
    sysctls: [{ name: net.ipv4.ip_unprivileged_port_start, value: "80" }, { name: kernel.msgmax, value: "16384" }]
  containers:
  - name: least
    image: "busybox:1"
    command: [sleep, "1000"]
    securityContext: { runAsNonRoot: true, allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: [ALL] }, seccompProfile: { type: RuntimeDefault } }
  - { name: more, image: "busybox:1", command: [sleep, "1000"], securityContext: { runAsUser: 0, capabilities: { add: [NET_ADMIN, SYS_TIME], drop: [MKNOD] }, seccompProfile: { type: Unconfined } } }
  - { name: most, image: "busybox:1", command: [sleep, "1000"], securityContext: { privileged: true, runAsUser: 0 } }
END
    ready a
    field() { in_pod a "$1" awk "/^$2:/ { print \$2 }" /proc/1/status; }
    has id "$(in_pod a least id)" "uid=1000(user) gid=3000 groups=50(shared),3000,4000"
    same no_new_privs 1 "$(field least NoNewPrivs)"
    same seccomp "2 0" "$(field least Seccomp) $(field more Seccomp)"
    same capabilities "0000000000000000 00000000a20435fb" "$(field least CapBnd) $(field more CapBnd)"
    shows Read-only in_pod a least sh -c 'touch /file || true'
    same sysctls "80 16384" "$(in_pod a least cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/msgmax | paste -sd' ')"
    same kcore "" "$(in_pod a more sh -c 'head -c 1 /proc/kcore 2> /dev/null || true')"
    shows Read-only in_pod a more sh -c 'echo 1 > /proc/sys/kernel/panic || true'
    in_pod a most grep ' /sys sysfs rw' /proc/mounts
    in_pod a most test -e /dev/kmsg
    fails in_pod a more test -e /dev/kmsg
}

# Groups that /etc/group of the image names, and those that only the pod does.
row_group_policy() {
    local policy
    for policy in merge strict; do
        pod $policy << END
  securityContext: { runAsUser: 1000, supplementalGroups: [4000], supplementalGroupsPolicy: ${policy^} }
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "mkdir -p /tmp; exec sleep 1000"] }]
END
    done
    ready merge strict
    same "Merge: 50 is the image's" "1000 50 4000" "$(in_pod merge box id -G)"
    same "Strict" "1000 4000" "$(in_pod strict box id -G)"
    same status "1000,4000" "$(container strict box '.user.linux.supplementalGroups' | tr -d '[]')"
}

row_local_seccomp() {
    mkdir -p /var/lib/kubelet/seccomp
    echo '{ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{ "names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 40 }] }' \
        > /var/lib/kubelet/seccomp/no-folders.json
    pod a << 'END'
  securityContext: { seccompProfile: { type: Localhost, localhostProfile: no-folders.json } }
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready a
    shows "Too many levels of symbolic links" in_pod a box sh -c 'mkdir /tmp/new || true'
}

row_root_is_refused() {
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"], securityContext: { runAsNonRoot: true } }]
END
    becomes CreateContainerConfigError container a box .state.waiting.reason
}

row_user_namespace() { # quick
    mkdir -p /work/owned
    echo host > /work/owned/file
    pod a << 'END'
  hostUsers: false
  volumes: [{ name: empty, emptyDir: {} }, { name: memory, emptyDir: { medium: Memory } }, { name: host, hostPath: { path: /work/owned } }]
  containers:
  - name: box
    image: "busybox:1"
    command: [sh, -c, "touch /empty/made /memory/made; exec sleep 1000"]
    volumeMounts: [{ name: empty, mountPath: /empty }, { name: memory, mountPath: /memory }, { name: host, mountPath: /host }]
  - { name: unmasked, image: "busybox:1", command: [sleep, "1000"], securityContext: { procMount: Unmasked, capabilities: { add: [SYS_ADMIN] }, appArmorProfile: { type: Unconfined } } }
END
    ready a
    read -r inside outside count < "/proc/$(pid a box)/uid_map"
    same map "0 65536" "$inside $count"
    [ "$outside" -ge 65536 ]
    same "user of init outside" "$outside" "$(stat -c %u "/proc/$(pid a box)")"
    same owners 0:0 "$(in_pod a box stat -c %u:%g /bin/busybox /empty/made /memory/made /host/file | sort -u)"
    same "owner on the node" 0 "$(stat -c %u "/var/lib/kubelet/pods/$(of a .metadata.uid)/volumes/kubernetes.io~empty-dir/empty/made")"
    same "its own /proc" mounted "$(in_pod a unmasked unshare -mpf sh -c 'mount -t proc proc /proc && echo mounted')"
    fails in_pod a box sh -c 'unshare -mpf mount -t proc proc /proc'
    same "user namespace of both" "$(readlink "/proc/$(pid a box)/ns/user")" "$(readlink "/proc/$(pid a unmasked)/ns/user")"
    same "exec, too" "$(readlink "/proc/$(pid a box)/ns/user")" "$(in_pod a box readlink /proc/self/ns/user)"
}

row_of_the_host() {
    pod a << 'END'
  hostNetwork: true
  hostPID: true
  hostIPC: true
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready a
    local kind
    for kind in net pid ipc; do same $kind "$(readlink /proc/self/ns/$kind)" "$(in_pod a box readlink /proc/self/ns/$kind)"; done
    same "name of the host" node "$(in_pod a box hostname)"
}

row_back_off() {
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "echo $((6 * 7)); exit 3"] }]
END
    wait_for "a second start" test_restarts a 1
    becomes CrashLoopBackOff container a box .state.waiting.reason
    same "last status" "3 Error" "$(container a box .lastState.terminated.exitCode) $(container a box .lastState.terminated.reason)"
    same "last output" 42 "$(k logs --previous a)"
}
test_restarts() { [ "$(container "$1" box .restartCount)" -ge "$2" ]; }

row_start_error() { # quick
    pod a << 'END'
  restartPolicy: Never
  containers: [{ name: box, image: "busybox:1", command: [/no/such] }]
END
    ends a Failed
    same reason "StartError 128" "$(container a box .state.terminated.reason) $(container a box .state.terminated.exitCode)"
    has message "$(container a box .state.terminated.message)" '/no/such: no such file or directory'
}

row_ephemeral_container() {
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "sleep 4322"] }]
END
    ready a
    k debug a --image=busybox:1 --image-pull-policy=Never --target=box --container=debugger --profile=general -- \
        sh -c 'ps; exec sleep 1000'
    wait_for "what it sees" shows_line "sleep 4322" k logs a -c debugger
}
shows_line() { "${@:2}" | grep -q "$1"; }

row_eviction() {
    pod full << 'END'
  volumes: [{ name: empty, emptyDir: { sizeLimit: 1Mi } }]
  containers: [{ name: box, image: "busybox:1", volumeMounts: [{ name: empty, mountPath: /empty }], command: [sh, -c, "dd if=/dev/zero of=/empty/big bs=1M count=5; exec sleep 1000"] }]
END
    pod asked << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready asked
    k create --raw /api/v1/namespaces/eviction/pods/asked/eviction -f - << 'END'
{ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "asked", "namespace": "eviction" } }
END
    gone asked
    ends full Failed
    same reason Evicted "$(of full .status.reason)"
}

row_runtime_class() {
    handler=null pod plain << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    sed 's/^\( *name:\).*/\1 none/; s/^handler:.*/handler: none/' $examples/runtimeclass.yaml | k apply -f -
    handler=none pod none << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready plain
    fails by_this_runtime plain box
    wait_for "the refusal" shows_line 'no runtime for "none" is configured' k describe pod none
    k delete runtimeclass none
}

# workload KIND COUNT VERSION: prints it
workload() {
    cat << END
apiVersion: apps/v1
kind: $1
metadata: { name: many }
spec:
  ${2:+replicas: $2}
  selector: { matchLabels: { app: many } }
  template:
    metadata: { labels: { app: many } }
    spec:
      runtimeClassName: $handler
      terminationGracePeriodSeconds: 1
      containers: [{ name: box, image: "busybox:1", command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 1; done"], env: [{ name: VERSION, value: "$3" }] }]
END
}

row_deployment() { # 30 pods, replaced by 30 others, then none
    workload Deployment 30 1 | k apply -f -
    k rollout status deployment/many --timeout=$((150 * patience))s
    workload Deployment 30 2 | sed 's/^spec:/&\n  strategy: { rollingUpdate: { maxSurge: 10, maxUnavailable: 10 } }/' | k apply -f -
    k rollout status deployment/many --timeout=$((150 * patience))s
    k scale deployment/many --replicas=0
    k wait --for=delete pod -l app=many --timeout=$((100 * patience))s
}

row_job() { # 50 pods, ten at a time
    k create -f - << END
apiVersion: batch/v1
kind: Job
metadata: { name: many }
spec:
  completions: 50
  parallelism: 10
  template:
    spec:
      runtimeClassName: $handler
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers: [{ name: box, image: "busybox:1", command: [echo, done] }]
END
    k wait --for=condition=Complete job/many --timeout=$((170 * patience))s
    same succeeded 50 "$(k get job many -o 'jsonpath={.status.succeeded}')"
}

row_sets() {
    workload DaemonSet "" 1 | k apply -f -
    k rollout status daemonset/many --timeout=$((60 * patience))s
    k delete daemonset many
    workload StatefulSet 3 1 | k apply -f -
    k rollout status statefulset/many --timeout=$((100 * patience))s
    same pods "many-0 many-1 many-2" "$(k get pods -l app=many -o 'jsonpath={.items[*].metadata.name}')"
    k delete pod many-1
    k rollout status statefulset/many --timeout=$((60 * patience))s
    same "its host's name" many-1 "$(in_pod many-1 box hostname)"
}

row_containerd_restarts() { # quick
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sh, -c, "trap 'exit 9' TERM; while :; do date +%s%N; sleep 0.2; done"] }]
END
    ready a
    local before lines
    before=$(container a box .containerID)
    pkill -9 -x containerd
    containerd_answers
    lines=$(k logs a | wc -l)
    in_pod a box true
    wait_for "more output" test_lines "$lines"
    same container "$before 0" "$(container a box .containerID) $(container a box .restartCount)"
    in_pod a box kill 1
    becomes 9 container a box .lastState.terminated.exitCode
}
test_lines() { [ "$(k logs a | wc -l)" -gt "$1" ]; }

row_new_version() { # of the runtime, below a pod that runs: containerd isn't restarted for it
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready a
    local engine file
    engine=$(pgrep -x containerd) file=$(stat -c %i /usr/local/bin/rind)
    kubectl --namespace kube-system rollout restart daemonset/rind
    kubectl --namespace kube-system rollout status daemonset/rind --timeout=$((60 * patience))s
    fails same file "$file" "$(stat -c %i /usr/local/bin/rind)"
    same containerd "$engine" "$(pgrep -x containerd)"
    in_pod a box true
    same restarts 0 "$(container a box .restartCount)"
}

row_kubelet_restarts() {
    pod a << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"], livenessProbe: { exec: { command: ["true"] }, periodSeconds: 1 } }]
END
    ready a
    local before
    before=$(container a box .containerID)
    pkill -9 -x kubelet
    kubelet_starts
    pod b << 'END'
  containers: [{ name: box, image: "busybox:1", command: [sleep, "1000"] }]
END
    ready a b
    same container "$before 0" "$(container a box .containerID) $(container a box .restartCount)"
}

row_many_mounts() { # 40 volumes
    local number
    {
        echo "  volumes:"
        for number in {1..40}; do echo "  - { name: v$number, emptyDir: {} }"; done
        echo '  containers:'
        echo '  - name: box'
        echo '    image: "busybox:1"'
        echo '    command: [sleep, "1000"]'
        echo '    volumeMounts:'
        for number in {1..40}; do echo "    - { name: v$number, mountPath: /v/$number }"; done
    } | pod a
    ready a
    same mounts 40 "$(in_pod a box grep -c ' /v/' /proc/mounts)"
}

row_nothing_left() { # quick
    kubectl delete --namespace kube-system daemonset rind
    kubectl delete --all-namespaces pods --all --grace-period=1
    becomes "" ls $states
    becomes "" pgrep -f containerd-shim
    becomes "" cgroups 'pod*'
    crictl --timeout 30s rmp --all # which the kubelet does once a minute
    same pods "" "$(crictl pods --quiet)"
    becomes "" ls /run/netns
}
