# shellcheck shell=bash
# The migrations of every published release of the crate sqlxmq: a real application's history.

sqlxmq_versions=(0.1.0 0.1.1 0.1.2 0.2.0 0.2.1 0.2.2 0.3.0 0.3.1 0.3.3 0.3.4 0.3.5 0.4.0 0.4.1 0.5.0 0.6.0)

prepare_sqlxmq() {
  local dir=$cache/sqlxmq version failed=()
  mkdir -p "$dir" || return
  for version in "${sqlxmq_versions[@]}"; do
    [[ -d $dir/$version/migrations ]] || fetch_sqlxmq "$version" || failed+=("$version")
  done
  # All or nothing: a history with a gap would fail the tests instead of skipping them.
  [[ ${#failed[@]} == 0 ]] || cannot "cargo info could not download ${failed[*]}" || return
  export STERNWAY_TEST_SQLXMQ=$dir
}

# `cargo info` downloads a release and unpacks it. Outside the workspace, whose lock file would
# have a say.
fetch_sqlxmq() {
  say "downloading sqlxmq $1"
  local unpacked new=$dir/$1.new
  (cd "$scratch" && cargo info --quiet "sqlxmq@$1") >"$scratch/cargo-info.log" 2>&1 || {
    tail -n 3 "$scratch/cargo-info.log" >&2
    return 1
  }
  for unpacked in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/"sqlxmq-$1"; do
    [[ -d $unpacked/migrations ]] || continue
    rm -rf "$new"
    mkdir "$new" && cp -r "$unpacked/migrations" "$new/" && mv -T "$new" "$dir/$1"
    return
  done
  return 1
}
