# What the scripts that measure share. Set `name`, then source it from the root of the checkout.
# shellcheck shell=bash

say() { printf '%s: %s\n' "${name:?}" "$*" >&2; }
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
  # shellcheck disable=SC2086 # SEAWALL_ARGS is a list of words
  "${run[@]}" "$node" dev --data "$dir/data" --listen 127.0.0.1:0 --admin 127.0.0.1:0 ${SEAWALL_ARGS:-} \
    >"$dir/node.log" 2>&1 &
  pid=$!
  local _
  for _ in {1..300}; do
    address=$(sed -n 's/.*listening on \([0-9.]*:[0-9]*\).*/\1/p' "$dir/node.log" | head -n 1)
    [[ -z $address ]] || return 0
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
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

# For the trap: a node that still runs, and the directory if it was made here.
clean_up() {
  if [[ -n $pid ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
  if [[ -n $made ]]; then rm -rf "$made"; fi
}

# Ticks of CPU that a process has used, its kernel time included.
ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

# For jq: numbers over rounds, and how they are shown.
jq_stats='
  def median: sort | if length % 2 == 1 then .[length / 2 | floor] else (.[length / 2 - 1] + .[length / 2]) / 2 end;
  def spread: map(select(. != null)) | if length == 0 then null else {median: median, min: min, max: max} end;
  def n: if . == null then "-" elif (. | fabs) >= 100 then (round | tostring) else (. * 100 | round / 100 | tostring) end;
  def s: if . == null then "-" else "\(.median | n) (\(.min | n)-\(.max | n))" end;'
