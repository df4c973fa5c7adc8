/* SPDX-License-Identifier: BSD-3-Clause */
#include "bell.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <linux/aio_abi.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <rte_errno.h>

#include "vport_lines.h"
#include "vport.h"

#define AIO_MAGIC 0xa10a10a1u

/** The front of the ring of completions that the kernel maps for a context (fs/aio.c). */
struct aio_ring {
	uint32_t id, nr;
	uint32_t head, tail;
	uint32_t magic, compat, incompat, header_bytes;
};

struct vport_bell {
	aio_context_t context; /**< 0: none; also the address of its ring */
	int file;              /**< empty */
	uint8_t byte;          /**< that is never read */
};

static struct aio_ring *
ring_of(const struct vport_bell *bell)
{
	return (struct aio_ring *)(uintptr_t)bell->context;
}

struct vport_bell *
vport_bell_create(void)
{
	struct vport_bell *bell = vport_lines_zalloc(sizeof(*bell));
	int error = ENOTSUP;

	if (bell == NULL) {
		rte_errno = ENOMEM;
		return NULL;
	}
	bell->file = memfd_create("weir-bell", MFD_CLOEXEC);
	if (bell->file < 0 || syscall(SYS_io_setup, 1, &bell->context) != 0) {
		error = errno;
		goto fail;
	}
	/* Completions are taken from the ring without asking the kernel: it must be what we know.
	 */
	if (ring_of(bell)->magic == AIO_MAGIC && ring_of(bell)->incompat == 0)
		return bell;
fail:
	vport_bell_destroy(bell);
	rte_errno = error;
	return NULL;
}

void
vport_bell_destroy(struct vport_bell *bell)
{
	if (bell == NULL)
		return;
	if (bell->context)
		syscall(SYS_io_destroy, bell->context);
	if (bell->file >= 0)
		close(bell->file);
	free(bell);
}

static int
ring_by_write(int fd)
{
	const uint64_t one = 1;
	struct pollfd room = { .fd = fd, .events = POLLOUT };

	/* A counter at its maximum is readable, which is all that is wanted. */
	if (poll(&room, 1, 0) == 1 && !(room.revents & POLLOUT))
		return 0;
	return write(fd, &one, sizeof(one)) == sizeof(one) ? 0 : -errno;
}

int
vport_bell_ring(struct vport_bell *bell, int fd)
{
	struct iocb op, *ops = &op;
	struct aio_ring *done;

	if (bell == NULL)
		return ring_by_write(fd);
	op = (struct iocb){
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)bell->file,
		.aio_buf = (uintptr_t)&bell->byte,
		.aio_nbytes = 1,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)fd,
	};
	if (syscall(SYS_io_submit, bell->context, 1, &ops) != 1)
		return -errno;
	/* It has ended already; its completion is of no interest to anybody. */
	done = ring_of(bell);
	__atomic_store_n(
		&done->head, __atomic_load_n(&done->tail, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	return 0;
}
