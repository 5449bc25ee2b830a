/* floor - only the kernel's share of a command: the least that a container of this kind costs here.
 *
 *   floor [OPTION...] ROOTFS COMMAND [ARG...]                      run
 *   floor [OPTION...] -c PIDFILE -n NAME ROOTFS COMMAND [ARG...]   create
 *   floor [OPTION...] -x PID -n NAME COMMAND [ARG...]              exec
 *   floor [OPTION...] -r -n NAME                                   delete
 *
 * `run` makes the cgroups, namespaces, mounts, devices, masks, limits and the seccomp filter that the
 * benchmark's bundles ask for, by the fewest and quickest system calls known to do it, waits for the
 * command and removes the cgroups. It reads no configuration, keeps no state, checks nothing, undoes
 * nothing and runs no hooks: a runtime comes near to it but not below.
 *
 * `create` does the same up to the execve: there the child blocks on a pipe that nobody writes to, and
 * the parent, told that all is made, writes its pid to PIDFILE and returns. `delete` removes the
 * cgroups once somebody has killed it. `exec` joins the namespaces of PID and the cgroups NAME, with
 * the same user, limits, capabilities and filter, and waits for the command.
 *
 *   -d  the bundle that Docker wrote, not the minimal one; DIR has resolv.conf, hostname and hosts
 *   -1  the cgroup v1 hierarchies: folders of /sys/fs/cgroup
 *   -2  where cgroup v2 is mounted
 *   -p  the cgroup to make the container's cgroup in, which must be there in all of them
 *   -n  the name of the container's cgroup; that of `run` is its pid
 *
 * How it enters cgroups decides the result. A pid written to cgroup.procs waits for an RCU grace
 * period; a single-threaded process that writes 0 to a v1 `tasks` file doesn't, nor does
 * CLONE_INTO_CGROUP on v2.
 *
 * The seccomp filter allows everything, but is a binary search of as many instructions as Docker's
 * profile needs. On cgroup v2 the device rules, a BPF program, are left out.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define MUST(call) must((long)(call), #call)
#define COUNT(array) (sizeof(array) / sizeof *(array))

enum { HIERARCHIES = 16, PATH = 256, FILTER = 179, LAST_SYSCALL = 470 };

static const unsigned long NO_SUID_EXEC_DEV = MS_NOSUID | MS_NOEXEC | MS_NODEV;
static const uint64_t READ_ONLY = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

static const char *docker;
static const char *rootfs;
static char **command;
static char *v1[HIERARCHIES];
static int v1_count, v1_tasks[HIERARCHIES];
static char *v2;
static const char *parent = "";
static char name[64];
static const char *pid_file;
static pid_t joined;
static int removes;

static long must(long result, const char *call)
{
	if (result < 0) {
		dprintf(2, "floor: %s: %s\n", call, strerror(errno));
		_exit(111);
	}
	return result;
}

static void write_file(int folder, const char *path, const char *text)
{
	int fd = MUST(openat(folder, path, O_WRONLY | O_CLOEXEC));
	MUST(write(fd, text, strlen(text)));
	close(fd);
}

static void copy_file(int from, int to, const char *path)
{
	char text[PATH] = "";
	int fd = MUST(openat(from, path, O_RDONLY | O_CLOEXEC));
	MUST(read(fd, text, sizeof text - 1));
	close(fd);
	write_file(to, path, text);
}

/* Mounts `path` (`folder` itself where path is empty) at `target`. -1 where one isn't there. */
static int bind_mount(int folder, const char *path, const char *target, uint64_t attributes)
{
	int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | (*path ? 0 : AT_EMPTY_PATH);
	int fd = syscall(SYS_open_tree, folder, path, flags);
	if (fd < 0)
		return -1;
	struct mount_attr set = {.attr_set = attributes};
	if (attributes)
		MUST(syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &set, sizeof set));
	int moved = syscall(SYS_move_mount, fd, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
	close(fd);
	return moved;
}

