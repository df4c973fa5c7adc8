/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A fuzz target as a test: every file given, and all in the directories given, then so many
 * mutations of them, from a fixed seed. The input being run lies in a file, so that it is there
 * after a crash.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fuzz.h"

#define INPUT_MAX 65536
#define MUTANT_MAX 8192
#define INPUTS_MAX 4096
#define SEED 0x9e3779b97f4a7c15u

struct input {
	uint8_t *bytes;
	size_t len;
};

static struct input inputs[INPUTS_MAX];
static unsigned int n_inputs;
static char shown_path[64];
static uint8_t *shown; /**< mapped from shown_path: survives whatever happens to us */
static int shown_fd;
static uint64_t rng = SEED;

static uint32_t
random_below(uint32_t n)
{
	/* splitmix64 */
	uint64_t z = rng += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

static void
die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- inputs ---- */

static void
add_file(const char *path)
{
	struct input *in = &inputs[n_inputs];
	FILE *f = fopen(path, "rb");

	if (f == NULL)
		die(path);
	if (n_inputs == INPUTS_MAX) {
		errno = E2BIG;
		die(path);
	}
	in->bytes = malloc(INPUT_MAX);
	if (in->bytes == NULL)
		die(path);
	in->len = fread(in->bytes, 1, INPUT_MAX, f);
	fclose(f);
	n_inputs++;
}

static int
no_dots(const struct dirent *e)
{
	return e->d_name[0] != '.';
}

/** A file, or all files of a directory by name; a directory that is not there is empty. */
static void
add_path(const char *path)
{
	struct dirent **names;
	char file[4096];
	struct stat st;
	int n;

	if (stat(path, &st) != 0) {
		if (errno != ENOENT)
			die(path);
		return;
	}
	if (!S_ISDIR(st.st_mode)) {
		add_file(path);
		return;
	}
	n = scandir(path, &names, no_dots, alphasort);
	if (n < 0)
		die(path);
	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
		add_file(file);
		free(names[i]);
	}
	free(names);
}

static void
show_begin(void)
{
	const char *dir = getenv("TMPDIR");

	snprintf(shown_path, sizeof(shown_path), "%.40s/weir-fuzz-XXXXXX",
		dir != NULL && *dir != '\0' ? dir : "/tmp");
	shown_fd = mkstemp(shown_path);
	if (shown_fd < 0)
		die(shown_path);
	shown = mmap(NULL, INPUT_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, shown_fd, 0);
	if (shown == MAP_FAILED)
		die(shown_path);
	fprintf(stderr, "the input being run: %s\n", shown_path);
}

static void
run(const uint8_t *bytes, size_t len)
{
	/* Exactly as long as it is, and on the heap: so reads past the end are found. */
	uint8_t *copy = malloc(len != 0 ? len : 1);

	if (copy == NULL)
		die("malloc");
	memcpy(copy, bytes, len);
	if (ftruncate(shown_fd, (off_t)len) != 0)
		die(shown_path);
	memcpy(shown, bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
}

/* ---- mutations ---- */

/** Bytes and words where things change their meaning. */
static const uint8_t edges[] = { 0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255 };

static void
overwrite(struct input *m)
{
	const uint32_t at = random_below((uint32_t)m->len), bytes = 1u << random_below(3);
	uint32_t value = random_below(3) == 0 ? random_below(UINT32_MAX)
					      : (uint32_t)edges[random_below(sizeof(edges))];

	if (random_below(4) == 0)
		value = ~value;
	for (uint32_t i = 0; i < bytes && at + i < m->len; i++, value >>= 8)
		m->bytes[at + i] = (uint8_t)value;
}

static void
cut(struct input *m)
{
	const uint32_t at = random_below((uint32_t)m->len);
	uint32_t n = 1 + random_below(random_below(8) == 0 ? (uint32_t)m->len : 16);

	if (n > m->len - at)
		n = (uint32_t)m->len - at;
	memmove(m->bytes + at, m->bytes + at + n, m->len - at - n);
	m->len -= n;
}

/** A piece of this or of another input, put in or laid over. */
static void
paste(struct input *m, bool insert)
{
	const struct input *from = random_below(2) == 0 ? m : &inputs[random_below(n_inputs)];
	uint8_t piece[256];
	uint32_t at = random_below((uint32_t)m->len + 1), n, off;

	if (from->len == 0)
		return;
	off = random_below((uint32_t)from->len);
	n = 1 + random_below(random_below(2) == 0 ? 16 : sizeof(piece));
	if (n > from->len - off)
		n = (uint32_t)from->len - off;
	memcpy(piece, from->bytes + off, n);
	if (!insert && n > m->len - at)
		n = (uint32_t)m->len - at;
	if (insert) {
		if (m->len + n > MUTANT_MAX)
			return;
		memmove(m->bytes + at + n, m->bytes + at, m->len - at);
		m->len += n;
	}
	memcpy(m->bytes + at, piece, n);
}

static void
mutate(struct input *m)
{
	const unsigned int n = 1u << random_below(5);

	for (unsigned int i = 0; i < n; i++) {
		if (m->len == 0) {
			m->bytes[m->len++] = (uint8_t)random_below(256);
			continue;
		}
		switch (random_below(8)) {
		case 0:
			m->bytes[random_below((uint32_t)m->len)] ^=
				(uint8_t)(1u << random_below(8));
			break;
		case 1:
			cut(m);
			break;
		case 2:
		case 3:
			paste(m, true);
			break;
		case 4:
			paste(m, false);
			break;
		default:
			overwrite(m);
			break;
		}
	}
}

static void
run_mutants(unsigned long count)
{
	static uint8_t bytes[INPUT_MAX];
	struct input m = { .bytes = bytes };

	if (n_inputs == 0) {
		inputs[0].bytes = malloc(INPUT_MAX);
		if (inputs[0].bytes == NULL)
			die("malloc");
		inputs[0].bytes[0] = 0;
		inputs[n_inputs++].len = 1;
	}
	while (count-- > 0) {
		const struct input *from = &inputs[random_below(n_inputs)];

		m.len = from->len < MUTANT_MAX ? from->len : MUTANT_MAX;
		memcpy(m.bytes, from->bytes, m.len);
		mutate(&m);
		run(m.bytes, m.len);
	}
}

int
main(int argc, char **argv)
{
	struct timespec begin, end;
	unsigned long count;

	if (argc < 2 || argv[1][0] < '0' || argv[1][0] > '9') {
		fprintf(stderr,
			"usage: %s MUTATIONS [FILE|DIR]...\n"
			"Runs each file, then so many mutations of them; 0: only the files.\n",
			argv[0]);
		return 2;
	}
	count = strtoul(argv[1], NULL, 10);
	LLVMFuzzerInitialize(&argc, &argv);
	for (int i = 2; i < argc; i++)
		add_path(argv[i]);
	show_begin();
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < n_inputs; i++)
		run(inputs[i].bytes, inputs[i].len);
	fprintf(stderr, "%u files\n", n_inputs);
	run_mutants(count);
	clock_gettime(CLOCK_MONOTONIC, &end);
	fprintf(stderr, "%lu mutations, %ld ms\n", count,
		(long)(end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000);
	for (unsigned int i = 0; i < n_inputs; i++)
		free(inputs[i].bytes);
	unlink(shown_path);
	return 0;
}
