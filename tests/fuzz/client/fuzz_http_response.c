/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the decoder of HTTP responses: whole, and cut where the first byte says; a response that
 * is complete before its end must be the same with what follows. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "client/http_response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_response whole, cut;
	const char *why = NULL;

	if (size == 0)
		return 0;
	const char *text = (const char *)data + 1;
	size_t text_size = size - 1, cut_size = text_size * data[0] / 256;
	int whole_result = http_response_decode(text, text_size, true, &whole, &why);
	int cut_result = http_response_decode(text, cut_size, false, &cut, &why);

	if (whole_result == 0)
		abort();
	if (cut_result > 0) {
		if (whole_result < 0 || whole.body_size != cut.body_size ||
		    memcmp(whole.body, cut.body, cut.body_size) != 0)
			abort();
		http_response_clear(&cut);
	}
	if (whole_result > 0)
		http_response_clear(&whole);
	return 0;
}