/* ---- cgroups: the parent's side ---- */

/* A hierarchy's folder is named for its controllers: cpu,cpuacct. */
static int holds(const char *hierarchy, const char *controller)
{
	size_t length = strlen(controller);
	for (const char *at = hierarchy; (at = strstr(at, controller)); at += length)
		if ((at == hierarchy || at[-1] == ',') && (!at[length] || at[length] == ','))
			return 1;
	return 0;
}

static void limit_v1(const char *hierarchy, int cgroup, int above)
{
	static const char *const devices[] = {
		"c *:* m",   "b *:* m",	  "c 1:3 rwm", "c 1:8 rwm",   "c 1:7 rwm",
		"c 5:0 rwm", "c 1:5 rwm", "c 1:9 rwm", "c 136:* rwm", "c 5:2 rwm",
	};
	if (holds(hierarchy, "cpuset")) {
		copy_file(above, cgroup, "cpuset.cpus");
		copy_file(above, cgroup, "cpuset.mems");
	} else if (holds(hierarchy, "devices")) {
		write_file(cgroup, "devices.deny", "a");
		int fd = MUST(openat(cgroup, "devices.allow", O_WRONLY | O_CLOEXEC));
		for (size_t i = 0; i < COUNT(devices); i++)
			MUST(write(fd, devices[i], strlen(devices[i])));
		close(fd);
	} else if (!docker) {
		return;
	} else if (holds(hierarchy, "memory")) {
		write_file(cgroup, "memory.limit_in_bytes", "536870912");
		write_file(cgroup, "memory.memsw.limit_in_bytes", "1073741824");
	} else if (holds(hierarchy, "cpu")) {
		write_file(cgroup, "cpu.shares", "512");
	} else if (holds(hierarchy, "pids")) {
		write_file(cgroup, "pids.max", "256");
	}
}

/* Without a wait for the RCU grace period: the write is by the process itself, which has one thread. */
static void enter_v1_cgroups(void)
{
	for (int i = 0; i < v1_count; i++)
		MUST(write(v1_tasks[i], "0", 1));
}

static int make_cgroup(int above)
{
	MUST(mkdirat(above, name, 0755));
	return MUST(openat(above, name, O_DIRECTORY | O_CLOEXEC));
}

static int v1_parent(int i)
{
	char path[PATH];
	snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s", v1[i], parent);
	return MUST(openat(AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC));
}

static int v2_parent(void)
{
	char path[PATH];
	snprintf(path, sizeof path, "%s%s", v2, parent);
	return MUST(openat(AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC));
}

static void make_v1_cgroups(int *above)
{
	for (int i = 0; i < v1_count; i++) {
		above[i] = v1_parent(i);
		int cgroup = make_cgroup(above[i]);
		limit_v1(v1[i], cgroup, above[i]);
		v1_tasks[i] = MUST(openat(cgroup, "tasks", O_WRONLY | O_CLOEXEC));
		close(cgroup);
	}
}

static int make_v2_cgroup(int above)
{
	int cgroup = make_cgroup(above);
	if (docker && !faccessat(cgroup, "memory.max", W_OK, 0)) {
		write_file(cgroup, "memory.max", "536870912");
		write_file(cgroup, "cpu.weight", "20");
		write_file(cgroup, "pids.max", "256");
	}
	return cgroup;
}

static void remove_cgroup(int above)
{
	/* EBUSY: the kernel has not yet let go of the last process. */
	while (unlinkat(above, name, AT_REMOVEDIR) && errno == EBUSY)
		sched_yield();
}

/* ---- the container's side ---- */

