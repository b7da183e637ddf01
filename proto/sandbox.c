/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a process may still ask of the kernel once it is set up: seccomp(2) through libseccomp, on
 * top of no-new-privs. A row of the table allows one system call to one role ("*": all) and says
 * who needs it.
 *
 * Anything else fails with EPERM and is logged by the kernel; a few calls that no honest path could
 * make (SANDBOX_DEADLY) kill the process, because only an intruder makes them.
 */
#include "proc.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#include "log.h"

#define SANDBOX_RULES(X)                                                                   \
	/* memory */                                                                       \
	X("*", brk, "malloc")                                                              \
	X("*", munmap, "free of large blocks, chan_done")                                  \
	X("*", mremap, "realloc of large blocks")                                          \
	X("*", madvise, "free, and exit of threads")                                       \
	X("*", getrandom, "malloc's first use in a thread")                                \
	/* descriptors that we hold already */                                             \
	X("*", read, "bells (eventfd), files that the hub opened")                         \
	X("*", write, "bells, log lines")                                                  \
	X("*", readv, "libevent, stdio")                                                   \
	X("*", writev, "libevent, stdio, abort() messages of libc")                        \
	X("*", close, "descriptors that came with a message and are not wanted")           \
	X("*", fstat, "proc_map")                                                          \
	X("*", newfstatat, "fstat() of newer C libraries")                                 \
	X("*", lseek, "reading a kernel image or a log by position; stdio")                \
	X("*", pread64, "the same")                                                        \
	X("*", sendmsg, "proc_send")                                                       \
	X("*", recvmsg, "proc_recv")                                                       \
	/* waiting */                                                                      \
	X("*", poll, "control thread")                                                     \
	X("*", ppoll, "chan_wait")                                                         \
	X("*", futex, "locks, joins, and the run state's futex word")                      \
	X("*", nanosleep, "chan_send when a ring is full")                                 \
	X("*", clock_nanosleep, "what nanosleep() is in newer C libraries")                \
	X("*", clock_gettime, "deadlines, where the vDSO has no fast clock")               \
	X("*", clock_getres, "the same")                                                   \
	X("*", gettimeofday, "the same")                                                   \
	X("*", sched_yield, "chan_wait")                                                   \
	X("*", sched_getaffinity, "chan_wait: is there a second core?")                    \
	X("*", restart_syscall, "the kernel itself, after SIGSTOP and SIGCONT in a sleep") \
	/* threads and signals */                                                          \
	X("*", rt_sigreturn, "return from signal handlers")                                \
	X("*", rt_sigprocmask, "abort(), thread exit")                                     \
	X("*", rt_sigaction, "abort()")                                                    \
	X("*", getpid, "abort()")                                                          \
	X("*", gettid, "abort()")                                                          \
	X("*", tgkill, "abort()")                                                          \
	X("*", set_robust_list, "thread exit")                                             \
	X("*", rseq, "thread exit")                                                        \
	X("*", exit, "thread exit")                                                        \
	X("*", exit_group, "exit")                                                         \
	/* the log's writer */                                                             \
	X("replaylog", pwrite64, "chunk headers of the log")                               \
	X("replaylog", ftruncate, "a log that is recorded over a longer file")             \
	X("replaylog", fsync, "the log is whole on disk before we say Finished")           \
	X("replaylog", fdatasync, "the same")                                              \
	/* snapshots */                                                                    \
	X("snapstore", pwrite64, "the image")                                              \
	X("snapstore", fallocate, "the image, and guest RAM that becomes zero")            \
	X("snapstore", ftruncate, "the image")                                             \
	X("snapstore", fsync, "the image")                                                 \
	X("snapstore", fdatasync, "the image")                                             \
	X("snapstore", dup, "opening the image again")                                     \
	/* disk images */                                                                  \
	X("blkproxy", pwrite64, "data and tables")                                         \
	X("blkproxy", fdatasync, "a guest's flush")                                        \
	X("blkproxy", fallocate, "holes, for a guest's discard")                           \
	X("blkproxy", ftruncate, "qcow2 files grow, and end")                              \
	/* processes with an event loop and clients */                                     \
	X("replaylog", epoll_wait, "libevent")                                             \
	X("replaylog", epoll_pwait, "libevent")                                            \
	X("replaylog", epoll_ctl, "libevent")                                              \
	X("replaylog", timerfd_settime, "libevent, deadlines of a halted guest")           \
	X("qmpd", epoll_wait, "libevent")                                                  \
	X("qmpd", epoll_pwait, "libevent")                                                 \
	X("qmpd", epoll_ctl, "libevent")                                                   \
	X("qmpd", timerfd_settime, "libevent")                                             \
	X("qmpd", accept4, "clients of the QMP socket")                                    \
	X("qmpd", accept, "the same, older libevent")                                      \
	X("qmpd", getsockname, "the same")                                                 \
	X("qmpd", getpeername, "who the client is, for messages")                          \
	X("qmpd", getsockopt, "libevent: errors of a connection")                          \
	X("qmpd", shutdown, "end of a client's connection")                                \
	X("qmpd", sendto, "send() to a client")                                            \
	X("qmpd", recvfrom, "recv() from a client")                                        \
	X("display", accept4, "VNC clients")                                               \
	X("display", getpeername, "libvncserver: who the client is")                       \
	X("display", getsockname, "the same")                                              \
	X("display", setsockopt, "libvncserver: TCP_NODELAY")                              \
	X("display", getsockopt, "libvncserver: errors of a connection")                   \
	X("display", shutdown, "end of a client's connection")                             \
	X("display", sendto, "send() to a client")                                         \
	X("display", recvfrom, "recv() from a client, also MSG_PEEK")                      \
	X("display", select, "libvncserver, waiting for clients")                          \
	X("display", pselect6, "what select() is in the C library")

