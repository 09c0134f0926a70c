/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text forms of addresses: whatever is accepted must come out as text that is accepted again,
 * and means the same.
 */
#include "base/addr.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_mac(const char *input)
{
	struct mac mac;
	struct mac again;
	char text[MAC_TEXT_MAX];

	if (mac_parse(input, &mac) < 0)
		return;
	assert(mac_parse(mac_format(&mac, text), &again) == 0);
	assert(mac_equal(&mac, &again));
}

static void try_addr(const char *input)
{
	struct addr addr;
	struct addr again;
	char text[ADDR_TEXT_MAX];

	if (addr_parse(input, &addr) < 0)
		return;
	assert(addr_parse(addr_format(&addr, text), &again) == 0);
	assert(addr_equal(&addr, &again));
}

static void try_endpoint(const char *input)
{
	struct endpoint ep;
	struct endpoint again;
	char text[ENDPOINT_TEXT_MAX];

	if (endpoint_parse(input, true, &ep) < 0) {
		assert(endpoint_parse(input, false, &ep) < 0);
		return;
	}
	assert(endpoint_parse(endpoint_format(&ep, text), true, &again) == 0);
	assert(endpoint_equal(&ep, &again));
}

static void try_prefix(const char *input)
{
	struct prefix prefix;
	struct prefix again;
	char text[PREFIX_TEXT_MAX];

	if (prefix_parse(input, &prefix) < 0)
		return;
	assert(prefix_contains(&prefix, &prefix.addr));
	assert(prefix_parse(prefix_format(&prefix, text), &again) == 0);
	assert(addr_equal(&prefix.addr, &again.addr) && prefix.length == again.length);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *input = malloc(size + 1);

	if (!input)
		return 0;
	memcpy(input, data, size);
	input[size] = '\0';
	try_mac(input);
	try_addr(input);
	try_endpoint(input);
	try_prefix(input);
	free(input);
	return 0;
}
