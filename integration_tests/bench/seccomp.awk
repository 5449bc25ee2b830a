# Prints what filters cost as a table, and how many of them a container has.
# In: lines of seccomp.tsv: filter, instructions, us to compile, ns of an allowed call, of one that an
# argument decides, of a denied one; or "filters", runtime, count.
$1 == "filters" { counts = counts (counts ? ", " : "") $2 " " $3; next }

!header++ {
    print "| filter | instructions | compiling us | getppid ns (allowed) | personality ns (by argument) |" \
        " unshare ns (denied) |"
    print "|---|---:|---:|---:|---:|---:|"
}

{ printf "| %s | %s | %s | %.0f | %.0f | %.0f |\n", $1, $2, $3, $4, $5, $6 }

END { if (counts) printf "%sfilters of a container: %s\n", header ? "\n" : "", counts }
