# The cells of bench-replication: each starts what it needs, measures, and writes down what it found.
# shellcheck shell=bash

# The node writes no checkpoint within a cell: what is measured is the log.
no_fold=(--checkpoint-after 1048576)

cell_commit() {
  fresh_pair 2
  local put alone trip write
  before
  trip=$("${run[@]}" "$load" echo --seconds "$seconds" --json | jq .p50_us)
  put=$(loaded put 1 1 "$seconds" | jq .p50_us)
  if $fio; then write=$(best_of_fio 4096 "$seconds"); fi
  after
  fresh_node "${no_fold[@]}"
  before
  alone=$(loaded put 1 1 "$seconds" | jq .p50_us)
  after
  finding value "loopback round trip, p50 us" "$trip"
  finding ratio "put 1x1 with a sync follower, p50 us" "$put" "$alone" "one node"
  if ! $fio; then return; fi
  finding value "durable write of 4 KiB by fio, p50 us" "$(jq .p50_us <<<"$write")"
  finding ratio "put 1x1 with a sync follower, p50 us, against the sum" "$put" "$(jq "2 * .p50_us + $trip" <<<"$write")" \
    "two of $(jq -r .name <<<"$write"), a round trip" most 1.2
  finding ratio "the same, with the client's round trip in the sum" "$put" "$(jq "2 * .p50_us + 2 * $trip" <<<"$write")" \
    "two of $(jq -r .name <<<"$write"), two round trips"
}

# fio_rate_of JOBS BYTES: durable writes a second of the first of so many writers, each on a file of its own.
fio_rate_of() {
  local job result
  for ((job = 2; job <= $1; job++)); do
    [[ -e $dir/fio.$job.zeros ]] || dd if=/dev/zero of="$dir/fio.$job.zeros" bs=1M count=512 oflag=direct conv=fsync status=none
    one_at_a_time "$dir/fio.$job.zeros" "$seconds" "$2" --rw=write --ioengine=pvsync2 --sync=dsync >/dev/null 2>&1 &
  done
  result=$(one_at_a_time "$dir/fio.zeros" "$seconds" "$2" --rw=write --ioengine=pvsync2 --sync=dsync 2>/dev/null)
  wait_for_jobs_of_fio
  jq '.jobs[0].write.iops' <<<"$result"
}
wait_for_jobs_of_fio() {
  local job
  for job in $(jobs -rp); do
    case " ${member_pid[*]} $pid " in *" $job "*) ;; *) wait "$job" || true ;; esac
  done
}

# Workload, connections, pipeline, bytes of a value, rows.
shapes=("conditional 64 1 128 100000" "conditional 16 16 128 100000" "conditional 16 64 128 100000" "put 16 16 16384 6000")
cell_throughput() {
  local shape workload connections pipeline kind
  declare -A rate=()
  for kind in pair one; do
    case $kind in pair) fresh_pair 2 ;; one) fresh_node "${no_fold[@]}" ;; esac
    for shape in "${shapes[@]}"; do
      read -r workload connections pipeline value_bytes keys <<<"$shape"
      fill
      before
      rate[$kind $shape]=$(loaded "$workload" "$connections" "$pipeline" "$seconds" | jq .rate)
      after
    done
  done
  for shape in "${shapes[@]}"; do
    read -r workload connections pipeline value_bytes _ <<<"$shape"
    finding ratio "$workload ${connections}x$pipeline, $value_bytes bytes, with a sync follower, a second" "${rate[pair $shape]}" \
      "${rate[one $shape]}" "one node" least 0.7
  done
  value_bytes=${VALUE_BYTES:-128} keys=${KEYS:-100000}
  if ! $fio; then return; fi
  local kib one two
  no_node
  for kib in 4 64; do
    before
    one=$(fio_rate_of 1 $((kib * 1024))) two=$(fio_rate_of 2 $((kib * 1024)))
    after
    finding ratio "fio's durable writes of $kib KiB beside a second writer, a second" "$two" "$one" "alone"
  done
}

cell_stream() {
  local observed batch socket write
  fresh_pair 2
  before
  value_bytes=16384 keys=6000 loaded_meanwhile observe "$seconds" -- put 16 16 $((seconds + 2)) >"$dir/observed.json"
  observed=$(<"$dir/observed.json")
  batch=$(jq '.log_bytes / .log_writes / 4096 | ceil * 4096' <<<"$observed")
  socket=$("${run[@]}" "$load" copy --bytes "$batch" --seconds "$seconds" --json)
  if $fio; then write=$(best_of_fio "$batch" "$seconds"); fi
  after
  wait_until_level
  local mb_per_s
  mb_per_s=$(jq '.log_bytes / .seconds / 1e6' <<<"$observed")
  finding ratio "stream of 16 KiB values to both logs, MB/s" "$mb_per_s" "$(jq .mb_per_s <<<"$socket")" \
    "a raw socket, $((batch / 1024)) KiB" least 0.7
  if $fio; then
    finding ratio "the same, against what the disk takes once" "$mb_per_s" "$(jq .mb_per_s <<<"$write")" \
      "$(jq -r .name <<<"$write"), $((batch / 1024)) KiB"
  fi
}

