/* ml.crypto: digests, chance and encodings. Digests are hexadecimal text, with "raw" as last
 * argument their bytes. */
#include "activity/act_internal.h"
#include "base/hash.h"

#define BYTES_MAX (64u << 20)

/* The digest in the form that the argument at idx names. */
static int push_digest(lua_State *L, const uint8_t *digest, int idx)
{
    static const char *const forms[] = {"hex", "raw", NULL};
    char hex[SHA256_HEX];
    if (luaL_checkoption(L, idx, "hex", forms) == 1) {
        lua_pushlstring(L, (const char *)digest, SHA256_BYTES);
        return 1;
    }
    hex_encode(digest, SHA256_BYTES, hex);
    lua_pushstring(L, hex);
    return 1;
}

static int crypto_sha256(lua_State *L)
{
    uint8_t out[SHA256_BYTES];
    lua_settop(L, 2);
    hash_sha256(act_check_str(L, 1), out);
    return push_digest(L, out, 2);
}

/* hmac_sha256(key, text): the key may be a secret. */
static int crypto_hmac(lua_State *L)
{
    uint8_t out[SHA256_BYTES];
    lua_settop(L, 3);
    struct str text = act_check_str(L, 2), key;
    if (act_is_secret(L, 1)) {
        struct buf *b = act_buf(L, 1u << 20);
        act_secret_value(L, 1, b);
        key = buf_str(b);
    } else {
        key = act_check_str(L, 1);
    }
    hash_hmac_sha256(key, text, out);
    return push_digest(L, out, 3);
}

static int crypto_random(lua_State *L)
{
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= 1 << 20, 1, "0 to 1048576 bytes");
    luaL_Buffer b;
    char *p = luaL_buffinitsize(L, &b, (size_t)n);
    if (entropy_fill(act_host_of(L)->env.entropy, p, (size_t)n) < 0)
        return act_misuse(L, "ml.crypto.random: there is no randomness");
    luaL_pushresultsize(&b, (size_t)n);
    return 1;
}

static int push_buf(lua_State *L, struct buf *b, const char *fname)
{
    if (b->code < 0) return act_misuse(L, "%s: too large", fname);
    lua_pushlstring(L, b->p ? b->p : "", b->n);
    buf_free(b);
    return 1;
}

static int crypto_base64_encode(lua_State *L)
{
    struct str s = act_check_str(L, 1);
    struct buf *b = act_buf(L, BYTES_MAX);
    buf_put_base64(b, s);
    return push_buf(L, b, "ml.crypto.base64_encode");
}

static int crypto_base64_decode(lua_State *L)
{
    struct str s = act_check_str(L, 1);
    struct buf *b = act_buf(L, BYTES_MAX);
    int code = base64_decode(s, b);
    if (code == ERR_PROTO) return act_misuse(L, "ml.crypto.base64_decode: not base64");
    return push_buf(L, b, "ml.crypto.base64_decode");
}

static int crypto_hex(lua_State *L)
{
    struct str s = act_check_str(L, 1);
    luaL_argcheck(L, s.n <= BYTES_MAX / 2, 1, "too long");
    luaL_Buffer b;
    char *p = luaL_buffinitsize(L, &b, 2 * s.n + 1);
    hex_encode(s.p, s.n, p);
    luaL_pushresultsize(&b, 2 * s.n);
    return 1;
}

static int crypto_uuid(lua_State *L)
{
    lua_getfield(L, lua_upvalueindex(1), "uuid");
    lua_call(L, 0, 1);
    return 1;
}

/* In constant time for texts of one length; secrets may be compared without being read. */
static int crypto_equal(lua_State *L)
{
    struct str s[2];
    lua_settop(L, 2);
    for (int i = 0; i < 2; i++) {
        if (act_is_secret(L, i + 1)) {
            struct buf *b = act_buf(L, 1u << 20);
            act_secret_value(L, i + 1, b);
            s[i] = buf_str(b);
        } else {
            s[i] = act_check_str(L, i + 1);
        }
    }
    uint8_t a[SHA256_BYTES], b[SHA256_BYTES];
    hash_sha256(s[0], a);
    hash_sha256(s[1], b);
    lua_pushboolean(L, hash_equal_ct(a, b, sizeof a));
    return 1;
}

void act_open_crypto(lua_State *L)
{
    static const luaL_Reg crypto[] = {{"sha256", crypto_sha256},
                                      {"hmac_sha256", crypto_hmac},
                                      {"random", crypto_random},
                                      {"base64_encode", crypto_base64_encode},
                                      {"base64_decode", crypto_base64_decode},
                                      {"hex", crypto_hex},
                                      {"equal", crypto_equal},
                                      {NULL, NULL}};
    luaL_newlib(L, crypto);
    lua_pushvalue(L, -2);
    lua_pushcclosure(L, crypto_uuid, 1);
    lua_setfield(L, -2, "uuid");
    lua_setfield(L, -2, "crypto");
}
