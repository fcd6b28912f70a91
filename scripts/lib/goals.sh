# The cells of bench-goals: each starts what it needs, measures, and writes down what it found.
# shellcheck shell=bash

# redis_at WORK CONNECTIONS PIPELINE: what Redis makes of the same a second; it is started when it is needed first.
redis_at() { connections=$2 pipeline=$3 measure redis "$1" "$seconds" | jq .rate; }
need_redis() {
  if $redis && [[ -z ${peer_pid[redis]:-} ]]; then start_redis; fi
  $redis
}

cell_qd1() {
  fresh_node
  local put write trip
  before
  trip=$("${run[@]}" "$load" echo --seconds "$seconds" --json | jq .p50_us)
  put=$(loaded put 1 1 "$seconds" | jq .p50_us)
  if $fio; then write=$(best_of_fio 4096 "$seconds"); fi
  after
  finding value "loopback round trip, p50 us" "$trip"
  if ! $fio; then return; fi
  finding value "durable write of 4 KiB by fio, p50 us" "$(jq .p50_us <<<"$write")"
  if is_at_ticks "$(jq .p50_us <<<"$write")"; then return; fi
  finding more "put 1x1, p50 us" "$put" "$(jq -n "$trip + $(jq .p50_us <<<"$write")")" \
    "a round trip and $(jq -r .name <<<"$write")" most 40
}

cell_log() {
  $fio || return 0
  local result batch depth least measured against what with=()
  if $realtime; then with=(--realtime); fi
  for batch in 4 16 64 256; do
    before
    result=$(BATCHES=${batch}k scripts/bench-log --json --rounds 1 --no-build "${with[@]}" --dir "$dir/log" "$seconds") ||
      die "bench-log failed"
    after
    least=0.90
    if ((batch == 4)); then least=0.85; fi
    for depth in 1 2; do
      IFS=$'\t' read -r measured against what < <(of_log "$depth" '[.cells.mb_per_s.median, .cells.mb_per_s.median / .against_fio.x_f.median,
        .against_fio.best] | @tsv' <<<"$result") || die "bench-log compared nothing: $result"
      finding ratio "log alone, $batch KiB, $depth under way, MB/s" "$measured" "$against" "$what" least "$least"
    done
    measured=$(of_log 1 .cells.device.median <<<"$result")
    least=1.15
    if ((batch < 32)); then least=null; fi
    if [[ $measured != null ]]; then
      finding value "log alone, $batch KiB, bytes of the device for a sealed one" "$measured" null "" most "$least"
    fi
    if ((batch == 4)) && ! is_at_ticks "$(of_log 1 '.cells.p50_us.median - .against_fio.p50_more_us.median' <<<"$result")"; then
      IFS=$'\t' read -r measured against what < <(of_log 1 '[.cells.p50_us.median, .cells.p50_us.median - .against_fio.p50_more_us.median,
        .against_fio.best] | @tsv' <<<"$result")
      finding more "log alone, 4 KiB, p50 us" "$measured" "$against" "$what" most 15
    fi
  done
}
# of_log DEPTH FILTER: of what bench-log says of one batch size, the rows of the log with so many batches under way.
of_log() {
  jq -r --arg name "log, $1 under way" "[.cells, .against_fio] | map(map(select(.name == \$name))[0])
    | {cells: .[0], against_fio: .[1]} | $2"
}

cell_commits() {
  fresh_node
  fill
  need_redis || true
  local shape connections pipeline result rate lua set
  for shape in 64x1 256x1 16x16 16x64; do
    connections=${shape%x*} pipeline=${shape#*x}
    before
    result=$(loaded conditional "$connections" "$pipeline" "$seconds")
    after
    rate=$(jq .rate <<<"$result")
    case $shape in
      64x1 | 256x1)
        finding value "conditional $shape, a second" "$rate"
        if $redis; then
          before
          lua=$(redis_at conditional "$connections" 1) set=$(redis_at put "$connections" 1)
          after
          finding ratio "conditional $shape, a second, against Lua" "$rate" "$lua" "Redis, Lua compare-and-set" least 2
          finding ratio "conditional $shape, a second, against SET" "$rate" "$set" "Redis SET" least 1.5
        fi ;;
      16x16)
        finding value "conditional $shape, a second" "$rate" null "" least 450000
        if $redis; then
          before
          set=$(redis_at put 16 16)
          after
          finding ratio "conditional $shape, a second, against SET" "$rate" "$set" "Redis SET, pipelined alike" least 3
        fi ;;
      *) finding value "conditional $shape, a second" "$rate" null "" least 1000000 ;;
    esac
    case $shape in
      64x1) finding value "CPU of a conditional commit, $shape, us" "$(jq .cpu_us <<<"$result")" null "" most 11 ;;
      16x64) finding value "CPU of a conditional commit, $shape, us" "$(jq .cpu_us <<<"$result")" null "" most 1 ;;
      *) finding value "CPU of a conditional commit, $shape, us" "$(jq .cpu_us <<<"$result")" ;;
    esac
  done
  for pipeline in 1 2; do
    before
    result=$(loaded conditional 1 "$pipeline" "$seconds" --many 1000)
    after
    finding value "conditional in frames of 1000, $pipeline under way, a second" "$(jq .rate <<<"$result")" null "" least 1000000
    finding value "CPU of a conditional commit in such frames, $pipeline under way, us" "$(jq .cpu_us <<<"$result")"
  done
}

