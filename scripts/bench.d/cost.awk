# Input: lines "row,operations,operation", the measurements "row,rep,candidate,seconds,cpu", and the
# counts "row,rep,before|after,kind,count" of ramfs. @request: microseconds of one request.
BEGIN { FS = "," }

FNR == 1 { file++ }
file == 1 { order[++rows] = $1; operations[$1] = $2; operation[$1] = $3; next }
file == 2 { time[$1, $3, ++n[$1, $3]] = $4; next }

{
    by = $3 == "after" ? $5 : -$5
    by -= $3 == "after" && $4 == "GETXATTR" # the counting itself
    count[$1, $4] += by
    if (!($4 in seen)) {
        seen[$4] = 1
        kinds[++kinds_n] = $4
    }
}

function median(row, who,    i, j, t, k, a) {
    k = n[row, who]
    for (i = 1; i <= k; i++) {
        a[i] = time[row, who, i] + 0
        for (j = i; j > 1 && a[j - 1] > a[j]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    }
    return k % 2 ? a[(k + 1) / 2] : (a[k / 2] + a[k / 2 + 1]) / 2
}

function fastest(row, who,    i, best) {
    best = time[row, who, 1]
    for (i = 2; i <= n[row, who]; i++)
        if (time[row, who, i] + 0 < best + 0)
            best = time[row, who, i]
    return best
}

function each(row, x) { return x * 1e6 / operations[row] }

# Sent without anybody waiting for an answer.
function unwaited(kind) { return kind == "RELEASE" || kind ~ /FORGET/ || kind == "INTERRUPT" }

# "2 LOOKUP + 0.5 WRITE"; those that are too few to matter are left out. Adds up what is waited for.
function list(row, not_waited,    i, x, text) {
    for (i = 1; i <= kinds_n; i++) {
        if (unwaited(kinds[i]) != not_waited)
            continue
        x = count[row, kinds[i]] / n[row, "ramfs"] / operations[row]
        if (!not_waited)
            waits += x
        if (x >= 0.005)
            text = text (text == "" ? "" : " + ") sprintf(x >= 100 ? "%.0f" : "%.3g", x) " " kinds[i]
    }
    return text == "" ? "no request" : text
}

END {
    printf "%-10s %-14s %8s %8s | %6s %13s   %s\n", "row", "one is", "bare us", "ramfs us", "waits",
        "x request us", "requests of one (not waited for)"
    for (i = 1; i <= rows; i++) {
        row = order[i]
        waits = 0
        text = list(row, 0)
        later = list(row, 1)
        printf "%-10s %-14s %8.1f %8.1f | %6.2f %13.1f   %s%s\n", row, operation[row], each(row, median(row, "bare")),
            each(row, fastest(row, "ramfs")), waits, waits * request, text, later == "no request" ? "" : " (" later ")"
    }
    print "\nmicroseconds of one operation: on the bare disk the median, on ramfs, a FUSE file system without any"
    print "storage, the fastest repetition. It needs at least its waits: where they alone take longer than the"
    print "bare disk does, no FUSE file system reaches it."
}
