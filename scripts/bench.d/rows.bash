# What is measured. For each row: its title, its target (speed against the bare disk), prepare_ROW
# (not timed) and row_ROW (prints seconds). They work in $W, the folder of candidate $C, and in $D,
# a new folder in it for this row and repetition.
# The amounts make each row last at least 0.3 s on a bare disk that is fast.
#
# ext4 without a journal does not take the inodes of deleted files again for some minutes, and passes
# over each of them whenever it looks for a free one: a file then takes 250 us instead of 17. So
# nothing is removed before the end, what removes files is measured after what makes them, and what
# makes them does so in a part of the disk where nothing was deleted lately: see make_folder().

rows=(
    fsync4k create untar gitcommit gitstatus
    statcold statwarm lscold lswarm readcold rename
    sqlite save unlink
    seqwrite seqcold seqwarm randcold randwarm randwrite
)

declare -A title target
declare -A makes_files=([sqlite]=1 [save]=1 [create]=1 [untar]=1 [gitcommit]=1)
declare -A fastest # at making the files by which make_folder() decides
declare -A created # where the row "create" has made its files

set_sizes() {
    saves=1500 transactions=500 syncs=3000 small=20000 renamed=10000 copies=2 statuses=20
    big_mib=1024 cold_reads=5000 warm_reads=300000 writes=20000
    [[ -z $quick ]] ||
        saves=500 transactions=200 syncs=1000 small=5000 renamed=5000 copies=1 statuses=10 \
            big_mib=256 cold_reads=2000 warm_reads=100000 writes=5000
}

# What all candidates read: an archive of 5,000 files, most of them small.
make_shared() {
    local archive=$base/archive
    mkdir "$archive"
    "$fsload" create "$archive" 0 3500 1024 >/dev/null
    "$fsload" create "$archive" 3500 4500 8192 >/dev/null
    "$fsload" create "$archive" 4500 5000 40960 >/dev/null
    tar -C "$archive" -cf "$base/archive.tar" .
    local i
    for ((i = 0; i < transactions; i++)); do
        echo "insert into t(text) values('$i a line of a note');"
    done >"$base/transactions.sql"
}

# --- what rows share

# Makes $D for row @1. Where that is on a disk: in a folder in which files are made as fast as in the
# fastest one so far, of four at most. ext4 puts a folder in a part of the disk that its name decides,
# and files near their folder.
make_folder() {
    local i best='' took folder
    D=$W/$1.$R
    if [[ -n ${makes_files[$1]-} && " bare bindfs gocryptfs " == *" $C "* ]]; then
        for i in 1 2 3 4; do
            folder=$W/$1.$R.$RANDOM$RANDOM
            mkdir "$folder"
            took=$("$fsload" create "$folder" 0 1500 0)
            if is_less "$took" "${best:-9999}"; then best=$took D=$folder/work; fi
            if is_less "$took" "$(times 1.5 "${fastest[$C]:-0}")"; then break; fi
            if is_less "$took" "${fastest[$C]:-9999}"; then fastest[$C]=$took; fi
        done
    fi
    mkdir "$D"
}

is_less() { awk "BEGIN { exit !($1 < $2) }"; }
times() { awk "BEGIN { print $1 * $2 }"; }

# Makes the 1 KiB files of the rows that read them, once.
need_small() {
    [[ ! -d $W/small ]] || return 0
    mkdir "$W/small"
    "$fsload" create "$W/small" 0 "$small" 1024 >/dev/null
}

need_big() {
    [[ ! -e $W/big ]] || return 0
    "$fsload" seqwrite "$W/big" "$big_mib" >/dev/null
}

# A repository with nothing added yet, in the folder @1.
make_git() {
    git_in "$1" init
    tar -C "$1" -xf "$base/archive.tar"
}

need_git() {
    [[ ! -d $W/git ]] || return 0
    mkdir "$W/git"
    make_git "$W/git"
    git_in "$W/git" add -A
    git_in "$W/git" commit -m all
}

git_env=(
    env GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=bench GIT_AUTHOR_EMAIL=bench@localhost
    GIT_COMMITTER_NAME=bench GIT_COMMITTER_EMAIL=bench@localhost
)

git_in() {
    "${git_env[@]}" git -C "$1" -c gc.auto=0 "${@:2}" >/dev/null 2>&1
}

# Nothing of the candidate is in memory after this.
cold() {
    "unmount_$C"
    "mount_$C" >/dev/null # it goes to the background with what it was given
    drop_caches 3
}

# Times a command with cold caches.
row_cold() {
    cold
    "$fsload" "$@"
}

# --- many small durable writes