# count_enters SECONDS: of the first worker's thread.
count_enters() {
  local thread
  for thread in /proc/"$pid"/task/*; do
    if [[ $(<"$thread/comm") == seawall-w0 ]]; then break; fi
  done
  perf stat -x ' ' -o "$dir/perf.txt" -e syscalls:sys_enter_io_uring_enter -t "${thread##*/}" -- sleep "$1" >/dev/null
  awk '/io_uring_enter/ { print $1 }' "$dir/perf.txt"
}
cell_enters() {
  if ! command -v perf >/dev/null || ! reach_tracefs; then
    say "SKIPPED: enters: perf (Debian's linux-perf) and, as root, tracefs are needed"
    return
  fi
  fresh_node
  if ! grep -q '^driver  *ring' "$dir/node.log"; then say "SKIPPED: enters: the node runs without io_uring"; return; fi
  fill
  local enters records
  before
  loaded_meanwhile observe_enters -- conditional 64 1 $((seconds + 2))
  after
  read -r enters records <"$dir/enters.txt"
  finding value "kernel entries of the worker for a commit, 64x1" "$(jq -n "$enters / $records")" null "" most 0.12
}
# The window of the records is longer than that of the entries by what two looks at the metrics take.
observe_enters() {
  local begin end enters
  begin=$(snapshot)
  enters=$(count_enters "$seconds")
  end=$(snapshot)
  echo "$enters $(jq -n --argjson a "$begin" --argjson b "$end" '$b.records - $a.records')" >"$dir/enters.txt"
}

cell_hogs() {
  fresh_node
  fill
  local quiet busy
  before
  quiet=$(loaded conditional 64 1 "$seconds")
  start_hogs
  busy=$(loaded conditional 64 1 "$seconds")
  stop_hogs
  after
  finding ratio "conditional 64x1 beside a busy loop on each CPU, a second" "$(jq .rate <<<"$busy")" "$(jq .rate <<<"$quiet")" "quiet" least 0.5
  finding ratio "p99 beside them, us" "$(jq .p99_us <<<"$busy")" "$(jq .p99_us <<<"$quiet")" "quiet"
  finding value "how far that p99 is from a tick of 4 ms, us" "$(jq '.p99_us - 4000 | fabs' <<<"$busy")" null "" least 250
}

