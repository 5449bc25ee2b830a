# What scripts that build programs from Go modules share. They set `out`, the directory for all that
# Go keeps, and define `note` and `die`.
# shellcheck shell=bash

go_toolchain=v0.0.1-go1.26.8 # where the installed one is too old

# go_below DIR: all of Go's files go there
go_below() {
    export GOPATH=$1 GOCACHE=$1/cache GOFLAGS=-modcacherw GOTOOLCHAIN=local GOWORK=off CGO_ENABLED=0
    unset GOMODCACHE
}

# find_go LEAST: sets `go`, a Go of this version or a newer one
find_go() {
    local installed dir
    go=$(command -v go) || die "needs Go: apt-get install golang-go"
    installed=$("$go" env GOVERSION)
    [ "$(printf '%s\n' "$1" "${installed#go}" | sort -V | head -n 1)" != "$1" ] || return 0
    note "$installed is older than $1; getting ${go_toolchain#*-} as a module"
    dir=$(module_dir golang.org/toolchain "$go_toolchain.linux-$("$go" env GOARCH)")
    # The files of a module carry no mode.
    chmod +x "$dir"/bin/* "$dir"/pkg/tool/*/*
    unset GOROOT
    go=$dir/bin/go
}

# module_dir MODULE VERSION: downloads it, prints its folder. From /, where no go.mod applies.
module_dir() {
    local answer dir
    answer=$(cd / && "$go" mod download -json "$1@$2") || die "could not get $1@$2: $answer"
    dir=$(sed -n 's/^\t"Dir": "\(.*\)",\{0,1\}$/\1/p' <<< "$answer")
    [ -d "$dir" ] || die "could not get $1@$2: $answer"
    echo "$dir"
}
