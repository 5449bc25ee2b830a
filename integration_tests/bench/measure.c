/* measure - runs commands in turns and times each one.
 *
 *   measure [-r ROUNDS] [-g GAP_US] [-wf] [-n PREFIX] [-o RAW.csv] < scenarios > medians.tsv
 *
 * A scenario is a line of tab-separated fields: its name, then its steps, in order. A step is
 * `label=command word...` and is timed; with an empty label it is run but not timed. `@ID` in a word
 * becomes a name that no other turn has (PREFIX and a number). Instead of a command:
 *   @wait FILE               waits for the end of the process whose number is in FILE
 *   @kill FILE               kills it first
 *   @many N AT_ONCE word...  runs the command N times, AT_ONCE of them at the same time; `@N` in a word
 *                            becomes 0, 1, 2 ... This is one sample: wall time until the last has
 *                            ended, the sum of CPU times and faults, the largest RSS.
 *
 * Every round takes all scenarios in a new random order, so that whatever changes on the machine
 * in the meantime is shared out evenly. One round more, at the start, is not counted.
 *   -g  idle time before each turn: what a command costs on a machine that has been idle
 *   -w  run each turn twice and count the second: otherwise a slow scenario's turn leaves caches and
 *       clock cold for the next one, which is not what "back to back" should mean
 *   -f  count page faults by the kernel's counter of those that trap, which costs some time. wait4's
 *       has the pages too that a program has made at once, by MADV_POPULATE_WRITE
 *
 * For each timed step one line: scenario, label, runs, failures (a status other than 0, or 10 s
 * passed), the medians of wall us, CPU us, peak RSS KiB, page faults that read nothing from disk, and
 * the shortest wall us. CPU, RSS and faults are wait4(2)'s: of the command and of every descendant that
 * it waited for. A container's init that `create` leaves behind becomes this program's child (it is a
 * subreaper, like an engine's shim) and is not part of them. What commands print on stdout is thrown
 * away.
 *
 * What else runs on the machine can only lengthen a wall time. So the shortest one says more of the
 * command than the median does where the machine does some other work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SCENARIOS = 64, STEPS = 16, WORDS = 64, WORD = 4096, AT_ONCE = 64, LIMIT_MS = 10000 };

struct sample {
	double wall, cpu, rss, faults;
};

/* A command's words with something put into them. */
struct words {
	char *list[WORDS + 1];
	char texts[WORDS][WORD];
};

struct step {
	const char *label;
	char *words[WORDS + 1];
	struct sample *samples;
	int runs, failures;
};

struct scenario {
	const char *name;
	struct step steps[STEPS];
	int step_count;
};

static struct scenario scenarios[SCENARIOS];
static int scenario_count;
static int rounds = 20, gap_us, warm, trapping;
static const char *prefix = "measure";
static FILE *raw;
static posix_spawn_file_actions_t silence;
static posix_spawnattr_t own_group;

