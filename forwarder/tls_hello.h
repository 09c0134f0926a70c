/* SPDX-License-Identifier: Apache-2.0 */
/* The server's name in the first message of a TLS client: ClientHello (RFC 8446, 4.1.2; the older
 * versions' looks the same) with the extension server_name (RFC 6066, 3). */
#ifndef FORWARDER_TLS_HELLO_H
#define FORWARDER_TLS_HELLO_H

#include <stddef.h>
#include <stdint.h>

#include "forwarder/egress.h"

/*
 * Looks into the first bytes of a stream. Returns 1 with a clean name (egress_clean_name()), 0 when
 * it is TLS and names nobody, -EAGAIN when more bytes may say, -EPROTO when it isn't TLS, or none
 * that makes sense. The message may lie in several records.
 */
int tls_hello_name(const uint8_t *bytes, size_t size, char to[static EGRESS_NAME_MAX]);

#endif
