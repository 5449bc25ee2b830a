/* measure - runs commands in turns and times each one.
 *
 *   measure [-r ROUNDS] [-g GAP_US] [-w] [-n PREFIX] [-o RAW.csv] < scenarios > medians.tsv
 *
 * A scenario is a line of tab-separated fields: its name, then its steps, in order. A step is
 * `label=command word...` and is timed; with an empty label it is run but not timed. `@ID` in a word
 * becomes a name that no other turn has (PREFIX and a number). Instead of a command, `@wait FILE`
 * waits for the end of the process whose number is in FILE.
 *
 * Every round takes all scenarios in a new random order, so that whatever changes on the machine
 * in the meantime is shared out evenly. One round more, at the start, is not counted.
 *   -g  idle time before each turn: what a command costs on a machine that has been idle
 *   -w  run each turn twice and count the second: otherwise a slow scenario's turn leaves caches and
 *       clock cold for the next one, which is not what "back to back" should mean
 *
 * For each timed step one line: scenario, label, runs, failures (a status other than 0, or 10 s
 * passed), median wall us, median CPU us, median peak RSS KiB. CPU and RSS are wait4(2)'s: of the
 * command and of every descendant that it waited for. A container's init that `create` leaves behind
 * becomes this program's child (it is a subreaper, like an engine's shim) and is not part of them.
 * What commands print on stdout is thrown away.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SCENARIOS = 64, STEPS = 16, WORDS = 64, WORD = 4096, LIMIT_MS = 10000 };

struct sample {
	double wall, cpu, rss;
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
static int rounds = 20, gap_us, warm;
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

/* The words with @ID replaced. */
static void name_words(char **words, const char *id, char **named)
{
	static char texts[WORDS][WORD];
	int n = 0;
	for (; words[n]; n++) {
		char *at = strstr(words[n], "@ID");
		named[n] = words[n];
		if (at) {
			snprintf(texts[n], WORD, "%.*s%s%s", (int)(at - words[n]), words[n], id, at + 3);
			named[n] = texts[n];
		}
	}
	named[n] = NULL;
}

/* Waits until the process is dead (and may be one that is nobody's child here). Returns whether it is. */
static int wait_for_end(pid_t pid, int limit_ms)
{
	int fd = syscall(SYS_pidfd_open, pid, 0);
	if (fd < 0)
		return errno == ESRCH;
	struct pollfd end = {.fd = fd, .events = POLLIN};
	int ended = poll(&end, 1, limit_ms) == 1;
	close(fd);
	return ended;
}

static int wait_for_file(const char *path)
{
	FILE *file = fopen(path, "re");
	int pid = 0;
	if (file) {
		if (fscanf(file, "%d", &pid) != 1)
			pid = 0;
		fclose(file);
	}
	int ended = pid > 0 && wait_for_end(pid, LIMIT_MS);
	if (ended)
		waitpid(pid, NULL, WNOHANG);
	return ended ? 0 : 1;
}

static double microseconds(struct timeval t)
{
	return t.tv_sec * 1e6 + t.tv_usec;
}

/* Runs a command. Returns its exit status, or -1 where it was killed or could not be run. */
static int run(char **words, struct sample *sample)
{
	if (!strcmp(words[0], "@wait"))
		return wait_for_file(words[1]);
	struct timespec from, to;
	struct rusage usage;
	int status = 0;
	pid_t pid;
	clock_gettime(CLOCK_MONOTONIC, &from);
	if ((errno = posix_spawn(&pid, words[0], &silence, &own_group, words, environ)))
		fail(words[0]);
	if (!wait_for_end(pid, LIMIT_MS)) {
		fprintf(stderr, "measure: killed after %d ms: %s\n", LIMIT_MS, words[0]);
		kill(-pid, SIGKILL);
	}
	if (wait4(pid, &status, 0, &usage) != pid)
		fail("wait4");
	clock_gettime(CLOCK_MONOTONIC, &to);
	sample->wall = (to.tv_sec - from.tv_sec) * 1e6 + (to.tv_nsec - from.tv_nsec) / 1e3;
	sample->cpu = microseconds(usage.ru_utime) + microseconds(usage.ru_stime);
	sample->rss = usage.ru_maxrss;
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* One turn of a scenario; `counted` says whether its samples are kept. */
static void take_turn(struct scenario *scenario, int counted)
{
	static unsigned turn;
	char id[64], *named[WORDS + 1];
	snprintf(id, sizeof id, "%s-%u", prefix, turn++);
	for (int i = 0; i < scenario->step_count; i++) {
		struct step *step = &scenario->steps[i];
		struct sample sample = {0};
		name_words(step->words, id, named);
		int status = run(named, &sample);
		if (!counted || !*step->label)
			continue;
		if (status)
			step->failures++;
		else
			step->samples[step->runs++] = sample;
		if (raw)
			fprintf(raw, "%s,%s,%d,%.1f,%.0f,%.0f\n", scenario->name, step->label, status,
				sample.wall, sample.cpu, sample.rss);
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

static void report(const struct scenario *scenario)
{
	for (int i = 0; i < scenario->step_count; i++) {
		const struct step *step = &scenario->steps[i];
		if (!*step->label)
			continue;
		printf("%s\t%s\t%d\t%d", scenario->name, step->label, step->runs, step->failures);
		if (step->runs)
			printf("\t%.1f\t%.1f\t%.0f\n", median(step, offsetof(struct sample, wall)),
			       median(step, offsetof(struct sample, cpu)), median(step, offsetof(struct sample, rss)));
		else
			printf("\t-\t-\t-\n");
	}
}

static void read_options(int argc, char **argv)
{
	for (int option; (option = getopt(argc, argv, "r:g:wn:o:")) != -1;) {
		if (option == 'r')
			rounds = atoi(optarg);
		else if (option == 'g')
			gap_us = atoi(optarg);
		else if (option == 'w')
			warm = 1;
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
