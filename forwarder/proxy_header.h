/* SPDX-License-Identifier: Apache-2.0 */
/* The PROXY protocol, version 2, as a sender writes it: who the client is, in front of its bytes.
 * (HAProxy's proxy-protocol.txt, section 2.2.) Pure. */
#ifndef FORWARDER_PROXY_HEADER_H
#define FORWARDER_PROXY_HEADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define PROXY_HEADER_MAX 52

/* Writes the header for a client and where it connected to, a connection or a datagram. Where the
 * two aren't addresses of one family, says LOCAL: there is nothing to tell. Returns its size. */
size_t proxy_header_write(const struct endpoint *client, const struct endpoint *at, bool datagram,
			  uint8_t to[static PROXY_HEADER_MAX]);

#endif
