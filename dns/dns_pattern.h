/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions for records of zones, in the syntax that POSIX (extended), Go and Perl share.
 * API clients write the patterns and guests choose what they are matched with, so both take bounded
 * time and memory, whatever the pattern: it becomes a small program whose threads advance together
 * (Thompson's construction). The C library's matcher promises no such thing, and was found to take
 * seconds for ten characters.
 */
#ifndef DNS_DNS_PATTERN_H
#define DNS_DNS_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#define DNS_PATTERN_SIZE_MAX   256 /* characters */
#define DNS_PATTERN_STEPS_MAX  512 /* of the program, with {} written out */
#define DNS_PATTERN_DEPTH_MAX  16  /* groups within each other */
#define DNS_PATTERN_REPEAT_MAX 255 /* in {} */

struct dns_pattern;

/*
 * Compiles literals, . [...] [^...] [[:alpha:]] \d \w \s \D \W \S ^ $ | (...) (?:...) * + ? {n}
 * {n,} {n,m}. Letters match in either case. Returns 0 with an owned pattern; -EINVAL with what is
 * wrong with it, to follow the pattern in a message, in *ret_complaint; or -ENOMEM.
 */
int dns_pattern_new(const char *text, struct dns_pattern **ret_pattern, const char **ret_complaint);
void dns_pattern_free(struct dns_pattern *pattern);
/* Whether it matches anywhere in the text. */
bool dns_pattern_matches(const struct dns_pattern *pattern, const char *text);

#endif
