# shellcheck shell=bash
# The program age, by which snapshots are encrypted.

prepare_age() {
  command -v age-keygen >/dev/null || apt_install age
}
