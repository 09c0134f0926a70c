/* SPDX-License-Identifier: Apache-2.0 */
/* Telling whoever started us that everything listens. */
#ifndef NETPROXY_NOTIFY_H
#define NETPROXY_NOTIFY_H

#include <stdbool.h>

/* Writes "READY=1\n" to `fd` and closes it, unless it is -1; and, `to_systemd`, sends "READY=1" to
 * the socket in $NOTIFY_SOCKET (sd_notify(3)). What fails is logged. */
void notify_ready(int fd, bool to_systemd);

#endif