static void mount_cgroups(void)
{
	char path[PATH], target[PATH];
	if (v1_count) {
		MUST(mount("tmpfs", "sys/fs/cgroup", "tmpfs", NO_SUID_EXEC_DEV, "mode=755"));
		for (int i = 0; i < v1_count; i++) {
			snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s", v1[i], parent, name);
			snprintf(target, sizeof target, "sys/fs/cgroup/%s", v1[i]);
			MUST(mkdir(target, 0755));
			MUST(bind_mount(AT_FDCWD, path, target, READ_ONLY));
		}
		MUST(mount(NULL, "sys/fs/cgroup", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | NO_SUID_EXEC_DEV, NULL));
	} else if (v2) {
		snprintf(path, sizeof path, "%s%s/%s", v2, parent, name);
		MUST(bind_mount(AT_FDCWD, path, "sys/fs/cgroup", READ_ONLY));
	}
}

static void make_devices(void)
{
	static const struct {
		const char *name;
		int major, minor;
	} nodes[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
	static const char *const links[][2] = {
		{"/proc/self/fd", "fd"},	{"/proc/self/fd/0", "stdin"}, {"/proc/self/fd/1", "stdout"},
		{"/proc/self/fd/2", "stderr"}, {"/proc/kcore", "core"},	      {"pts/ptmx", "ptmx"},
	};
	int dev = MUST(openat(AT_FDCWD, "dev", O_PATH | O_DIRECTORY | O_CLOEXEC));
	umask(0);
	for (size_t i = 0; i < COUNT(nodes); i++)
		MUST(mknodat(dev, nodes[i].name, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)));
	for (size_t i = 0; i < COUNT(links); i++)
		MUST(symlinkat(links[i][0], dev, links[i][1]));
	close(dev);
}

/* What Docker's configuration has beyond the minimal one: three binds and two sysctls. */
static void mount_docker(void)
{
	static const char *const files[] = {"resolv.conf", "hostname", "hosts"};
	char path[PATH], target[PATH];
	for (size_t i = 0; i < COUNT(files); i++) {
		snprintf(path, sizeof path, "%s/%s", docker, files[i]);
		snprintf(target, sizeof target, "etc/%s", files[i]);
		MUST(bind_mount(AT_FDCWD, path, target, 0));
	}
	write_file(AT_FDCWD, "proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
	write_file(AT_FDCWD, "proc/sys/net/ipv4/ping_group_range", "0 2147483647");
}

static void mount_file_systems(void)
{
	MUST(mount("proc", "proc", "proc", docker ? NO_SUID_EXEC_DEV : 0, NULL));
	MUST(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"));
	MUST(mkdir("dev/pts", 0755));
	MUST(mkdir("dev/shm", 0755));
	MUST(mkdir("dev/mqueue", 0755));
	MUST(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"));
	MUST(mount("shm", "dev/shm", "tmpfs", NO_SUID_EXEC_DEV, "mode=1777,size=65536k"));
	MUST(mount("mqueue", "dev/mqueue", "mqueue", NO_SUID_EXEC_DEV, NULL));
	MUST(mount("sysfs", "sys", "sysfs", NO_SUID_EXEC_DEV | MS_RDONLY, NULL));
	mount_cgroups();
	make_devices();
	if (docker)
		mount_docker();
}

static void mask_paths(void)
{
	static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	static const char *const masked[] = {
		"/proc/acpi",	     "/proc/asound",	  "/proc/kcore",       "/proc/keys",	"/proc/latency_stats",
		"/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
	};
	for (size_t i = 0; i < COUNT(read_only); i++)
		bind_mount(AT_FDCWD, read_only[i], read_only[i], MOUNT_ATTR_RDONLY);
	int empty = -1;
	for (size_t i = 0; i < COUNT(masked); i++) {
		/* A file is hidden by /dev/null, a folder by an empty file system that all of them share. */
		struct stat found;
		if (stat(masked[i], &found))
			continue;
		if (!S_ISDIR(found.st_mode)) {
			bind_mount(AT_FDCWD, "/dev/null", masked[i], 0);
		} else if (empty >= 0) {
			bind_mount(empty, "", masked[i], 0);
		} else {
			int fs = MUST(syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC));
			MUST(syscall(SYS_fsconfig, fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
			empty = MUST(syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_RDONLY));
			close(fs);
			MUST(syscall(SYS_move_mount, empty, "", AT_FDCWD, masked[i], MOVE_MOUNT_F_EMPTY_PATH));
		}
	}
}

static void build_rootfs(void)
{
	MUST(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL));
	int tree = MUST(syscall(SYS_open_tree, AT_FDCWD, rootfs, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE));
	struct mount_attr private = {.propagation = MS_PRIVATE};
	MUST(syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &private, sizeof private));
	MUST(syscall(SYS_move_mount, tree, "", AT_FDCWD, rootfs, MOVE_MOUNT_F_EMPTY_PATH));
	MUST(fchdir(tree));
	close(tree);
	mount_file_systems();
	MUST(syscall(SYS_pivot_root, ".", "."));
	MUST(umount2(".", MNT_DETACH));
	MUST(chdir("/"));
	mask_paths();
	struct mount_attr read_only = {.attr_set = MOUNT_ATTR_RDONLY};
	if (!docker)
		MUST(syscall(SYS_mount_setattr, AT_FDCWD, "/", 0, &read_only, sizeof read_only));
}

/* A search through [from, to) syscall numbers in `size` instructions, an odd number. */
static void search(struct sock_filter *out, unsigned size, unsigned from, unsigned to)
{
	if (size == 1) {
		out[0] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
		return;
	}
	unsigned left = (size - 1) / 2 | 1, middle = from + (to - from) / 2;
	out[0] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, middle, left, 0);
	search(out + 1, left, from, middle);
	search(out + 1 + left, size - 1 - left, middle, to);
}

