# What runs in a guest: each engine's suite, as a service of systemd's, which ends all it has started.
#
# usage: bash guest.sh RUNTIME ENGINE...; writes lines ENGINE, result, row, detail to stdout
# shellcheck shell=bash
set -euo pipefail

main() {
    local name=$1 engine suite manager who
    shift
    for engine in "$@"; do
        IFS=$'\t' read -r suite manager who < <(
            awk -F'\t' -v engine="$engine" '$1 == engine { print $2 "\t" $4 "\t" $5 }' engines.tsv)
        furnish "$name" "$engine"
        # Delegated, as those of engines are: they make cgroups below their own.
        systemd-run --quiet --wait --pipe --collect --unit=engine-under-test --slice=system.slice \
            --property=Delegate=yes --property=TasksMax=infinity --property=OOMPolicy=continue \
            --setenv=HOME=/root --setenv=PATH="$PATH" --setenv=place=guest --setenv=manager="$manager" \
            --setenv=who="$who" bash /work/inside.sh "$suite" "$name" 2> "/work/complaints" < /dev/null |
            sed -u "s/^/$engine\t/" || tail -n 3 /work/complaints
        clear_up "$engine"
    done
}

# furnish NAME ENGINE: /work, as inside.sh wants it
furnish() {
    mkdir -p /work "/shared/logs/$2"
    chmod 755 /work
    ln -s "/shared/logs/$2" /work/logs # kept even if the guest is stopped
    cp -r examples programs ./*.sh /work/
    cp "rows/$2" /work/rows
    if [ -e "$1" ]; then cp "$1" "/work/$1"; else cp "$(command -v "$1")" "/work/$1"; fi
}

# clear_up ENGINE
clear_up() {
    cp /work/complaints "logs/$1/inside.log"
    umount /usr/local/bin
    grep -o ' /work/[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l || true
    rm -rf --one-file-system /work
}

main "$@"
