/* JSON Web Tokens: the examples of RFC 7515, and the attacks of RFC 8725 and its kin. Tokens are
 * made here, with keys that are made here. */
#include "base/clock.h"
#include "base/hash.h"
#include "check.h"
#include "http/jwt.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define HS "{\"alg\":\"HS256\",\"typ\":\"JWT\"}"
#define RS "{\"alg\":\"RS256\",\"kid\":\"k1\"}"
#define NOW 2000000000
static const int64_t now = NOW * NS_PER_S;
static EVP_PKEY *rsa;
static char pem[2000];
static struct jwt_keys *hs, *rs;
static struct arena arena;

static void put_url(struct buf *b, struct str s)
{
    size_t from = b->n;
    buf_put_base64(b, s);
    while (b->n > from && b->p[b->n - 1] == '=')
        b->p[--b->n] = 0;
    for (size_t i = from; i < b->n; i++)
        b->p[i] = b->p[i] == '+' ? '-' : b->p[i] == '/' ? '_' : b->p[i];
}

/* header.claims with a signature of the HMAC key, or of the RSA key when it is absent. */
static struct str make(const char *header, const char *claims, struct str secret)
{
    struct buf b;
    uint8_t sig[512];
    size_t n = sizeof sig;
    buf_init(&b, 64 << 10);
    put_url(&b, str_of(header));
    buf_putc(&b, '.');
    put_url(&b, str_of(claims));
    if (secret.p) {
        hash_hmac_sha256(secret, buf_str(&b), sig);
        n = SHA256_BYTES;
    } else {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        CHECK(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, rsa) == 1);
        CHECK(EVP_DigestSign(c, sig, &n, (const unsigned char *)b.p, b.n) == 1);
        EVP_MD_CTX_free(c);
    }
    buf_putc(&b, '.');
    put_url(&b, str_make(sig, n));
    struct str out = arena_str(&arena, buf_str(&b));
    buf_free(&b);
    return out;
}

static struct str hs_token(const char *claims)
{
    return make(HS, claims, STR(SECRET));
}

static int verify(const struct jwt_keys *k, struct str token, struct jwt_claims *out,
                  const char *says)
{
    struct jwt_policy p = {.leeway_s = 60};
    struct jwt_claims mine;
    struct err e = {0};
    int code = jwt_verify(k, &p, token, now, &arena, out ? out : &mine, &e);
    if (says && !strstr(e.text, says)) CHECK_STR(e.text, says);
    if (!says && code) CHECK_STR(e.text, "");
    return code;
}

#define GOOD "{\"sub\":\"u1\",\"exp\":2000000100}"

