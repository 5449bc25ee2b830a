# Kubernetes' own tests: of a node (e2e_node.test, which starts its API server and kubelet itself), and
# of a CRI (critest). Their images are stand-ins of the tree's programs and agnhost, by the real names.
# shellcheck shell=bash disable=SC2016,SC2154 # containers expand what is in single quotes; inside.sh sets

. /work/kubernetes.sh
unset -f before_row after_row

seconds=2400
registry=registry.k8s.io/e2e-test-images
cri=gcr.io/k8s-staging-cri-tools

start() {
    machine
    programs
    write_configs
    cat >> /etc/containerd/config.toml << END
[plugins."io.containerd.cri.v1.runtime".containerd]
  default_runtime_name = "test-handler"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.test-handler]
  runtime_type = "io.containerd.runc.v2"
  [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.test-handler.options]
    BinaryName = "$runtime"
    SystemdCgroup = $([ "$manager" = systemd ] && echo true || echo false)
[plugins."io.containerd.cri.v1.images".registry]
  config_path = "/etc/containerd/certs.d"
END
    # Any registry is the one here.
    mkdir -p /etc/containerd/certs.d/_default
    cat > /etc/containerd/certs.d/_default/hosts.toml << END
server = "http://127.0.0.1:5000"
[host."http://127.0.0.1:5000"]
  capabilities = ["pull", "resolve"]
END
    daemon bash -c 'while :; do containerd --root /work/containerd --state /run/containerd; done'
    containerd_answers
    printf 'version: 0.1\nstorage: { filesystem: { rootdirectory: /work/registry } }\nhttp: { addr: "127.0.0.1:5000" }\n' > /work/registry.yaml
    daemon registry serve /work/registry.yaml
    wait_for "the registry" wget -qO /dev/null http://127.0.0.1:5000/
    images
    cat > /work/node.yaml << END
os: Linux
kernelSpec: { versions: ['[1-9]+\.[0-9]+.*'] }
END
    # It looks for the kubelet beside itself.
    ln -s /usr/local/bin/kubelet /work/programs/
}

# images: what the tests ask for, by the names that they have there
images() {
    with_programs bash ipcs ipcmk ipcrm pgrep
    ln -sf bash $image/bin/sh # Debian's busybox passes no variables on whose names have a dash
    cp /work/programs/nmeter $image/bin/nmeter # by which tests tell milliseconds
    printf 'www-data:x:33:33::/var/www:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' >> $image/etc/passwd
    echo 'nonroot:x:1234:1234::/:/bin/sh' >> $image/etc/passwd
    sed -i 's/^user:x:1000.*/user-defined-in-image:x:1000:1000::\/:\/bin\/sh/' $image/etc/passwd
    printf 'user-defined-in-image:x:1000:\ngroup-defined-in-image:x:50000:user-defined-in-image\n' > $image/etc/group
    echo 'www-data:x:33:' >> $image/etc/group
    mkdir -p $image/{home,usr/bin,var/run,var/www}
    ln -sf /bin/env $image/usr/bin/env
    stand_in '"Cmd":["sh"]' $registry/busybox:1.37.0-2 $registry/busybox:1.29-4 $registry/busybox:1.37.0-1 \
        $registry/busybox:1.29-2 docker.io/library/busybox:latest $cri/test-image-latest:latest \
        $cri/test-image-tag:{test,all} $cri/test-image-tags:1 $cri/test-image-{1,2,3}:latest
    for tag in 2 3; do # of the same image
        ctr -n k8s.io images push --plain-http --local localhost:5000/k8s-staging-cri-tools/test-image-tags:$tag $cri/test-image-tags:1
    done
    stand_in '"Cmd":["sh"],"User":"1002"' $cri/test-image-user-uid:latest
    stand_in '"Cmd":["sh"],"User":"www-data"' $cri/test-image-user-username:latest
    stand_in '"Cmd":["sh"],"User":"1003:1003"' $cri/test-image-user-uid-group:latest
    stand_in '"Cmd":["sh"],"User":"www-data:www-data"' $cri/test-image-user-username-group:latest
    stand_in '"Cmd":["sh"],"User":"1000"' $cri/test-image-predefined-group:latest
    echo hello > $image/var/www/index.html
    stand_in '"Cmd":["sh","-c","echo $$ > /var/run/nginx.pid; exec httpd -f -p 80 -h /var/www"]' $registry/nginx:1.27.0-2 $registry/nginx:1.28.0-2 \
        $registry/nginx:1.14-2 $registry/httpd:2.4.39-4
    stand_in '"Cmd":["httpd","-f","-p","12003","-h","/var/www"]' $cri/hostnet-nginx-amd64:latest
    stand_in '"Entrypoint":["sleep","1000"],"User":"1234"' $registry/nonroot:1.5
    stand_in '"Cmd":["sh"]' $registry/ipc-utils:1.4
    install -m 4755 /work/programs/nonewprivs $image/nnp
    stand_in '"Entrypoint":["/nnp"],"User":"1000"' $registry/nonewprivs:1.4 $registry/nonewprivs:1.3
    with_programs curl nc
    cp /work/programs/agnhost $image/agnhost
    ln -s agnhost $image/agnhost-2
    mkdir -p $image/uploads
    openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout $image/localhost.key -out $image/localhost.crt
    chmod a+r $image/localhost.key
    stand_in '"Entrypoint":["/agnhost"],"Cmd":["pause"]' $registry/agnhost:2.66.1 $registry/agnhost:2.55
    rm $image/agnhost
    with_programs hostname getent
    stand_in '"Cmd":["sh"]' $registry/glibc-dns-testing:2.1.1
    rm -r ${image:?}/*
    mkdir $image/etc
    echo '{ "image": "kitten.jpg" }' > $image/data.json
    echo 'NAME="Alpine Linux"' > $image/etc/os-release
    stand_in '"Cmd":["none"]' $registry/kitten:1.8 $registry/nautilus:1.8
    rm -r ${image:?}/*
    cp /work/programs/pause $image/pause
    stand_in '"Entrypoint":["/pause"],"User":"65535:65535"' registry.k8s.io/pause:{3.10.2,3.10,3.9} k8s.gcr.io/pause:3.9
}

# stand_in CONFIG NAME...: images of $image, which differ, as tests tell them apart by more than their names
stand_in() {
    local name
    for name in "${@:2}"; do
        image_config="$1,\"Labels\":{\"name\":\"$name\"}" image_archive "$name" /work/image.tar
        ctr -n k8s.io images import --local /work/image.tar
        ctr -n k8s.io images push --plain-http --local "localhost:5000/${name#*/}" "$name"
    done
}

