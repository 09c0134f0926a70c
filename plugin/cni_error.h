/* SPDX-License-Identifier: Apache-2.0 */
/* What went wrong, in the terms of the CNI specification ("Error"): a code, a message, details. */
#ifndef PLUGIN_CNI_ERROR_H
#define PLUGIN_CNI_ERROR_H

/* The specification's codes, and from CNI_ERROR_REFUSED on our own. */
enum cni_error_code {
	CNI_ERROR_VERSION = 1,     /* incompatible CNI version */
	CNI_ERROR_FIELD = 2,       /* unsupported field or value in the configuration */
	CNI_ERROR_CONTAINER = 3,   /* unknown container */
	CNI_ERROR_ENVIRONMENT = 4, /* a CNI_ variable is missing or not valid */
	CNI_ERROR_IO = 5,          /* a file or a socket failed */
	CNI_ERROR_DECODE = 6,  /* what came on standard input or from the API is not well-formed */
	CNI_ERROR_CONFIG = 7,  /* the configuration is well-formed, but not valid */
	CNI_ERROR_RETRY = 11,  /* the API can't be reached now: try again later */
	CNI_ERROR_STATUS = 50, /* STATUS: ADD can't be serviced now */
	CNI_ERROR_REFUSED = 100, /* netproxy refused to publish or withdraw a port */
	CNI_ERROR_MISSING = 101, /* CHECK: a port that should be published isn't */
};

struct cni_error {
	enum cni_error_code code;
	char msg[256];      /* one line: what was wrong */
	char details[1600]; /* what would be right, or what the other side said; may be empty */
};

/* Fill *error and return -EINVAL, so that a caller returns what it gets. The second gives details
 * too; it takes them as they are. */
int cni_fail(struct cni_error *error, enum cni_error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
int cni_fail_details(struct cni_error *error, enum cni_error_code code, const char *details,
		     const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
