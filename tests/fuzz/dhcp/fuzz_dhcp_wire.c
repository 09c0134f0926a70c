/* SPDX-License-Identifier: Apache-2.0 */
/* Feeds one message to the DHCP decoder, and reads every option of what it accepts. */
#include <assert.h>
#include <stdint.h>

#include "dhcp/dhcp_name.h"
#include "dhcp/dhcp_wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dhcp_message m;
	uint8_t value[DHCP_OPTION_SIZE_MAX];
	char name[DHCP_HOSTNAME_MAX];

	if (dhcp_message_decode(data, size, &m) < 0)
		return 0;
	assert(m.area_count >= 1 && m.area_count <= 3);
	for (unsigned code = 0; code < 256; code++) {
		ssize_t got = dhcp_message_option(&m, (uint8_t)code, value, sizeof(value));

		assert(got <= (ssize_t)sizeof(value) && got <= (ssize_t)size);
		if (got < 0)
			continue;
		assert(code != DHCP_OPT_PAD && code != DHCP_OPT_END);
		if (dhcp_hostname_clean(value, (size_t)got, name))
			assert(name[0] && strnlen(name, sizeof(name)) < sizeof(name));
		if (dhcp_hostname_from_fqdn(value, (size_t)got, name))
			assert(name[0] && strnlen(name, sizeof(name)) < sizeof(name));
	}
	return 0;
}
