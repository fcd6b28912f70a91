# The systems that bench-peers compares: how each is started, put under load, and looked at. Every one of them is set
# up so that an answer is given only when it is on stable storage, as its own documentation says.
# shellcheck shell=bash

declare -A peer_pid=()
redis_port='' pg_port='' etcd_port=''
# Where PostgreSQL's programs are; Debian keeps them out of the path.
pg_bin=$(find /usr/lib/postgresql -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)

# lacking PEER: what is missing, and 1; nothing and 0 if it is there.
lacking() {
  case $1 in
    redis) command -v redis-server redis-benchmark redis-cli >/dev/null || { echo "apt-get install redis-server"; return 1; } ;;
    postgresql) [[ -x $pg_bin/initdb && -x $pg_bin/pgbench ]] || { echo "apt-get install postgresql"; return 1; } ;;
    etcd)
      command -v etcd >/dev/null || { echo "apt-get install etcd-server"; return 1; }
      [[ -x $target/release/examples/etcd_load ]] || { echo "its load is not built: run without --no-build"; return 1; } ;;
  esac
}

# Ports that nobody listens on right now.
free_port() {
  local port
  while port=$((20000 + RANDOM % 20000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
  echo "$port"
}

# await SECONDS COMMAND: until it succeeds.
await() {
  local until=$((SECONDS + $1))
  shift
  while ! "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.1
  done
}

start_seawall() {
  start_node
  peer_pid[seawall]=$pid
}

start_redis() {
  redis_port=$(free_port)
  mkdir "$dir/redis"
  "${run[@]}" redis-server --port "$redis_port" --bind 127.0.0.1 --dir "$(realpath "$dir/redis")" --save '' \
    --appendonly yes --appendfsync always --no-appendfsync-on-rewrite no >"$dir/redis.log" 2>&1 &
  peer_pid[redis]=$!
  await 20 redis-cli -p "$redis_port" ping || die "Redis does not serve: $(tail -n 5 "$dir/redis.log")"
  # A comparison that fails is an error, which Redis counts.
  compare_and_set=$(redis-cli -p "$redis_port" script load "
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return redis.error_reply('the comparison failed') end
    return redis.call('SET', KEYS[1], ARGV[2])")
  redis-cli -p "$redis_port" eval "
    for n = 0, tonumber(ARGV[1]) - 1 do redis.call('SET', string.format('key:%012d', n), ARGV[2]) end
    return 'OK'" 0 "$keys" "$value" >/dev/null
}

as_postgres() { (cd / && runuser -u postgres -- "$@"); }
psql_here() { as_postgres "$pg_bin/psql" -h 127.0.0.1 -p "$pg_port" -U postgres -d postgres -X -q -A -t "$@"; }

start_postgresql() {
  pg_port=$(free_port)
  mkdir "$dir/postgresql"
  chown postgres "$dir/postgresql"
  local data
  data=$(realpath "$dir/postgresql")
  as_postgres "$pg_bin/initdb" -D "$data/data" -A trust -U postgres >"$dir/postgresql.log" 2>&1
  "${run[@]}" runuser -u postgres -- "$pg_bin/postgres" -D "$data/data" -p "$pg_port" -h 127.0.0.1 -k "$data" \
    -c fsync=on -c synchronous_commit=on -c full_page_writes=on -c max_connections=$((connections + 20)) \
    >>"$dir/postgresql.log" 2>&1 &
  peer_pid[postgresql]=$!
  await 30 psql_here -c 'select 1' || die "PostgreSQL does not serve: $(tail -n 5 "$dir/postgresql.log")"
  psql_here -c "create table kv (k bigint primary key, v text not null)" \
    -c "insert into kv select n, '$value' from generate_series(0, $keys - 1) n" -c "vacuum analyze kv" -c checkpoint
  cat >"$dir/put.sql" <<SQL
\\set k random(0, $keys - 1)
insert into kv values (:k, '$value') on conflict (k) do update set v = excluded.v;
SQL
  cat >"$dir/conditional.sql" <<SQL
\\set k random(0, $keys - 1)
update kv set v = '$value' where k = :k and v = '$value';
SQL
}

start_etcd() {
  etcd_port=$(free_port)
  local peer_port
  peer_port=$(free_port)
  "${run[@]}" etcd --data-dir "$dir/etcd" --listen-client-urls "http://127.0.0.1:$etcd_port" \
    --advertise-client-urls "http://127.0.0.1:$etcd_port" --listen-peer-urls "http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls "http://127.0.0.1:$peer_port" --initial-cluster "default=http://127.0.0.1:$peer_port" \
    --quota-backend-bytes 8589934592 --auto-compaction-mode revision --auto-compaction-retention 100000 \
    >"$dir/etcd.log" 2>&1 &
  peer_pid[etcd]=$!
  await 20 etcd_is_healthy || die "etcd does not serve: $(tail -n 5 "$dir/etcd.log")"
  run_etcd_load fill 1
}

etcd_is_healthy() {
  exec 3<>"/dev/tcp/127.0.0.1/$etcd_port" || return 1
  printf 'GET /health HTTP/1.0\r\n\r\n' >&3
  grep -q '"health":"true"' <&3
}

# runuser waits beside the server that it started.
server_pid() {
  if [[ $1 == postgresql ]]; then head -n 1 "$dir/postgresql/data/postmaster.pid"; else echo "${peer_pid[$1]}"; fi
}

# The calls by which it makes writes durable. Through io_uring a flush is no call of its own: the kernel is entered to
# submit it, and the device counts it.
flush_calls() {
  case $1 in
    seawall) if grep -q '^driver  *syscall' "$dir/node.log"; then echo fdatasync,fsync,pwritev2; else echo io_uring_enter; fi ;;
    *) echo fsync,fdatasync ;;
  esac
}

# measure SYSTEM WORK SECONDS: one JSON object with ops, rate, p50_us and p99_us; nothing done is a failure.
measure() { "measure_$1" "$2" "$3" | jq -c 'if .ops > 0 and .rate > 0 then . else error("nothing was done") end'; }

measure_seawall() {
  "${run[@]}" "$load" load --connect "$address" --workload "$1" --connections "$connections" --seconds "$2" --warmup 0.5 \
    --value-bytes "$value_bytes" --keys "$keys" --json | jq -c '
      if (.errors | length) > 0 or .not_found > 0 then error("not all was done: \(.errors)") else
        {ops, rate, p50_us, p99_us} end'
}

# redis-benchmark takes a number of requests, so a short run tells how many fill the time. `pipeline` of them are under
# way on each connection, one if it is not set.
measure_redis() {
  local pilot
  pilot=$(run_redis_benchmark "$1" $((connections * ${pipeline:-1} * 100)) | jq .rate)
  run_redis_benchmark "$1" "$(jq -n "($pilot * $2 + 1) | floor")"
}

run_redis_benchmark() {
  local command
  case $1 in
    put) command=(set key:__rand_int__ "$value") ;;
    get) command=(get key:__rand_int__) ;;
    conditional) command=(evalsha "$compare_and_set" 1 key:__rand_int__ "$value" "$value") ;;
  esac
  "${run[@]}" redis-benchmark -p "$redis_port" -c "$connections" -P "${pipeline:-1}" -n "$2" -r "$keys" --csv "${command[@]}" | tail -n 1 |
    sed 's/.*",\?"\([0-9.]*\)","\([0-9.]*\)","\([0-9.]*\)","\([0-9.]*\)","\([0-9.]*\)","\([0-9.]*\)","\([0-9.]*\)"$/\1 \4 \6/' |
    awk -v n="$2" '{ printf "{\"ops\": %d, \"rate\": %.0f, \"p50_us\": %.0f, \"p99_us\": %.0f}\n", n, $1, $2 * 1000, $3 * 1000 }'
}

