# Input: lines "row,target,title", then the measurements "row,rep,candidate,seconds,cpu".
BEGIN { FS = "," }

FNR == NR { order[++rows] = $1; target[$1] = $2; title[$1] = substr($0, length($1 $2) + 3); next }

{ time[$1, $3, ++n[$1, $3]] = $4; seen[$3] = 1 }
$3 == "persist" && $5 != "-" { cpu[$1, ++cpus[$1]] = $5 }

function sort(a, k,    i, j, t) {
    for (i = 2; i <= k; i++)
        for (j = i; j > 1 && a[j - 1] > a[j]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
}

function middle(a, k) {
    if (k == 0)
        return ""
    sort(a, k)
    return k % 2 ? a[(k + 1) / 2] : (a[k / 2] + a[k / 2 + 1]) / 2
}

function median(row, who,    i, a) {
    for (i = 1; i <= n[row, who]; i++)
        a[i] = time[row, who, i] + 0
    return middle(a, n[row, who])
}

function fastest(row, who,    i, best) {
    for (i = 1; i <= n[row, who]; i++)
        if (best == "" || time[row, who, i] + 0 < best)
            best = time[row, who, i] + 0
    return best
}

function median_cpu(row,    i, a) {
    for (i = 1; i <= cpus[row]; i++)
        a[i] = cpu[row, i] + 0
    return middle(a, cpus[row])
}

function seconds(x) { return x == "" ? "-" : sprintf("%.3f", x) }
function ratio(bare, x) { return bare == "" || x == "" || x == 0 ? "" : bare / x }
function speed(x) { return x == "" ? "-" : sprintf("%.2f", x) }
function yes(x) { return x ? "yes" : "no" }

END {
    printf "%-9s %-36s %8s %8s %8s | %7s %7s %9s %7s | %6s %3s %5s\n", "row", "", "bare s",
        "persist", "cpu", "persist", "bindfs", "gocryptfs", "ceiling", "target", "met", "ahead"
    for (i = 1; i <= rows; i++) {
        row = order[i]
        bare = median(row, "bare")
        p = ratio(bare, median(row, "persist"))
        b = ratio(bare, median(row, "bindfs"))
        g = ratio(bare, median(row, "gocryptfs"))
        c = ratio(bare, fastest(row, "ramfs"))
        met = p == "" ? "-" : yes(p >= target[row])
        if (met == "no" && c != "" && c < target[row]) {
            met = "no*"
            beyond = beyond " " row
        }
        ahead = p == "" || b == "" || g == "" ? "-" : yes(p > b && p > g)
        printf "%-9s %-36s %8s %8s %8s | %7s %7s %9s %7s | %6s %-3s %5s\n", row, title[row],
            seconds(bare), seconds(median(row, "persist")), seconds(median_cpu(row)),
            speed(p), speed(b), speed(g), speed(c), target[row], met, ahead
        if (met ~ /^no/)
            below = below " " row
        if (ahead == "no")
            behind = behind " " row
    }
    print "\nmedian seconds; speed against bare (above 1: faster); cpu: of the persist process, with"
    print "what it did after the work had returned; ahead: of bindfs and gocryptfs; ceiling: the best"
    print "speed of a FUSE file system without any storage"
    if (beyond != "")
        print "no*: no FUSE file system can reach that target here: one without any storage does not"
    if (seen["persist"]) {
        print "below target:" (below == "" ? " none" : below)
        if (beyond != "")
            print "of no FUSE file system's reach here:" beyond
        print "behind another mount:" (behind == "" ? " none" : behind)
    }
}