static void set_filter(void)
{
	struct sock_filter filter[FILTER] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	};
	struct sock_fprog program = {.len = FILTER, .filter = filter};
	search(filter + 2, FILTER - 2, 0, LAST_SYSCALL);
	MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
}

static void drop_privileges(void)
{
	uint64_t keep = docker ? 0xa80425fb : 1 << CAP_AUDIT_WRITE | 1 << CAP_KILL | 1 << CAP_NET_BIND_SERVICE;
	for (int capability = 0; capability <= CAP_LAST_CAP; capability++)
		if (!(keep >> capability & 1))
			prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	MUST(syscall(SYS_setgroups, 0, NULL));
	if (docker)
		set_filter();
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	struct __user_cap_data_struct sets[2] = {{keep, keep, 0}, {keep >> 32, keep >> 32, 0}};
	MUST(syscall(SYS_capset, &header, sets));
	if (!docker)
		MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
}

static void raise_loopback(void)
{
	struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	MUST(ioctl(fd, SIOCSIFFLAGS, &loopback));
	close(fd);
}

/* What is the same for the container's first process and for one that joins it. */
static void limit_process(void)
{
	struct rlimit files = {1024, docker ? 20000 : 1024};
	MUST(setrlimit(RLIMIT_NOFILE, &files));
	drop_privileges();
}

static _Noreturn void execute(void)
{
	static char *environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm", NULL};
	MUST(syscall(SYS_close_range, 3, ~0U, CLOSE_RANGE_CLOEXEC));
	execve(command[0], command, environment);
	must(-1, command[0]);
	_exit(111);
}

static void become_container(void)
{
	enter_v1_cgroups();
	raise_loopback();
	build_rootfs();
	MUST(sethostname("floor", 5));
	limit_process();
}

static pid_t fork_container(int cgroup)
{
	struct clone_args clone = {
		.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET,
		.exit_signal = SIGCHLD,
	};
	if (cgroup >= 0) {
		clone.cgroup = cgroup;
		clone.flags |= CLONE_INTO_CGROUP;
	}
	return MUST(syscall(SYS_clone3, &clone, sizeof clone));
}

