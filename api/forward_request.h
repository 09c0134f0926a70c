/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bodies of requests for forwards, decoded and checked; and forwards in the same form, for
 * lists and for what is kept over a restart. Pure.
 *
 * gvproxy's expose and unexpose take {"local","remote","protocol"} and ignore whatever else there
 * is; we listen to "for", too, by which our CNI plugin says whose port it is, and that it wants
 * none but that withdrawn. Ours, below /v1/, take all that a forward can have, and nothing else:
 *
 *	local      "ADDRESS:PORT", ":PORT" (all addresses), "ADDRESS:FIRST-LAST"; or a path
 *	remote     a guest's "ADDRESS:PORT", "NAME:PORT", ":PORT"; with a range if `local` has one
 *	via        the guest's address or name, where `remote` is not its own but behind it
 *	protocol   "tcp" (the default), "udp", "tcp+udp", or "unix", whose `local` is a path
 *	source     "client" (the default) or "gateway"
 *	proxy      "v2": a PROXY header in front
 *	name       what to call it
 *	for        for whom it is, such as a container: part of its owner
 *	lease      "connection": it ends with the connection that this request came by
 */
#ifndef API_FORWARD_REQUEST_H
#define API_FORWARD_REQUEST_H

#include <json-c/json.h>
#include <stddef.h>

#include "forwarder/publish.h"

#define FORWARD_REQUEST_ERROR_MAX 512

enum forward_request_form { FORWARD_REQUEST_GVPROXY, FORWARD_REQUEST_V1 };

struct forward_request {
	struct publish_spec spec; /* with the first port of a range */
	unsigned ports;
	bool tcp_and_udp;
	bool connection_lease;
};

/* Decodes the body of a request to publish. In ret->spec `local` and the texts are as the client
 * gave them; `remote.addr` is AF_UNSPEC where the host was empty or a name, and remote_text is then
 * "". The owner's kind, id and lease are the caller's to fill in. Returns 0, -EINVAL, or -ENOTSUP
 * for a protocol that there isn't, with a message in `error`. */
int forward_request_decode(enum forward_request_form form, const char *body, size_t size,
			   struct forward_request *ret,
			   char error[static FORWARD_REQUEST_ERROR_MAX]);
/* The same of an object; `where` names it in messages. */
int forward_request_read(enum forward_request_form form, struct json_object *object,
			 const char *where, struct forward_request *ret,
			 char error[static FORWARD_REQUEST_ERROR_MAX]);
/* The body of gvproxy's unexpose, of which only local_text, protocol and the owner's text are
 * filled in. */
int forward_request_decode_removal(const char *body, size_t size, struct publish_spec *ret_spec,
				   char error[static FORWARD_REQUEST_ERROR_MAX]);

/* The protocol of that name, "" being tcp. Returns 0 or -ENOTSUP. */
int forward_protocol_parse(const char *text, enum publish_protocol *ret);

/* A forward as one would ask for it. With FORWARD_REQUEST_V1 everything that isn't as by default;
 * with FORWARD_REQUEST_GVPROXY the three that there are. Owned by the caller. */
struct json_object *forward_request_encode(enum forward_request_form form,
					   const struct publish_spec *spec);

#endif
