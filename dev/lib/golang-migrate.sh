# shellcheck shell=bash
# golang-migrate's own command line, to prove that both tools can work on one database.

golang_migrate_version=4.19.1
golang_migrate_tags='postgres pgx pgx5 cockroachdb mysql sqlite'

prepare_golang_migrate() {
  local dir=$cache/golang-migrate-$golang_migrate_version-${golang_migrate_tags// /-} go
  if [[ ! -x $dir/migrate ]]; then
    find_go || install_go || return
    say "building golang-migrate $golang_migrate_version with $("$go" env GOVERSION)"
    local new=$cache/golang-migrate.new
    rm -rf "$new"
    # From a directory without a go.mod or go.work, which might choose other versions. No cgo: its
    # SQLite is pure Go.
    (cd "$scratch" && CGO_ENABLED=0 GOBIN=$new "$go" install -tags "$golang_migrate_tags" \
      "github.com/golang-migrate/migrate/v4/cmd/migrate@v$golang_migrate_version") >"$scratch/go.log" 2>&1 || {
      tail -n 5 "$scratch/go.log" >&2
      cannot "go install failed: $(tail -n 1 "$scratch/go.log")" || return
    }
    mv -T "$new" "$dir" || return
  fi
  export STERNWAY_TEST_MIGRATE=$dir/migrate
}

# Sets go, to one that can build golang-migrate or fetch a Go that can: that is 1.21 and later.
find_go() {
  local version
  for go in "$(command -v go || true)" /usr/local/go/bin/go; do
    [[ -x $go ]] || continue
    version=$("$go" env GOVERSION)
    ! at_least "${version#go}" 1.21 || return 0
  done
  return 1
}

install_go() {
  local version
  if command -v apt-cache >/dev/null; then
    # Debian 12's is too old; do not install it for nothing. Empty lists tell nothing.
    version=$(apt-cache policy golang-go | sed -n 's/^ *Candidate: \([0-9]*:\)\?//p')
    [[ -z $version || $version == "(none)" ]] || at_least "$version" 1.21 ||
      cannot "needs Go 1.21 or later, the package golang-go is $version" || return
  fi
  apt_install golang-go || return
  find_go || cannot "needs Go 1.21 or later, the package golang-go is $(go env GOVERSION)"
}
