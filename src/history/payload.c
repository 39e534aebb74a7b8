/* Payloads: bytes with metadata that says how they are encoded. */
#include "base/hash.h"
#include "history/event.h"

struct rec *payload_new(struct arena *a, const char *encoding, struct str data)
{
    struct rec *p = rec_new(a, &rec_type_payload);
    rec_map_set_str(p, T(payload, metadata), STR("encoding"), arena_str(a, str_of(encoding)));
    rec_set_str(p, T(payload, data), data);
    return p;
}

struct str payload_encoding(const struct rec *p)
{
    return rec_map_get_str(p, T(payload, metadata), STR("encoding"));
}

void payloads_add(struct rec *payloads, struct rec *payload)
{
    rec_add_msg(payloads, T(payloads, payloads), payload);
}

struct rec *payloads_of_json(struct arena *a, struct str json)
{
    struct rec *list = rec_new(a, &rec_type_payloads);
    payloads_add(list, payload_new(a, PAYLOAD_JSON, json));
    return list;
}

/* The digest is a chain over the payloads: h(n) = H(h(n-1), length of the encoding, encoding,
 * H(data)). A reference gives the encoding and the digest of what it stands for, so both forms give
 * the same. */
void payloads_digest(const struct rec *payloads, uint8_t out[32])
{
    const struct rec_field *f = NULL;
    uint8_t chain[SHA256_BYTES];
    hash_sha256(STR(""), chain);
    while ((f = rec_each(payloads, T(payloads, payloads), f))) {
        const struct rec *p = f->v.m;
        struct str encoding = payload_encoding(p);
        uint8_t data[SHA256_BYTES], length[8];
        bool ref = str_eqz(encoding, PAYLOAD_REF) &&
                   hex_decode(rec_map_get_str(p, T(payload, metadata), STR("digest")), data,
                              sizeof data) == 0;
        if (ref)
            encoding = rec_map_get_str(p, T(payload, metadata), STR("of"));
        else
            hash_sha256(payload_data(p), data);
        for (int i = 0; i < 8; i++)
            length[i] = (uint8_t)((uint64_t)encoding.n >> (8 * i));
        const struct str parts[] = {str_make(chain, sizeof chain), str_make(length, sizeof length),
                                    encoding, str_make(data, sizeof data)};
        hash_sha256_parts(parts, sizeof parts / sizeof *parts, chain);
    }
    memcpy(out, chain, sizeof chain);
}

static bool same_digest(const struct rec *a, const struct rec *b)
{
    uint8_t x[SHA256_BYTES], y[SHA256_BYTES];
    payloads_digest(a, x);
    payloads_digest(b, y);
    return memcmp(x, y, sizeof x) == 0;
}

bool payloads_same(const struct rec *a, const struct rec *b)
{
    const struct rec_field *f = NULL, *g = NULL;
    for (;;) {
        f = rec_each(a, T(payloads, payloads), f);
        g = rec_each(b, T(payloads, payloads), g);
        if (!f || !g) return !f && !g;
        struct str x = payload_encoding(f->v.m), y = payload_encoding(g->v.m);
        if (str_eqz(x, PAYLOAD_REF) || str_eqz(y, PAYLOAD_REF)) return same_digest(a, b);
        if (!str_eq(x, y) || !str_eq(payload_data(f->v.m), payload_data(g->v.m))) return false;
    }
}
