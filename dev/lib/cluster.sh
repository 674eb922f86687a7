# shellcheck shell=bash
# A Kubernetes control plane, an OCI registry and both Helms: dev/cluster has the scripts. Its
# programs take a quarter of an hour to build, once; the other tests do not wait for that.

prepare_control_plane() {
  [[ ${STERNWAY_CLUSTER:-} != off ]] || cannot "STERNWAY_CLUSTER=off" || return
  command -v docker-registry >/dev/null || apt_install_stopped docker-registry || return
  ! control_plane_is_built || return 0
  find_go || install_go || return
  local packages=()
  command -v curl >/dev/null || packages+=(curl)
  command -v unzip >/dev/null || packages+=(unzip)
  [[ ${#packages[@]} == 0 ]] || apt_install "${packages[@]}" || return
  say "building the cluster's programs in the background"
  # Not with the lock of the cache: another run need not wait for this.
  set -m
  GO=$go nice -n 19 "$root/dev/cluster/build" </dev/null >"$scratch/cluster-build.log" 2>&1 9>&- &
  control_plane_build=$!
  set +m
}

control_plane_is_built() {
  (source "$root/dev/cluster/common.sh" && [[ -z $(missing "$(programs)") ]])
}

start_control_plane() {
  local dir=$scratch/cluster server _
  if ! control_plane_is_built; then
    cannot "its programs are not built: run dev/cluster/build, or dev/test again" || return
  fi
  [[ -n ${STERNWAY_TEST_PG_URL:-} ]] || cannot "needs PostgreSQL" || return
  # postgres://postgres:PASSWORD@127.0.0.1:PORT/…, as start_cluster makes it
  server=${STERNWAY_TEST_PG_URL##*@} server=${server%%/*}
  # A port may be taken between the look and the start: try again.
  for _ in 1 2; do
    control_planes+=("$dir")
    if STERNWAY_CLUSTER_PG=$server "$root/dev/cluster/start" "$dir"; then
      say "Kubernetes at $(<"$dir/server"), charts at $(<"$dir/registry")"
      export STERNWAY_TEST_CLUSTER=$dir
      STERNWAY_TEST_REGISTRY=$(<"$dir/registry")
      export STERNWAY_TEST_REGISTRY
      return
    fi
    "$root/dev/cluster/stop" "$dir"
    dir=$dir-again
  done
  cannot "the control plane did not start"
}

# await_control_plane: gives the build some more minutes, now that nothing else is to do; none where the
# rest has taken half an hour already.
await_control_plane() {
  local end=$((SECONDS < 1800 ? SECONDS + 300 : SECONDS)) status=0
  say "waiting for the cluster's programs"
  while kill -0 "$control_plane_build" 2>/dev/null; do
    ((SECONDS < end)) || [[ ${STERNWAY_CLUSTER:-} == wait ]] ||
      cannot "its programs are still being built: run dev/cluster/build, or dev/test again" || return
    sleep 1
  done
  wait "$control_plane_build" || status=$?
  control_plane_build=
  [[ $status == 0 ]] || {
    tail -n 5 "$scratch/cluster-build.log" >&2
    cannot "building its programs failed: $(tail -n 1 "$scratch/cluster-build.log")"
  }
}

control_plane_build=
control_planes=()
stop_control_planes() {
  [[ -z $control_plane_build ]] || stop_group "$control_plane_build"
  control_plane_build=
  local dir
  for dir in "${control_planes[@]}"; do
    [[ ! -d $dir ]] || "$root/dev/cluster/stop" "$dir" || true
  done
}

# cluster_is_asked_for ARGUMENTS...: whether `cargo test ARGUMENTS` runs the tests of the cluster.
cluster_is_asked_for() {
  local others=
  while [[ $# -gt 0 && $1 != -- ]]; do
    case $1 in
      --test=cluster) return 0 ;;
      --test) [[ ${2:-} != cluster ]] || return 0 ;;
      --all-targets | --tests) return 0 ;;
    esac
    case $1 in
      --test | --test=* | --lib | --bin* | --doc | --example* | --bench* | --no-run | --help | --list) others=yes ;;
      -p | --package) [[ ${2:-} == sternway-cli ]] || others=yes ;;
      -p* | --package=*) [[ $1 == *sternway-cli ]] || others=yes ;;
    esac
    shift
  done
  [[ -z $others ]]
}
