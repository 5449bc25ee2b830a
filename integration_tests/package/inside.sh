# What integration_tests/package/run does in a mount namespace of its own.
# shellcheck shell=bash

# in_system TREE WORK: WORK has old.deb, new.deb, and the program rind
in_system() {
    local tree=$1 work=$2 passed=0
    mount -t tmpfs tmpfs "$work/old"
    mkdir "$work/old"/{above,work,system}
    system=$work/old/system
    mount -t overlay -o "lowerdir=$tree,upperdir=$work/old/above,workdir=$work/old/work" overlay "$system"
    mount -t proc proc "$system/proc"
    mount --rbind /dev "$system/dev"
    mount --rbind /sys "$system/sys"
    mount -t tmpfs tmpfs "$system/run"
    mkdir -m 1777 "$system/packages" # what shells and lintian write of their own goes there too
    cp "$work"/{old.deb,new.deb,rind} "$system/packages/"
    # The lists of apt are not in such a system; it needs none for a package that needs no other.
    inside man --version > /dev/null
    files > "$work/before"

    step "installs" inside apt-get install -y -qq /packages/old.deb
    step "has a file that the next version lacks" test -e "$system/usr/share/rind/gone-later"
    step "is upgraded" inside apt-get install -y -qq /packages/new.deb
    step "leaves no file of the version before" test ! -e "$system/usr/share/rind"
    step "has its files whole" is_silent inside dpkg --verify rind
    step "has the very program" cmp "$system/usr/bin/rind" "$work/rind"
    step "runs" inside rind features
    step "has a README whose first container runs" first_container
    step "has manual pages" inside man -w rind rind-create rind-update
    step "has a page that man can show" says "rind create" inside man rind-create
    step "completes in bash" says ' rind$' inside bash -c \
        '. /usr/share/bash-completion/bash_completion; _completion_loader rind; complete -p rind'
    # shellcheck disable=SC2016 # for zsh
    step "completes in zsh" says '^_rind$' inside zsh -fc \
        'autoload -U compinit; compinit -D -u; echo $_comps[rind]'
    step "completes in fish" says '^create' inside fish -c 'complete -C "rind crea"'
    gzip -dc "$system/usr/share/doc/rind/changelog.Debian.gz" > "$system/packages/changelog"
    step "has a changelog of Debian's form" inside dpkg-parsechangelog --all -l /packages/changelog
    # As another user: lintian has a word to say about root.
    step "pleases lintian" is_silent inside setpriv --reuid 65534 --regid 65534 --clear-groups \
        lintian --tag-display-limit 0 --display-info --pedantic \
        --fail-on error,warning,info,pedantic /packages/new.deb
    step "is removed" inside apt-get remove -y -qq rind
    step "is purged" inside dpkg --purge rind
    step "leaves nothing" same_files
    printf '\n%d passed, 0 failed\n' "$passed"
}

inside() {
    DEBIAN_FRONTEND=noninteractive HOME=/packages TMPDIR=/packages LC_ALL=C.UTF-8 TERM=dumb MANPAGER=cat \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$system" "$@"
}

# As somebody does who copies the lines from the README that is in the package.
first_container() {
    awk '/^## / { here = /A first container/ } /^```/ { code = here && $0 == "```sh"; next } code' \
        "$system/usr/share/doc/rind/README.md" > "$system/packages/first.sh"
    test -s "$system/packages/first.sh"
    # shellcheck disable=SC2016 # for that shell
    inside sh -c 'cd /packages && sh -e first.sh' < /dev/null
}

# step WORDS COMMAND...: one line, and what the command said if it fails
step() {
    local words=$1 said
    shift
    said=$("$@" 2>&1) || {
        printf '%s\n' "the package $words ... FAILED" "$said" >&2
        exit 1
    }
    echo "the package $words ... ok"
    passed=$((passed + 1))
}

# says PATTERN COMMAND...: a line of its output matches
says() {
    local pattern=$1 said
    shift
    said=$("$@" 2>&1)
    grep -q -e "$pattern" <<< "$said" || { echo "$said"; return 1; }
}

is_silent() {
    local said
    said=$("$@" 2>&1) || { echo "$said"; return 1; }
    [ -z "$said" ] || { echo "$said"; return 1; }
}

# Each file and folder with its mode and size, but for what apt, dpkg and man keep of their own doings.
files() {
    find "$system" -xdev -not -type d -printf '%P %m %u %s\n' -o -type d -printf '%P %m %u\n' |
        grep -v -E '^(var/log/|var/lib/dpkg/|var/lib/apt/|var/cache/(apt|debconf)/|var/cache/man/|proc|dev|sys|run|packages)' |
        LC_ALL=C sort
}

same_files() { diff "$work/before" <(files); }
