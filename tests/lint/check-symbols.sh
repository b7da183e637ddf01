#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# check-symbols.sh LIBRARY...: the machine is a pure function of its initial state and the log. Fails when an object of one of the
# static libraries refers to a symbol that would let the host in: clocks, random numbers, the environment, files, threads, and
# qsort (whose order of equal elements is the C library's). A process's main and its ring code are not in these libraries.
# tcg_dump.c may open perf's map: it tells a developer where code lies, and tells the machine nothing.
# With --self-test, first shows that a forbidden symbol is found.

clocks="clock_gettime clock_getres gettimeofday time times clock ftime timespec_get nanosleep clock_nanosleep usleep sleep
 alarm setitimer timer_create localtime localtime_r gmtime gmtime_r mktime timegm strftime asctime ctime
 host_monotonic_ns host_realtime_ns"
random="rand rand_r srand random srandom random_r drand48 lrand48 mrand48 arc4random getrandom getentropy"
host="getenv secure_getenv setlocale uname gethostname sysconf getpid getppid gettid getuid sched_getcpu pthread_self
 pthread_create getauxval environ"
files="open open64 openat fopen fopen64 read write pread pread64 pwrite pwrite64 socket connect recvmsg sendmsg ioctl mmap poll
 select epoll_wait popen system fork execve"
order="qsort qsort_r"

list=$(printf '%s\n' $clocks $random $host $files $order)

check() # LIBRARY: prints offenders, fails if there are any
{
	nm -A -u "$1" 2>/dev/null | awk -v list="$list" '
		/tcg_dump\.c\.o: *U (fopen|fopen64|getpid)(@.*)?$/ { next }
		BEGIN { n = split(list, a, "\n"); for (i = 1; i <= n; i++) bad[a[i]] = 1 }
		{ sym = $NF; sub(/@.*/, "", sym); if (sym in bad) { print $1 " refers to " sym; found = 1 } }
		END { exit found ? 1 : 0 }'
}

if [ "$1" = --self-test ]; then
	shift
	dir=$(mktemp -d) || exit 1
	trap 'rm -rf "$dir"' EXIT
	printf '#include <time.h>\ntime_t f(void);\ntime_t f(void) { return time(0); }\n' >"$dir/bad.c"
	${CC:-cc} -c -o "$dir/bad.o" "$dir/bad.c" && ar rc "$dir/bad.a" "$dir/bad.o" || exit 1
	if check "$dir/bad.a" >/dev/null; then
		echo "check-symbols: the check itself is broken: it does not see time()" >&2
		exit 1
	fi
fi

status=0
for lib in "$@"; do
	if [ ! -s "$lib" ] || ! nm "$lib" >/dev/null 2>&1; then
		echo "check-symbols: $lib: not a library that nm can read" >&2
		exit 1
	fi
	if ! check "$lib"; then
		status=1
	fi
done
[ $status = 0 ] || echo "check-symbols: devices and vcpu must not know the host: see docs/architecture.md" >&2
exit $status