# Its time begins with its connections, which cost PostgreSQL a process each; its rate is of what follows.
measure_postgresql() {
  local log=$dir/postgresql/latency rate
  rm -f "$log".*
  "${run[@]}" "$pg_bin/pgbench" -h 127.0.0.1 -p "$pg_port" -U postgres -n -M prepared -f "$dir/$1.sql" -c "$connections" \
    -j 1 -T $(($2 + 1)) --log --log-prefix "$log" postgres >"$dir/pgbench.log" 2>&1 || { cat "$dir/pgbench.log" >&2; return 1; }
  rate=$(sed -n 's/^tps = \([0-9]*\).*/\1/p' "$dir/pgbench.log")
  # Client, number, microseconds, ...
  cat "$log".* | awk '{ print $3 }' | sort -n | awk -v rate="${rate:-0}" '
    { latency[NR] = $1 }
    END { printf "{\"ops\": %d, \"rate\": %d, \"p50_us\": %d, \"p99_us\": %d}\n", NR, rate,
            latency[int((NR + 1) / 2)], latency[int(NR * 0.99) + (NR * 0.99 > int(NR * 0.99))] }'
}

measure_etcd() { if [[ $1 == conditional ]]; then run_etcd_load txn "$2"; else run_etcd_load put "$2"; fi; }
run_etcd_load() {
  "${run[@]}" "$target/release/examples/etcd_load" "127.0.0.1:$etcd_port" "$1" "$connections" "$2" "$value_bytes" "$keys"
}

# The loads of Redis and PostgreSQL do not look at what was answered: so the servers are asked.
check_results() {
  local failed rows
  if [[ -n ${peer_pid[redis]:-} ]]; then
    failed=$(redis-cli -p "$redis_port" info stats | sed -n 's/^total_error_replies:\([0-9]*\).*/\1/p')
    [[ $failed == 0 ]] || die "Redis answered $failed requests with an error"
  fi
  if [[ -n ${peer_pid[postgresql]:-} ]]; then
    rows=$(psql_here -c "select count(*) from kv where v = '$value'")
    [[ $rows == "$keys" ]] || die "PostgreSQL has $rows rows of the value instead of $keys"
  fi
}

versions() {
  printf '%s' "$("$node" --version)"
  if [[ -n ${peer_pid[redis]:-} ]]; then printf ', Redis %s' "$(redis-server --version | sed 's/.*v=\([0-9.]*\).*/\1/')"; fi
  if [[ -n ${peer_pid[postgresql]:-} ]]; then printf ', %s' "$("$pg_bin/postgres" --version)"; fi
  if [[ -n ${peer_pid[etcd]:-} ]]; then printf ', %s' "$(etcd --version | head -n 1)"; fi
}

stop_peers() {
  local peer
  if [[ -n ${peer_pid[postgresql]:-} && -r $dir/postgresql/data/postmaster.pid ]]; then
    kill -INT "$(server_pid postgresql)" 2>/dev/null || true # a fast shutdown
  fi
  for peer in redis etcd; do
    if [[ -n ${peer_pid[$peer]:-} ]]; then kill -TERM "${peer_pid[$peer]}" 2>/dev/null || true; fi
  done
  for peer in redis postgresql etcd; do
    if [[ -n ${peer_pid[$peer]:-} ]]; then wait "${peer_pid[$peer]}" 2>/dev/null || true; fi
  done
}
