# Prints rind's figures as a table.
# In: lines of figures.tsv: figure, minimal, docker, goal, limit, whether the limit is kept.
BEGIN {
    print "| figure | minimal | Docker's | goal | met | limit | |"
    print "|---|---:|---:|---:|---|---:|---|"
}

{ printf "| %s | %s | %s | %s | %s | %s | %s |\n", $1, shown($2), shown($3), shown($4), met(), shown($5), $6 == "MISSED" ? $6 : "" }

function shown(value) { return value == "-" ? "" : value }

# On which bundle the goal is met, where it isn't on both.
function met(    minimal, docker) {
    if ($4 == "-" || ($2 == "-" && $3 == "-")) return ""
    minimal = $2 == "-" || $2 + 0 <= $4 + 0
    docker = $3 == "-" || $3 + 0 <= $4 + 0
    if (minimal && docker) return "yes"
    if ($2 == "-" || $3 == "-" || minimal == docker) return "no"
    return minimal ? "minimal" : "Docker's"
}
