/* Which addresses a request may reach whose URL somebody else chose (a model, a caller): only
 * public ones, unless they are allowed by name or network. The address is looked at after the name
 * was resolved, for each connection and each redirect, so neither a name that resolves to
 * 127.0.0.1 nor an odd spelling gets past it. */
#ifndef ML_HTTP_GUARD_H
#define ML_HTTP_GUARD_H
#include "base/err.h"
#include "base/str.h"
#include <sys/socket.h>

#define HTTP_GUARD_ENTRIES_MAX 1000

struct http_guard; /* what is allowed besides public addresses; may be empty */
int http_guard_new(struct http_guard **out);
void http_guard_free(struct http_guard *g);
/* Allows "10.1.0.0/16", "fd00::/8", "127.0.0.1", "127.0.0.1:8080", "[::1]:8080", "host.name" or
 * "host.name:8080" (a host by its name as it stands in the URL, whatever it resolves to; a host
 * without a port on every port). ERR_ARG for what is none of them, ERR_LIMIT, ERR_NOMEM. Allowing
 * the same again does nothing. */
int http_guard_allow(struct http_guard *g, struct str entry, struct err *e);
/* Is the URL's host allowed by its name? */
bool http_guard_names(const struct http_guard *g, struct str host, int port);
/* What is wrong with an address ("a loopback address"), or NULL: it may be reached. */
const char *http_guard_refuses(const struct http_guard *g, const struct sockaddr *a);

#endif
