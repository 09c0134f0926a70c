/* SPDX-License-Identifier: Apache-2.0 */
/* Options of the API, and of what it shows. */
#include "netproxy/options_private.h"

int options_apply_no_guest_api(struct options *options, const char *value,
			       char error[static OPTIONS_ERROR_MAX])
{
	(void)value;
	(void)error;
	options->guest_api = false;
	return 0;
}
