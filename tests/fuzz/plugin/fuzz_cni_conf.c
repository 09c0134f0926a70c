/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes what comes on the plugin's standard input: the first byte chooses the command, the rest is
 * the configuration; an accepted prevResult is converted to every version. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "plugin/cni_conf.h"
#include "plugin/cni_result.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cni_conf conf;
	struct cni_error error;

	if (size == 0)
		return 0;
	enum cni_command command = data[0] % (CNI_VERSION + 1);
	if (cni_conf_decode((const char *)data + 1, size - 1, command, &conf, &error) < 0) {
		if (error.msg[0] == '\0')
			abort();
		return 0;
	}
	for (int v = 0; conf.prev_result && v < CNI_VERSION_COUNT; v++) {
		struct json_object *result;

		if (cni_result_convert(conf.prev_result, (enum cni_version)v, &result, &error) == 0)
			json_object_put(result);
	}
	cni_conf_clear(&conf);
	return 0;
}
