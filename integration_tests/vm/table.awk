# Logs of the integration tests as one table: awk -f table.awk expected.tsv names LOG...
# A line for a module, a column for a log; below it the tests that failed, and what each said.
# Ends with 1 if one failed that was not expected to.
BEGIN { FS = "\t" }

FNR == 1 {
    file++
    if (file > 2) {
        place = FILENAME
        sub(/.*\//, "", place)
        sub(/\.log$/, "", place)
        places[++columns] = place
        said_of = ""
    }
}

file == 1 && !/^#/ { expected_place[++expectations] = $1; expected_test[expectations] = $2; why[expectations] = $3 }

file == 2 {
    tests[++count] = $0
    module = $0
    sub(/::.*/, "", module)
    if (!(module in seen)) { seen[module] = 1; modules[++module_count] = module }
}

file > 2 && /^test .* \.\.\. / {
    name = result = $0
    sub(/^test /, "", name)
    sub(/ +\.\.\. .*/, "", name)
    sub(/.* \.\.\. /, "", result)
    results[place, name] = result ~ /^ok/ ? "ok" : result ~ /^ignored/ ? "skipped" : "failed"
}

# What a failed test said, up to the next one.
file > 2 && /^---- .* ----$/ { said_of = $0; sub(/^---- /, "", said_of); sub(/ ----$/, "", said_of); next }
file > 2 && said_of != "" && !((place, said_of) in said) { said[place, said_of] = "    " substr($0, 1, 160) "\n" }
file > 2 && said_of != "" && /^stderr: ./ { said[place, said_of] = said[place, said_of] "    " substr($0, 1, 400) "\n" }

# What was seen from outside.
file > 2 && /^monitor: / { outside[place] = outside[place] "    " $0 "\n" }
file > 2 && /^monitor: FAILED/ { broken++; is_broken[place] = 1 }

function is_expected(place, test,    i) {
    for (i = 1; i <= expectations; i++)
        if (test == expected_test[i] && place ~ ("^(" expected_place[i] ")$")) return i
    return 0
}

# Counts for a cell.
function cell(place, module,    i, number, text) {
    split("", number)
    for (i = 1; i <= count; i++)
        if (module == "" || index(tests[i], module "::") == 1) number[outcome(place, tests[i])]++
    text = number["ok"] + 0 " ok"
    if (number["failed"]) text = text ", " number["failed"] " FAILED"
    if (number["known"]) text = text ", " number["known"] " as expected"
    if (number["none"]) text = text ", " number["none"] " NOT RUN"
    if (number["skipped"]) text = text ", " number["skipped"] " skipped"
    return text
}

function outcome(place, test,    result) {
    result = results[place, test]
    if (result == "") result = "none"
    return result == "failed" && is_expected(place, test) ? "known" : result
}

function line(name,    i, text) {
    text = sprintf("%-*s", widest, name)
    for (i = 1; i <= columns; i++)
        text = text sprintf("  %-*s", width[i], name == "" ? places[i] : cell(places[i], name == "all" ? "" : name))
    sub(/ +$/, "", text)
    print text
}

END {
    for (j = 1; j <= module_count; j++) if (length(modules[j]) > widest) widest = length(modules[j])
    for (i = 1; i <= columns; i++) {
        width[i] = length(places[i])
        for (j = 0; j <= module_count; j++) {
            size = length(cell(places[i], j ? modules[j] : ""))
            if (size > width[i]) width[i] = size
        }
    }
    print ""
    line("")
    for (j = 1; j <= module_count; j++) line(modules[j])
    line("all")
    print ""
    for (i = 1; i <= columns; i++)
        for (j = 1; j <= count; j++) {
            result = outcome(places[i], tests[j])
            total[result]++
            if (result == "failed") printf "FAILED   %s: %s\n%s", places[i], tests[j], said[places[i], tests[j]]
            if (result == "none" && ++unrun[i] <= 10) printf "NOT RUN  %s: %s\n", places[i], tests[j]
            if (result == "known") printf "known    %s: %s (%s)\n", places[i], tests[j], why[is_expected(places[i], tests[j])]
        }
    for (i = 1; i <= columns; i++)
        if (is_broken[places[i]]) printf "FAILED   %s: as seen from outside\n%s", places[i], outside[places[i]]
    if (total["failed"] || total["none"] || broken) print "what they said: " folder "\n"
    printf "%d passed, %d failed, %d skipped\n", total["ok"], total["failed"] + total["none"], total["skipped"] + total["known"]
    exit total["failed"] + total["none"] + broken > 0
}
