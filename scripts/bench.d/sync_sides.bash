# The sides that are compared. Each keeps folders of two devices the same on this machine, over TCP
# on the loopback interface. A pair lives below a folder, $1 everywhere: $1/a and $1/b are the two
# folders. For each side NAME
#   start_NAME      makes the first device, and what it needs
#   join_NAME       the second one; returns when they are connected
#   pids_NAME       all processes of it
#   wire_NAME       bytes on the wire of device a so far, both ways, as its sockets count them
#   settle_NAME     waits until it has nothing left to do
#   stop_NAME       ends all

# The side "direct" is persist without a server: two devices that were paired.

sides=(persist syncthing)

# Ports that nothing listens on.
free_port() {
    local port
    while port=$((20000 + RANDOM % 20000)); do
        [[ -n $(ss -tlnH "sport = :$port") ]] || break
    done
    echo "$port"
}

# Waits until a command succeeds, at most @1 seconds.
wait_for() {
    local end=$((SECONDS + $1))
    while ! "${@:2}"; do
        [[ $SECONDS -lt $end ]] || { echo "bench: gave up after $1 s: ${*:2}" >&2 && return 1; }
        sleep 0.1
    done
}

# The process @1 and those below it.
with_children() {
    local child
    echo "$1"
    for child in $(pgrep -P "$1" || true); do
        with_children "$child"
    done
}

# Bytes that the connections of the processes @2... to the port @1 have carried, both ways. Those
# of a connection that was closed are lost: a row during which that happens is wrong.
socket_bytes() {
    local port=$1 users
    users=$(printf 'pid=%s,|' "${@:2}")
    ss -tinpHO "dport = :$port or sport = :$port" | grep -E "${users%|}" |
        grep -oE 'bytes_(sent|received):[0-9]+' | awk -F : '{ n += $2 } END { print n + 0 }'
}

# Ends the processes @..., by force after a while.
end_processes() {
    local i pid
    kill "$@" 2>/dev/null || true
    for ((i = 0; i < 100; i++)); do
        kill -0 "$@" 2>/dev/null || return 0
        sleep 0.1
    done
    for pid in "$@"; do
        kill -KILL "$pid" 2>/dev/null || true
    done
}

# ---- persist: server, two sync processes, two mounts ----

# Runs it as device @2.
persist_as() {
    PERSIST_HOME=$1/home.$2 "$persist" "${@:3}"
}

start_persist() {
    local top=$1 d
    mkdir -p "$top/a" "$top/b"
    PERSIST_HOME=$top/server "$persist" serve -f --listen 127.0.0.1:0 --data "$top/data" --rate 999999 \
        >"$top/serve.out" 2>"$top/serve.err" &
    echo $! >"$top/serve.pid"
    wait_for 10 grep -q 'ws://' "$top/serve.out"
    grep -o 'ws://[^ ]*' "$top/serve.out" >"$top/url"
    "$persist" user add bench --data "$top/data" >/dev/null
    for d in a b; do
        "$persist" token create --user bench --label "$d" --data "$top/data" >"$top/token.$d"
    done
    persist_as "$top" a p2p --listen off >/dev/null
    persist_as "$top" b p2p --listen off >/dev/null
    persist_as "$top" a mount "$top/a" >/dev/null
    persist_as "$top" a remote add "$(cat "$top/url")" "$top/a" --token-file "$top/token.a" |
        sed -n 's/^passphrase: //p' >"$top/passphrase"
    persist_as "$top" a sync --wait "$top/a"
}

join_persist() {
    local top=$1
    persist_as "$top" b clone "$(cat "$top/url")" "$top/b" --token-file "$top/token.b" \
        --passphrase-file "$top/passphrase" >/dev/null
}

pids_persist() {
    local file
    for file in "$1/serve.pid" "$1"/home.*/run/*.pid; do
        [[ ! -e $file ]] || with_children "$(cat "$file")"
    done
}

wire_persist() {
    local url
    url=$(cat "$1/url")
    socket_bytes "${url##*:}" "$(cat "$1/home.a/run/sync.pid")"
}

settle_persist() {
    local d
    for d in a b; do
        ! mountpoint -q "$1/$d" || persist_as "$1" "$d" sync --wait "$1/$d"
    done
}

stop_persist() {
    local d pids
    pids=$(pids_persist "$1" 2>/dev/null || true)
    for d in a b; do
        ! mountpoint -q "$1/$d" || PERSIST_HOME=$1/home.$d timeout 30 "$persist" unmount "$1/$d" ||
            fusermount3 -u -z "$1/$d" || true
    done
    # shellcheck disable=SC2086
    [[ -z $pids ]] || end_processes $pids
}

# ---- direct: two sync processes, two mounts ----

start_direct() {
    local top=$1 d
    mkdir -p "$top/a" "$top/b"
    for d in a b; do
        persist_as "$top" "$d" p2p --listen /ip4/127.0.0.1/tcp/0 --mdns off >/dev/null
    done
    persist_as "$top" a mount "$top/a" >/dev/null
}

# Has device a wait for another one; then the code and its address are in pair.out.
direct_invite() {
    : >"$1/pair.out"
    persist_as "$1" a pair "$1/a" >"$1/pair.out" &
    wait_for 10 grep -q '^address' "$1/pair.out"
}

direct_enter() {
    local code address
    code=$(sed -n 's/^code *//p' "$1/pair.out")
    address=$(sed -n 's/^address *//p' "$1/pair.out" | head -n 1)
    persist_as "$1" b pair "$code" "$1/b" --peer "$address" >/dev/null
}

