/* SPDX-License-Identifier: Apache-2.0 */
/* Other network namespaces; see netns.h. */
#include "netstack/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

bool netns_is_pid(const char *netns)
{
	return *netns && strspn(netns, "0123456789") == strlen(netns);
}

int netns_open(const char *netns, int *ret_fd)
{
	char path[PATH_MAX];
	int fd;

	if ((size_t)snprintf(path, sizeof(path), netns_is_pid(netns) ? "/proc/%s/ns/net" : "%s",
			     netns) >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret_fd = fd;
	return 0;
}

int netns_enter(int netns_fd)
{
	int user_fd, status;

	if (setns(netns_fd, CLONE_NEWNET) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	user_fd = ioctl(netns_fd, NS_GET_USERNS);
	if (user_fd < 0)
		return -EPERM;
	status = setns(user_fd, CLONE_NEWUSER) < 0 || setns(netns_fd, CLONE_NEWNET) < 0 ? -errno
											: 0;
	close(user_fd);
	return status;
}
