# What the scripts that measure share. Set `name`, then source it from the root of the checkout.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

target=${CARGO_TARGET_DIR:-target}
# What every process that is measured is started with.
run=()
# Removed at the end, if it was made here.
made=
pid=

# Everything that measures runs under `chrt -r 1`, so that others disturb it less.
be_realtime() {
  [[ $(id -u) -eq 0 ]] || die "--realtime needs root"
  command -v chrt >/dev/null || die "--realtime needs chrt"
  run=(chrt -r 1)
}

# fresh_dir DIR INVOKED_IN: `dir` is an empty directory; DIR, or a new one under the target directory.
fresh_dir() {
  dir=$1
  if [[ -z $dir ]]; then
    mkdir -p "$target"
    made=$(mktemp -d "$(realpath "$target")/$name.XXXXXX")
    dir=$made
  else
    [[ $dir == /* ]] || dir=$2/$dir
    mkdir -p "$dir"
    [[ -z $(ls -A "$dir") ]] || die "$dir is not empty: name a fresh directory"
  fi
}

# build_node true|false: `node` and `load` are the release binaries, built before if so.
build_node() {
  if $1; then cargo build --release -p seawall-node -p seawall-bench >&2; fi
  node=$target/release/seawall load=$target/release/seawall-bench
  [[ -x $node && -x $load ]] || die "no binaries in $target/release: run without --no-build"
}

# `pid` is a node on $dir/data, and `address` where it listens.
start_node() {
  : >"$dir/node.log" # an earlier node's address would be taken for this one's
  # shellcheck disable=SC2086 # SEAWALL_ARGS is a list of words
  "${run[@]}" "$node" dev --data "$dir/data" --listen 127.0.0.1:0 --admin 127.0.0.1:0 ${SEAWALL_ARGS:-} \
    >"$dir/node.log" 2>&1 &
  pid=$!
  local _
  for _ in {1..1500}; do
    address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$dir/node.log" | head -n 1)
    [[ -z $address ]] || return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.02
  done
  cat "$dir/node.log" >&2
  die "the node does not serve"
}

stop_node() {
  local code=0
  kill -TERM "$pid" 2>/dev/null || die "the node is gone: $(tail -n 5 "$dir/node.log")"
  wait "$pid" || code=$?
  pid=
  ((code == 0)) || die "the node ended with $code after SIGTERM: $(tail -n 5 "$dir/node.log")"
}

# The node is gone without a word, and its port and files are free again.
kill_node() {
  kill -KILL "$pid"
  wait "$pid" 2>/dev/null || true
  pid=
  sleep 0.5 # the kernel takes an io_uring down after the process
}

# For the trap: a node that still runs, and the directory if it was made here.
clean_up() {
  if [[ -n $pid ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
  if [[ -n $made ]]; then rm -rf "$made"; fi
}

# Ticks of CPU that a process has used, its kernel time included.
ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# Around each measurement: BEFORE and AFTER are commands that stop and go on what else runs on the machine.
measuring=false
before() { measuring=true; ${BEFORE:-true}; }
after() { ${AFTER:-true}; measuring=false; }

# One busy loop for each CPU.
hog_pids=()
start_hogs() {
  local _
  for _ in $(seq "$(nproc)"); do
    (while :; do :; done) &
    hog_pids+=($!)
  done
}
stop_hogs() {
  local pid
  for pid in "${hog_pids[@]}"; do
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  hog_pids=()
}

# The kernel's tracepoints can be reached, if that is allowed; true then. `mounted` is for `forget_tracefs` at the end.
mounted=false
reach_tracefs() {
  [[ ! -d /sys/kernel/tracing/instances ]] || return 0
  [[ $(id -u) -eq 0 ]] && mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null || return 1
  mounted=true
  say "tracefs is mounted on /sys/kernel/tracing for this run"
}
forget_tracefs() { if $mounted; then umount /sys/kernel/tracing || true; fi; }

# The four ways to make one write durable: name, fio's engine, how.
fio_ways=(
  "pwritev2 dsync|pvsync2|--sync=dsync"
  "ring dsync|io_uring|--sync=dsync"
  "ring write, fdatasync|io_uring|--fdatasync=1"
  "pwrite, fdatasync|psync|--fdatasync=1"
)
# one_at_a_time FILE SECONDS BYTES ARGUMENTS: fio's own JSON, of single operations on a file that is there.
one_at_a_time() {
  local file=$1 seconds=$2 bytes=$3
  shift 3
  # shellcheck disable=SC2086 # FIO_ARGS is a list of words
  "${run[@]}" fio --name=flush --filename="$file" --bs="$bytes" --direct=1 --overwrite=1 --fallocate=none --time_based \
    --runtime="$seconds" --iodepth=1 --lat_percentiles=1 --clat_percentiles=0 --output-format=json "$@" ${FIO_ARGS:-}
}
# For jq: what fio says of single durable writes. A write and its flush are two steps, whose percentiles are added.
jq_fio='
  def commit(p): ((.write.lat_ns.percentile[p] + (.sync.lat_ns.percentile[p] // 0)) / 1e3);'

# For jq: numbers over rounds, and how they are shown.
jq_stats='
  def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
  def spread: map(select(. != null)) | if length == 0 then null else {median: median, min: min, max: max} end;
  def n: if . == null then "-" elif (. | fabs) >= 100 then (round | tostring) else (. * 100 | round / 100 | tostring) end;
  def s: if . == null then "-" else "\(.median | n) (\(.min | n)-\(.max | n))" end;'
