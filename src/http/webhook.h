/* Signatures of requests that come without a token: webhooks (Standard Webhooks 1.0 and GitHub's
 * X-Hub-Signature-256) and the URL that resolves a promise. HMAC-SHA256 over the raw body,
 * compared in constant time; several secrets at once while one replaces the other. */
#ifndef ML_HTTP_WEBHOOK_H
#define ML_HTTP_WEBHOOK_H
#include "base/buf.h"

#define WEBHOOK_TOLERANCE_S 300 /* a message may be so old, or so far ahead */
#define WEBHOOK_ID_MAX 256
#define WEBHOOK_SIGNATURES_MAX 16 /* in one header */
#define WEBHOOK_SECRETS_MAX 8

/* "whsec_" and base64 of 24 to 64 bytes, as the bytes appended to `out`. ERR_ARG says what is
 * wrong, never the secret. */
int webhook_secret_read(struct str text, struct buf *out, struct err *e);

struct webhook_headers {
    struct str id, timestamp, signature; /* webhook-id, webhook-timestamp, webhook-signature */
};
/* 0 when one of the "v1," signatures is that of one of the secrets (their bytes). ERR_ARG with the
 * reason, for the log. Who calls remembers the id for twice the tolerance, and answers a second one
 * as the first. tolerance_s 0: WEBHOOK_TOLERANCE_S. */
int webhook_verify(const struct str *secrets, size_t n, const struct webhook_headers *h,
                   struct str body, int64_t now_ns, int64_t tolerance_s, struct err *e);
/* Appends the value of webhook-signature for one secret. */
int webhook_sign(struct str secret, struct str id, int64_t timestamp_s, struct str body,
                 struct buf *out);

/* GitHub: "sha256=" and 64 hexadecimal digits over the body. There is no time in it: who calls
 * remembers X-GitHub-Delivery. */
int webhook_verify_github(const struct str *secrets, size_t n, struct str signature,
                          struct str body, struct err *e);

/* The query of a URL that resolves one promise until a time: "expires=SECONDS&signature=..." */
int resume_sign(struct str key, struct str promise, int64_t expires_s, struct buf *out);
/* Checks what the query held. ERR_ARG with the reason; an URL that has expired is ERR_TIMEOUT. */
int resume_verify(const struct str *keys, size_t n, struct str promise, struct str expires,
                  struct str signature, int64_t now_ns, struct err *e);

#endif
