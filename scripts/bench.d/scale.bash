# What must not grow with the size of the folder or the file; persist alone.

scale_line() {
    printf '%-46s %12s %12s   %8s   %s\n' "$@"
}

ratio_of() {
    awk "BEGIN { printf \"%.2f\", $2 / $1 }"
}

# Creating and looking up 10,000 files, with @1 of them there before. Prints both times.
create_and_lookup() {
    local n=$1 dir=$2 created looked
    created=$("$fsload" create "$dir" "$n" $((n + 10000)) 1024)
    settle >&2
    # The kernel must ask, the disk need not be read.
    "$fsload" lookup "$dir" $((n + 10000)) 100 >/dev/null
    ! can_drop_caches || drop_caches 2
    looked=$("$fsload" lookup "$dir" $((n + 10000)) 100)
    echo "$created $looked"
}

scale_files() {
    local many=$1 dir=$base/persist/many few_times many_times
    mkdir "$dir"
    few_times=$(create_and_lookup 0 "$dir")
    say "creating $many files"
    "$fsload" create "$dir" 10000 $((many - 10000)) 1024 >/dev/null
    settle
    many_times=$(create_and_lookup $((many - 10000)) "$dir")
    say ''
    local few many_
    read -ra few <<<"$few_times"
    read -ra many_ <<<"$many_times"
    scale_line "create 10,000 files: s, empty and at $many" "${few[0]}" "${many_[0]}" \
        "$(ratio_of "${few[0]}" "${many_[0]}")" '<= 1.3'
    scale_line "look up 10,000 files: s, at 10,000 and $many" "${few[1]}" "${many_[1]}" \
        "$(ratio_of "${few[1]}" "${many_[1]}")" '<= 1.3'
}

scale_write() {
    local what=$1 small_time big_time i smalls=() bigs=()
    for i in 1 2 3; do
        smalls+=("$("$fsload" "$what" "$base/persist/10M" 2000 1)")
        settle
        bigs+=("$("$fsload" "$what" "$base/persist/big" 2000 1)")
        settle
    done
    small_time=$(printf '%s\n' "${smalls[@]}" | sort -n | sed -n 2p)
    big_time=$(printf '%s\n' "${bigs[@]}" | sort -n | sed -n 2p)
    scale_line "$what 4 KiB + fsync, 2,000: s, 10 MiB and $big_size" "$small_time" "$big_time" \
        "$(ratio_of "$small_time" "$big_time")" '<= 1.3'
}

scale_big_file() {
    local mib=$1 took
    big_size="$((mib / 1024)) GiB"
    say "writing $big_size"
    "$fsload" seqwrite "$base/persist/10M" 10 >/dev/null
    took=$("$fsload" seqwrite "$base/persist/big" "$mib")
    say ''
    scale_line "write $big_size: s, MiB/s" "$took" "$(awk "BEGIN { printf \"%.0f\", $mib / $took }")" - -
    scale_line "memory after it: MiB, now and settled" "$(persist_memory)" \
        "$(settle && persist_memory)" - '< 100'
    scale_write append
    scale_write randwrite
}

scale_memory() {
    local n=$1 dir=$base/persist/walked before
    mkdir "$dir"
    "$fsload" create "$dir" 0 "$n" 1024 >/dev/null
    unmount_persist
    mount_persist
    before=$(persist_memory)
    "$fsload" run "$dir" ls -lR >/dev/null
    "$fsload" read "$dir" "$n" 1 >/dev/null
    scale_line "memory, $n files: MiB, mounted and all read" "$before" "$(persist_memory)" - '< 100'
}

scale_idle() {
    local before
    settle
    sleep 2
    before=$(persist_cpu)
    sleep 10
    scale_line 'processor time of the idle mount: s in 10 s' \
        "$(awk "BEGIN { printf \"%.2f\", $(persist_cpu) - $before }")" - - 0
}

scale_all() {
    local files=1000000 walked=100000 big=10240
    [[ -z $quick ]] || files=100000 walked=20000 big=1024
    scale_memory "$walked"
    scale_big_file "$big"
    scale_idle
    scale_files "$files"
    scale_line "memory after it: MiB" "$(persist_memory)" - - -
}
