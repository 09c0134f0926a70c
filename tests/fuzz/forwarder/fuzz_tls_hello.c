/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for the server's name in a guest's first bytes, however they are cut. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "forwarder/tls_hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char name[EGRESS_NAME_MAX], part_name[EGRESS_NAME_MAX], clean[EGRESS_NAME_MAX];
	int r = tls_hello_name(data, size, name);

	if (r == 1) {
		assert(egress_clean_name(name, strlen(name), clean) && strcmp(name, clean) == 0);
	} else {
		assert(r == 0 || r == -EAGAIN || r == -EPROTO);
	}
	/* Fewer bytes say the same, or that they are too few. */
	for (size_t part = size > 64 ? size - 64 : 0; part < size; part++) {
		int part_r = tls_hello_name(data, part, part_name);

		assert(part_r == -EAGAIN || part_r == r);
		assert(part_r != 1 || strcmp(name, part_name) == 0);
	}
	return 0;
}