join_direct() {
    direct_invite "$1"
    direct_enter "$1"
}

pids_direct() {
    local file
    for file in "$1"/home.*/run/*.pid; do
        [[ ! -e $file ]] || with_children "$(cat "$file")"
    done
}

wire_direct() {
    local port
    port=$(persist_as "$1" a p2p | grep -o '/tcp/[0-9]*' | head -n 1)
    socket_bytes "${port##*/}" "$(cat "$1/home.a/run/sync.pid")"
}

settle_direct() {
    settle_persist "$1"
}

stop_direct() {
    stop_persist "$1"
}

# ---- Syncthing: two instances ----

# Makes the keys of device @2.
syncthing_keys() {
    syncthing generate --home="$1/home.$2" --no-default-folder >"$1/keys.$2" 2>&1
    syncthing --home="$1/home.$2" --device-id >"$1/id.$2"
    free_port >"$1/gui.$2"
}

# Everything off that talks to others than the peer, everything on that makes it fast. A whole second
# is the least that this version takes for fsWatcherDelayS; 0 means 10.
syncthing_config() {
    local top=$1 d=$2 address=$3
    cat >"$top/home.$d/config.xml" <<END
<configuration version="36">
  <folder id="bench" label="bench" path="$top/$d" type="sendreceive" rescanIntervalS="0"
          fsWatcherEnabled="true" fsWatcherDelayS="1" ignorePerms="false" autoNormalize="true">
    <filesystemType>basic</filesystemType>
    <device id="$(cat "$top/id.a")"></device>
    <device id="$(cat "$top/id.b")"></device>
    <minDiskFree unit="%">0</minDiskFree>
    <pullerMaxPendingKiB>65536</pullerMaxPendingKiB>
    <scanProgressIntervalS>-1</scanProgressIntervalS>
    <maxConcurrentWrites>16</maxConcurrentWrites>
    <disableFsync>true</disableFsync>
    <copyRangeMethod>all</copyRangeMethod>
    <caseSensitiveFS>true</caseSensitiveFS>
  </folder>
  <device id="$(cat "$top/id.a")" name="a" compression="never">
    <address>tcp://127.0.0.1:$(cat "$top/port")</address>
  </device>
  <device id="$(cat "$top/id.b")" name="b" compression="never"><address>dynamic</address></device>
  <gui enabled="true" tls="false"><address>127.0.0.1:$(cat "$top/gui.$d")</address><apikey>bench</apikey></gui>
  <options>
    <listenAddress>$address</listenAddress>
    <globalAnnounceEnabled>false</globalAnnounceEnabled>
    <localAnnounceEnabled>false</localAnnounceEnabled>
    <relaysEnabled>false</relaysEnabled>
    <natEnabled>false</natEnabled>
    <stunKeepaliveStartS>0</stunKeepaliveStartS>
    <reconnectionIntervalS>1</reconnectionIntervalS>
    <startBrowser>false</startBrowser>
    <urAccepted>-1</urAccepted>
    <crashReportingEnabled>false</crashReportingEnabled>
    <autoUpgradeIntervalH>0</autoUpgradeIntervalH>
    <progressUpdateIntervalS>-1</progressUpdateIntervalS>
    <minHomeDiskFree unit="%">0</minHomeDiskFree>
    <setLowPriority>false</setLowPriority>
    <databaseTuning>large</databaseTuning>
  </options>
</configuration>
END
}

syncthing_run() {
    STNODEFAULTFOLDER=1 syncthing serve --home="$1/home.$2" --no-browser --no-restart \
        >"$1/$2.log" 2>&1 &
    echo $! >"$1/$2.pid"
    wait_for 30 syncthing_ask "$1" "$2" system/ping
}

# Asks device @2; what it says goes to stdout.
syncthing_ask() {
    curl -s -f -H 'X-API-Key: bench' "http://127.0.0.1:$(cat "$1/gui.$2")/rest/$3"
}

start_syncthing() {
    mkdir -p "$1/a" "$1/b"
    syncthing_keys "$1" a
    syncthing_keys "$1" b
    free_port >"$1/port"
    syncthing_config "$1" a "tcp://127.0.0.1:$(cat "$1/port")"
    syncthing_config "$1" b "tcp://127.0.0.1:$(free_port)"
    syncthing_run "$1" a >/dev/null
}

syncthing_connected() {
    syncthing_ask "$1" b system/connections | grep -q '"connected": true'
}

join_syncthing() {
    syncthing_run "$1" b >/dev/null
    wait_for 60 syncthing_connected "$1"
}

pids_syncthing() {
    local file
    for file in "$1"/[ab].pid; do
        [[ ! -e $file ]] || with_children "$(cat "$file")"
    done
}

wire_syncthing() {
    # shellcheck disable=SC2046
    socket_bytes "$(cat "$1/port")" $(with_children "$(cat "$1/a.pid")")
}

# Both have scanned, and need nothing of each other.
syncthing_is_idle() {
    local d status
    for d in a b; do
        [[ -e $1/$d.pid ]] || continue
        status=$(syncthing_ask "$1" "$d" 'db/status?folder=bench') || return 1
        grep -q '"state": "idle"' <<<"$status" && grep -q '"needTotalItems": 0,' <<<"$status" ||
            return 1
    done
}

settle_syncthing() {
    sleep 2 # what changed in the last second is not seen yet
    wait_for 900 syncthing_is_idle "$1"
}

stop_syncthing() {
    local pids
    pids=$(pids_syncthing "$1" 2>/dev/null || true)
    # shellcheck disable=SC2086
    [[ -z $pids ]] || end_processes $pids
}