title[fsync4k]='4 KiB write + fsync in 16 MiB' target[fsync4k]=1.0
prepare_fsync4k() { "$fsload" seqwrite "$D/file" 16 >/dev/null; }
row_fsync4k() { "$fsload" randwrite "$D/file" "$syncs" 1; }

title[sqlite]='sqlite transactions' target[sqlite]=1.5
prepare_sqlite() { sqlite3 "$D/db" 'create table t(id integer primary key, text text);'; }
row_sqlite() { "$fsload" run "$D" sqlite3 db ".read $base/transactions.sql"; }

title[save]='editor save: new file, fsync, rename' target[save]=2.0
prepare_save() { :; }
row_save() { "$fsload" save "$D" "$saves" 2048; }

# --- many small files

title[create]='create small files, 1 KiB' target[create]=1.0
prepare_create() { created[$C,$R]=$D; }
row_create() { "$fsload" create "$D" 0 "$small" 1024; }

title[unlink]='unlink them' target[unlink]=1.0
prepare_unlink() {
    # What the row "create" has made, if it was run.
    D=${created[$C,$R]-$D}
    [[ -d $D/d0000 ]] || "$fsload" create "$D" 0 "$small" 1024 >/dev/null
}
row_unlink() { "$fsload" unlink "$D" "$small"; }

title[untar]='untar 5,000 files' target[untar]=1.0
prepare_untar() { (cd "$D" && seq "$copies" | xargs mkdir); }
row_untar() {
    "$fsload" run "$D" sh -c "for i in *; do tar -C \$i -xf $base/archive.tar || exit; done"
}

title[gitcommit]='git add + commit, 5,000 files' target[gitcommit]=1.0
prepare_gitcommit() { make_git "$D"; }
row_gitcommit() {
    "${git_env[@]}" "$fsload" run "$D" sh -c 'git -c gc.auto=0 add -A &&
        git -c gc.auto=0 commit -q -m all'
}

title[gitstatus]='git status' target[gitstatus]=0.7
prepare_gitstatus() {
    need_git
    git_in "$W/git" status
}
row_gitstatus() {
    "${git_env[@]}" "$fsload" run "$W/git" sh -c \
        "for i in \$(seq $statuses); do git status || exit; done"
}

title[rename]='rename and back' target[rename]=0.35
prepare_rename() { need_small; }
row_rename() { "$fsload" rename "$W/small" "$renamed" 2; }

# --- looking around

title[statcold]='stat, cold' target[statcold]=0.6
prepare_statcold() { need_small; }
row_statcold() { row_cold stat "$W/small" "$small" 1; }

title[statwarm]='stat, warm' target[statwarm]=0.9
prepare_statwarm() {
    need_small
    "$fsload" stat "$W/small" "$small" 1 >/dev/null
}
row_statwarm() { "$fsload" stat "$W/small" "$small" 15; }

title[lscold]='ls -lR, cold' target[lscold]=0.6
prepare_lscold() { need_small; }
row_lscold() { row_cold run "$W/small" ls -lR; }

title[lswarm]='ls -lR, warm' target[lswarm]=0.5
prepare_lswarm() {
    need_small
    ls -lR "$W/small" >/dev/null
}
row_lswarm() { "$fsload" run "$W/small" sh -c 'for i in 1 2 3; do ls -lR; done'; }

title[readcold]='read all small files, cold' target[readcold]=0.8
prepare_readcold() { need_small; }
row_readcold() { row_cold read "$W/small" "$small" 1; }

# --- one big file

title[seqwrite]='sequential write + fsync' target[seqwrite]=0.5
prepare_seqwrite() { rm -f "$W/big"; }
row_seqwrite() { "$fsload" seqwrite "$W/big" "$big_mib"; }

title[seqcold]='sequential read, cold' target[seqcold]=0.8
prepare_seqcold() { need_big; }
row_seqcold() { row_cold seqread "$W/big" 1; }

title[seqwarm]='sequential read, warm' target[seqwarm]=0.75
prepare_seqwarm() {
    need_big
    "$fsload" seqread "$W/big" 1 >/dev/null
}
row_seqwarm() { "$fsload" seqread "$W/big" 4; }

title[randcold]='random 4 KiB read, cold' target[randcold]=0.75
prepare_randcold() { need_big; }
row_randcold() { row_cold randread "$W/big" "$cold_reads"; }

title[randwarm]='random 4 KiB read, warm' target[randwarm]=0.92
prepare_randwarm() { prepare_seqwarm; }
row_randwarm() { "$fsload" randread "$W/big" "$warm_reads"; }

title[randwrite]='random 4 KiB write, one fsync' target[randwrite]=0.75
prepare_randwrite() { need_big; }
row_randwrite() { "$fsload" randwrite "$W/big" "$writes" 0; }
