/* SPDX-License-Identifier: Apache-2.0 */
/* The text of -publish, [ip:]host:guest[/tcp|udp], as docker, podman and LinuxKit have it. netproxy
 * reads the same text again and decides; here it is read to find mistakes before anything is
 * started. */
#ifndef LAUNCHER_PUBLISH_H
#define LAUNCHER_PUBLISH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "launcher/problem.h"

struct publish {
	struct endpoint host; /* AF_UNSPEC: all of the host's addresses */
	struct addr guest;    /* AF_UNSPEC: the machine itself */
	uint16_t guest_port;
	bool udp;
};

/* Returns 0, or -EINVAL with the problem set and *ret untouched. */
int publish_parse(const char *text, struct publish *ret, struct problem *problem);
/* Whether both want the same port of the same host address, or of one that the other includes. */
bool publish_conflicts(const struct publish *a, const struct publish *b);
/* Whether this host lets us listen there now. Returns 0, or -errno with the problem set. `text` is
 * what the user wrote. */
int publish_check_free(const struct publish *publish, const char *text, struct problem *problem);

#endif
