# shellcheck shell=bash
# PgBouncer before PostgreSQL, sharing its connections by transaction: what Sternway warns of.

prepare_pgbouncer() {
  find_pgbouncer || apt_install_stopped pgbouncer || return
  find_pgbouncer || cannot "the package pgbouncer brought no program"
}

# Sets pgbouncer. The package puts it where only root's PATH looks.
find_pgbouncer() { pgbouncer=$(PATH=$PATH:/usr/sbin command -v pgbouncer); }

start_pgbouncer() {
  [[ -n ${STERNWAY_TEST_PG_URL:-} ]] || cannot "needs PostgreSQL" || return
  local dir=$scratch/pgbouncer rest password server port _
  # postgres://postgres:PASSWORD@127.0.0.1:PORT/…, as start_cluster makes it
  rest=${STERNWAY_TEST_PG_URL#*://*:} password=${rest%%@*}
  server=${rest##*@127.0.0.1:} server=${server%%/*}
  mkdir "$dir" || return
  (umask 077 && printf '"postgres" "%s"\n' "$password" >"$dir/users") || return
  for _ in 1 2 3; do
    port=$(free_port)
    # The driver asks for extra_float_digits when it connects.
    (umask 077 && cat >"$dir/pgbouncer.ini") <<CONF || return
[databases]
* = host=127.0.0.1 port=$server user=postgres password=$password
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $port
unix_socket_dir =
auth_type = plain
auth_file = $dir/users
pool_mode = transaction
ignore_startup_parameters = extra_float_digits
server_idle_timeout = 5
logfile = $dir/log
CONF
    if [[ $EUID == 0 ]]; then
      chown -R "$(server_user)": "$dir" || return
    fi
    # Of a process group of its own, which a Ctrl-C does not reach: `stop_pgbouncer` ends it.
    set -m
    as_server "$pgbouncer" "$dir/pgbouncer.ini" </dev/null >"$dir/start.log" 2>&1 &
    pgbouncer_server=$!
    set +m
    if pgbouncer_answers "$port"; then
      say "$("$pgbouncer" --version | head -n 1) on port $port"
      export STERNWAY_TEST_PGBOUNCER="postgres://postgres:$password@127.0.0.1:$port/postgres?sslmode=disable"
      return
    fi
    stop_pgbouncer
  done
  tail -n 5 "$dir/log" "$dir/start.log" >&2
  cannot "the proxy did not start"
}

# pgbouncer_answers PORT: waits until it listens, or has ended.
pgbouncer_answers() {
  local _
  for _ in {1..100}; do
    kill -0 "$pgbouncer_server" 2>/dev/null || return
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
    sleep 0.1
  done
  return 1
}

pgbouncer_server=
stop_pgbouncer() {
  [[ -z $pgbouncer_server ]] || stop_group "$pgbouncer_server"
  pgbouncer_server=
}
