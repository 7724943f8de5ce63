# Input: lines "metric|title|judged by|bound", then "row,rep,side,metric,value".
BEGIN { FS = "|" }

FNR == NR { if ($1 != "") { order[++n] = $1; title[$1] = $2; judged[$1] = $3; bound[$1] = $4 } next }

{
    split($0, f, ",")
    value[f[4], f[3], ++count[f[4], f[3]]] = f[5]
}

function median(metric, side,    i, j, t, k, a) {
    k = count[metric, side]
    if (k == 0)
        return ""
    for (i = 1; i <= k; i++) {
        a[i] = value[metric, side, i] + 0
        for (j = i; j > 1 && a[j - 1] > a[j]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    }
    return k % 2 ? a[(k + 1) / 2] : (a[k / 2] + a[k / 2 + 1]) / 2
}

function show(x) { return x == "" ? "-" : x >= 1000 ? sprintf("%.0f", x) : sprintf("%.3g", x) }

function target(m) {
    return judged[m] == "max" ? "<= " show(bound[m]) : judged[m] == "min" ? ">= " show(bound[m]) : \
        judged[m] == "ratio_min" ? ">= " bound[m] " x" : judged[m] == "ratio_max" ? "<= " bound[m] " x" : ""
}

function is_met(m, p, ratio) {
    return judged[m] == "max" ? p <= bound[m] : judged[m] == "min" ? p >= bound[m] : \
        ratio == "" ? "" : judged[m] == "ratio_min" ? ratio >= bound[m] : ratio <= bound[m]
}

END {
    ours = ("save_p50", "direct") in count || ("many_rate", "direct") in count ||
        ("big_rate", "direct") in count || ("pair_ms", "direct") in count ? "direct" : "persist"
    printf "%-52s %10s %10s %8s   %-11s %s\n", "", "persist", "Syncthing", "ratio", "target", "met"
    for (i = 1; i <= n; i++) {
        m = order[i]
        p = median(m, ours)
        s = median(m, "syncthing")
        if (p == "" && s == "")
            continue
        ratio = p == "" || s == "" || s == 0 ? "" : p / s
        met = judged[m] == "-" || p == "" ? "" : is_met(m, p, ratio)
        printf "%-52s %10s %10s %8s   %-11s %s\n", title[m], show(p), show(s), show(ratio), target(m), \
            met == "" ? "" : met ? "yes" : "no"
    }
    print "\nmedians of the repetitions; ratio: persist / Syncthing, of which a target with an x speaks"
}
