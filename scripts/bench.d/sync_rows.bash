# What is measured. For each row NAME the function row_NAME does the work on side $S, whose pair is
# below $W, in repetition $R, and reports with "found METRIC VALUE". Sizes are set by set_sizes().

rows=(idle save many memory move big overwrite insert bulk clone pair reconnect)

# METRIC|what it is|how persist is judged: at most, at least, or by its ratio to Syncthing|bound
metrics='
idle_cpu|processor time in a minute of nothing, ms|max|20
idle_wire|bytes on the wire in that minute|-|
save_p50|2 KB note, save to visible, p50, ms|max|5
save_p95|the same, p95, ms|max|20
save_bad|looks at it missing, empty or mixed, in 100 saves|max|0
many_rate|small files of 4 KiB, files/s|ratio_min|8
many_cpu|the same, processor seconds of all processes|ratio_max|0.333
memory|memory of the largest process with them, MiB|max|60
move_wire|their folders renamed, bytes on the wire|max|4096
move_ms|the same, ms|max|100
big_rate|a big file of random bytes, MB/s|ratio_min|3
big_cpu|the same, processor seconds of all processes|-|
over_wire|one byte of it overwritten, bytes on the wire|max|307200
over_ms|the same, close to visible, ms|max|200
insert_wire|one byte inserted at its start, bytes on the wire|max|1048576
insert_ms|the same, ms|max|10000
bulk_p95|save to visible while a big file syncs, p95, ms|max|100
clone_rate|a new device with many small files, files/s|min|5000
clone_memory|the same, peak memory of the largest process, MiB|max|300
pair_ms|from typing a code to the first file readable, ms|max|2000
reconnect_ms|from the cut of a connection to the next save visible, ms|max|1000
'

set_sizes() {
    saves=200 gap_ms=100 idle_s=60 many=10000 big_mib=1024
    files=${files_given:-100000} bulk_mib=${bulk_given:-2048}
    if [[ -n $quick ]]; then
        saves=40 gap_ms=50 idle_s=10 many=1000 big_mib=64
        files=${files_given:-2000} bulk_mib=${bulk_given:-256}
    fi
}

