/* SPDX-License-Identifier: Apache-2.0 */
/* fsync() by the kernel's asynchronous I/O; see disk_sync.h. */
#include "netproxy/disk_sync.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sock.h"

struct disk_sync {
	disk_sync_fn *fn;
	void *arg;
	aio_context_t context;
	int event_fd;
	struct loop_fd *watch;
	struct iocb request; /* must stay while it is on its way */
	bool busy;
	bool forgotten;
};

static void on_event(void *arg, int fd, unsigned ready)
{
	struct disk_sync *sync = arg;
	struct timespec now = {0};
	struct io_event event;
	uint64_t count;

	(void)ready;
	if (read(fd, &count, sizeof(count)) < 0)
		return;
	if (syscall(SYS_io_getevents, sync->context, 0L, 1L, &event, &now) != 1)
		return;
	sync->busy = false;
	if (!sync->forgotten)
		sync->fn(sync->arg, (int)event.res);
}

int disk_sync_new(struct loop *loop, disk_sync_fn *fn, void *arg, struct disk_sync **ret_sync)
{
	struct disk_sync *sync = calloc(1, sizeof(*sync));
	int r = 0;

	if (!sync)
		return -ENOMEM;
	sync->fn = fn;
	sync->arg = arg;
	sync->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (sync->event_fd < 0 || syscall(SYS_io_setup, 1u, &sync->context) < 0)
		r = -errno;
	if (r == 0)
		r = loop_fd_new(loop, sync->event_fd, LOOP_READ, on_event, sync, &sync->watch);
	if (r < 0) {
		disk_sync_free(sync);
		return r;
	}
	*ret_sync = sync;
	return 0;
}

void disk_sync_free(struct disk_sync *sync)
{
	if (!sync)
		return;
	if (sync->context)
		syscall(SYS_io_destroy, sync->context);
	loop_fd_free(sync->watch);
	fd_close(&sync->event_fd);
	free(sync);
}

int disk_sync_start(struct disk_sync *sync, int fd)
{
	struct iocb *request;

	if (!sync)
		return -ENOSYS;
	if (sync->busy)
		return -EBUSY;
	sync->request = (struct iocb){
		.aio_lio_opcode = IOCB_CMD_FSYNC,
		.aio_fildes = (uint32_t)fd,
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = (uint32_t)sync->event_fd,
	};
	request = &sync->request;
	if (syscall(SYS_io_submit, sync->context, 1L, &request) != 1)
		return -errno;
	sync->busy = true;
	sync->forgotten = false;
	return 0;
}

void disk_sync_forget(struct disk_sync *sync)
{
	if (sync)
		sync->forgotten = true;
}
