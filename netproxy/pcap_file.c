/* SPDX-License-Identifier: Apache-2.0 */
/* A capture into a file; see pcap_file.h. */
#include "netproxy/pcap_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "netstack/capture.h"

LOG_MODULE("pcap");

#define BUFFER_SIZE (256 * 1024)

struct pcap_file {
	struct loop *loop;
	struct loop_task flush_task;
	FILE *out; /* NULL: it has ended by an error */
	struct capture *capture;
};

static void give_up(struct pcap_file *file)
{
	log_error("the capture ends here: %s", strerror(errno));
	fclose(file->out);
	file->out = NULL;
}

static bool write_piece(void *arg, const void *data, size_t size)
{
	struct pcap_file *file = arg;

	if (!file->out)
		return false;
	if (fwrite(data, 1, size, file->out) != size) {
		give_up(file);
		return false;
	}
	loop_task_schedule(file->loop, &file->flush_task);
	return true;
}

static void flush(void *arg)
{
	struct pcap_file *file = arg;

	if (file->out && fflush(file->out) == EOF)
		give_up(file);
}

static int open_anew(const char *path, FILE **ret_out)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0600);
	FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
	int r = -errno;

	if (!out) {
		if (fd >= 0)
			close(fd);
		return r;
	}
	(void)setvbuf(out, NULL, _IOFBF, BUFFER_SIZE);
	*ret_out = out;
	return 0;
}

int pcap_file_new(struct loop *loop, struct nswitch *sw, const char *path,
		  struct pcap_file **ret_file)
{
	struct pcap_file *file = calloc(1, sizeof(*file));
	struct capture_conf conf = {
		.snaplen = CAPTURE_SNAPLEN_MAX, .write = write_piece, .arg = file};
	int r;

	if (!file)
		return -ENOMEM;
	file->loop = loop;
	file->flush_task = (struct loop_task){.fn = flush, .arg = file};
	r = open_anew(path, &file->out);
	if (r == 0)
		r = capture_new(sw, &conf, &file->capture);
	if (r < 0) {
		pcap_file_free(file);
		return r;
	}
	*ret_file = file;
	return 0;
}

void pcap_file_free(struct pcap_file *file)
{
	if (!file)
		return;
	capture_free(file->capture);
	loop_task_cancel(file->loop, &file->flush_task);
	if (file->out && fclose(file->out) == EOF)
		log_error("the capture is not complete: %s", strerror(errno));
	free(file);
}
