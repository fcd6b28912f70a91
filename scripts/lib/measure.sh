# How cells measure: a fresh node, a load on it, what its metrics say meanwhile, and what the disk alone can do.
# shellcheck shell=bash

# fresh_node ARGUMENTS: `seawall dev` on a directory that did not exist.
fresh_node() {
  no_node
  rm -rf "$dir/data"
  again "$@"
}
# The same on the directory that is there.
again() {
  SEAWALL_ARGS="${SEAWALL_ARGS:-} $*" start_node
  admin=$(sed -n 's|^admin on http://\([^/]*\)/.*|\1|p' "$dir/node.log")
}
no_node() { if [[ -n $pid ]]; then stop_node; fi; }

# loaded WORKLOAD CONNECTIONS PIPELINE SECONDS ARGUMENTS: what the load says of itself, and the node's CPU of an operation.
loaded() {
  local workload=$1 connections=$2 pipeline=$3 seconds=$4 ticks result
  shift 4
  ticks=$(ticks_of "$pid")
  result=$("${run[@]}" "$load" load --connect "$address" --workload "$workload" --connections "$connections" \
    --pipeline "$pipeline" --seconds "$seconds" --warmup 0.5 --value-bytes "$value_bytes" --keys "$keys" --no-fill --json \
    "$@") || die "the load met errors: $result"
  ticks=$(($(ticks_of "$pid") - ticks))
  jq -c --argjson ticks "$ticks" --argjson hz "$(getconf CLK_TCK)" '
    if (.errors | length) > 0 or .not_found > 0 then error("not all was done: \(.errors), \(.not_found) not found")
    else . + {cpu_us: ($ticks / $hz * 1e6 / .ops_ever)} end' <<<"$result"
}
# Every row is there from now on.
fill() { "$load" load --connect "$address" --workload get --seconds 0.05 --warmup 0 --value-bytes "$value_bytes" --keys "$keys" >/dev/null; }

# What the node and its disk have done so far.
snapshot() {
  local sectors=null stat
  stat=/sys/dev/block/$(findmnt -no MAJ:MIN -T "$dir")/stat
  if [[ -r $stat ]]; then sectors=$(awk '{ print $7 }' "$stat"); fi
  curl --silent --fail "http://$admin/metrics" | awk -v now="$EPOCHREALTIME" -v sectors="$sectors" '
    { sub(/\{.*/, "", $1); sum[$1] += $2 }
    END {
      printf "{\"now\": %s, \"device_bytes\": %s, \"log_bytes\": %.0f, \"log_writes\": %.0f, \"records\": %.0f, \"checkpoint\": %.0f}\n",
        now, (sectors == "null" ? "null" : sprintf("%.0f", sectors * 512)), sum["seawall_shard_log_bytes_total"],
        sum["seawall_shard_log_writes_total"], sum["seawall_shard_durable_index"], sum["seawall_shard_checkpoint_index"]
    }'
}
# observe SECONDS: the same, over so long.
observe() {
  local begin end
  begin=$(snapshot)
  sleep "$1"
  end=$(snapshot)
  jq -n -c --argjson a "$begin" --argjson b "$end" '
    {seconds: ($b.now - $a.now), records: ($b.records - $a.records), log_bytes: ($b.log_bytes - $a.log_bytes),
     log_writes: ($b.log_writes - $a.log_writes), checkpoints: ($b.checkpoint > $a.checkpoint),
     device_bytes: (if $a.device_bytes == null then null else $b.device_bytes - $a.device_bytes end)}'
}
# loaded_meanwhile COMMAND ARGUMENTS -- LOAD: the command in the middle of a load.
loaded_meanwhile() {
  local command=() background
  while [[ $1 != -- ]]; do command+=("$1"); shift; done
  shift
  loaded "$@" >"$dir/background.json" &
  background=$!
  sleep 1
  "${command[@]}"
  wait "$background" || die "the load in the background failed"
}

# best_of_fio BYTES SECONDS: the kind of single durable writes that is fastest here: its name, rate, MB/s and p50.
best_of_fio() {
  local way name engine how
  for way in "${fio_ways[@]}"; do
    IFS='|' read -r name engine how <<<"$way"
    one_at_a_time "$dir/fio.zeros" "$2" "$1" --rw=write --ioengine="$engine" "$how" 2>/dev/null |
      jq -c --arg name "fio $name" --argjson bytes "$1" "$jq_fio"'
        .jobs[0] | {name: $name, rate: .write.iops, mb_per_s: (.write.iops * $bytes / 1e6), p50_us: commit("50.000000")}' ||
      say "SKIPPED: fio cannot do \"$name\" here, so the best is that of the others"
  done | jq -s -c 'if length == 0 then error("fio does nothing here") else max_by(.rate) end'
}

# is_at_ticks US: whether fio's single write takes so long that it must have waited for the scheduler; says so.
is_at_ticks() {
  ((${1%.*} > 3000)) || return 1
  say "SKIPPED: fio's p50 of $1 us is a wait for the scheduler: others keep the CPUs busy, so there is nothing to compare with"
}
