/* TLS for one connection over memory: bytes from the socket go in, bytes for the socket come out.
 * The certificates are loaded for each connection, so that renewed files are used without a
 * restart. */
#ifndef ML_TEMPORAL_TLS_H
#define ML_TEMPORAL_TLS_H
#include "base/buf.h"

#define TLS_PEM_MAX (4u << 20)
/* Borrowed; of each pair the data wins. Absent: not set. */
struct tls_options {
    struct str ca_file, ca_data; /* absent: the system's certificates */
    struct str cert_file, cert_data, key_file, key_data;
    const char *name; /* that the certificate must bear: a host name or an address */
    bool no_verification;
};
struct tls;
/* ERR_IO: a file cannot be read, ERR_ARG: it does not hold what it should; the text names it. */
int tls_open(const struct tls_options *o, struct tls **out, struct err *e);
void tls_close(struct tls *t);
/* Takes bytes from the socket and appends what they say to `plain`. Call tls_out after. ERR_PROTO
 * for everything that ends the connection, with what to do about it; *hopeless when another try
 * would end alike. `closed` (may be NULL) tells an orderly end. */
int tls_feed(struct tls *t, const char *p, size_t n, struct buf *plain, bool *closed,
             bool *hopeless, struct err *e);
bool tls_ready(const struct tls *t); /* the handshake is done and both agreed on HTTP/2 */
/* Encrypts; only when ready. */
int tls_put(struct tls *t, const void *p, size_t n, struct err *e);
void tls_end(struct tls *t);                  /* says good-bye */
int tls_out(struct tls *t, struct buf *wire); /* appends what is to be sent; 0 or ERR_NOMEM */

#endif
