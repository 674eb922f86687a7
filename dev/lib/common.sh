# shellcheck shell=bash
# What every part of dev/test uses: words, reasons, packages, processes.

say() { printf 'dev/test: %s\n' "$*"; }

# A folder in memory with room for servers and their databases; false where there is none.
roomy_memory() {
  local folder=/dev/shm gigabyte=$((1024 * 1024)) room free options
  read -r room options < <(findmnt -no AVAIL,OPTIONS --bytes "$folder" 2>/dev/null) || return
  free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
  [[ -w $folder && ,$options, != *,noexec,* ]] || return
  ((room / 1024 >= 6 * gigabyte && ${free:-0} >= 12 * gigabyte)) || return
  echo "$folder"
}

# skip NAME REASON: the part is left out, and the end of the run says so.
skip() {
  say "skipping $1: $2"
  printf '%s: %s\n' "$1" "$2" >>"$STERNWAY_SKIPPED"
}

# A part that cannot be provided says why and returns false: cannot REASON || return
why=
cannot() {
  why=$1
  return 1
}

# part NAME FUNCTION: runs one stage of a part, unless an earlier stage gave up.
# `set -e` does not hold inside (Bash suspends it left of ||), so stages check each command.
declare -A left_out=()
leave_out() { left_out[$1]=yes; }
part() {
  [[ -z ${left_out[$1]:-} ]] || return 0
  why="$2 failed"
  "$2" || {
    leave_out "$1"
    skip "$1" "$why"
  }
}

# as_root COMMAND...: false if this user may not.
as_root() {
  if [[ $EUID == 0 ]]; then
    "$@"
  else
    command -v sudo >/dev/null && sudo -n true 2>/dev/null && sudo -n "$@"
  fi
}

# apt_install PACKAGE...: installs them, with as little as possible beside them.
apt_updated=
apt_install() {
  command -v apt-get >/dev/null || cannot "needs $*, and this is not Debian or Ubuntu" || return
  as_root true || cannot "needs the packages $*, which this user may not install" || return
  say "installing $*"
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300)
  if [[ -z $apt_updated ]]; then
    # May fail for one source out of many; the installation then tells whether that matters.
    as_root "${apt[@]}" update >"$scratch/apt.log" 2>&1 </dev/null || true
    apt_updated=yes
  fi
  as_root "${apt[@]}" install --yes --no-install-recommends "$@" >>"$scratch/apt.log" 2>&1 </dev/null || {
    tail -n 5 "$scratch/apt.log" >&2
    cannot "apt-get could not install $*"
  }
}

# apt_install_stopped PACKAGE...: those that would start a server, which nobody here wants. A policy
# says no for as long as that takes; one that is there already stays.
apt_install_stopped() {
  local policy=/usr/sbin/policy-rc.d status=0 ours=
  if [[ ! -e $policy ]] && as_root tee "$policy" >/dev/null <<<$'#!/bin/sh\nexit 101'; then
    as_root chmod 755 "$policy"
    ours=yes
  fi
  apt_install "$@" || status=$?
  [[ -z $ours ]] || as_root rm -f "$policy"
  return "$status"
}

# Without these, building fails later and says less.
prepare_basics() {
  local packages=()
  command -v cargo >/dev/null || {
    say "cargo is missing: install Rust first"
    exit 1
  }
  command -v cc >/dev/null || packages+=(gcc libc6-dev)
  command -v git >/dev/null || packages+=(git)
  command -v openssl >/dev/null || packages+=(openssl)
  [[ -e /etc/ssl/certs/ca-certificates.crt ]] || packages+=(ca-certificates)
  if [[ ${#packages[@]} -gt 0 ]]; then
    apt_install "${packages[@]}" || say "going on without: $why"
  fi
}

# stop_group ID: ends a process group, asking first.
stop_group() {
  kill -TERM -- "-$1" 2>/dev/null || return 0
  local _
  for _ in {1..50}; do
    kill -0 -- "-$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL -- "-$1" 2>/dev/null || true
}

# at_least VERSION MINIMUM
at_least() { [[ $(printf '%s\n' "$1" "$2" | sort -V | head -n 1) == "$2" ]]; }
