/* calls - prints which of some addresses a static, position-dependent program comes to.
 *
 *   calls OUT ADDRESSES PROGRAM [ARG...]
 *
 * ADDRESSES and OUT hold hexadecimal numbers, one a line. A breakpoint stands at each address of the
 * program, and of the processes that it forks, until it is come to, or another program is executed;
 * the program may execute itself again. So it runs nearly as fast as without.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SPACE = 16 << 20, MOST = 100000 };

static const unsigned char breakpoint = 0xcc;

static unsigned long addresses[MOST];
static size_t count;
static unsigned char original[SPACE]; /* What is at each address; 0 where there is no breakpoint. */
static unsigned char seen[SPACE];

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int memory(pid_t pid)
{
	char path[32];
	snprintf(path, sizeof path, "/proc/%d/mem", pid);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	return fd;
}

static void read_addresses(const char *path)
{
	FILE *file = fopen(path, "r");
	if (!file)
		fail(path);
	for (unsigned long one; count < MOST && fscanf(file, "%lx", &one) == 1;)
		if (one < SPACE)
			addresses[count++] = one;
	fclose(file);
}

/* Has a process that has just executed the program stop at each address. */
static void set_breakpoints(pid_t pid)
{
	int fd = memory(pid);
	for (size_t i = 0; i < count; i++) {
		unsigned long at = addresses[i];
		if (pread(fd, &original[at], 1, at) != 1 || pwrite(fd, &breakpoint, 1, at) != 1)
			fail("setting a breakpoint");
	}
	close(fd);
}

/* Takes the breakpoint away that the process has come to; 0 if it has come to none. */
static int pass_breakpoint(pid_t pid)
{
	struct user_regs_struct regs;
	if (ptrace(PTRACE_GETREGS, pid, 0, &regs) < 0)
		return 0;
	unsigned long at = regs.rip - 1;
	if (at >= SPACE || !original[at])
		return 0;
	seen[at] = 1;
	int fd = memory(pid);
	if (pwrite(fd, &original[at], 1, at) != 1)
		fail("removing a breakpoint");
	close(fd);
	regs.rip = at;
	ptrace(PTRACE_SETREGS, pid, 0, &regs);
	return 1;
}

static int is_same_file(pid_t pid, const struct stat *program)
{
	char path[32];
	struct stat stat_;
	snprintf(path, sizeof path, "/proc/%d/exe", pid);
	return !stat(path, &stat_) && stat_.st_ino == program->st_ino;
}

int main(int argc, char **argv)
{
	struct stat program;
	if (argc < 4)
		return 2;
	read_addresses(argv[2]);
	if (stat(argv[3], &program))
		fail(argv[3]);
	pid_t first = fork();
	if (!first) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		execv(argv[3], argv + 3);
		_exit(127);
	}
	int status;
	waitpid(first, &status, 0);
	ptrace(PTRACE_SETOPTIONS, first, 0,
	       PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACEEXEC);
	set_breakpoints(first);
	ptrace(PTRACE_CONT, first, 0, 0);
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status)) {
			/* What it leaves behind, an init that waits, is killed with us. */
			if (pid == first)
				break;
			continue;
		}
		int signal = WSTOPSIG(status), event = status >> 16;
		if (event == PTRACE_EVENT_EXEC) {
			if (!is_same_file(pid, &program)) {
				ptrace(PTRACE_DETACH, pid, 0, 0);
				continue;
			}
			set_breakpoints(pid);
			signal = 0;
		} else if (event || (signal == SIGTRAP && pass_breakpoint(pid)) || signal == SIGSTOP) {
			signal = 0;
		}
		ptrace(PTRACE_CONT, pid, 0, signal);
	}
	FILE *out = fopen(argv[1], "w");
	if (!out)
		fail(argv[1]);
	for (unsigned long at = 0; at < SPACE; at++)
		if (seen[at])
			fprintf(out, "%lx\n", at);
	return fclose(out) != 0;
}
