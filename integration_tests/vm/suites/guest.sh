# What runs in a guest: each subject's suite, as a service of systemd's, which ends all it has started.
#
# usage: bash guest.sh RUNTIME SUBJECT...; writes lines SUBJECT, result, row, detail to stdout
# shellcheck shell=bash
set -euo pipefail

main() {
    local name=$1 subject suite manager who
    shift
    for subject in "$@"; do
        IFS=$'\t' read -r suite manager who < <(
            awk -F'\t' -v subject="$subject" '$1 == subject { print $2 "\t" $3 "\t" $4 }' subjects.tsv)
        furnish "$name" "$subject" "$suite"
        # Delegated, as those of engines are: they make cgroups below their own.
        systemd-run --quiet --wait --pipe --collect --unit=engine-under-test --slice=system.slice \
            --property=Delegate=yes --property=TasksMax=infinity --property=OOMPolicy=continue \
            --setenv=HOME=/root --setenv=PATH="$PATH" --setenv=manager="$manager" --setenv=who="$who" \
            bash /work/inside.sh "$suite" "$name" 2> "/work/complaints" < /dev/null |
            sed -u "s/^/$subject\t/" || tail -n 3 /work/complaints
        clear_up "$subject"
    done
}

# furnish NAME SUBJECT SUITE: /work, as inside.sh wants it
furnish() {
    mkdir -p /work "/shared/logs/$2"
    chmod 755 /work
    ln -s "/shared/logs/$2" /work/logs # kept even if the guest is stopped
    cp -r base examples programs ./*.sh /work/
    cp base/inside.sh /work/
    cp "rows/$2" /work/rows
    if [ -e "$1" ]; then cp "$1" "/work/$1"; else cp "$(command -v "$1")" "/work/$1"; fi
}

# clear_up SUBJECT
clear_up() {
    cp /work/complaints "logs/$1/inside.log"
    umount /usr/local/bin
    grep -o ' /work/[^ ]*' /proc/self/mounts | sort -r | xargs -r umount -l || true
    rm -rf --one-file-system /work
}

main "$@"
