/* Signatures of webhooks and resume URLs: see webhook.h. */
#include "http/webhook.h"
#include "base/clock.h"
#include "base/hash.h"
#include <stdio.h>

#define SECRET_MIN 24 /* bytes; Standard Webhooks, "Signature scheme" */
#define SECRET_MAX 64
#define KEY_MIN 32 /* bytes of a key for resume URLs */

int webhook_secret_read(struct str text, struct buf *out, struct err *e)
{
    struct str prefix = STR("whsec_");
    size_t before = out->n;
    if (!str_starts(text, prefix))
        return err_set(e, ERR_ARG, "a webhook's secret begins with whsec_");
    int code = base64_decode(str_make(text.p + prefix.n, text.n - prefix.n), out);
    if (code == ERR_NOMEM) return err_set(e, code, "a webhook's secret: out of memory");
    if (code) return err_set(e, ERR_ARG, "a webhook's secret is not base64 behind whsec_");
    if (out->n - before < SECRET_MIN || out->n - before > SECRET_MAX)
        return err_set(e, ERR_ARG, "a webhook's secret has %d to %d bytes, this has %zu",
                       SECRET_MIN, SECRET_MAX, out->n - before);
    return 0;
}

/* A whole number without sign or zeros in front; false when it is none. */
static bool read_seconds(struct str s, int64_t *out)
{
    int64_t v = 0;
    if (s.n == 0 || s.n > 12 || (s.p[0] == '0' && s.n > 1)) return false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') return false;
        v = v * 10 + (s.p[i] - '0');
    }
    *out = v;
    return true;
}

static void mac_of(struct str key, const struct str *parts, size_t n, uint8_t out[SHA256_BYTES],
                   int *code)
{
    struct buf text;
    buf_init(&text, 128u << 20);
    for (size_t i = 0; i < n; i++)
        buf_putstr(&text, parts[i]);
    *code = text.code;
    if (!*code) hash_hmac_sha256(key, buf_str(&text), out);
    buf_free(&text);
}

static int sign_message(struct str secret, struct str id, struct str timestamp, struct str body,
                        uint8_t out[SHA256_BYTES])
{
    struct str parts[] = {id, STR("."), timestamp, STR("."), body};
    int code;
    mac_of(secret, parts, 5, out, &code);
    return code;
}

int webhook_sign(struct str secret, struct str id, int64_t timestamp_s, struct str body,
                 struct buf *out)
{
    char time[24];
    uint8_t mac[SHA256_BYTES];
    int n = snprintf(time, sizeof time, "%lld", (long long)timestamp_s);
    int code = sign_message(secret, id, str_make(time, (size_t)n), body, mac);
    if (code) return code;
    buf_puts(out, "v1,");
    return buf_put_base64(out, str_make(mac, sizeof mac));
}

/* Does one of the header's v1 signatures equal one of the macs? All are compared. */
static bool any_equal(struct str header, uint8_t macs[][SHA256_BYTES], size_t n)
{
    bool found = false;
    int count = 0;
    while (header.n > 0 && count < WEBHOOK_SIGNATURES_MAX) {
        const char *gap = memchr(header.p, ' ', header.n);
        size_t len = gap ? (size_t)(gap - header.p) : header.n;
        struct str one = str_make(header.p, len);
        char bytes[64 / 4 * 3 + 3];
        size_t got = 0;
        header.p += gap ? len + 1 : len;
        header.n -= gap ? len + 1 : len;
        count++;
        if (!str_starts(one, STR("v1,")) || one.n != 3 + 44) continue;
        if (base64_decode_to(str_make(one.p + 3, 44), bytes, &got) || got != SHA256_BYTES) continue;
        for (size_t i = 0; i < n; i++)
            found = hash_equal_ct(bytes, macs[i], SHA256_BYTES) || found;
    }
    return found;
}

static int refuse(struct err *e, const char *why)
{
    return err_set(e, ERR_ARG, "webhook: %s", why);
}

static bool id_ok(struct str id)
{
    if (id.n == 0 || id.n > WEBHOOK_ID_MAX) return false;
    for (size_t i = 0; i < id.n; i++) /* a dot would let the parts of what is signed move */
        if (id.p[i] <= ' ' || id.p[i] > '~' || id.p[i] == '.') return false;
    return true;
}

