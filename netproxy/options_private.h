/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the options share: the table (options_table.c) and its readers (options.c). */
#ifndef NETPROXY_OPTIONS_PRIVATE_H
#define NETPROXY_OPTIONS_PRIVATE_H

#include <stddef.h>

#include "netproxy/options.h"

#define DEFAULT_SUBNET      "192.168.65.0/24"
#define DEFAULT_MTU         1500
#define DEFAULT_CONNECTIONS 65536
#define DEFAULT_UDP_FLOWS   4096
#define DEFAULT_LEASE_S     3600

/* The flags that are handled while reading the command line. */
#define OPTION_CONFIG  "config"
#define OPTION_HELP    "help"
#define OPTION_VERSION "version"

typedef int option_apply_fn(struct options *options, const char *value,
			    char error[static OPTIONS_ERROR_MAX]);

struct option_def {
	const char *name;
	const char *value; /* for --help; NULL: a switch */
	option_apply_fn *apply;
	const char *help;
	bool flag_only; /* not a key of the configuration file */
};

extern const struct option_def option_defs[];
#define OPTION_DEFS_MAX 64
/* Number of options, at most OPTION_DEFS_MAX. */
size_t option_def_count(void);

void options_print_help(void);
/* Writes that `value` was given where something else was expected; returns -EINVAL. */
int options_complain(char error[static OPTIONS_ERROR_MAX], const char *value, const char *expected);

#endif
