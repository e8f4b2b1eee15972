#!/bin/bash
# fetch-kernels.sh [--refresh] NAME...
#
# Makes Debian's kernels NAME (5.10, 6.1, 6.12, 7) ready to boot in a guest, cached. Prints one line
# for each: "ok<TAB>NAME<TAB>DIR" or "skip<TAB>NAME<TAB>REASON". DIR holds vmlinuz, release, and
# modules/ with modules/order, the order to load them in. Exits 0 also when some can't be had.
set -euo pipefail

cache=${XDG_CACHE_HOME:-$HOME/.cache}/transtracer/kernels
# What the guest's init loads before it has a root file system, and what tests use in it.
modules="virtio_pci virtio_blk virtio_rng squashfs overlay inet_diag tcp_diag veth"
# A cached kernel made by another recipe is made anew. Raise the number when this script changes.
recipe="1 $modules"

suite_of() {
	case $1 in
	5.10) echo bullseye-security ;;
	6.1) echo bookworm ;;
	6.12) echo trixie ;;
	7) echo sid ;;
	esac
}

# Abi names of the suite's own cloud kernels; bullseye-security also has 6.1 backports (deb11).
pattern_of() {
	case $1 in
	5.10 | 6.1) echo "^linux-image-${1//./\\.}\.0-[0-9]+-cloud-amd64$" ;;
	6.12) echo '^linux-image-6\.12\.[0-9]+\+deb13-cloud-amd64$' ;;
	7) echo '^linux-image-7\.[0-9.]+\+deb[0-9]+-cloud-amd64$' ;;
	esac
}

log() { echo "kernels: $*" >&2; }
skip() {
	log "SKIPPED $1: $2"
	printf 'skip\t%s\t%s\n' "$1" "$2"
}

# The address from which this machine gets suite $1, from its own apt configuration.
mirror_of() {
	apt-get update --print-uris 2>/dev/null |
		sed -n "s#^'\(.*\)/dists/$1/\(In\)\?Release'.*#\1#p" | sort -u | sed -n 1p
}

# Sets apt_options to an apt state of our own below $1, with the four suites in its sources.
private_apt() {
	local dir=$1 codename mirror security suite
	# shellcheck disable=SC1091 # the machine's
	codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
	mirror=$(mirror_of "$codename")
	security=$(mirror_of "$codename-security")
	mkdir -p "$dir"/{lists/partial,cache/archives/partial,etc}
	for suite in bookworm trixie sid; do
		[ -z "$mirror" ] || echo "deb [signed-by=$keyring] $mirror $suite main"
	done >"$dir/sources.list"
	[ -z "$security" ] ||
		echo "deb [signed-by=$keyring] $security bullseye-security main" >>"$dir/sources.list"
	apt_options=(-qq -o Dir::Etc::sourcelist="$dir/sources.list" -o Dir::Etc::sourceparts=/dev/null
		-o Dir::State::lists="$dir/lists" -o Dir::State::status=/dev/null
		-o Dir::Cache="$dir/cache" -o Dir::Cache::pkgcache=pkgcache.bin
		-o Dir::Cache::srcpkgcache=srcpkgcache.bin -o APT::Sandbox::User=root -o Acquire::Languages=none
		-o APT::Architecture=amd64 -o APT::Architectures=amd64)
	# One suite that is out of reach must not cost the others: each is looked up on its own below.
	apt-get "${apt_options[@]}" update >&2 || log "apt-get update: not all suites could be read"
}

# Downloads and unpacks kernel package $1 and the packages it is split into, to $2.
unpack_packages() {
	local package=$1 to=$2 deb
	mkdir -p "$to/deb" "$to/tree"
	# shellcheck disable=SC2046 # package names
	(cd "$to/deb" && apt-get "${apt_options[@]}" download "$package" \
		$(apt-cache "${apt_options[@]}" depends "$package" |
			sed -n 's/^ *Depends: \(linux-\(base\|binary\|modules\)-[0-9].*\)/\1/p') >&2)
	for deb in "$to"/deb/*.deb; do
		dpkg-deb -x "$deb" "$to/tree"
	done
	if [ -d "$to/tree/usr/lib/modules" ]; then # merged /usr; kmod's -d wants lib/modules
		mkdir -p "$to/tree/lib"
		mv "$to/tree/usr/lib/modules" "$to/tree/lib/modules"
	fi
}

# Puts what a guest needs of the unpacked tree $1 into $2.
pick_files() {
	local tree=$1 out=$2 release module action path
	release=$(basename "$tree"/lib/modules/*)
	mkdir -p "$out/modules"
	cp "$(find "$tree/boot" "$tree/lib/modules" -name 'vmlinuz*' 2>/dev/null | sed -n 1p)" "$out/vmlinuz"
	depmod -b "$tree" "$release"
	for module in $modules; do
		modprobe -d "$tree" -S "$release" --show-depends "$module"
	done | while read -r action path _; do
		[ "$action" = insmod ] || continue # "builtin"
		module=$(basename "${path%.xz}")
		[ ! -e "$out/modules/$module" ] || continue
		case $path in
		*.xz) xz -dc "$path" >"$out/modules/$module" ;;
		*) cp "$path" "$out/modules/$module" ;;
		esac
		echo "$module" >>"$out/modules/order"
	done
	echo "$release" >"$out/release"
	echo "$recipe" >"$out/recipe"
}

# Makes kernel $1 in the cache; on failure leaves the reason in $work/reason.
fetch() {
	local name=$1 package failed
	package=$(apt-cache "${apt_options[@]}" pkgnames linux-image- | grep -E "$(pattern_of "$name")" |
		sort -V | tail -1) || true
	if [ -z "$package" ]; then
		echo "no kernel package found in suite $(suite_of "$name") through this machine's mirror" >"$work/reason"
		return 1
	fi
	log "fetching $package"
	set +e # which an `if` around the subshell would turn off inside it
	(
		set -e
		unpack_packages "$package" "$work/$name"
		pick_files "$work/$name/tree" "$work/$name/out"
	)
	failed=$?
	set -e
	if [ $failed != 0 ]; then
		echo "$package can't be downloaded or unpacked (see above)" >"$work/reason"
		return 1
	fi
	rm -rf "${cache:?}/$name" "$work/$name/deb" "$work/$name/tree"
	mv "$work/$name/out" "$cache/$name"
}

refresh=
if [ "${1:-}" = --refresh ]; then
	refresh=1
	shift
fi
for name; do
	if [ -z "$(suite_of "$name")" ]; then
		echo "usage: fetch-kernels.sh [--refresh] [5.10] [6.1] [6.12] [7]" >&2
		exit 2
	fi
done

mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9
work=$(mktemp -d "$cache/.work.XXXXXX")
trap 'rm -rf "$work"' EXIT
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

apt_options=()
for name; do
	if [ -z "$refresh" ] && [ "$(cat "$cache/$name/recipe" 2>/dev/null)" = "$recipe" ]; then
		printf 'ok\t%s\t%s\n' "$name" "$cache/$name"
		continue
	fi
	if ! command -v apt-get >/dev/null || [ ! -e "$keyring" ]; then
		skip "$name" "not in the cache, and only a Debian machine can fetch it"
		continue
	fi
	[ ${#apt_options[@]} -gt 0 ] || private_apt "$work/apt"
	if fetch "$name"; then
		printf 'ok\t%s\t%s\n' "$name" "$cache/$name"
	else
		skip "$name" "$(cat "$work/reason")"
	fi
done
