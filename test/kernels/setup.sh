#!/bin/sh
# Installs what the kernel matrix needs on a Debian host. Idempotent; does nothing when all is there.
set -eu

missing=
PATH=$PATH:/usr/sbin:/sbin
for pair in qemu-system-x86_64:qemu-system-x86 modprobe:kmod mksquashfs:squashfs-tools cpio:cpio \
	xz:xz-utils ip:iproute2 dash:dash curl:curl; do
	command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
done
# The package "busybox" gives the same name, but needs libraries, which an initrd does not have.
if ! command -v busybox >/dev/null || ldd "$(command -v busybox)" >/dev/null 2>&1; then
	missing="$missing busybox-static"
fi
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
	echo "kernels: as root, run: apt-get install --no-install-recommends$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $missing >/dev/null
