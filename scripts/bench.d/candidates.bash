# What is measured: for each candidate NAME, its folder is $base/NAME, and
#   make_NAME      what is done once
#   mount_NAME     makes $base/NAME usable
#   unmount_NAME   takes the mount away; everything is on disk or in the page cache then
# All but ramfs lie on the same disk; bindfs and gocryptfs run as their packages set them up. ramfs is
# the ceiling: a FUSE file system without any storage (ramfs.c). Unmounted it would be empty.

candidates=(bare persist bindfs gocryptfs ramfs)

make_bare() {
    spread "$base/bare"
}
mount_bare() { :; }
unmount_bare() { :; }

make_persist() {
    export PERSIST_HOME=$base/home
}

mount_persist() {
    "$persist" mount "$base/persist"
}

unmount_persist() {
    ! mountpoint -q "$base/persist" || timeout 300 "$persist" unmount "$base/persist"
}

# At the end, whatever state it is in: what it holds is thrown away.
discard_persist() {
    local pid pids
    pids=$(persist_pids 2>/dev/null || true)
    timeout 20 "$persist" unmount "$base/persist" 2>/dev/null && return
    fusermount3 -u -z "$base/persist" 2>/dev/null || true
    for pid in $pids; do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

make_bindfs() {
    mkdir "$base/bindfs.source"
    spread "$base/bindfs.source"
}

mount_bindfs() {
    bindfs "$base/bindfs.source" "$base/bindfs"
}

unmount_bindfs() {
    unmount_and_wait bindfs
}

make_gocryptfs() {
    mkdir "$base/gocryptfs.source"
    spread "$base/gocryptfs.source"
    echo bench >"$base/gocryptfs.password"
    gocryptfs -q -nosyslog -init -passfile "$base/gocryptfs.password" -scryptn 10 "$base/gocryptfs.source"
}

mount_gocryptfs() {
    gocryptfs -q -nosyslog -passfile "$base/gocryptfs.password" "$base/gocryptfs.source" "$base/gocryptfs"
}

unmount_gocryptfs() {
    unmount_and_wait gocryptfs
}

make_ramfs() { :; }

mount_ramfs() {
    # Memory in large pages, where it can be had.
    GLIBC_TUNABLES=glibc.malloc.hugetlb=1 "$ramfs" "$base/ramfs"
}

unmount_ramfs() {
    unmount_and_wait ramfs
}

# A lazy unmount would let the old process work on beside the measurements.
unmount_and_wait() {
    local i
    for ((i = 0; i < 50; i++)); do
        mountpoint -q "$base/$1" || return 0
        fusermount3 -u "$base/$1" 2>/dev/null || sleep 0.1
    done
    return 1
}

# The processes that serve the persist mount: the one of the pid file and its children.
persist_pids() {
    local pid
    pid=$(cat "$base"/home/run/mount-*.pid)
    echo "$pid $(pgrep -P "$pid" -d ' ' || true)"
}

# Seconds of processor time that they have used.
persist_cpu() {
    local pid
    for pid in $(persist_pids); do
        sed 's/.*) //' "/proc/$pid/stat"
    done | awk -v hz="$(getconf CLK_TCK)" '{ t += $12 + $13 } END { print t / hz }'
}

# Resident memory in MiB.
persist_memory() {
    local pid
    for pid in $(persist_pids); do
        grep VmRSS "/proc/$pid/status"
    done | awk '{ kb += $2 } END { printf "%.1f\n", kb / 1024 }'
}

# Waits until everything is on disk and the persist process has nothing left to do, so that no
# candidate pays for another one's work: a big file may be under publication for a minute.
settle() {
    local before i
    sync -f "$base"
    [[ " ${candidates[*]} " == *' persist '* ]] || return 0
    for ((i = 0; i < 900; i++)); do
        if "$persist" status "$base/persist" 2>/dev/null | grep -q 'pending *nothing'; then
            # The question itself costs time, so it is not between the two looks.
            before=$(persist_cpu)
            sleep 0.2
            if [[ $before == "$(persist_cpu)" ]]; then break; fi
        else
            sleep 0.2
        fi
    done
    sync -f "$base"
}