/* Only code that is not ours asks for these. */
#define SANDBOX_DEADLY(X)    \
	X(execve)            \
	X(execveat)          \
	X(fork)              \
	X(vfork)             \
	X(ptrace)            \
	X(process_vm_readv)  \
	X(process_vm_writev) \
	X(bpf)               \
	X(mount)             \
	X(pivot_root)        \
	X(chroot)            \
	X(init_module)       \
	X(finit_module)      \
	X(kexec_load)        \
	X(setuid)            \
	X(setgid)            \
	X(keyctl)            \
	X(userfaultfd)

struct rule {
	const char *role;
	int nr;
	const char *why;
};

static const struct rule rules[] = {
#define X(role, name, why) { role, SCMP_SYS(name), why },
	SANDBOX_RULES(X)
#undef X
};

static const int deadly[] = {
#define X(name) SCMP_SYS(name),
	SANDBOX_DEADLY(X)
#undef X
};

/* Calls that are allowed with some arguments only. */
static int add_argument_rules(scmp_filter_ctx ctx)
{
	const struct scmp_arg_cmp no_exec = SCMP_A2(SCMP_CMP_MASKED_EQ, (scmp_datum_t)PROT_EXEC, 0);
	static const int fcntl_commands[] = { F_GETFL, F_SETFL, F_GETFD, F_SETFD, F_GET_SEALS };
	int r;

	/* malloc and thread stacks; new code may not be made. */
	r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, &no_exec);
	if (r == 0)
		r = seccomp_rule_add_array(ctx, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, &no_exec);
	/* chan_init, libevent: O_NONBLOCK and close-on-exec. */
	for (size_t i = 0; r == 0 && i < sizeof(fcntl_commands) / sizeof(int); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)fcntl_commands[i], 0));
	/* libevent asks how much there is to read. */
	if (r == 0)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)FIONREAD, 0));
	return r;
}

/* The terminal of -display curses: its size and modes, and not TIOCSTI, which types into it. */
static int add_terminal_rules(scmp_filter_ctx ctx)
{
	static const unsigned long requests[] = { TIOCGWINSZ, TCGETS, TCSETS, TCSETSW, TCSETSF };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(requests) / sizeof(requests[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)requests[i], 0));
	return r;
}

/* Locks of images: looking and taking, never waiting (F_OFD_SETLKW). */
static int add_image_rules(scmp_filter_ctx ctx)
{
	static const int commands[] = { F_OFD_GETLK, F_OFD_SETLK };
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
			SCMP_A1(SCMP_CMP_EQ, (scmp_datum_t)commands[i], 0));
	return r;
}

static int build_filter(scmp_filter_ctx ctx, const char *role)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		if (strcmp(rules[i].role, "*") == 0 || strcmp(rules[i].role, role) == 0)
			r = seccomp_rule_add(ctx, SCMP_ACT_ALLOW, rules[i].nr, 0);
	for (size_t i = 0; r == 0 && i < sizeof(deadly) / sizeof(deadly[0]); i++)
		r = seccomp_rule_add(ctx, SCMP_ACT_KILL_PROCESS, deadly[i], 0);
	if (r == 0)
		r = add_argument_rules(ctx);
	if (r == 0 && strcmp(role, "display") == 0)
		r = add_terminal_rules(ctx);
	if (r == 0 && (strcmp(role, "blkproxy") == 0 || strcmp(role, "snapstore") == 0))
		r = add_image_rules(ctx);
	/* The control thread runs already. */
	if (r == 0)
		r = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_TSYNC, 1);
	/* A kernel that cannot log refusals is no reason not to refuse. */
	if (r == 0)
		seccomp_attr_set(ctx, SCMP_FLTATR_CTL_LOG, 1);
	return r;
}

int proc_sandbox(struct proc *p, struct error *err)
{
	scmp_filter_ctx ctx;
	int r;

	if (!p->welcome->log || !p->welcome->log->sandbox || p->sandboxed)
		return 0;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	log_info("built with a sanitizer, which needs more system calls: no sandbox");
	return 0;
#endif
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "sandbox: no-new-privs: %s", strerror(errno));
	ctx = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	if (!ctx)
		return error_set(err, ENOMEM, "sandbox: cannot make a system call filter");
	r = build_filter(ctx, p->role);
	if (r == 0)
		r = seccomp_load(ctx);
	seccomp_release(ctx);
	if (r < 0)
		return error_set(err, -r,
			"sandbox: cannot load the system call filter: %s (--no-sandbox goes "
			"without)",
			strerror(-r));
	p->sandboxed = true;
	log_debug("sandboxed: %zu rules", sizeof(rules) / sizeof(rules[0]));
	return 0;
}
