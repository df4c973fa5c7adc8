/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * What the fuzz targets share: the input as a tape, and the way to complain.
 *
 * A target is one file with LLVMFuzzerTestOneInput(). It is built twice: with main.c as a test that
 * runs files and a bounded number of mutations of them, and, with the option fuzz, with libFuzzer
 * (docs/fuzzing.md). An input is a list of steps that are read off a tape; behind its end there are
 * zeros, so that any bytes are an input. What must always hold is checked with FUZZ_CHECK().
 *
 * Equal inputs run equally: nothing is kept from one to the next. One thread.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
/** Once, before the first input. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/** Say what does not hold, and abort. */
__attribute__((noreturn, format(printf, 3, 4))) void fuzz_fail(
	const char *file, int line, const char *fmt, ...);

/** With FUZZ_TRACE set in the environment: a line that tells how an input runs. */
__attribute__((format(printf, 1, 2))) void fuzz_trace(const char *fmt, ...);

#define FUZZ_CHECK(holds, ...)                                      \
	do {                                                        \
		if (!(holds))                                       \
			fuzz_fail(__FILE__, __LINE__, __VA_ARGS__); \
	} while (0)

struct fuzz_tape {
	const uint8_t *at, *end;
};

static inline size_t
fuzz_left(const struct fuzz_tape *t)
{
	return (size_t)(t->end - t->at);
}

static inline uint8_t
fuzz_u8(struct fuzz_tape *t)
{
	return t->at == t->end ? 0 : *t->at++;
}

static inline uint16_t
fuzz_u16(struct fuzz_tape *t)
{
	const uint8_t low = fuzz_u8(t);

	return (uint16_t)(low | fuzz_u8(t) << 8);
}

static inline uint32_t
fuzz_u32(struct fuzz_tape *t)
{
	const uint16_t low = fuzz_u16(t);

	return low | (uint32_t)fuzz_u16(t) << 16;
}

/** Up to len bytes. @return how many there were */
static inline size_t
fuzz_bytes(struct fuzz_tape *t, void *to, size_t len)
{
	const size_t n = len < fuzz_left(t) ? len : fuzz_left(t);

	memcpy(to, t->at, n);
	t->at += n;
	return n;
}

#endif
