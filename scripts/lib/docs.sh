# Runs the shell blocks (```sh) of documents as they stand there, each document's in order. For scripts that source it.
#
#   run_document FILE
#
# A block that starts a node (`… dev`, alone) runs in the background until it listens. What stands in a ```text block
# behind a block, with two lines between them at most, must be in its output, line by line; `…` stands for anything. A
# comment before a block changes this:
#
#   <!-- ends with 1 -->      the exit code, if it is not 0
#   <!-- not run: why -->     it cannot be run; it is counted, and printed
#
# Wanted of the caller: $work, a folder to run in; $blocks, an empty one for the blocks; and $prelude, a file of shell
# functions that may stand in for commands.
documents_run=0
documents_not_run=0

# Splits a document: N.sh, N.mark (the comment before it) and N.text (what must be said).
split_document() {
    rm -rf "${blocks:?}"/*
    awk -v to="$blocks" '
        /^```sh$/   {
            name = sprintf("%s/%03d", to, ++n)
            print mark > (name ".mark")
            close(name ".mark")
            mark = ""; near = 3; out = name ".sh"
            next
        }
        /^```text$/ && near > 0 { out = name ".text"; near = 0; next }
        /^```/      { if (out != "") { close(out); out = "" ; next } }
        out != ""   { print > out; next }
        /^<!-- (ends with|not run)/ { mark = $0; next }
        { mark = ""; near-- }' "$1"
}

# The node that serves the data directory of the folder, if it still does: numbers of processes are given again.
node_pid() {
    local pid
    pid=$(cat "$work/seawall-data/lock" 2>/dev/null) || return 0
    if [ "$(readlink "/proc/$pid/cwd")" = "$(realpath "$work")" ]; then echo "$pid"; fi
}

start_node() {
    (cd "$work" && exec bash -c '. "$1"; . "$2"' _ "$prelude" "$1") >"$work/node.out" 2>&1 &
    for _ in $(seq 6000); do
        if grep -q '^listening on' "$work/node.out"; then return; fi
        if ! kill -0 $! 2>/dev/null; then break; fi
        sleep 0.1
    done
    cat "$work/node.out" >&2
    return 1
}

end_node() {
    local pid
    pid=$(node_pid)
    if [ -z "$pid" ] || ! kill "-${1:-TERM}" "$pid" 2>/dev/null; then return 0; fi
    for _ in $(seq 200); do
        kill -0 "$pid" 2>/dev/null || return 0
        sleep 0.1
    done
    echo "process $pid still runs 20 s after SIG${1:-TERM}" >&2
    return 1
}

# Each line of FILE stands in OUTPUT.
says() {
    local line pattern
    while IFS= read -r line; do
        [ -n "$line" ] || continue
        pattern=$(printf '%s' "$line" | sed 's/[][\.*^$]/\\&/g; s/…/.*/g')
        if ! grep -q -- "$pattern" "$2"; then
            printf 'it does not say: %s\nit says:\n' "$line" >&2
            cat "$2" >&2
            return 1
        fi
    done <"$1"
}

run_block() {
    local block=$1 mark wanted=0 code=0
    mark=$(cat "${block%.sh}.mark")
    sed 's/^/$ /' "$block"
    case $mark in
    '<!-- not run: '*)
        documents_not_run=$((documents_not_run + 1))
        printf 'NOT RUN: %s\n' "$(sed 's/<!-- not run: \(.*\) -->/\1/' <<<"$mark")"
        return
        ;;
    '<!-- ends with '*) wanted=$(tr -dc 0-9 <<<"$mark") ;;
    esac
    documents_run=$((documents_run + 1))
    if [ "$(wc -l <"$block")" = 1 ] && grep -Eq '^(cargo run --release --|seawall) dev$' "$block"; then
        start_node "$block"
        cp "$work/node.out" "$work/said"
    else
        (cd "$work" && timeout 3600 bash -e -c '. "$1"; . "$2"' _ "$prelude" "$block") >"$work/said" 2>&1 </dev/null || code=$?
        cut -c 1-200 "$work/said" | tail -n 40
    fi
    if [ "$code" != "$wanted" ]; then
        echo "it ended with $code, and not with $wanted" >&2
        return 1
    fi
    [ ! -e "${block%.sh}.text" ] || says "${block%.sh}.text" "$work/said"
}

run_document() {
    local block
    printf '\n-- %s\n' "$1"
    split_document "$1"
    for block in "$blocks"/*.sh; do
        [ -e "$block" ] || continue
        run_block "$block" || { printf '%s: the block above does not hold\n' "$1" >&2; return 1; }
    done
}

# The default ports are wanted as they stand in the documents. Where they are taken, a network of its own has them: the
# script begins again inside.
with_free_ports() {
    local port
    if [ -n "${SEAWALL_OWN_NETWORK:-}" ]; then
        ip link set lo up
        return
    fi
    for port in 7411 7412; do
        if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "port $port is taken here: in a network of its own"
            if unshare --net true 2>/dev/null; then
                SEAWALL_OWN_NETWORK=1 exec unshare --net "$@"
            elif unshare --map-root-user --net true 2>/dev/null; then
                SEAWALL_OWN_NETWORK=1 exec unshare --map-root-user --net "$@"
            fi
            echo "another network is not allowed here: stop what listens on port $port" >&2
            exit 2
        fi
    done
}
