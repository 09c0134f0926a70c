/* SPDX-License-Identifier: Apache-2.0 */
/* gvproxy's configuration file, and what becomes of it as options. */
#include <stdint.h>
#include <stdlib.h>

#include "base/log.h"
#include "netproxy/gvproxy_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gvproxy_settings settings;
	static struct options options;
	char error[OPTIONS_ERROR_MAX] = "";

	log_set_levels("error");
	if (gvproxy_yaml_parse((const char *)data, size, &settings, error) == 0) {
		settings.has_file = true;
		options = (struct options){0};
		(void)gvproxy_translate(&settings, &options, error);
		options_free(&options);
	}
	gvproxy_settings_clear(&settings);
	return 0;
}