static void fail(const char *what)
{
	fprintf(stderr, "measure: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void read_step(struct step *step, char *text)
{
	char *command = strchr(text, '=');
	if (!command) {
		fprintf(stderr, "measure: a step is label=command, not: %s\n", text);
		exit(2);
	}
	*command++ = 0;
	step->label = text;
	step->samples = calloc(rounds, sizeof *step->samples);
	int n = 0;
	for (char *word = strtok(command, " "); word && n < WORDS; word = strtok(NULL, " "))
		step->words[n++] = word;
}

static void read_scenarios(void)
{
	char *line = NULL;
	size_t size = 0;
	while (scenario_count < SCENARIOS && getline(&line, &size, stdin) > 0) {
		struct scenario *scenario = &scenarios[scenario_count++];
		char *rest = strdup(line);
		rest[strcspn(rest, "\n")] = 0;
		scenario->name = strsep(&rest, "\t");
		for (char *text; scenario->step_count < STEPS && (text = strsep(&rest, "\t"));)
			read_step(&scenario->steps[scenario->step_count++], text);
	}
	free(line);
}

/* The words with `mark` replaced. */
static void replace(char *const *words, const char *mark, const char *by, struct words *out)
{
	int n = 0;
	for (; words[n]; n++) {
		char *at = strstr(words[n], mark);
		out->list[n] = words[n];
		if (at) {
			snprintf(out->texts[n], WORD, "%.*s%s%s", (int)(at - words[n]), words[n], by, at + strlen(mark));
			out->list[n] = out->texts[n];
		}
	}
	out->list[n] = NULL;
}

/* Waits until the process is dead (and may be one that is nobody's child here). Returns whether it is. */
static int wait_for_end(pid_t pid)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH;
	struct pollfd end = {.fd = fd, .events = POLLIN};
	int ended = poll(&end, 1, LIMIT_MS) == 1;
	close(fd);
	return ended;
}

/* `@wait` and `@kill`. Returns an exit status. */
static int end_process(const char *path, int killed)
{
	FILE *file = fopen(path, "re");
	int pid = 0;
	if (file) {
		if (fscanf(file, "%d", &pid) != 1)
			pid = 0;
		fclose(file);
	}
	if (pid > 0 && killed)
		kill(pid, SIGKILL);
	int ended = pid > 0 && wait_for_end(pid);
	if (ended)
		waitpid(pid, NULL, WNOHANG);
	return ended ? 0 : 1;
}

static double microseconds(struct timeval t)
{
	return t.tv_sec * 1e6 + t.tv_usec;
}

static pid_t start(char *const *words, struct pollfd *end)
{
	pid_t pid;
	if ((errno = posix_spawn(&pid, words[0], &silence, &own_group, words, environ)))
		fail(words[0]);
	end->events = POLLIN;
	if ((end->fd = syscall(SYS_pidfd_open, pid, 0)) < 0)
		fail("pidfd_open");
	return pid;
}

/* Reaps a command that has ended. Returns its exit status, or -1 where it was killed. */
static int reap(pid_t pid, struct sample *sample)
{
	struct rusage usage;
	int status = 0;
	if (wait4(pid, &status, 0, &usage) != pid)
		fail("wait4");
	sample->cpu += microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	sample->faults += usage.ru_minflt;
	if (sample->rss < usage.ru_maxrss)
		sample->rss = usage.ru_maxrss;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Runs a command `total` times, `at_once` at a time. Returns 0, or the last status that isn't. */
static int run_many(char *const *words, int total, int at_once, struct sample *sample)
{
	static struct words numbered;
	pid_t pids[AT_ONCE];
	struct pollfd ends[AT_ONCE];
	char number[16];
	int started = 0, running = 0, result = 0;
	while (started < total || running > 0) {
		for (; started < total && running < at_once; started++, running++) {
			snprintf(number, sizeof number, "%d", started);
			replace(words, "@N", number, &numbered);
			pids[running] = start(numbered.list, &ends[running]);
		}
		if (poll(ends, running, LIMIT_MS) == 0)
			for (int i = 0; i < running; i++) {
				fprintf(stderr, "measure: killed after %d ms: %s\n", LIMIT_MS, words[0]);
				kill(-pids[i], SIGKILL);
			}
		for (int i = running - 1; i >= 0; i--) {
			if (!ends[i].revents)
				continue;
			int status = reap(pids[i], sample);
			if (status)
				result = status;
			close(ends[i].fd);
			running--;
			pids[i] = pids[running];
			ends[i] = ends[running];
		}
	}
	return result;
}

/* Counts from now on: of this process, which has next to none, and of all that it starts. */
static int open_faults(void)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof attributes,
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.inherit = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (fd < 0)
		fail("perf_event_open");
	return fd;
}

static double close_faults(int fd)
{
	uint64_t count;
	if (read(fd, &count, sizeof count) != sizeof count)
		fail("page faults");
	close(fd);
	return count;
}

/* Runs a step. Returns its exit status, or -1 where it was killed. */
static int run(char *const *words, struct sample *sample)
{
	struct timespec from, to;
	int total = 1, at_once = 1;
	if (!strcmp(words[0], "@wait") || !strcmp(words[0], "@kill"))
		return end_process(words[1], words[0][1] == 'k');
	if (!strcmp(words[0], "@many")) {
		total = atoi(words[1]);
		at_once = atoi(words[2]);
		words += 3;
		if (at_once < 1 || at_once > AT_ONCE)
			fail("@many");
	}
	int faults = trapping ? open_faults() : -1;
	clock_gettime(CLOCK_MONOTONIC, &from);
	int status = run_many(words, total, at_once, sample);
	clock_gettime(CLOCK_MONOTONIC, &to);
	sample->wall = (to.tv_sec - from.tv_sec) * 1e6 + (to.tv_nsec - from.tv_nsec) / 1e3;
	if (trapping)
		sample->faults = close_faults(faults);
	return status;
}

/* One turn of a scenario; `counted` says whether its samples are kept. */
static void take_turn(struct scenario *scenario, int counted)
{
	static unsigned turn;
	static struct words named;
	char id[64];
	snprintf(id, sizeof id, "%s-%u", prefix, turn++);
	for (int i = 0; i < scenario->step_count; i++) {
		struct step *step = &scenario->steps[i];
		struct sample sample = {0};
		replace(step->words, "@ID", id, &named);
		int status = run(named.list, &sample);
		if (!counted || !*step->label)
			continue;
		if (status)
			step->failures++;
		else
			step->samples[step->runs++] = sample;
		if (raw)
			fprintf(raw, "%s,%s,%d,%.1f,%.0f,%.0f,%.0f\n", scenario->name, step->label, status,
				sample.wall, sample.cpu, sample.rss, sample.faults);
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
}

static void shuffle(int *order)
{
	for (int i = scenario_count - 1; i > 0; i--) {
		int j = rand() % (i + 1), moved = order[i];
		order[i] = order[j];
		order[j] = moved;
	}
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(const struct step *step, size_t field)
{
	double values[step->runs];
	for (int i = 0; i < step->runs; i++)
		values[i] = *(double *)((char *)&step->samples[i] + field);
	qsort(values, step->runs, sizeof *values, compare);
	return (values[(step->runs - 1) / 2] + values[step->runs / 2]) / 2;
}

static double shortest(const struct step *step)
{
	double least = step->samples[0].wall;
	for (int i = 1; i < step->runs; i++)
		if (least > step->samples[i].wall)
			least = step->samples[i].wall;
	return least;
}

static void report(const struct scenario *scenario)
{
	for (int i = 0; i < scenario->step_count; i++) {
		const struct step *step = &scenario->steps[i];
		if (!*step->label)
			continue;
		printf("%s\t%s\t%d\t%d", scenario->name, step->label, step->runs, step->failures);
		if (step->runs)
			printf("\t%.1f\t%.1f\t%.0f\t%.0f\t%.1f\n", median(step, offsetof(struct sample, wall)),
			       median(step, offsetof(struct sample, cpu)), median(step, offsetof(struct sample, rss)),
			       median(step, offsetof(struct sample, faults)), shortest(step));
		else
			printf("\t-\t-\t-\t-\t-\n");
	}
}

static void read_options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "r:g:wfn:o:")) != -1;) {
		if (option == 'r')
			rounds = atoi(optarg);
		else if (option == 'g')
			gap_us = atoi(optarg);
		else if (option == 'w')
			warm = 1;
		else if (option == 'f')
			trapping = 1;
		else if (option == 'n')
			prefix = optarg;
		else if (option != 'o' || !(raw = fopen(optarg, "a")))
			fail("options");
	}
}

int main(int argc, char **argv)
{
	read_options(argc, argv);
	read_scenarios();
	posix_spawn_file_actions_init(&silence);
	posix_spawn_file_actions_addopen(&silence, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&silence, 1, "/dev/null", O_WRONLY, 0);
	posix_spawnattr_init(&own_group);
	posix_spawnattr_setflags(&own_group, POSIX_SPAWN_SETPGROUP);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	srand(time(NULL));

	int order[SCENARIOS];
	for (int i = 0; i < scenario_count; i++)
		order[i] = i;
	for (int round = -1; round < rounds; round++) {
		shuffle(order);
		for (int i = 0; i < scenario_count; i++) {
			if (gap_us)
				usleep(gap_us);
			if (warm)
				take_turn(&scenarios[order[i]], 0);
			take_turn(&scenarios[order[i]], round >= 0);
		}
	}
	for (int i = 0; i < scenario_count; i++)
		report(&scenarios[i]);
	return 0;
}
