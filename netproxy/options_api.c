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

int options_apply_pcap(struct options *options, const char *value,
		       char error[static OPTIONS_ERROR_MAX])
{
	return options_set_text(options->pcap_file, sizeof(options->pcap_file), value, error);
}
