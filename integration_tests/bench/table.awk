# Prints the times of one bundle as a table.
# In: lines of medians.tsv: bundle, pace, runtime, step, runs, failures, wall us, CPU us, RSS KiB,
# minor faults, shortest wall us.
# Variables: bundle; peers: the names, with spaces between, whose shortest wall time is the base of a ratio.
BEGIN { base_count = split(peers, bases, " ") }

$1 == bundle {
    row = $2 SUBSEP $4 SUBSEP $3
    rows[++row_count] = row
    runs[row] = $5; failures[row] = $6; wall[row] = $7; cpu[row] = $8; rss[row] = $9; faults[row] = $10; least[row] = $11
    steps[$2, $4] = steps[$2, $4] " " $3
    if (!(($2, $4) in seen)) { seen[$2, $4]; step[++step_count] = $2 SUBSEP $4 }
}

END {
    line = "| step | runtime | wall ms | shortest | CPU ms | peak RSS MB | minor faults |"
    rule = "|---|---|---:|---:|---:|---:|---:|"
    for (i = 1; i <= base_count; i++) { line = line " x " bases[i] " |"; rule = rule "---:|" }
    print line "\n" rule
    for (s = 1; s <= step_count; s++) {
        split(step[s], at, SUBSEP)
        count = split(steps[step[s]], names, " ")
        for (n = 1; n <= count; n++) print_row(at[1], at[2], names[n])
    }
}

function print_row(pace, label, name,    row, i, base) {
    row = pace SUBSEP label SUBSEP name
    printf "| %s%s | %s |", label, pace == "life" ? "" : ", " pace, name
    if (runs[row] == 0) printf " failed | | | | |"
    else printf " %.2f | %.2f | %.2f | %.2f | %d |", wall[row] / 1000, least[row] / 1000, cpu[row] / 1000, rss[row] / 1024, faults[row]
    for (i = 1; i <= base_count; i++) {
        base = pace SUBSEP label SUBSEP bases[i]
        if (runs[row] && runs[base]) printf " %.2f |", least[row] / least[base]
        else printf " |"
    }
    printf "%s\n", runs[row] && failures[row] ? " " failures[row] " failed" : ""
}
