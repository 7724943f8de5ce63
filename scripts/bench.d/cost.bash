# What one request costs on this machine, and how many of them an operation is: why the ceiling is
# where it is.

# What one operation of a row is.
declare -A operation=(
    [fsync4k]='write + fsync' [sqlite]='transaction' [save]='save' [create]='file' [unlink]='file'
    [untar]='file' [gitcommit]='file' [gitstatus]='status' [rename]='rename'
    [statwarm]='stat' [lswarm]='file listed'
)

# How many of them the row @1 is.
operations_of() {
    case $1 in
    fsync4k) echo "$syncs" ;;
    sqlite) echo "$transactions" ;;
    save) echo "$saves" ;;
    create | unlink) echo "$small" ;;
    untar) echo $((5000 * copies)) ;;
    gitcommit) echo 5000 ;;
    gitstatus) echo "$statuses" ;;
    rename) echo $((renamed * 4)) ;;
    statwarm) echo $((small * 15)) ;;
    lswarm) echo $((small * 3)) ;;
    esac
}

# Those of the wanted rows of which it can be told, on the bare disk and ramfs alone.
cost_of_what() {
    local row rows_of_requests=()
    candidates=(bare ramfs)
    for row in "${wanted_rows[@]}"; do
        [[ -z ${operation[$row]-} ]] || rows_of_requests+=("$row")
    done
    if [[ ${#rows_of_requests[@]} == 0 ]]; then
        echo "bench: --cost knows of the rows ${!operation[*]}" >&2
        exit 2
    fi
    wanted_rows=("${rows_of_requests[@]}")
}

# The microseconds of each of @1, with what "fsload @2..." does; the median of five.
cost_each() {
    local n=$1 i
    for ((i = 0; i < 5; i++)); do
        "$fsload" "${@:2}"
    done | sort -n | awk -v n="$n" 'NR == 3 { printf "%.1f\n", $1 * 1e6 / n }'
}

cost_line() {
    printf '%-66s %7s us\n' "$@"
}

cost_print() {
    local request row n=20000 flushed=500
    request=$(cost_each "$n" ask "$base/ramfs" "$n")
    "$fsload" seqwrite "$base/bare/blocks" 16 >/dev/null
    settle
    cost_line 'one empty FUSE request, there and back' "$request"
    cost_line 'the same question to the bare disk' "$(cost_each "$n" ask "$base/bare" "$n")"
    cost_line 'to another process and back by pipes, on one processor' \
        "$(cost_each "$n" pingpong 1 "$n")"
    cost_line 'the same on two processors' "$(cost_each "$n" pingpong 2 "$n")"
    cost_line '4 KiB write + fdatasync over existing blocks, on the bare disk' \
        "$(cost_each "$flushed" overwrite "$base/bare/blocks" "$flushed")"
    echo
    for row in "${wanted_rows[@]}"; do
        echo "$row,$(operations_of "$row"),${operation[$row]}"
    done | awk -v request="$request" -f "$here/cost.awk" - "$results" "$requests"
}
