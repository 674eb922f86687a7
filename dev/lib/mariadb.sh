# shellcheck shell=bash
# MariaDB from Debian: the server alone, without the package that would start one on port 3306.

prepare_mariadb() {
  find_mariadb || apt_install mariadb-server-core mariadb-client-core mariadb-client || return
  find_mariadb || cannot "the package mariadb-server-core brought no server"
}

# Sets mariadbd. The package puts it where only root's PATH looks.
find_mariadb() {
  mariadbd=$(PATH=$PATH:/usr/sbin:/usr/libexec command -v mariadbd) &&
    command -v mariadb-install-db mariadb mariadb-admin mariadb-dump >/dev/null
}

start_mariadb() {
  local dir=$scratch/mariadb password port _
  password=$(openssl rand -hex 16) || cannot "openssl is missing" || return
  # Temporary files of its own: another server that starts clears those of its name in a shared /tmp.
  mkdir "$dir" "$dir/tmp" || return
  # No fsync: nobody needs these files after the power failed. Room for every test at once.
  (umask 077 && cat >"$dir/my.cnf") <<CONF || return
[mariadbd]
datadir = $dir/data
tmpdir = $dir/tmp
socket = $dir/socket
pid-file = $dir/pid
log-error = $dir/log.err
bind-address = 127.0.0.1
character-set-server = utf8mb4
max_connections = 300
skip-name-resolve
innodb_flush_log_at_trx_commit = 0
innodb_flush_method = nosync
innodb_log_file_size = 32M
[client]
socket = $dir/socket
user = root
password = $password
CONF
  if [[ $EUID == 0 ]]; then
    chown -R "$(server_user)": "$dir" || return
  fi
  as_server mariadb-install-db --defaults-file="$dir/my.cnf" --auth-root-authentication-method=normal \
    --skip-test-db >"$dir/install.log" 2>&1 || {
    tail -n 5 "$dir/install.log" >&2
    cannot "mariadb-install-db failed" || return
  }
  # The server carries this out before it listens. By name, root comes through the socket only.
  (umask 077 && cat >"$dir/init.sql") <<SQL || return
CREATE OR REPLACE USER root@localhost IDENTIFIED BY '$password';
CREATE OR REPLACE USER root@'127.0.0.1' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO root@localhost WITH GRANT OPTION;
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
SQL
  [[ $EUID != 0 ]] || chown "$(server_user)": "$dir/init.sql" || return
  for _ in 1 2 3; do
    port=$(free_port)
    # Of a process group of its own, which a Ctrl-C does not reach: `stop_mariadb` ends it.
    set -m
    as_server "$mariadbd" --defaults-file="$dir/my.cnf" --port="$port" --init-file="$dir/init.sql" \
      </dev/null >"$dir/start.log" 2>&1 &
    mariadb_server=$!
    set +m
    if mariadb_answers "$dir" "$port"; then
      say "$("$mariadbd" --version | sed 's/^.*Ver /MariaDB /; s/ for .*//') on port $port"
      export STERNWAY_TEST_MARIADB="mysql://root:$password@tcp(127.0.0.1:$port)/"
      return
    fi
    stop_mariadb
  done
  tail -n 5 "$dir/log.err" "$dir/start.log" >&2
  cannot "the server did not start"
}

# mariadb_answers DIR PORT: waits until it does, or has ended.
mariadb_answers() {
  local _
  for _ in {1..300}; do
    kill -0 "$mariadb_server" 2>/dev/null || return
    if mariadb --defaults-file="$1/my.cnf" --protocol=tcp --host=127.0.0.1 --port="$2" \
      --execute='SELECT 1' >/dev/null 2>&1; then
      return
    fi
    sleep 0.1
  done
  return 1
}

mariadb_server=
stop_mariadb() {
  [[ -z $mariadb_server ]] || stop_group "$mariadb_server"
  mariadb_server=
}
