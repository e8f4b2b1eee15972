#!/bin/sh
# Installs the Debian or Ubuntu packages that a make target needs and this machine lacks.
# usage: scripts/setup.sh PURPOSE...   with PURPOSE one of: build, check, test, fuzz, bench,
# profile
# Does nothing, and fast, when all is there. Anything else than Debian: says what to install.
set -eu

PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# One line a package: what shows that it is there (a command, a file, or a part of clang's runtime),
# and its name.
needs() {
	case $1 in
	build)
		echo 'make make
gcc gcc
clang clang
llvm-strip llvm
bpftool bpftool
pkg-config pkg-config
/usr/include/bpf/libbpf.h libbpf-dev
/usr/include/libelf.h libelf-dev
/usr/include/zlib.h zlib1g-dev'
		;;
	check)
		echo 'clang-format clang-format
shellcheck shellcheck'
		;;
	test)
		echo 'ip iproute2
nginx nginx-light
curl curl
setpriv util-linux
ps procps
openssl openssl
/usr/lib/postgresql postgresql
ruby ruby'
		;;
	fuzz)
		echo 'make make
clang clang
clang-runtime:fuzzer libclang-rt-dev'
		;;
	bench)
		echo 'wrk wrk
bpftrace bpftrace
conntrack conntrack
tcpdump tcpdump
iptables iptables
taskset util-linux
sysctl procps'
		;;
	profile)
		echo 'perf linux-perf'
		;;
	*)
		echo "setup: '$1' is no purpose; use build, check, test, fuzz, bench or profile" >&2
		exit 2
		;;
	esac
}

present() {
	case $1 in
	/*) [ -e "$1" ] ;;
	clang-runtime:*) ls "$(clang --print-runtime-dir 2>/dev/null)/"*"${1#*:}"* >/dev/null 2>&1 ;;
	*) command -v "$1" >/dev/null ;;
	esac
}

lacking() {
	for purpose in "$@"; do
		needs "$purpose" | while read -r sign package; do
			present "$sign" || printf ' %s' "$package"
		done
	done
}

# Packages of servers start them. A policy keeps them from it while we install; one that is there
# already stays as it is.
policy=/usr/sbin/policy-rc.d
forbid_start() {
	if [ ! -e "$policy" ]; then
		# shellcheck disable=SC2064 # the value of now
		trap "rm -f '$policy'" EXIT
		trap 'exit 130' INT
		trap 'exit 143' TERM
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod 755 "$policy"
	fi
}

for purpose in "$@"; do
	needs "$purpose" >/dev/null
done
packages=$(lacking "$@")
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "setup: please install what these Debian packages hold:$packages" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "setup: missing packages; please run: sudo apt-get install --no-install-recommends$packages" >&2
	exit 1
fi

echo "setup: installing$packages"
forbid_start
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
apt-get install -y -qq --no-install-recommends $packages >/dev/null

still=$(lacking "$@")
if [ -n "$still" ]; then
	echo "setup: installed, but still not found:$still" >&2
	exit 1
fi
