# The names of the symbols that the addresses are in, in the order of the program.
# In: nm's lines in the order of their addresses; then addresses in hexadecimal, one a line.
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

{
    address = number($1)
    low = 1; high = count
    while (low < high) {
        middle = int((low + high + 1) / 2)
        if (at[middle] <= address) low = middle; else high = middle - 1
    }
    for (i = low; i > 0 && at[i] == at[low]; i--) used[i]
}

END {
    for (i = 1; i <= count; i++)
        if (i in used) print name[i]
}
