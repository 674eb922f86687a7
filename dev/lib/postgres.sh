# shellcheck shell=bash
# PostgreSQL from Debian, in a cluster of our own: the one that Debian may have made is not touched.

prepare_postgres() {
  find_postgres || install_postgres || return
  find_postgres || cannot "the package postgresql brought no server"
}

# Sets postgres_bin, to the newest server's.
find_postgres() {
  postgres_bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
  [[ -x $postgres_bin/initdb && -x $postgres_bin/postgres ]]
}

install_postgres() {
  # The package makes a cluster and starts it; nobody here wants a server on port 5432.
  local dir=/etc/postgresql-common/createcluster.d status=0
  if as_root mkdir -p "$dir"; then
    as_root tee "$dir/sternway.conf" >/dev/null <<<'create_main_cluster = false'
  fi
  apt_install postgresql || status=$?
  as_root rm -f "$dir/sternway.conf"
  return "$status"
}

start_postgres() {
  new_cluster postgres "$postgres_bin" || return
  make_certificates "$scratch/postgres" || cannot "openssl could not make the certificates" || return
  cat >>"$scratch/postgres/data/postgresql.conf" <<CONF || return
ssl = on
ssl_cert_file = '$scratch/postgres/server.crt'
ssl_key_file = '$scratch/postgres/server.key'
CONF
  start_cluster postgres "$postgres_bin" || return
  export STERNWAY_TEST_PG_URL=$url
  export STERNWAY_TEST_PG_SOCKET=$scratch/postgres
  export STERNWAY_TEST_PG_CA=$scratch/postgres/ca.crt
}

# as_server COMMAND...: initdb and postgres refuse root. The directory is one that both may enter.
as_server() (
  cd "$scratch" || exit
  [[ $EUID != 0 ]] || set -- runuser -u "$(server_user)" -- "$@"
  exec "$@"
)

server_user() {
  if id -u postgres >/dev/null 2>&1; then echo postgres; else echo nobody; fi
}

# new_cluster NAME BIN: initdb in $scratch/NAME/data; sets password.
new_cluster() {
  local dir=$scratch/$1
  password=$(openssl rand -hex 16) || cannot "openssl is missing" || return
  mkdir "$dir" || return
  (umask 077 && printf '%s\n' "$password" >"$dir/password") || return
  if [[ $EUID == 0 ]]; then
    chown -R "$(server_user)": "$dir" || return
  fi
  as_server "$2/initdb" --pgdata="$dir/data" --username=postgres --pwfile="$dir/password" \
    --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-sync >"$dir/initdb.log" 2>&1 || {
    tail -n 5 "$dir/initdb.log" >&2
    cannot "initdb failed" || return
  }
  # No fsync: nobody needs these files after the power failed. A server that is killed and started
  # again still recovers, since the system keeps what was written.
  cat >>"$dir/data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
unix_socket_directories = '$dir'
max_connections = 200
fsync = off
CONF
}

# start_cluster NAME BIN: sets url. The port may be taken between the look and the start: try again.
servers=()
start_cluster() {
  local dir=$scratch/$1 port _
  servers+=("$2/pg_ctl" "$dir/data")
  for _ in 1 2 3; do
    port=$(free_port)
    if as_server "$2/pg_ctl" start --silent --wait --pgdata="$dir/data" --log="$dir/log" \
      --options="-p $port" </dev/null >/dev/null 2>&1; then
      say "$("$2/postgres" --version) ($1) on port $port"
      # shellcheck disable=SC2034 # for the caller
      url="postgres://postgres:$password@127.0.0.1:$port/postgres?sslmode=disable"
      return
    fi
  done
  tail -n 5 "$dir/log" >&2
  cannot "the server did not start"
}

stop_servers() {
  set -- "${servers[@]}"
  while [[ $# -gt 0 ]]; do
    # "Immediate" waits for no client, and still removes the shared memory.
    [[ ! -e $2/postmaster.pid ]] ||
      as_server "$1" stop --silent --wait --mode=immediate --pgdata="$2" || true
    shift 2
  done
}

# make_certificates DIR: a CA, and a certificate for localhost and nothing else: with 127.0.0.1 as
# host, verify-ca succeeds and verify-full must not.
make_certificates() (
  cd "$1" || exit
  key=(-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes)
  {
    openssl req -x509 "${key[@]}" -keyout ca.key -out ca.crt -days 30 -subj "/CN=Sternway test CA" \
      -addext keyUsage=critical,keyCertSign &&
      openssl req "${key[@]}" -keyout server.key -out server.csr -subj "/CN=localhost" &&
      openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 \
        -extfile <(printf '%s\n' subjectAltName=DNS:localhost basicConstraints=CA:FALSE) -out server.crt
  } >openssl.log 2>&1 || { cat openssl.log >&2; exit 1; }
  chmod 644 ca.crt
  chmod 600 server.key
  [[ $EUID != 0 ]] || chown "$(server_user)": server.key server.crt
)
