# Prints what is counted as a table.
# In: lines of counts.tsv: bundle, runtime, what, count.
{
    value[$1, $2, $3] = $4
    if ($1 == "-") next
    if (!(($1, $2) in seen)) { seen[$1, $2]; rows[++row_count] = $1 SUBSEP $2 }
}

END {
    print "| bundle | runtime | system calls | page faults | peak RSS MB | charged before start MB | file MB |"
    print "|---|---|---:|---:|---:|---:|---:|"
    for (i = 1; i <= row_count; i++) {
        split(rows[i], at, SUBSEP)
        printf "| %s | %s | %s | %s | %s | %s | %s |\n", at[1], at[2], value[rows[i], "calls"], \
            value[rows[i], "faults"], megabytes(value[rows[i], "rss"], 1024), \
            megabytes(value[rows[i], "charged"], 1048576), megabytes(value["-", at[2], "size"], 1048576)
    }
}

function megabytes(count, units) { return count == "" ? "" : sprintf("%.2f", count / units) }
