/* SPDX-License-Identifier: Apache-2.0 */
/* Filling CNI errors. */
#include "plugin/cni_error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

int cni_fail(struct cni_error *error, enum cni_error_code code, const char *format, ...)
{
	va_list args;

	error->code = code;
	error->details[0] = '\0';
	va_start(args, format);
	vsnprintf(error->msg, sizeof(error->msg), format, args);
	va_end(args);
	return -EINVAL;
}

int cni_fail_details(struct cni_error *error, enum cni_error_code code, const char *details,
		     const char *format, ...)
{
	va_list args;

	error->code = code;
	snprintf(error->details, sizeof(error->details), "%s", details);
	va_start(args, format);
	vsnprintf(error->msg, sizeof(error->msg), format, args);
	va_end(args);
	return -EINVAL;
}
