/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of expose and unexpose, decoded and checked: {"local","remote","protocol"}, as gvproxy
 * takes them. Pure.
 */
#ifndef API_FORWARD_REQUEST_H
#define API_FORWARD_REQUEST_H

#include <stddef.h>

#include "forwarder/publish.h"

#define FORWARD_REQUEST_ERROR_MAX 512

/* Decodes expose's body. Unknown keys are ignored, as gvproxy does. In *ret_spec `local` and the
 * texts are as the client gave them; `remote.addr` is AF_UNSPEC where the host was empty, and
 * remote_text is then "". The owner is the caller's to fill in. Returns 0, -EINVAL, or -ENOTSUP for
 * a protocol that there isn't, with a message in `error`. */
int forward_request_decode(const char *body, size_t size, struct publish_spec *ret_spec,
			   char error[static FORWARD_REQUEST_ERROR_MAX]);
/* The same for unexpose, of which only local_text and protocol are filled in. */
int forward_request_decode_removal(const char *body, size_t size, struct publish_spec *ret_spec,
				   char error[static FORWARD_REQUEST_ERROR_MAX]);

static inline const char *forward_protocol_text(enum publish_protocol protocol)
{
	return protocol == PUBLISH_UDP ? "udp" : "tcp";
}

#endif
