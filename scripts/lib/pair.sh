# Two members on this machine, of which the first leads; what is measured of `pid`, `address` and `admin` is of the leader.
# shellcheck shell=bash

member_pid=()
at_member() { echo "127.0.0.2$1"; }
status_of() { curl --silent --fail "http://$(at_member "$1"):7512/v1/status"; }

# start_member N ARGUMENTS: on the data that is there.
start_member() {
  local n=$1 at _
  at=$(at_member "$n")
  shift
  mkdir -p "$dir/member-$n"
  : >"$dir/member-$n.log"
  # No checkpoint is made meanwhile: what is measured is the log.
  printf '[checkpoint]\nafter_bytes = 1099511627776\n' >"$dir/member-$n/config.toml"
  # shellcheck disable=SC2086 # MEMBER_ARGS is a list of words
  "${run[@]}" "$node" server --config "$dir/member-$n/config.toml" --member "$n" --map "$dir/map" --data "$dir/member-$n/data" \
    --listen "$at:7511" --admin "$at:7512" --peer-listen "$at:7513" ${MEMBER_ARGS:-} "$@" >"$dir/member-$n.log" 2>&1 &
  member_pid[n]=$!
  for _ in {1..1500}; do
    if grep -q '^listening on' "$dir/member-$n.log"; then return; fi
    kill -0 "${member_pid[n]}" 2>/dev/null || break
    sleep 0.02
  done
  cat "$dir/member-$n.log" >&2
  die "member $n does not serve"
}

end_member() {
  [[ -n ${member_pid[$1]:-} ]] || return 0
  kill -TERM "${member_pid[$1]}" 2>/dev/null || true
  wait "${member_pid[$1]}" || die "member $1 did not end well: $(tail -n 5 "$dir/member-$1.log")"
  member_pid[$1]=
}

# fresh_pair IN_SYNC ARGUMENTS: so many members must have a record before it is committed.
fresh_pair() {
  local in_sync=$1 n named=() _
  shift
  end_pair
  no_node
  rm -rf "$dir"/{map,member-1,member-2}
  for n in 1 2; do named+=(--member "$n=$(at_member "$n"):7511,peer=$(at_member "$n"):7513"); done
  "$node" map init --dir "$dir/map" --min-in-sync "$in_sync" "${named[@]}" >/dev/null
  for n in 1 2; do start_member "$n" "$@"; done
  pid=${member_pid[1]} address=$(at_member 1):7511 admin=$(at_member 1):7512
  wait_until_level
  if ((in_sync == 2)); then
    status_of 1 | jq -e '.shards[0].replication.members[0].required' >/dev/null || die "member 2 is not in the sync set"
  fi
}

# The follower streams, and has what the leader has; give it a minute.
wait_until_level() {
  local until=$((SECONDS + 60))
  until status_of 1 2>/dev/null | jq -e '.shards[0] | .replication.role == "leader" and
      (.replication.members[0] | .state == "streaming") and .replication.members[0].acknowledged >= .durable' >/dev/null; do
    ((SECONDS < until)) || die "the follower is not level after a minute: $(status_of 1)"
    sleep 0.05
  done
}

end_pair() {
  local n
  # Unless it is of a node alone, which is not ended here.
  case " ${member_pid[*]} " in *" ${pid:-none} "*) pid= ;; esac
  # The follower last, which loses its leader without a complaint of the leader.
  for n in 1 2; do end_member "$n"; done
}
