# shellcheck shell=bash
# What the scripts of this folder share.

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
# shellcheck source=../lib/ports.sh
source "$here/../lib/ports.sh"

die() {
  printf '%s: %s\n' "$(basename "$0")" "$*" >&2
  exit 1
}

# The folder of the programs: the one that is named, or the cache's for these very sources.
programs() {
  local sources
  sources=$(cd "$here" && cat build main.go go.mod go.sum helm3/go.mod helm3/go.sum | sha256sum)
  echo "${STERNWAY_CLUSTER_PROGRAMS:-${XDG_CACHE_HOME:-$HOME/.cache}/sternway-dev/cluster-${sources:0:12}}"
}

# missing FOLDER: the programs that are not there yet.
missing() {
  local program
  for program in control-plane etcd kwok kubectl helm3 helm4; do
    [[ -x $1/$program ]] || echo "$program"
  done
}

# launch NAME: starts the program of which $dir/NAME.arguments tells, a line each, so that it outlives
# this script; its log and its process id are beside.
launch() {
  local command
  mapfile -t command <"$dir/$1.arguments"
  setsid "${command[@]}" </dev/null >>"$dir/$1.log" 2>&1 &
  echo $! >"$dir/$1.pid"
}

# running NAME: one that its parent has not waited for yet has ended too.
running() {
  local state
  [[ -e $dir/$1.pid ]] && read -r state 2>/dev/null <"/proc/$(<"$dir/$1.pid")/stat" && [[ $state != *") Z "* ]]
}

# halt NAME: ends a program at once, and waits until it has ended.
halt() {
  local _
  for _ in {1..100}; do
    running "$1" || break
    kill -KILL "$(<"$dir/$1.pid")" 2>/dev/null || true
    sleep 0.02
  done
  rm -f "$dir/$1.pid"
}

# wait_for WHAT PROGRAM COMMAND...: until the command succeeds; says why it never will.
wait_for() {
  local what=$1 program=$2 end=$((SECONDS + 60))
  shift 2
  until "$@" >"$dir/wait.log" 2>&1; do
    running "$program" || fail "$program has ended before $what" "$program"
    ((SECONDS < end)) || fail "waited a minute for $what" "$program"
    sleep 0.05
  done
}

# fail WHAT PROGRAM: with the end of the program's log.
fail() {
  tail -n 5 "$dir/$2.log" "$dir/wait.log" >&2
  die "$1; its log is $dir/$2.log"
}

# What works for the cluster, beside the API server.
# shellcheck disable=SC2034 # for the scripts
workers=(kube-controller-manager kube-scheduler kwok)

start_api() {
  launch apiserver
  wait_for "the API answers" apiserver kubectl get --raw /readyz
}

kubectl() { "$dir/bin/kubectl" --kubeconfig "$dir/kubeconfig" --cache-dir "$dir/kubectl" "$@"; }
