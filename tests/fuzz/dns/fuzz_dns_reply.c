/* SPDX-License-Identifier: Apache-2.0 */
/* A datagram from a resolver, or from someone who pretends to be one. */
#include <stdlib.h>

#include "dns/dns_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dns_query query = {.id = 1,
				  .has_question = true,
				  .type = DNS_TYPE_A,
				  .class = DNS_CLASS_IN,
				  .has_edns = true};
	uint8_t reply[DNS_UDP_SIZE_MIN];

	if (dns_name_parse("example.com", &query.name) < 0)
		abort();
	if (!dns_reply_matches(&query, 0x1234, data, size))
		return 0;
	if (size < DNS_HEADER_SIZE || !(data[2] & 0x80) || dns_reply_rcode(data) > 15)
		abort();
	size_t reply_size = dns_reply_truncate(&query, data, reply);
	if (!(reply[2] & 0x02) || !dns_reply_matches(&query, 1, reply, reply_size))
		abort();
	return 0;
}
