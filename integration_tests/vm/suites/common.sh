# What the suites share: how a machine with systemd and cgroup v2 is asked. `$manager` and `$who` are
# those of subjects.tsv.
# shellcheck shell=bash

seconds=300 # a row's time limit: guests may be emulated

# systemd COMMAND...: systemctl, of the manager whose units the containers are
systemd() {
    case $who in
        root) systemctl "$@" ;;
        user) as_user systemctl --user "$@" ;;
    esac
}

# as_user COMMAND...: as `user`, from whatever cgroup this is
as_user() {
    (cd /home/user && exec setpriv --reuid user --regid user --init-groups env -i HOME=/home/user USER=user \
        XDG_RUNTIME_DIR=/run/user/1000 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus \
        PATH="$PATH" ${CONTAINERS_CONF:+CONTAINERS_CONF="$CONTAINERS_CONF"} "$@")
}

# cgroup_of PID
cgroup_of() { sed -n 's/^0:://p' "/proc/$1/cgroup"; }

# with_systemd: skips the row where it is not systemd that makes cgroups
with_systemd() { [ "$manager" = systemd ] || skip "there are no units with $manager"; }

# property UNIT NAME
property() { systemd show --property="$2" --value "$1"; }

# is_scope PID UNIT SLICE: that process is in UNIT of SLICE, and systemd knows it
is_scope() {
    same slice "$3" "$(property "$2" Slice)"
    same state active "$(property "$2" ActiveState)"
    same cgroup "$(property "$2" ControlGroup)" "$(cgroup_of "$1")"
    same delegation yes "$(property "$2" Delegate)"
    has "systemctl status" "$(systemd status --no-pager "$2")" "$1 "
}

# units PATTERN...: those that systemd still knows, failed ones too
units() { systemd list-units --all --plain --no-legend "$@" | awk '{ print $1 }'; }

# cgroups PATTERN: paths of all cgroups of such a name
cgroups() { find /sys/fs/cgroup -type d -name "$1"; }

# limits PID: what its cgroup has, a line a file
limits() {
    (cd "/sys/fs/cgroup$(cgroup_of "$1")" &&
        grep -H . memory.max memory.swap.max cpu.max cpu.weight pids.max cpuset.cpus)
}

# reloads: systemd reads all its units again, and sets what they say
reloads() {
    systemctl daemon-reload
    [ "$who" = root ] || systemd daemon-reload
}

# in_place_of NAME SED: the function NAME, changed
in_place_of() { eval "$(declare -f "$1" | sed "$2")"; }