# level_after FROM: how many seconds the follower takes until it has validated index FROM; the first look counts from
# when it has a port, so its recovery is no part of it.
level_after() {
  local begin=$EPOCHREALTIME until=$((SECONDS + 300)) at
  while :; do
    at=$(curl --silent --fail "http://$admin/metrics" | awk '/^seawall_member_acknowledged_index\{/ { print $2 }')
    if [[ ${at:-0} =~ ^[0-9]+$ ]] && ((${at:-0} >= $1)); then break; fi
    ((SECONDS < until)) || die "the follower is not level after five minutes: $(status_of 1)"
    sleep 0.2 # a look costs CPU that the nodes would use
  done
  jq -n "$EPOCHREALTIME - $begin"
}

# fall_behind: the follower stops, and the log grows by the gap without it; `gap_bytes` is by how much.
fall_behind() {
  local begin
  end_member 2
  begin=$(snapshot | jq .log_bytes)
  gap_bytes=0
  while ((gap_bytes < gap * 1048576)); do
    value_bytes=16384 keys=2000 loaded put 8 8 0.2 >/dev/null
    gap_bytes=$(($(snapshot | jq .log_bytes) - begin))
  done
}

# How fast fio reads a closed segment of the leader, in MB/s; null without fio.
read_rate() {
  local file
  file=$(find "$dir/member-1/data" -name '*.seg' -size +32M | head -n 1)
  if ! $fio || [[ -z $file ]]; then echo null; return; fi
  fio --name=read --filename="$file" --readonly --rw=read --bs=1M --direct=1 --ioengine=psync --output-format=json \
    --time_based --runtime="$seconds" --size="$(stat -c %s "$file")" 2>/dev/null | jq '.jobs[0].read.bw_bytes / 1e6'
}

# found_catch_up WHEN: what `took.json` says of it.
found_catch_up() {
  local mb_per_s
  mb_per_s=$(jq "$gap_bytes / . / 1e6" "$dir/took.json")
  if [[ $read_rate == null ]]; then
    finding value "catch-up of at least $gap MiB $1, MB/s" "$mb_per_s"
  else
    finding ratio "catch-up of at least $gap MiB $1, MB/s" "$mb_per_s" "$read_rate" "fio, sequential reads of 1 MiB" least 0.5
  fi
}

cell_catchup() {
  fresh_pair 1
  fill
  local gap_bytes read_rate rate quiet level busy target windows=() watcher
  fall_behind
  target=$(snapshot | jq .records)
  before
  read_rate=$(read_rate)
  start_member 2
  level_after "$target" >"$dir/took.json"
  after
  found_catch_up "while nobody commits"

  # A log of its own: so many segments close in both parts together that a checkpoint would be made in the second.
  fresh_pair 1
  fill
  fall_behind
  before
  rate=$(loaded conditional 16 1 "$seconds" | jq '.rate * 0.4 | floor')
  quiet=$(loaded conditional 16 1 $((seconds + 3)) --rate "$rate")
  target=$(snapshot | jq .records)
  start_member 2
  level_after "$target" >"$dir/took.json" &
  watcher=$!
  # What commits notice within the time that it takes, and hardly longer.
  while kill -0 "$watcher" 2>/dev/null; do windows+=("$(loaded conditional 16 1 1 --rate "$rate")"); done
  wait "$watcher" || die "the follower was not level"
  # The follower takes part of the CPUs also when it streams.
  wait_until_level
  level=$(loaded conditional 16 1 $((seconds + 3)) --rate "$rate")
  after
  busy=$(printf '%s\n' "${windows[@]}" | jq -s 'sort_by(.p99_us) | {worst: .[-1].p99_us, median: .[length / 2 | floor].p99_us}')
  found_catch_up "beside commits"
  finding value "these commits, a second" "$rate"
  finding ratio "p99 of these commits, us, worst second" "$(jq .worst <<<"$busy")" "$(jq .p99_us <<<"$quiet")" "without" most 2
  finding ratio "the same, median second" "$(jq .median <<<"$busy")" "$(jq .p99_us <<<"$quiet")" "without"
  finding ratio "the same, against a follower that is level" "$(jq .median <<<"$busy")" "$(jq .p99_us <<<"$level")" "with one"
}

# Ticks of the follower by the records that it took.
cell_cpu() {
  local shape workload connections pipeline ticks records hz
  hz=$(getconf CLK_TCK)
  fresh_pair 2
  for shape in "${shapes[@]}"; do
    read -r workload connections pipeline value_bytes keys <<<"$shape"
    fill
    wait_until_level
    ticks=$(ticks_of "${member_pid[2]}") records=$(snapshot | jq .records)
    before
    loaded "$workload" "$connections" "$pipeline" "$seconds" >/dev/null
    after
    wait_until_level
    ticks=$(($(ticks_of "${member_pid[2]}") - ticks)) records=$(($(snapshot | jq .records) - records))
    finding value "CPU of the follower for a record, $workload ${connections}x$pipeline, $value_bytes bytes, us" \
      "$(jq -n "$ticks / $hz * 1e6 / $records")"
  done
  value_bytes=${VALUE_BYTES:-128} keys=${KEYS:-100000}
}
