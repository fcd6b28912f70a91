# What was measured, each against what it is held to: one line of a table, or one object, for each.
# shellcheck shell=bash

found=0
# finding KIND METRIC MEASURED AGAINST WHAT most|least GOAL: one line of the table. KIND says what is judged: the `value`
# that was measured, its `ratio` to what it is held against, or how much `more` it is. Without a goal it only informs.
finding() {
  found=$((found + 1))
  jq -n -c --argjson n "$found" --arg kind "$1" --arg metric "$2" --argjson measured "$3" --argjson against "${4:-null}" \
    --arg what "${5:-}" --arg at "${6:-}" --argjson goal "${7:-null}" \
    '{$n, $kind, $metric, $measured, $against, $what, $at, $goal}' >>"$findings"
}

# What all rounds found, on standard output.
say_findings() {
  [[ -s $findings ]] || die "nothing was measured"
  local summary
  summary=$(jq -s --argjson rounds "$rounds" --argjson seconds "$seconds" --arg kernel "$(uname -r)" \
    --arg commit "$(git describe --always --dirty --tags)" --arg versions "$(versions)" --arg cpus "$(nproc)" "$jq_stats"'
    def judged: if .kind == "ratio" then (if .against == 0 then null else .measured / .against end)
      elif .kind == "more" then .measured - .against else .measured end;
    def holds(value): if .goal == null or value == null then null elif .at == "most" then value <= .goal else value >= .goal end;
    {kernel: $kernel, commit: $commit, versions: $versions, cpus: $cpus, rounds: $rounds, seconds: $seconds,
     goals: (group_by(.metric) | sort_by(map(.n) | min) | map(. as $all | map(judged) as $values | ($values | spread) as $judged
       | .[-1] | {metric, measured: ($all | map(.measured) | spread), against: ($all | map(.against) | spread), what, kind, at,
         goal, judged: $judged, holds: holds($judged | if . == null then null else .median end)}))}' "$findings")

  if $json; then
    printf '%s\n' "$summary"
    return
  fi
  jq -r --argjson rounds "$rounds" "$jq_stats"'
    def shown: if . == null then "-" elif $rounds == 1 then .median | n else s end;
    def goal: if .goal == null then "-" else "at \(.at) \(.goal | n)" + {ratio: " x", more: " more", value: ""}[.kind] end;
    "Linux \(.kernel), \(.cpus) CPUs; \(.versions), \(.commit); \(.rounds) rounds of \(.seconds) s; median (least-most)",
    "",
    (["metric", "measured", "against", "ratio, or more by", "goal", ""] | @tsv),
    (.goals[] | [.metric, (.measured | shown), (if .against == null then "-" else "\(.against | shown) \(.what)" end),
      (if .against == null then "-" else (.judged | shown) end), goal,
      (if .holds == null then "-" elif .holds then "holds" else "LOSES" end)] | @tsv)' <<<"$summary" |
    expand -t 64,92,164,188,206
}