static void examples(void)
{
    /* RFC 7515 A.1 and A.2: keys and tokens as they are printed there. */
    static const char claims[] = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                                 "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    static const char a1[] =
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
        "EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}]}";
    static const char a2[] =
        "{\"keys\":[{\"kty\":\"EC\",\"kid\":\"left "
        "out\"},{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZW"
        "JjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-"
        "SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbB"
        "YUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFv"
        "UK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\",\"e\":\"AQAB\"}]}";
    static const char s2[] = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__"
                             "dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5"
                             "jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_"
                             "nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb"
                             "1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-"
                             "eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QO"
                             "YEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    struct err e = {0};
    struct jwt_keys *k1, *k2;
    struct jwt_policy p = {.issuer = STR("joe")};
    struct jwt_claims c;
    CHECK_INT(jwt_keys_new(JWT_HS256, &k1), 0);
    CHECK_INT(jwt_keys_new(JWT_RS256, &k2), 0);
    CASE("RFC 7515 A.1, HS256");
    CHECK_INT(jwt_keys_add_jwks(k1, str_of(a1), &e), 0);
    struct str t = arena_printf(&arena, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.%s.%s", claims,
                                "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    CHECK_INT(jwt_verify(k1, &p, t, 1300819379 * NS_PER_S, &arena, &c, &e), 0);
    CHECK(str_eqz(c.issuer, "joe") && c.expires_s == 1300819380);
    CHECK(json_get(c.all, "http://example.com/is_root")->v.b);
    CHECK_INT(jwt_verify(k1, &p, t, 1300819381 * NS_PER_S, &arena, &c, &e), ERR_ARG);
    CASE("RFC 7515 A.2, RS256");
    CHECK_INT(jwt_keys_add_jwks(k2, str_of(a2), &e), 0);
    CHECK_INT(jwt_keys_count(k2), 1);
    t = arena_printf(&arena, "eyJhbGciOiJSUzI1NiJ9.%s.%s", claims, s2);
    CHECK_INT(jwt_verify(k2, &p, t, 1300819379 * NS_PER_S, &arena, &c, &e), 0);
    CASE("and with one bit of the signature changed");
    t = arena_printf(&arena, "eyJhbGciOiJSUzI1NiJ9.%s.d%s", claims, s2 + 1);
    CHECK_INT(jwt_verify(k2, &p, t, 1300819379 * NS_PER_S, &arena, &c, &e), ERR_ARG);
    jwt_keys_free(k1);
    jwt_keys_free(k2);
}

static void algorithms(void)
{
    CASE("a good one of each kind");
    CHECK_INT(verify(hs, hs_token(GOOD), NULL, NULL), 0);
    CHECK_INT(verify(rs, make(RS, GOOD, (struct str){NULL, 0}), NULL, NULL), 0);
    CASE("alg none, in any spelling, with and without a signature");
    static const char *const none[] = {"none", "None", "NONE", "nOnE", ""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        struct str header = arena_printf(&arena, "{\"alg\":\"%s\"}", none[i]);
        struct str t = make(header.p, GOOD, STR(SECRET));
        CHECK_INT(verify(hs, t, NULL, "algorithm"), ERR_ARG);
        t.n = (size_t)(strrchr(t.p, '.') - t.p) + 1;
        CHECK_INT(verify(hs, arena_str(&arena, t), NULL, "algorithm"), ERR_ARG);
        CHECK_INT(verify(rs, arena_str(&arena, t), NULL, "algorithm"), ERR_ARG);
    }
    CHECK_INT(verify(hs, make("{}", GOOD, STR(SECRET)), NULL, "algorithm"), ERR_ARG);
    CHECK_INT(verify(hs, make("{\"alg\":[\"HS256\"]}", GOOD, STR(SECRET)), NULL, "algorithm"),
              ERR_ARG);
    CHECK_INT(verify(hs, make("{\"alg\":\"hs256\"}", GOOD, STR(SECRET)), NULL, "algorithm"),
              ERR_ARG);
    CHECK_INT(verify(hs, make("{\"alg\":\"HS512\"}", GOOD, STR(SECRET)), NULL, "algorithm"),
              ERR_ARG);
    CASE("HS256 with the public key of RS256 as its secret");
    CHECK_INT(verify(rs, make(HS, GOOD, str_of(pem)), NULL, "algorithm"), ERR_ARG);
    CASE("RS256 given to keys for HS256, and a signature of the wrong length");
    CHECK_INT(verify(hs, make(RS, GOOD, (struct str){NULL, 0}), NULL, "algorithm"), ERR_ARG);
    CHECK_INT(verify(rs, make(RS, GOOD, STR(SECRET)), NULL, "signature"), ERR_ARG);
    CASE("a key of the token's own, and extensions that must be understood");
    CHECK_INT(verify(rs,
                     make("{\"alg\":\"RS256\",\"jwk\":{\"kty\":\"oct\",\"k\":\"AAAA\"}}", GOOD,
                          STR("AAAA")),
                     NULL, "signature"),
              ERR_ARG);
    CHECK_INT(
        verify(hs, make("{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", GOOD, STR(SECRET)),
               NULL, "extensions"),
        ERR_ARG);
    CHECK_INT(verify(hs, make("{\"alg\":\"HS256\",\"typ\":\"dpop+jwt\"}", GOOD, STR(SECRET)), NULL,
                     "another type"),
              ERR_ARG);
    CASE("key ids: another is not tried, none tries all, tricks find nothing");
    CHECK_INT(verify(rs, make("{\"alg\":\"RS256\",\"kid\":\"k2\"}", GOOD, (struct str){NULL, 0}),
                     NULL, "signature"),
              ERR_ARG);
    CHECK_INT(verify(rs, make("{\"alg\":\"RS256\"}", GOOD, (struct str){NULL, 0}), NULL, NULL), 0);
    CHECK_INT(verify(hs, make("{\"alg\":\"HS256\",\"kid\":\"../../dev/null\"}", GOOD, STR("")),
                     NULL, "signature"),
              ERR_ARG);
    CHECK_INT(verify(hs, make("{\"alg\":\"HS256\",\"kid\":7}", GOOD, STR(SECRET)), NULL, "kid"),
              ERR_ARG);
}

static void forms(void)
{
    struct str good = hs_token(GOOD);
    char *dot = strrchr(good.p, '.');
    CASE("forms that are no token");
    static const char *const bad[] = {"",
                                      ".",
                                      "..",
                                      "a.b",
                                      "a.b.c.d",
                                      "e30.e30.e30",
                                      " e30.e30.",
                                      "e30=.e30.e30",
                                      "Bearer e30.e30.e30",
                                      "e30.e30.\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(verify(hs, str_of(bad[i]), NULL, "token: "), ERR_ARG);
    CASE("base64 of the wrong alphabet, padded, or with bits left over");
    struct str t = arena_printf(&arena, "%s=", good.p);
    CHECK_INT(verify(hs, t, NULL, "signature"), ERR_ARG);
    char last = good.p[good.n - 1];
    t = arena_printf(&arena, "%.*s%c", (int)good.n - 1, good.p, last == 'z' ? 'y' : last + 1);
    CHECK_INT(verify(hs, t, NULL, "signature"), ERR_ARG); /* the same bytes, spelt in another way */
    t = arena_printf(&arena, "%.*s.", (int)(dot - good.p), good.p);
    CHECK_INT(verify(hs, t, NULL, "signature"), ERR_ARG);
    t = arena_printf(&arena, "%.*s.%s", (int)(dot - good.p), good.p, "+/+/");
    CHECK_INT(verify(hs, t, NULL, "signature"), ERR_ARG);
    CASE("too large");
    char *big = mem_alloc(JWT_BYTES_MAX + 2);
    memset(big, 'a', JWT_BYTES_MAX + 1);
    CHECK_INT(verify(hs, str_make(big, JWT_BYTES_MAX + 1), NULL, "too large"), ERR_ARG);
    mem_free(big);
    CASE("names that occur twice, in the header and in the claims; deep nesting; no object");
    CHECK_INT(
        verify(hs, make("{\"alg\":\"none\",\"alg\":\"HS256\"}", GOOD, STR(SECRET)), NULL, "twice"),
        ERR_ARG);
    CHECK_INT(
        verify(hs, hs_token("{\"sub\":\"a\",\"sub\":\"admin\",\"exp\":2000000100}"), NULL, "twice"),
        ERR_ARG);
    CHECK_INT(verify(hs, hs_token("{\"exp\":1,\"exp\":2000000100}"), NULL, "twice"), ERR_ARG);
    CHECK_INT(verify(hs, hs_token("[]"), NULL, "not a JSON object"), ERR_ARG);
    CHECK_INT(verify(hs, hs_token("{\"exp\":2000000100}x"), NULL, "token: JSON"), ERR_ARG);
    char deep[600];
    size_t n = (size_t)snprintf(deep, sizeof deep, "{\"a\":");
    memset(deep + n, '[', 200);
    memset(deep + n + 200, ']', 200);
    snprintf(deep + n + 400, sizeof deep - n - 400, "}");
    CHECK_INT(verify(hs, hs_token(deep), NULL, "deeper"), ERR_ARG);
}

static void times(void)
{
    static const struct {
        const char *claims, *says; /* NULL: fits */
    } cases[] = {
        {"{\"exp\":2000000100}", NULL},
        {"{\"exp\":1999999941}", NULL}, /* within the leeway of 60 s */
        {"{\"exp\":1999999940}", "expired"},
        {"{\"exp\":2000000100.5,\"nbf\":2000000060,\"iat\":2000000060}", NULL},
        {"{\"exp\":2000000100,\"nbf\":2000000061}", "not valid yet"},
        {"{\"exp\":2000000100,\"iat\":2000000061}", "from the future"},
        {"{}", "no end"},
        {"{\"exp\":null}", "exp is not a time"},
        {"{\"exp\":\"2000000100\"}", "exp is not a time"},
        {"{\"exp\":1e300}", "exp is not a time"},
        {"{\"exp\":-5}", "expired"},
        {"{\"exp\":2000000100,\"nbf\":\"now\"}", "nbf is not a time"},
        {"{\"exp\":2000000100,\"iat\":[]}", "iat is not a time"},
    };
    CASE("exp, nbf and iat with their leeway");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        CHECK_INT(verify(hs, hs_token(cases[i].claims), NULL, cases[i].says),
                  cases[i].says ? ERR_ARG : 0);
    struct jwt_policy p = {.no_exp = true};
    struct jwt_claims c;
    struct err e;
    CASE("a policy that takes tokens without an end");
    CHECK_INT(jwt_verify(hs, &p, hs_token("{}"), now, &arena, &c, &e), 0);
    CHECK_INT(c.expires_s, 0);
}

static void names(void)
{
    struct jwt_policy p = {.issuer = STR("https://id.example"), .audience = STR("api")};
    static const struct {
        const char *claims, *says;
    } cases[] = {
        {"\"iss\":\"https://id.example\",\"aud\":\"api\"", NULL},
        {"\"iss\":\"https://id.example\",\"aud\":[\"web\",\"api\"]", NULL},
        {"\"iss\":\"https://id.example/\",\"aud\":\"api\"", "another issuer"},
        {"\"aud\":\"api\"", "another issuer"},
        {"\"iss\":[\"https://id.example\"],\"aud\":\"api\"", "iss is not a text"},
        {"\"iss\":\"https://id.example\"", "another audience"},
        {"\"iss\":\"https://id.example\",\"aud\":\"ap\"", "another audience"},
        {"\"iss\":\"https://id.example\",\"aud\":[]", "another audience"},
        {"\"iss\":\"https://id.example\",\"aud\":{\"api\":1}", "another audience"},
        {"\"sub\":7,\"iss\":\"https://id.example\",\"aud\":\"api\"", "sub is not a text"},
    };
    static const struct {
        const char *claims, *scopes;
    } scopes[] = {
        {"\"scope\":\"posts:read posts:write\"", "posts:read posts:write"},
        {"\"scope\":\"  a   b \"", "a b"},
        {"\"scp\":[\"a\",\"b\"]", "a b"},
        {"\"scp\":\"a\",\"scope\":\"b\"", "b a"},
        {"\"x\":1", ""},
        {"\"scope\":7", NULL},
        {"\"scp\":[\"a\",7]", NULL},
        {"\"scope\":\"a\\nb\"", NULL},
        {"\"scope\":\"\\u00e9\"", NULL},
    };
    struct jwt_claims c;
    struct err e;
    CASE("issuer and audience");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct str claims = arena_printf(&arena, "{\"exp\":2000000100,%s}", cases[i].claims);
        CHECK_INT(jwt_verify(hs, &p, hs_token(claims.p), now, &arena, &c, &e),
                  cases[i].says ? ERR_ARG : 0);
        if (cases[i].says && !strstr(e.text, cases[i].says)) CHECK_STR(e.text, cases[i].says);
    }
    CASE("scopes, from either claim");
    for (size_t i = 0; i < sizeof scopes / sizeof *scopes; i++) {
        struct str claims = arena_printf(
            &arena, "{\"exp\":2000000100,\"sub\":\"u\",\"jti\":\"j\",%s}", scopes[i].claims);
        CHECK_INT(verify(hs, hs_token(claims.p), &c, scopes[i].scopes ? NULL : "scopes"),
                  scopes[i].scopes ? 0 : ERR_ARG);
        if (!scopes[i].scopes) continue;
        CHECK_STR(c.scopes.p, scopes[i].scopes);
        CHECK(str_eqz(c.subject, "u") && str_eqz(c.id, "j"));
    }
}

static void keys(void)
{
    struct err e = {0};
    struct jwt_keys *k;
    char *text;
    CASE("keys that are none");
    CHECK_INT(jwt_keys_new(JWT_HS256, &k), 0);
    CHECK_INT(jwt_keys_add_secret(k, (struct str){NULL, 0}, STR("short"), &e), ERR_ARG);
    CHECK(!strstr(e.text, "short"));
    CHECK_INT(jwt_keys_add_secret(k, (struct str){NULL, 0}, str_of(pem), &e), ERR_ARG);
    CHECK_INT(jwt_keys_add_pem(k, (struct str){NULL, 0}, str_of(pem), &e), ERR_ARG);
    CHECK_INT(jwt_keys_add_jwks(k, STR("{\"keys\":[]}"), &e), ERR_ARG);
    CHECK_INT(jwt_keys_add_jwks(k, STR("{}"), &e), ERR_ARG);
    CHECK_INT(jwt_keys_add_jwks(k, STR("nope"), &e), ERR_PROTO);
    CHECK_INT(verify(k, hs_token(GOOD), NULL, "signature"), ERR_ARG);
    jwt_keys_free(k);
    CHECK_INT(jwt_keys_new(JWT_RS256, &k), 0);
    CHECK_INT(jwt_keys_add_secret(k, (struct str){NULL, 0}, STR(SECRET), &e), ERR_ARG);
    CHECK_INT(
        jwt_keys_add_pem(k, (struct str){NULL, 0}, STR("-----BEGIN PUBLIC KEY-----\nAAAA\n"), &e),
        ERR_ARG);
    CHECK_INT(jwt_keys_add_jwks(k, STR("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AAAA\"}]}"), &e),
              ERR_ARG);
    CHECK_INT(
        jwt_keys_add_jwks(k, STR("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"!\",\"e\":\"AQAB\"}]}"), &e),
        ERR_ARG);
    CHECK_INT(
        jwt_keys_add_jwks(k, STR("{\"keys\":[{\"kty\":\"RSA\",\"n\":\"wQ\",\"e\":\"AQAB\"}]}"), &e),
        ERR_ARG);
    CHECK(strstr(e.text, "2048") != NULL);
    CASE("a private key, a small key and a key of another kind");
    BIO *b = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(b, rsa, NULL, NULL, 0, NULL, NULL);
    long n = BIO_get_mem_data(b, &text);
    CHECK_INT(jwt_keys_add_pem(k, (struct str){NULL, 0}, str_make(text, (size_t)n), &e), ERR_ARG);
    CHECK(strstr(e.text, "no public key") != NULL);
    BIO_free(b);
    EVP_PKEY *small = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256");
    EVP_PKEY *const wrong[] = {small, ec};
    for (int i = 0; i < 2; i++) {
        b = BIO_new(BIO_s_mem());
        PEM_write_bio_PUBKEY(b, wrong[i]);
        n = BIO_get_mem_data(b, &text);
        CHECK_INT(jwt_keys_add_pem(k, (struct str){NULL, 0}, str_make(text, (size_t)n), &e),
                  ERR_ARG);
        CHECK(strstr(e.text, i ? "is an RSA key" : "2048 bits") != NULL);
        BIO_free(b);
        EVP_PKEY_free(wrong[i]);
    }
    CHECK_INT(jwt_keys_count(k), 0);
    CASE("more keys than a set holds");
    for (int i = 0; i < JWT_KEYS_MAX; i++)
        CHECK_INT(jwt_keys_add_pem(k, STR("x"), str_of(pem), &e), 0);
    CHECK_INT(jwt_keys_add_pem(k, STR("x"), str_of(pem), &e), ERR_LIMIT);
    jwt_keys_free(k);
}

int main(void)
{
    struct err e;
    BIO *b = BIO_new(BIO_s_mem());
    char *text;
    arena_init(&arena, 0);
    rsa = EVP_RSA_gen(2048);
    PEM_write_bio_PUBKEY(b, rsa);
    long n = BIO_get_mem_data(b, &text);
    memcpy(pem, text, (size_t)n);
    BIO_free(b);
    CHECK_INT(jwt_keys_new(JWT_HS256, &hs), 0);
    CHECK_INT(jwt_keys_new(JWT_RS256, &rs), 0);
    CHECK_INT(jwt_keys_add_secret(hs, (struct str){NULL, 0}, STR(SECRET), &e), 0);
    CHECK_INT(jwt_keys_add_pem(rs, STR("k1"), str_of(pem), &e), 0);
    examples();
    algorithms();
    forms();
    times();
    names();
    keys();
    jwt_keys_free(hs);
    jwt_keys_free(rs);
    EVP_PKEY_free(rsa);
    arena_free(&arena);
    CHECK_INT(mem_live_count(), 0);
    return CHECK_DONE();
}