static int wait_for(pid_t pid)
{
	int status;
	MUST(waitpid(pid, &status, 0));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static void remove_cgroups(const int *above, int above_v2)
{
	for (int i = 0; i < v1_count; i++)
		remove_cgroup(above[i]);
	if (v2)
		remove_cgroup(above_v2);
}

/* ---- the commands ---- */

static int run(void)
{
	int above[HIERARCHIES], above_v2 = v2 ? v2_parent() : -1;
	make_v1_cgroups(above);
	pid_t pid = fork_container(v2 ? make_v2_cgroup(above_v2) : -1);
	if (pid == 0) {
		become_container();
		execute();
	}
	int status = wait_for(pid);
	remove_cgroups(above, above_v2);
	return status;
}

static int create(void)
{
	int above[HIERARCHIES], made[2], begin[2];
	char text[16] = "";
	MUST(pipe2(made, O_CLOEXEC));
	MUST(pipe2(begin, O_CLOEXEC));
	make_v1_cgroups(above);
	pid_t pid = fork_container(v2 ? make_v2_cgroup(v2_parent()) : -1);
	if (pid == 0) {
		become_container();
		MUST(write(made[1], "", 1));
		/* It holds the other end itself, so this has no end. */
		MUST(read(begin[0], text, 1));
		execute();
	}
	close(made[1]);
	if (read(made[0], text, 1) != 1)
		return 111;
	snprintf(text, sizeof text, "%d", pid);
	int fd = MUST(openat(AT_FDCWD, pid_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	MUST(write(fd, text, strlen(text)));
	return 0;
}

static int join(void)
{
	char path[PATH];
	struct clone_args clone = {.exit_signal = SIGCHLD};
	int target = MUST(syscall(SYS_pidfd_open, joined, 0));
	for (int i = 0; i < v1_count; i++) {
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s%s/%s/tasks", v1[i], parent, name);
		v1_tasks[i] = MUST(openat(AT_FDCWD, path, O_WRONLY | O_CLOEXEC));
	}
	if (v2) {
		snprintf(path, sizeof path, "%s%s/%s", v2, parent, name);
		clone.cgroup = MUST(openat(AT_FDCWD, path, O_DIRECTORY | O_CLOEXEC));
		clone.flags = CLONE_INTO_CGROUP;
	}
	MUST(setns(target, CLONE_NEWPID));
	pid_t pid = MUST(syscall(SYS_clone3, &clone, sizeof clone));
	if (pid == 0) {
		enter_v1_cgroups();
		MUST(setns(target, CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET));
		limit_process();
		execute();
	}
	return wait_for(pid);
}

static int delete(void)
{
	int above[HIERARCHIES];
	for (int i = 0; i < v1_count; i++)
		above[i] = v1_parent(i);
	remove_cgroups(above, v2 ? v2_parent() : -1);
	return 0;
}

static void read_hierarchies(char *list)
{
	for (char *item; v1_count < HIERARCHIES && (item = strsep(&list, ":"));)
		if (*item)
			v1[v1_count++] = item;
}

static void read_options(int argc, char **argv)
{
	snprintf(name, sizeof name, "floor-%d", getpid());
	for (int option; (option = getopt(argc, argv, "+d:1:2:p:n:c:x:r")) != -1;) {
		switch (option) {
		case 'd': docker = optarg; break;
		case '1': read_hierarchies(optarg); break;
		case '2': v2 = optarg; break;
		case 'p': parent = optarg; break;
		case 'n': snprintf(name, sizeof name, "%s", optarg); break;
		case 'c': pid_file = optarg; break;
		case 'x': joined = atoi(optarg); break;
		case 'r': removes = 1; break;
		default: _exit(2);
		}
	}
	command = argv + optind;
	if (!joined && !removes)
		rootfs = command[0] ? *command++ : NULL;
	if (!removes && (!*command || (!joined && !rootfs))) {
		dprintf(2, "floor: not enough arguments\n");
		_exit(2);
	}
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	return removes ? delete() : joined ? join() : pid_file ? create() : run();
}
