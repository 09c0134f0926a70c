/* SPDX-License-Identifier: Apache-2.0 */
/* The query of a request's target: "local=%5B::1%5D:80&protocol=tcp" (the URL standard's
 * application/x-www-form-urlencoded). Pure. */
#ifndef HTTP_QUERY_H
#define HTTP_QUERY_H

#include <stddef.h>

/* Finds `key` and writes its value, decoded, to `to`. Returns 0; -ENOENT when there is no such key;
 * -EINVAL when it is there twice, holds a control character or a broken escape; -ENAMETOOLONG when
 * it doesn't fit. */
int http_query_get(const char *query, const char *key, char *to, size_t size);
/* The first key of the query that isn't in the NULL-terminated list, in `to`, cut to fit. Returns
 * 0, or -ENOENT when all are. */
int http_query_unknown(const char *query, const char *const *keys, char *to, size_t size);

#endif
