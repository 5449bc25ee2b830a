# What `run` and `../vm/engines` share: the tables, the choice of rows, the account of their results.
# They set `place` (host or guest), in a guest `guest` (its release), and define `own_option NAME VALUE`.
# shellcheck shell=bash disable=SC2034,SC2154 # those who source it use and set them

suites=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
quick='' runtime='' tally='' shown='' rows=()

# table NAME: its lines
table() { grep -v '^#' "$suites/$1.tsv"; }

# field ENGINE NUMBER: that column of engines.tsv
field() { table engines | awk -F'\t' -v engine="$1" -v number="$2" '$1 == engine { print $number }'; }

# programs_of ENGINE: a line each
programs_of() { field "$1" 7 | tr , '\n'; }

# lack PROGRAM: why rows that need it can't run
lack() {
    case $1 in
        crictl) echo "$1 is built by integration_tests/engines/run cri-1.7" ;;
        crio | pinns) echo "$1 is built by integration_tests/engines/run crio-1.34" ;;
        *) echo "needs what \`just kube-build\` makes, and integration_tests/engines/run kubernetes" ;;
    esac
}

# The engines of this place; with --quick those that are marked so.
all_engines() {
    table engines | awk -F'\t' -v place="$place" -v quick="$quick" \
        '(place == "guest") == ($3 == "guest") && (!quick || $6 == "quick") { print $1 }'
}

read_options() {
    local words=() engine
    while [ $# -gt 0 ]; do
        case $1 in
            --row) rows+=("${2:?--row needs a pattern}"); shift ;;
            --row=*) rows+=("${1#*=}") ;;
            --quick) quick=yes ;;
            --list) for engine in $(all_engines); do select_rows "$engine" | sed "s/^/$engine\t/"; done; exit ;;
            --table) print_table; exit ;;
            -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p;}' "$0"; exit ;;
            -*) own_option "$@"; shift ;;
            *) words+=("$1") ;;
        esac
        shift
    done
    [ ${#words[@]} -gt 0 ] || die "no runtime given (--help)"
    runtime=${words[-1]}
    engines=("${words[@]::${#words[@]}-1}")
    for engine in "${engines[@]}"; do
        quick='' all_engines | grep -xF "$engine" > /dev/null || die "no such engine here: $engine (they are in engines.tsv)"
    done
    [ ${#engines[@]} -gt 0 ] || mapfile -t engines < <(all_engines)
}

# select_rows ENGINE: its suite's functions that are asked for, and that their marks (inside.sh)
# let this engine run
select_rows() {
    local row pattern
    while read -r row; do
        [ ${#rows[@]} -gt 0 ] || echo "$row"
        for pattern in "${rows[@]}"; do
            # shellcheck disable=SC2053 # a pattern is meant
            if [[ $row == $pattern ]]; then echo "$row"; break; fi
        done
    done < <(awk -v quick="$quick" -v place="$place" -v manager="$(field "$1" 4)" -v who="$(field "$1" 5)" '
        !match($0, /^row_[a-z0-9_]+\(\)/) { next }
        {
            row = substr($0, 5, RLENGTH - 6)
            marks = match($0, /# ((quick|host|guest|systemd|root) ?)+(:|$)/) ? substr($0, RSTART, RLENGTH) " " : ""
            gsub(/[#:]/, " ", marks)
        }
        quick && marks !~ / quick / { next }
        place == "host" && marks ~ / (guest|systemd) / || place == "guest" && marks ~ / host / { next }
        marks ~ / systemd / && manager != "systemd" || marks ~ / root / && who != "root" { next }
        { print row }
    ' "$suites/suites/$(field "$1" 2).sh")
}

print_table() {
    printf '| Engine | Row | Why |\n| --- | --- | --- |\n'
    table expected | awk -F'\t' '{ gsub(/\|/, "\\|", $1); print "| `" $1 "` | `" $2 "` | " $4 " |" }'
}

# follow: lines ENGINE, result, row, detail, as they come
follow() {
    local engine result row detail before=$SECONDS
    while IFS=$'\t' read -r engine result row detail; do
        if [[ $result != @(ok|fails|skip) ]]; then
            printf '%s\n' "$engine" >&2 # why a suite couldn't start
            continue
        fi
        judge "$engine" "$result" "$row" "$detail" $((SECONDS - before))
        before=$SECONDS
    done
}

# judge ENGINE ok|fails|skip ROW DETAIL [SECONDS]: counts and prints
judge() {
    local wanted=ok why='' words kind=passed
    IFS=$'\t' read -r wanted why < <(table expected | awk -F'\t' -v engine="${guest:+$guest/}$1" -v row="$3" \
        'engine ~ ("^(" $1 ")$") && $2 == row { print $3 "\t" $4; exit }') || true
    case $2/${wanted:=ok} in
        ok/ok) words="ok" ;;
        ok/*) words="ok      though not expected ($why)" ;;
        skip/*) kind=skipped words="skipped ($4)" ;;
        fails/either | fails/fails) kind=known words="not ok  as expected ($why)" ;;
        *) kind=unexpected words="NOT OK  $4" ;;
    esac
    [ "$1" = "$shown" ] || printf '\n%s\n' "$1"
    shown=$1
    printf '%s\t%s\t%s\n' "$kind" "$1" "$3" >> "$tally"
    printf '  %-28s %4d s  %s\n' "$3" "${5-0}" "$words"
}

# conclude WHAT LOGS: tells of the rows that were not come to, and how many did what
conclude() {
    local engine row kind
    for engine in "${engines[@]}"; do
        for row in $(select_rows "$engine"); do
            grep -q "	$engine	$row\$" "$tally" || judge "$engine" fails "$row" "was not run"
        done
    done
    count() { grep -c "^$1	" "$tally" || true; }
    printf '\n%s: %d passed, %d failed, %d failed as expected, %d cannot run here (%d s)\n' \
        "$1" "$(count passed)" "$(count unexpected)" "$(count known)" "$(count skipped)" $SECONDS
    [ "$(count unexpected)" = 0 ] || die "output of the rows that failed: $2"
}

note() { printf 'engines: %s\n' "$*" >&2; }
die() { note "$@"; exit 1; }