# Nanoseconds that the processes of the side have run, each of their threads counted.
cpu_ns() {
    local pid
    for pid in $("pids_$S" "$W"); do
        cat "/proc/$pid"/task/*/schedstat 2>/dev/null || true
    done | awk '{ ns += $1 } END { printf "%.0f\n", ns }'
}

# The largest of a field of /proc/PID/status over all processes, in MiB.
largest() {
    local pid
    for pid in $("pids_$S" "$W"); do
        grep "^$1:" "/proc/$pid/status" || true
    done | awk '$2 > kb { kb = $2 } END { printf "%.1f\n", kb / 1024 }'
}

calc() {
    awk "BEGIN { printf \"%.3f\\n\", $1 }"
}

settle() {
    "settle_$S" "$W"
}

wire() {
    "wire_$S" "$W"
}

# Seeds of what is written: never the same twice.
seed() {
    echo $((RANDOM << 45 | RANDOM << 30 | RANDOM << 15))
}

row_idle() {
    local cpu sent
    settle
    sleep 5 # what is done once after work
    cpu=$(cpu_ns) sent=$(wire)
    sleep "$idle_s"
    found idle_cpu "$(calc "($(cpu_ns) - $cpu) / 1e6 * 60 / $idle_s")"
    found idle_wire "$(calc "($(wire) - $sent) * 60 / $idle_s")"
}

row_save() {
    local p50 p95 bad n=$saves
    # One that takes seconds for each is not waited for so often.
    [[ $S != syncthing ]] || n=$((saves / 10))
    read -r p50 p95 _ bad < <("$syncload" saves "$W/a" "$W/b" note.md "$n" 2048 "$gap_ms")
    found save_p50 "$p50"
    found save_p95 "$p95"
    found save_bad "$(calc "$bad * 100 / $n")"
}

row_many() {
    local took cpu number
    number=$(seed)
    mkdir "$W/a/many$R"
    wait_for 60 test -d "$W/b/many$R"
    settle
    cpu=$(cpu_ns)
    read -r took _ < <("$syncload" files "$W/a/many$R" "$W/b/many$R" "$many" 4096 "$number")
    settle
    found many_rate "$(calc "$many / $took")"
    found many_cpu "$(calc "($(cpu_ns) - $cpu) / 1e9")"
    "$syncload" check "$W/b/many$R" "$many" 4096 "$number"
}

# The folder of small files that the next rows need.
need_many() {
    [[ -d $W/a/many0 ]] || R=0 mute=1 row_many
}

row_memory() {
    need_many
    settle
    found memory "$(largest VmRSS)"
}

row_move() {
    local sent ms
    need_many
    settle
    sent=$(wire)
    ms=$("$syncload" move "$W/a" "$W/b" many0 renamed)
    found move_ms "$ms"
    settle
    found move_wire "$(($(wire) - sent))"
    "$syncload" move "$W/a" "$W/b" renamed many0 >/dev/null
}

row_big() {
    local took cpu
    settle
    cpu=$(cpu_ns)
    read -r took _ < <("$syncload" big "$W/a" "$W/b" "big$R" "$big_mib" "$(seed)")
    found big_rate "$(calc "$big_mib * 1.048576 / $took")"
    settle
    found big_cpu "$(calc "($(cpu_ns) - $cpu) / 1e9")"
    "$syncload" same "$W/a" "$W/b" "big$R"
    [[ $R == 0 ]] || rm "$W/a/big$R"
}

need_big() {
    [[ -e $W/a/big0 ]] || R=0 mute=1 row_big
}

row_overwrite() {
    local sent ms
    need_big
    settle
    sent=$(wire)
    ms=$("$syncload" overwrite "$W/a" "$W/b" big0 $((big_mib * 500000 + R)))
    found over_ms "$ms"
    settle
    found over_wire "$(($(wire) - sent))"
}

row_insert() {
    local sent ms
    need_big
    settle
    sent=$(wire)
    ms=$("$syncload" insert "$W/a" "$W/b" big0)
    found insert_ms "$ms"
    settle
    found insert_wire "$(($(wire) - sent))"
}

row_bulk() {
    local p95 pid n=40
    [[ $S != syncthing ]] || n=6
    settle
    "$syncload" big "$W/a" "$W/b" "bulk$R" "$bulk_mib" "$(seed)" >/dev/null &
    pid=$!
    sleep 1
    read -r _ p95 _ < <("$syncload" saves "$W/a" "$W/b" bulk.md "$n" 2048 "$gap_ms")
    kill -0 "$pid" 2>/dev/null || echo "bench: bulk: the big file was done before the notes were" >&2
    found bulk_p95 "$p95"
    wait "$pid"
    rm "$W/a/bulk$R"
}

# A pair of its own: the second device joins when the first one has everything.
row_clone() {
    local took start number
    W=$base/$S-clone$R
    number=$(seed)
    mkdir "$W"
    "start_$S" "$W"
    "$syncload" make "$W/a" "$files" 4096 "$number"
    settle
    start=$EPOCHREALTIME
    "join_$S" "$W"
    "$syncload" await "$W/b" "$files" 4096 "$number" >/dev/null
    took=$(calc "$EPOCHREALTIME - $start")
    found clone_rate "$(calc "$files / $took")"
    found clone_memory "$(largest VmHWM)"
    settle
    "$syncload" check "$W/b" "$files" 4096 "$number"
    "stop_$S" "$W"
    rm -rf --one-file-system "$W"
}

# Devices that meet by a code, and then one that has lost the other: of the side "direct" alone.
row_pair() {
    local start pid
    [[ $S == direct ]] || return 0
    W=$base/$S-pair$R
    mkdir "$W"
    start_direct "$W"
    echo first >"$W/a/first.md"
    direct_invite "$W"
    start=$EPOCHREALTIME
    direct_enter "$W" &
    pid=$!
    wait_until_has "$W/b/first.md" first
    found pair_ms "$(calc "($EPOCHREALTIME - $start) * 1000")"
    wait "$pid"
    stop_direct "$W"
    rm -rf --one-file-system "$W"
}

# Looks again at once, without a process, for 30 seconds.
wait_until_has() {
    local line='' end=$((SECONDS + 30))
    until { read -r line <"$1"; } 2>/dev/null && [[ $line == "$2" ]]; do
        [[ $SECONDS -lt $end ]] || { echo "bench: $1 is not there" >&2 && return 1; }
    done
}

row_reconnect() {
    local start port
    [[ $S == direct ]] || return 0
    settle
    sleep 6 # a connection that was a good one
    port=$(persist_as "$W" a p2p | grep -o '/tcp/[0-9]*' | head -n 1)
    port=${port##*/}
    start=$EPOCHREALTIME
    ss -K -t "( sport = :$port or dport = :$port )" >/dev/null
    echo "cut $R" >"$W/a/cut.md"
    wait_until_has "$W/b/cut.md" "cut $R"
    found reconnect_ms "$(calc "($EPOCHREALTIME - $start) * 1000")"
}
