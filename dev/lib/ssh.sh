# shellcheck shell=bash
# The server of ssh, which tests start on ports of their own to read repositories through it.

prepare_ssh() {
  [[ -x /usr/sbin/sshd ]] || apt_install_stopped openssh-server openssh-client
}
