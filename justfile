# rind's tasks. `./setup RECIPE` installs what a recipe needs and then runs it; see there.

set positional-arguments

target := env_var_or_default("CARGO_TARGET_DIR", justfile_directory() / "target")
rind := target / "rind"

# The tests and measurements are of this binary, which `build` makes.
export RIND := rind

# List the recipes
default:
    @just --list --unsorted

# Build the static release binary: target/rind
build:
    scripts/build

# Run a container and show what makes it one; in a terminal, then a shell in it
try: build
    scripts/try "{{ rind }}"

# Everything that must pass before a change goes in, quickest first
test: lint doc unit integration (mutations "any-ptmx-is-opened" "capabilities-are-inheritable" "environment-stays-in-memory" "mounts-cover-files-of-proc" "sources-are-not-locked" "working-directory-may-be-outside") validate package-test (engines "--quick" "docker-26" "containerd-1.7" "cri-1.7" "cri-2.4" "podman-5" "kubernetes") vm vm-selinux

# Formatting and clippy, warnings denied, and that no modules import each other in a circle
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets --locked -- --deny warnings
    cargo test --package integration_tests --locked --test modules
    integration_tests/mutations/run --check

# The oldest Rust that Cargo.toml names builds everything (rustup)
oldest:
    cargo "+$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)" check --workspace --all-targets \
        --locked --target-dir "{{ target / "oldest" }}"

# Licences, sources, duplicates and advisories of the dependencies: deny.toml
deny:
    cargo deny --locked check

# The documentation of all crates, warnings denied: target/doc
doc:
    RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --locked

# What crates.io would get: each crate is packed, and builds from that and those before it
publish-check:
    cargo publish --workspace --dry-run --allow-dirty --locked

# What has changed in the crates' interfaces since the last tag, held against the versions: cargo-semver-checks
semver:
    scripts/semver

# The workflows and what else GitHub reads (Go, python3 with yaml)
workflows:
    scripts/workflows "{{ target / "go" }}"

# Build for aarch64 or riscv64 and run the tests on a kernel of that in qemu (root): ARCH [NAME...]
cross *options:
    integration_tests/cross/run "$@"

# Each crate's own tests
unit:
    cargo test --workspace --exclude integration_tests --locked

# Black-box tests of the built binary (root)
integration: build
    cargo test --package integration_tests --locked

# Every system call of every command fails once, with each error that it can have (root): CONTRIBUTING.md
faults command="": build
    RIND_FAULTS=1 cargo test --package integration_tests --locked --test all -- "injected::{{ command }}"

# What others have tried or might try, with races of so many seconds each (root): docs/security.md
attack seconds="20": build
    RIND_ATTACK={{ seconds }} RIND_TESTS="amend:: caller:: locked:: masks:: security:: siege:: traced::" \
        cargo test --package integration_tests --locked --test all

# Take one defence of rind away after the other; a test must notice each (root): [--check] [NAME...]
mutations *options:
    integration_tests/mutations/run "$@"

# Every command is killed, stopped for a moment and cut off from power at each of its steps (root): CONTRIBUTING.md
crash command="": build
    RIND_CRASH=1 RIND_TESTS="killed:: power:: sides::" cargo test --package integration_tests --locked \
        --test all -- "{{ command }}"

# Many callers at once with random commands for SECONDS, and commands overtaken at every call (root): CONTRIBUTING.md
stress seconds="60": build
    RIND_STRESS="{{ seconds }}" RIND_TESTS="stress:: overtaken::" \
        cargo test --package integration_tests --locked --test all -- --nocapture

# Containers of all kinds, one after the other, on a machine where nothing else goes on (root): CONTRIBUTING.md
soak cycles="50000": build
    RIND_SOAK="{{ cycles }}" cargo test --package integration_tests --locked --test all -- "soak::" --nocapture