# with_programs PROGRAM...: the tree's own, with their libraries, go to $image
with_programs() {
    local program library
    for program; do
        program=$(type -P "$program")
        rm -f "$image/bin/${program##*/}"
        cp -L "$program" $image/bin/
        ldd "$program" | grep -o '/[^ ]*' | while read -r library; do
            mkdir -p "$image$(dirname "$library")"
            cp -L "$library" "$image$library"
        done
    done
}

# specs NAME FILTER [GINKGO-OPTION...]: runs those of these labels; what failed has to be in `expected`
specs() {
    local folder=$logs/$1 filter=$2
    shift 2
    mkdir -p "$folder"
    cat > /work/kubelet.yaml << END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: $manager
cgroupRoot: /
podCIDR: 10.100.0.0/24
volumeStatsAggPeriod: 10s
fileCheckFrequency: 2s
evictionPressureTransitionPeriod: 30s
evictionHard: { memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1% }
imageGCHighThresholdPercent: 100
imageMinimumGCAge: 10h
serializeImagePulls: false
oomScoreAdj: 0
failSwapOn: false
END
    (cd "$folder" && ginkgo --procs=8 --no-color --timeout=24h --junit-report=junit.xml --output-dir=. \
        --label-filter="$filter" "$@" /usr/local/bin/e2e_node.test -- \
        --container-runtime-endpoint=$CONTAINER_RUNTIME_ENDPOINT --node-name=node --report-dir=. \
        --kubelet-config-file=/work/kubelet.yaml --system-spec-file=/work/node.yaml \
        --prepull-images=false --server-start-timeout=5m --kubelet-flags=--node-ip=$node) > "$folder/log" 2>&1 || true
    told "$folder/log"
}

# told LOG: how many specs passed, and which failed; it fails if one is not in `known`, or if none ran
told() {
    local failed
    failed=$(sed 's/\x1b\[[0-9;]*m//g' "$1" | grep -aE '^ *\[(FAIL|TIMEDOUT|PANICKED|INTERRUPTED)\]' | sort -u || true)
    printf '%s\n' "$failed"
    grep -aE '^Ran |^(FAIL!|SUCCESS!) ' "$1"
    failed=$(grep -vE "$(printf '%s\n' "${known[@]}" | paste -sd'|')" <<< "$failed" | grep . || true)
    [ -z "$failed" ] || { paste -sd' ' <<< "$failed"; return 1; }
}

# What fails with runc too, and why.
known=(
    'read only busybox container .* should not write to root filesystem' # words of another shell
    'PrivilegedPod .* should enable privileged commands' # the kernel makes no links of type dummy
    'Summary API .* should report resource usage' # wants a service of systemd's for the engine
    'Pod InPlace Resize Container guaranteed qos' # an oom_score_adj below its own, which no root here may give
    # What stands in is no nginx, httpd or Alpine Linux, has /bin/ls as a link, and another digest.
    'in the host PID namespace .* should show its pid'
    'ImageVolume .* subPath .* valid subPath'
    'NamespaceOption .* should support (HostPID|ContainerPID)'
    'Multiple Containers .* should support container log'
    'Security Context bucket .* should support MaskedPaths'
    'public image with digest should be pulled'
)

row_node_conformance() {
    specs node 'NodeConformance && !Serial && !Slow && !Flaky && !Disruptive'
}

# Those that concern a runtime, of what is not in the above.
row_node_features() {
    specs features '!NodeConformance && !Serial && !Slow && !Flaky && !Disruptive && !Feature: containsAny OffByDefault &&
        Feature: containsAny { UserNamespacesSupport, InPlacePodVerticalScaling, SupplementalGroupsPolicy, ProcMountType,
        ImageVolume, OOMScoreAdj, RuntimeHandler, HostAccess, EmptyDirVolumeMode, SeccompDefault }'
}

row_cri() {
    local folder=$logs/cri
    mkdir -p "$folder"
    (cd "$folder" && critest --runtime-endpoint=$CONTAINER_RUNTIME_ENDPOINT \
        --ginkgo.no-color --ginkgo.junit-report=junit.xml) > "$folder/log" 2>&1 || true
    told "$folder/log"
}
