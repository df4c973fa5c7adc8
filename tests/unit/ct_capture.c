/* SPDX-License-Identifier: BSD-3-Clause */
#include "ct_capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0xa1b2c3d4U
#define SNAPLEN 65535
#define LINKTYPE_ETHERNET 1
#define STATE_AT 5

struct capture {
	FILE *f;
};

static struct capture *
capture_of(FILE *f)
{
	struct capture *c = f != NULL ? malloc(sizeof(*c)) : NULL;

	if (c != NULL)
		c->f = f;
	else if (f != NULL)
		fclose(f);
	return c;
}

struct capture *
capture_create(const char *path)
{
	const uint32_t header[6] = { MAGIC, 2 | 4 << 16, 0, 0, SNAPLEN, LINKTYPE_ETHERNET };
	struct capture *c = capture_of(fopen(path, "wb"));

	if (c != NULL)
		fwrite(header, sizeof(header), 1, c->f);
	return c;
}

struct capture *
capture_open(const char *path)
{
	struct capture *c = capture_of(fopen(path, "rb"));
	uint32_t header[6];

	if (c != NULL && (fread(header, sizeof(header), 1, c->f) != 1 || header[0] != MAGIC)) {
		capture_close(c);
		c = NULL;
	}
	return c;
}

void
capture_close(struct capture *c)
{
	fclose(c->f);
	free(c);
}

void
capture_write(struct capture *c, uint64_t ms, uint8_t state, const uint8_t *frame, size_t len)
{
	const uint32_t header[4] = { (uint32_t)(ms / 1000), (uint32_t)(ms % 1000 * 1000),
		(uint32_t)len, (uint32_t)len };

	fwrite(header, sizeof(header), 1, c->f);
	fwrite(frame, STATE_AT, 1, c->f);
	fwrite(&state, 1, 1, c->f);
	fwrite(frame + STATE_AT + 1, len - STATE_AT - 1, 1, c->f);
}

bool
capture_read(
	struct capture *c, uint64_t *ms, uint8_t *state, uint8_t *frame, size_t max, size_t *len)
{
	uint32_t header[4];

	if (fread(header, sizeof(header), 1, c->f) != 1 || header[2] > max ||
		header[2] <= STATE_AT || fread(frame, header[2], 1, c->f) != 1)
		return false;
	*ms = header[0] * UINT64_C(1000) + header[1] / 1000;
	*state = frame[STATE_AT];
	*len = header[2];
	return true;
}