# The opencontainers runtime-tools suite (root, Go): docs/conformance.md
validate *options: build
    integration_tests/validate/run "$@" "{{ rind }}"

# Real engines on rind: Docker, containerd, CRI, CRI-O, Podman, Kubernetes (root; --quick: every subject once): docs/engines
engines *options: build
    integration_tests/engines/run "$@" "{{ rind }}"

# Build Kubernetes for `engines kubernetes`, once; with "tests" also for `kube-conformance` (Go; 20 minutes)
kube-build *what:
    integration_tests/engines/kubernetes/build "$@"

# Kubernetes' own tests of a node, and of a runtime, on rind (root; minutes): docs/engines/kubernetes.md
kube-conformance *options: build (kube-build "tests")
    integration_tests/engines/run "$@" kubernetes-conformance "{{ rind }}"

# How long pods take in a cluster, on rind and on runc in turns (root; minutes): docs/performance.md
kube-latency: build kube-build
    integration_tests/engines/run kubernetes-latency "{{ rind }}"
    cat "{{ target / "engines/results/kubernetes-latency/figures" }}"

# Integration tests that depend on the machine, in a VM with systemd and cgroup v2: docs/testing-in-a-vm.md
vm *options: build
    integration_tests/vm/test --quick "$@" "{{ rind }}"

# The tests of security labels in a VM with SELinux: docs/testing-in-a-vm.md
vm-selinux *options: build
    integration_tests/vm/test --no-host --security selinux "$@" labels "{{ rind }}"

# All integration tests, in VMs of five kinds, and engines (some hours where there is no KVM)
vm-all: build vm-engines vm-selinux
    integration_tests/vm/test --all "{{ rind }}"

# Docker, containerd, CRI, CRI-O and Podman on rind in a VM, by systemd and cgroupfs: docs/engines
vm-engines *options: build
    integration_tests/vm/engines "$@" "{{ rind }}"

# Which lines of crates/ the tests reach, in pages: target/coverage (root; names of integration tests)
coverage *filters:
    scripts/coverage "{{ target / "coverage" }}" "$@"

# Search for input that breaks a property, a minute a target (nightly Rust, cargo-fuzz): [TARGET] [SECONDS]
fuzz *options:
    scripts/fuzz "{{ target / "fuzz" }}" "$@"

# Write docs/errors.md anew, by provoking each failure that it has (root)
errors: build
    rm -rf "{{ target / "errors" }}" && mkdir -p "{{ target / "errors" }}"
    RIND_ERRORS="{{ target / "errors" }}" cargo test --package integration_tests --locked --test all -- catalogue::
    cat "{{ target / "errors" }}"/* > docs/errors.md

# Write docs/commands.md anew, from what the commands say of themselves (root)
commands: build
    RIND_COMMANDS=1 cargo test --package integration_tests --locked --test all -- documents::commands_page

# The documents as a book, its links checked: target/book (mdBook)
book:
    scripts/book "{{ target / "book" }}"

# Write the manual pages to target/man
man: build
    "{{ rind }}" man --output "{{ target / "man" }}"

# What a release has: program, archive, package for Debian, list of crates, checksums: target/dist
dist: build
    scripts/dist "{{ rind }}" "{{ target / "dist" }}"

# Install, upgrade, remove and purge the package for Debian in a system of its own; lintian (root): [--release NAME]
package-test *options: build
    integration_tests/package/run "$@" "{{ rind }}"

# Build the last commit twice, in different surroundings, and compare what is published bit by bit
reproducible:
    scripts/reproducible

# Have the linker put together again what a container's start goes through (root): crates/rind/order.txt
order:
    scripts/order/order

# Measure rind against runc, crun and the kernel's floor (root): docs/performance.md
bench *options: build
    integration_tests/bench/run "$@" "rind={{ rind }}"

# Count system calls, page faults and memory of rind's run, and hold them to limits (root; seconds)
bench-counts: build
    integration_tests/bench/run --counts "rind={{ rind }}"
