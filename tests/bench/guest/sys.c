/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The kernel's work, of fixed size.
 *
 *   sys call N      N system calls that do next to nothing
 *   sys fork N      N times fork, exec of this program, wait
 *   sys pipe N      a byte goes N times to another process and back: 2N context switches
 *   sys nothing     ends with status 7 (what fork runs)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static long run_call(long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += syscall(SYS_getppid) == getppid();
	return sum;
}

static long run_fork(long n, char *self)
{
	char *args[] = { self, (char *)"nothing", NULL };
	char *env[] = { NULL };
	long good = 0;

	for (long i = 0; i < n; i++) {
		int status;
		pid_t pid = fork();

		if (pid < 0)
			return -1;
		if (!pid) {
			execve(self, args, env);
			_exit(1);
		}
		if (waitpid(pid, &status, 0) != pid)
			return -1;
		good += WIFEXITED(status) && WEXITSTATUS(status) == 7;
	}
	return good;
}

static long run_pipe(long n)
{
	int there[2], back[2];
	unsigned char byte = 0;
	long good = 0;
	pid_t pid;

	if (pipe(there) || pipe(back))
		return -1;
	pid = fork();
	if (pid < 0)
		return -1;
	if (!pid) {
		close(there[1]);
		close(back[0]);
		while (read(there[0], &byte, 1) == 1) {
			byte++;
			if (write(back[1], &byte, 1) != 1)
				_exit(1);
		}
		_exit(0);
	}
	close(there[0]);
	close(back[1]);
	for (long i = 0; i < n; i++) {
		unsigned char sent = byte;

		if (write(there[1], &byte, 1) != 1 || read(back[0], &byte, 1) != 1)
			return -1;
		good += byte == (unsigned char)(sent + 1);
	}
	close(there[1]);
	waitpid(pid, NULL, 0);
	return good;
}

int main(int argc, char **argv)
{
	long n = argc > 2 ? atol(argv[2]) : 1, good;

	if (argc < 2)
		return 2;
	if (!strcmp(argv[1], "nothing"))
		return 7;
	if (!strcmp(argv[1], "call"))
		good = run_call(n);
	else if (!strcmp(argv[1], "fork"))
		good = run_fork(n, (char *)"/proc/self/exe");
	else if (!strcmp(argv[1], "pipe"))
		good = run_pipe(n);
	else
		return 2;
	printf("%s %ld %s\n", argv[1], n, good == n ? "right" : "WRONG");
	return good == n ? 0 : 3;
}
