/* SPDX-License-Identifier: Apache-2.0 */
/* See notify.h. */
#include "netproxy/notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sock.h"

LOG_MODULE("netproxy");

#define READY "READY=1"

/* A path, or behind an '@' a name in the abstract namespace. */
static int notify_systemd(const char *name)
{
	struct sockaddr_un to = {.sun_family = AF_UNIX};
	size_t size = strlen(name);
	int fd, r;

	if ((name[0] != '/' && name[0] != '@') || size >= sizeof(to.sun_path))
		return -EINVAL;
	memcpy(to.sun_path, name, size);
	if (name[0] == '@')
		to.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	r = sendto(fd, READY, sizeof(READY) - 1, MSG_NOSIGNAL, (struct sockaddr *)&to,
		   (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size)) < 0
		    ? -errno
		    : 0;
	fd_close(&fd);
	return r;
}

void notify_ready(int fd, bool to_systemd)
{
	const char *socket = getenv("NOTIFY_SOCKET");
	int r = !to_systemd ? 0 : socket ? notify_systemd(socket) : -ENOENT;

	if (r < 0)
		log_warn("can't tell systemd that all is ready, $NOTIFY_SOCKET %s: %s",
			 socket ? socket : "(which is not set)", strerror(-r));
	if (fd < 0)
		return;
	if (write(fd, READY "\n", sizeof(READY)) < 0)
		log_warn("--notify-fd %d: %s", fd, strerror(errno));
	close(fd);
}
