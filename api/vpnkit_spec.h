/* SPDX-License-Identifier: Apache-2.0 */
/* Forwards as VPNKit's port control writes them: "tcp:IP:PORT:tcp:IP:PORT", and the same with udp;
 * the host's side first. Pure. */
#ifndef API_VPNKIT_SPEC_H
#define API_VPNKIT_SPEC_H

#include <stddef.h>

#include "forwarder/publish.h"

#define VPNKIT_SPEC_MAX 128

/* Reads such a text, with spaces or a newline around it. An IPv6 address may stand in brackets. A
 * port of 0 on the host's side picks one, and 0.0.0.0 is all addresses of IPv4 only. The rest of
 * *ret is zero: its owner is the caller's to fill in. Returns 0 or -EINVAL. */
int vpnkit_spec_parse(const char *text, size_t size, struct publish_spec *ret);
/* Writes a forward of TCP or UDP in that form. */
const char *vpnkit_spec_format(const struct publish_spec *spec, char to[static VPNKIT_SPEC_MAX]);

#endif