int webhook_verify(const struct str *secrets, size_t n, const struct webhook_headers *h,
                   struct str body, int64_t now_ns, int64_t tolerance_s, struct err *e)
{
    uint8_t macs[WEBHOOK_SECRETS_MAX][SHA256_BYTES];
    int64_t sent = 0, now = now_ns / NS_PER_S;
    if (n == 0 || n > WEBHOOK_SECRETS_MAX) return refuse(e, "no secret is configured");
    if (!h->id.p || !h->timestamp.p || !h->signature.p)
        return refuse(e, "webhook-id, webhook-timestamp or webhook-signature is missing");
    if (!id_ok(h->id)) return refuse(e, "webhook-id is not understood");
    if (!read_seconds(h->timestamp, &sent)) return refuse(e, "webhook-timestamp is no time");
    if (tolerance_s <= 0) tolerance_s = WEBHOOK_TOLERANCE_S;
    if (sent < now - tolerance_s) return refuse(e, "the message is too old");
    if (sent > now + tolerance_s) return refuse(e, "the message is from the future");
    for (size_t i = 0; i < n; i++) {
        if (secrets[i].n < SECRET_MIN) return refuse(e, "a secret is too short");
        int code = sign_message(secrets[i], h->id, h->timestamp, body, macs[i]);
        if (code) return err_set(e, code, "webhook: out of memory");
    }
    return any_equal(h->signature, macs, n) ? 0 : refuse(e, "no signature holds");
}

int webhook_verify_github(const struct str *secrets, size_t n, struct str signature,
                          struct str body, struct err *e)
{
    struct str prefix = STR("sha256=");
    uint8_t given[SHA256_BYTES], mac[SHA256_BYTES];
    bool found = false;
    if (n == 0) return refuse(e, "no secret is configured");
    if (!signature.p) return refuse(e, "X-Hub-Signature-256 is missing");
    if (!str_starts(signature, prefix) ||
        hex_decode(str_make(signature.p + prefix.n, signature.n - prefix.n), given, sizeof given))
        return refuse(e, "X-Hub-Signature-256 is not sha256= and 64 digits");
    for (size_t i = 0; i < n; i++) {
        if (secrets[i].n == 0) return refuse(e, "a secret is empty");
        hash_hmac_sha256(secrets[i], body, mac);
        found = hash_equal_ct(mac, given, sizeof mac) || found;
    }
    return found ? 0 : refuse(e, "the signature does not hold");
}

/* ---- resume URLs ---- */
static int resume_mac(struct str key, struct str promise, struct str expires,
                      uint8_t out[SHA256_BYTES])
{
    char length[24];
    int n = snprintf(length, sizeof length, "%zu", promise.n), code;
    /* the length keeps id and time apart whatever the id holds */
    struct str parts[] = {STR("moonloop resume 1\n"),
                          str_make(length, (size_t)n),
                          STR("\n"),
                          promise,
                          STR("\n"),
                          expires};
    mac_of(key, parts, 6, out, &code);
    return code;
}

int resume_sign(struct str key, struct str promise, int64_t expires_s, struct buf *out)
{
    char time[24];
    uint8_t mac[SHA256_BYTES];
    if (key.n < KEY_MIN) return ERR_ARG;
    int n = snprintf(time, sizeof time, "%lld", (long long)expires_s);
    int code = resume_mac(key, promise, str_make(time, (size_t)n), mac);
    if (code) return code;
    char hex[SHA256_HEX];
    hex_encode(mac, sizeof mac, hex);
    return buf_printf(out, "expires=%s&signature=%s", time, hex);
}

int resume_verify(const struct str *keys, size_t n, struct str promise, struct str expires,
                  struct str signature, int64_t now_ns, struct err *e)
{
    uint8_t given[SHA256_BYTES], mac[SHA256_BYTES];
    int64_t until = 0;
    bool found = false;
    if (!read_seconds(expires, &until) || hex_decode(signature, given, sizeof given))
        return err_set(e, ERR_ARG, "resume URL: expires or signature is missing or broken");
    for (size_t i = 0; i < n; i++) {
        if (keys[i].n < KEY_MIN) return err_set(e, ERR_ARG, "resume URL: a key is too short");
        int code = resume_mac(keys[i], promise, expires, mac);
        if (code) return err_set(e, code, "resume URL: out of memory");
        found = hash_equal_ct(mac, given, sizeof mac) || found;
    }
    if (!found) return err_set(e, ERR_ARG, "resume URL: the signature does not hold");
    if (now_ns / NS_PER_S >= until) return err_set(e, ERR_TIMEOUT, "resume URL: it has expired");
    return 0;
}
