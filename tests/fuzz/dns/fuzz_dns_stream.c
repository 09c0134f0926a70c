/* SPDX-License-Identifier: Apache-2.0 */
/* What a guest sends on a DNS connection, to a server without resolvers. */
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dns/dns_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROUNDS_MAX 1000

static struct loop *loop;
static struct dns_server *server;

static void start(void)
{
	struct dns_conf conf = {
		.gateway4 = addr_from_v4(0xc0a84101), .resolv_conf_path = "", .hosts_path = ""};
	char error[256];

	if (loop_new(&loop) < 0 || dns_server_new(loop, &conf, error, sizeof(error), &server) < 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t replies[65536];
	size_t written = 0;
	int fds[2];

	if (!server)
		start();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0 ||
	    dns_server_serve_stream(server, fds[1], NULL) < 0)
		abort();
	for (int i = 0; written < size && i < ROUNDS_MAX; i++) {
		ssize_t n = send(fds[0], data + written, size - written, MSG_NOSIGNAL);

		written += n > 0 ? (size_t)n : 0;
		loop_run_once(loop, false);
		while (recv(fds[0], replies, sizeof(replies), 0) > 0)
			;
	}
	close(fds[0]);
	for (int i = 0; dns_server_stats(server).stream_count > 0; i++) {
		if (i == ROUNDS_MAX)
			abort();
		loop_run_once(loop, false);
	}
	return 0;
}