# A log without checkpoints fills one segment after the other, so a new file tells that it rolled.
segments() { find "$dir/data" -name '*.seg' | wc -l; }
cell_tail() {
  local rate steady=() turn before_it window disturbed
  fresh_node --checkpoint-after 1048576
  fill
  # Beyond these bytes the log takes segments of 64 MiB, each of which lasts for seconds.
  while (($(snapshot | jq .log_bytes) < 150000000)); do keys=100 value_bytes=16384 loaded put 4 4 1 >/dev/null; done
  before
  rate=$(loaded conditional 64 1 "$seconds" | jq '.rate * 0.7 | floor')
  for turn in 1 2 3 4 5 6 7 8; do
    before_it=$(segments)
    window=$(loaded conditional 64 1 1 --rate "$rate")
    if (($(segments) == before_it)); then steady+=("$(jq .p999_us <<<"$window")"); fi
  done
  after
  if ((${#steady[@]} == 0)); then
    say "SKIPPED: tail: segments rolled in each window of 1 s, so there is no steady state to compare with"
    return
  fi
  # Segments are small while the log and its checkpoint are, so they roll several times a second.
  fresh_node --checkpoint-after 1
  fill
  before
  observe $((seconds + 1)) >"$dir/observed.json" &
  disturbed=$(loaded conditional 64 1 $((seconds + 1)) --rate "$rate")
  wait $!
  after
  if [[ $(jq .checkpoints "$dir/observed.json") != true ]]; then
    say "SKIPPED: tail: no checkpoint was made within $((seconds + 1)) s; give it more --seconds"
    return
  fi
  if (($(jq .behind <<<"$disturbed") > 0)); then say "tail: not all that was due was sent, so p99.9 is worse than what is told"; fi
  finding ratio "p99.9 at 70 % of the rate, rolls and folds, us" "$(jq .p999_us <<<"$disturbed")" \
    "$(printf '%s\n' "${steady[@]}" | jq -s 'sort | .[length / 2 | floor]')" "without, median of ${#steady[@]} windows" most 2
}

cell_stream() {
  local kib pipeline observed write batch
  for kib in 1 16; do
    pipeline=$((kib == 1 ? 64 : 16)) # more bytes under way than this and the node throttles
    fresh_node
    before
    value_bytes=$((kib * 1024)) keys=$((100000 / kib)) loaded_meanwhile observe "$seconds" -- put 16 "$pipeline" $((seconds + 2)) >"$dir/observed.json"
    observed=$(<"$dir/observed.json")
    # In whole blocks, as the log writes them.
    batch=$(jq '.log_bytes / .log_writes / 4096 | ceil * 4096' <<<"$observed")
    if $fio; then write=$(best_of_fio "$batch" "$seconds"); fi
    after
    if $fio; then
      finding ratio "stream of $kib KiB values, MB/s of the log" "$(jq '.log_bytes / .seconds / 1e6' <<<"$observed")" \
        "$(jq .mb_per_s <<<"$write")" "$(jq -r .name <<<"$write"), $((batch / 1024)) KiB" least 0.8
    fi
    finding value "stream of $kib KiB values, KiB of a batch" $((batch / 1024))
    if [[ $(jq .device_bytes <<<"$observed") != null ]]; then
      finding value "device bytes for a sealed byte, $kib KiB values over TCP" "$(jq '.device_bytes / .log_bytes' <<<"$observed")" \
        null "" most 1.15
    fi
  done
}

cell_gets() {
  fresh_node
  fill
  need_redis || true
  local shape rate get=null
  for shape in 64x1 16x32; do
    before
    rate=$(loaded get "${shape%x*}" "${shape#*x}" "$seconds" | jq .rate)
    if $redis; then get=$(redis_at get "${shape%x*}" "${shape#*x}"); fi
    after
    if $redis; then
      finding ratio "linearizable get $shape, a second" "$rate" "$get" "Redis GET, pipelined alike" least 1
    else
      finding value "linearizable get $shape, a second" "$rate"
    fi
  done
}

# restarted ARGUMENTS: `took` is how many seconds passed from the start of the process until the last of a million rows
# was read.
restarted() {
  local begin=$EPOCHREALTIME
  again "$@"
  "$node" get bench/063/0039,00999999 --connect "$address" --json | jq -e .found >/dev/null || die "a row is gone"
  took=$(jq -n "$EPOCHREALTIME - $begin")
}
cell_restart() {
  local million=1000000 took behind until
  fresh_node --checkpoint-after 1048576
  keys=$million fill
  kill_node
  before
  restarted --checkpoint-after 1048576
  after
  finding value "from the start to a row, 1M records to replay, s" "$took"
  finding value "records replayed a second, the rest of the start included" "$(jq -n "$million / $took")" null "" least 1000000
  fresh_node --checkpoint-after 16
  keys=$million fill
  # Large values fill the log with few records, until the checkpoint has everything that came before.
  until=$((SECONDS + 120))
  while (($(snapshot | jq .checkpoint) < million)); do
    ((SECONDS < until)) || die "no checkpoint has the rows after two minutes"
    keys=100 value_bytes=16384 loaded put 4 1 1 --rate 2000 >/dev/null
  done
  behind=$(snapshot | jq '.records - .checkpoint')
  kill_node
  before
  restarted --checkpoint-after 16
  after
  finding value "from the start to a row, 1M rows in a checkpoint, s" "$took" null "" most 0.5
  finding value "the same: records behind the checkpoint" "$behind"
}

cell_first() {
  local begin
  no_node
  rm -rf "$dir/data"
  before
  begin=$EPOCHREALTIME
  again
  "$node" put cabin/sailing-42/C14 state=held --connect "$address" >/dev/null || die "the first commit was not done"
  finding value "from the start on an empty directory to the first commit, s" "$(jq -n "$EPOCHREALTIME - $begin")" null "" most 1
  after
}

cell_allocations() {
  local counted=0
  if ! $build; then say "SKIPPED: allocations: their test is not built with --no-build"; return; fi
  if ! cargo test --quiet --locked -p seawall-wal --test allocations >"$dir/allocations.log" 2>&1; then
    counted=$(sed -n 's/.*count_total: \([0-9]*\).*/\1/p' "$dir/allocations.log" | head -n 1)
    [[ -n $counted ]] || die "$(cat "$dir/allocations.log")"
  fi
  finding value "allocations of the log in the steady state" "$counted" null "" most 0
}

cell_build() {
  local begin
  cargo fetch --locked >&2
  before
  begin=$SECONDS
  CARGO_TARGET_DIR=$dir/cold cargo build --release --locked >"$dir/build.log" 2>&1 || die "it does not build: $(tail -n 20 "$dir/build.log")"
  finding value "cold release build, s" $((SECONDS - begin)) null "" most 150
  after
  rm -rf "$dir/cold"
}
