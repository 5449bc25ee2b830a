# The names of the symbols that the addresses are in, so that what one command needs is together:
# first what only the short commands use, then what they share with run, then the rest of run's, with
# what exec shares at its end, then the rest of exec's; each in the order of the program.
# In: nm's lines in the order of their addresses; then files of addresses in hexadecimal, one a line,
# each called by what made it (calls.run, calls.exec ...).
# Several symbols may be at one address: all of them are meant.
function number(hex,    n, i) {
    n = 0
    for (i = 1; i <= length(hex); i++)
        n = n * 16 + index("0123456789abcdef", substr(hex, i, 1)) - 1
    return n
}

NR == FNR {
    at[++count] = number($1)
    name[count] = $3
    next
}

FNR == 1 {
    command = FILENAME
    sub(/.*calls\./, "", command)
    if (command != "run" && command != "exec") command = "short"
}

!((command, $1) in seen) {
    seen[command, $1]
    address = number($1)
    low = 1; high = count
    while (low < high) {
        middle = int((low + high + 1) / 2)
        if (at[middle] <= address) low = middle; else high = middle - 1
    }
    for (i = low; i > 0 && at[i] == at[low]; i--) used[command, i]
}

function group(i) {
    if (("short", i) in used) return ("run", i) in used ? 2 : 1
    if (("run", i) in used) return ("exec", i) in used ? 4 : 3
    return ("exec", i) in used ? 5 : 0
}

END {
    for (g = 1; g <= 5; g++)
        for (i = 1; i <= count; i++)
            if (group(i) == g) print name[i]
}
