/* SPDX-License-Identifier: Apache-2.0 */
/* Names in DHCP: the host name that a client claims, cleaned, and domain names in DNS wire form. */
#ifndef DHCP_DHCP_NAME_H
#define DHCP_DHCP_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/wire.h"

#define DHCP_HOSTNAME_MAX 64  /* one DNS label, with its NUL */
#define DHCP_DOMAIN_MAX   254 /* a domain name in text, with its NUL */

/* The host part of what a client calls itself (RFC 1123: letters, digits, inner hyphens), in lower
 * case; what follows the first dot is dropped, for naming the domain is our business. False when
 * nothing usable is left, or when it is a name that other guests resolve for what it means:
 * "localhost", "wpad". */
bool dhcp_hostname_clean(const void *text, size_t size, char ret[static DHCP_HOSTNAME_MAX]);

/* The same from the value of a client FQDN option (RFC 4702), in either of its encodings. */
bool dhcp_hostname_from_fqdn(const void *value, size_t size, char ret[static DHCP_HOSTNAME_MAX]);

/* Whether `name` is a domain name: labels of letters, digits, inner hyphens and underscores, a dot
 * at the end allowed. */
bool dhcp_domain_valid(const char *name);

/* Writes a valid domain name in DNS wire form: length-prefixed labels, ending in the empty one. */
void dhcp_put_domain(struct wire_writer *w, const char *name);

#endif
