/* steps - prints the address of every instruction below 16 MiB that a static, position-dependent
 * program executes, one a line, each once.
 *
 *   steps OUT PROGRAM [ARG...]
 *
 * It steps through the program and the processes that it forks, until they execute another program;
 * the program itself may execute itself again. A few minutes for a million instructions.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPACE = 16 << 20 };

static unsigned char seen[SPACE];

/* Goes one step on, with a signal that came meanwhile. */
static void step(pid_t pid, long signal)
{
	ptrace(PTRACE_SINGLESTEP, pid, 0, signal);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 2;
	pid_t first = fork();
	if (!first) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[2], argv + 2);
		_exit(127);
	}
	int status;
	waitpid(first, &status, 0);
	ptrace(PTRACE_SETOPTIONS, first, 0,
	       PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
	step(first, 0);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status)) {
			/* What it leaves behind, an init that waits, is killed with us. */
			if (pid == first)
				break;
			continue;
		}
		int signal = WSTOPSIG(status), event = status >> 16;
		if (event == PTRACE_EVENT_EXEC && pid != first) {
			ptrace(PTRACE_DETACH, pid, 0, 0);
			continue;
		}
		struct user_regs_struct regs;
		if (!ptrace(PTRACE_GETREGS, pid, 0, &regs) && regs.rip < SPACE)
			seen[regs.rip] = 1;
		step(pid, signal == SIGTRAP || signal == SIGSTOP || event ? 0 : signal);
	}
	FILE *out = fopen(argv[1], "w");
	if (!out)
		return 1;
	for (long at = 0; at < SPACE; at++)
		if (seen[at])
			fprintf(out, "%lx\n", at);
	return fclose(out) ? 1 : 0;
}
