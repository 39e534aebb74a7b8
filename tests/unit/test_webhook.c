/* Signatures of webhooks and resume URLs, against the vectors that were published, and against
 * what an attacker would change. */
#include "base/clock.h"
#include "check.h"
#include "http/webhook.h"

/* The example of the Standard Webhooks specification and of Svix' "How to verify manually". */
#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define AT "1614265330"
#define BODY "{\"test\": 2432232314}"
#define SIGNATURE "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
static const int64_t now = 1614265330 * NS_PER_S;
static struct buf key, other;

static int verify(const char *id, const char *at, const char *signature, const char *body,
                  int64_t when, const char *says)
{
    struct str secrets[2] = {buf_str(&other), buf_str(&key)};
    struct webhook_headers h = {str_of(id), str_of(at), str_of(signature)};
    struct err e = {0};
    int code = webhook_verify(secrets, 2, &h, str_of(body), when, 0, &e);
    if (says && !strstr(e.text, says)) CHECK_STR(e.text, says);
    return code;
}

static void standard(void)
{
    struct err e = {0};
    struct buf out;
    struct str none = {NULL, 0};
    struct webhook_headers h = {STR(ID), STR(AT), STR(SIGNATURE)};
    buf_init(&out, 1000);
    CASE("the published example, made and checked; the second of two secrets is the right one");
    CHECK_INT(webhook_sign(buf_str(&key), STR(ID), 1614265330, STR(BODY), &out), 0);
    CHECK_STR(out.p, SIGNATURE);
    CHECK_INT(verify(ID, AT, SIGNATURE, BODY, now, NULL), 0);
    CASE("several signatures, of other versions too");
    CHECK_INT(verify(ID, AT, "v1a,AAAA v1,bm9uZQ== " SIGNATURE " v2,x", BODY, now, NULL), 0);
    struct str order[2] = {buf_str(&key), buf_str(&other)};
    struct webhook_headers two = {
        STR(ID), STR(AT), STR(SIGNATURE " v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OA=")};
    CHECK_INT(webhook_verify(order, 2, &two, STR(BODY), now, 0, &e), 0);
    CASE("the edges of the tolerance");
    CHECK_INT(verify(ID, AT, SIGNATURE, BODY, now + 300 * NS_PER_S, NULL), 0);
    CHECK_INT(verify(ID, AT, SIGNATURE, BODY, now - 300 * NS_PER_S, NULL), 0);
    CHECK_INT(verify(ID, AT, SIGNATURE, BODY, now + 301 * NS_PER_S, "too old"), ERR_ARG);
    CHECK_INT(verify(ID, AT, SIGNATURE, BODY, now - 301 * NS_PER_S, "from the future"), ERR_ARG);
    CASE("what was changed is refused");
    static const struct {
        const char *id, *at, *signature, *body, *says;
    } bad[] = {
        {ID, AT, SIGNATURE, "{\"test\": 2432232315}", "no signature holds"},
        {ID, AT, SIGNATURE, BODY " ", "no signature holds"},
        {"msg_other", AT, SIGNATURE, BODY, "no signature holds"},
        {ID, "1614265331", SIGNATURE, BODY, "no signature holds"},
        {ID, AT, "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, "no signature holds"},
        {ID, AT, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, "no signature holds"},
        {ID, AT, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", BODY, "no signature holds"},
        {ID, AT, "v1,!!!!9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", BODY, "no signature holds"},
        {ID, AT, "v1,", BODY, "no signature holds"},
        {ID, AT, "", BODY, "no signature holds"},
        {"", AT, SIGNATURE, BODY, "webhook-id"},
        {"a.b", AT, SIGNATURE, BODY, "webhook-id"},
        {ID, "", SIGNATURE, BODY, "no time"},
        {ID, "1614265330.0", SIGNATURE, BODY, "no time"},
        {ID, "+1614265330", SIGNATURE, BODY, "no time"},
        {ID, "01614265330", SIGNATURE, BODY, "no time"},
        {ID, "99999999999999999999", SIGNATURE, BODY, "no time"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(verify(bad[i].id, bad[i].at, bad[i].signature, bad[i].body, now, bad[i].says),
                  ERR_ARG);
    CASE("a header that is missing; no secret; the wrong one");
    struct str one = buf_str(&other);
    struct webhook_headers less = h;
    less.signature = none;
    CHECK_INT(webhook_verify(&one, 1, &less, STR(BODY), now, 0, &e), ERR_ARG);
    CHECK(strstr(e.text, "is missing") != NULL);
    CHECK_INT(webhook_verify(&one, 0, &h, STR(BODY), now, 0, &e), ERR_ARG);
    CHECK_INT(webhook_verify(&one, 1, &h, STR(BODY), now, 0, &e), ERR_ARG);
    one = STR("");
    CHECK_INT(webhook_verify(&one, 1, &h, STR(BODY), now, 0, &e), ERR_ARG);
    CHECK(strstr(e.text, "too short") != NULL);
    CASE("more signatures than are looked at");
    char many[1000] = "";
    for (int i = 0; i < WEBHOOK_SIGNATURES_MAX; i++)
        strcat(many, "v1,x ");
    strcat(many, SIGNATURE);
    CHECK_INT(verify(ID, AT, many, BODY, now, "no signature"), ERR_ARG);
    CASE("secrets that are none");
    static const char *const secrets[] = {"", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
                                          "whsec_c2hvcnQ=", "whsec_not base64 at all, none of it!"};
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        buf_reset(&out);
        CHECK_INT(webhook_secret_read(str_of(secrets[i]), &out, &e), ERR_ARG);
        CHECK(!strstr(e.text, "c2hvcnQ"));
    }
    buf_free(&out);
}

static void github(void)
{
    /* docs.github.com, "Validating webhook deliveries", testing the webhook payload validation */
    struct str secret = STR("It's a Secret to Everybody"), both[] = {STR("another one"), secret};
    struct str good =
        STR("sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");
    struct err e = {0};
    CASE("GitHub's example");
    CHECK_INT(webhook_verify_github(&secret, 1, good, STR("Hello, World!"), &e), 0);
    CHECK_INT(webhook_verify_github(both, 2, good, STR("Hello, World!"), &e), 0);
    CHECK_INT(webhook_verify_github(both, 1, good, STR("Hello, World!"), &e), ERR_ARG);
    CHECK_INT(webhook_verify_github(&secret, 1, good, STR("Hello, World?"), &e), ERR_ARG);
    CHECK(strstr(e.text, "does not hold") != NULL);
    CASE("signatures that are none");
    static const char *const bad[] = {
        "",
        "sha256=",
        "sha1=757107ea0eb2509fc211221cce984b8a37570b6d",
        "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e1",
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e177"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK_INT(webhook_verify_github(&secret, 1, str_of(bad[i]), STR("Hello, World!"), &e),
                  ERR_ARG);
    CHECK_INT(webhook_verify_github(&secret, 1, (struct str){NULL, 0}, STR("x"), &e), ERR_ARG);
    struct str empty = STR("");
    CHECK_INT(webhook_verify_github(&empty, 1, good, STR("x"), &e), ERR_ARG);
    CHECK(strstr(e.text, "empty") != NULL);
}

static void resume(void)
{
    struct str keys[2] = {STR("0123456789abcdef0123456789abcdef"),
                          STR("fedcba9876543210fedcba9876543210")};
    struct err e = {0};
    struct buf b;
    char expires[20], signature[80];
    buf_init(&b, 1000);
    CASE("a URL holds until its time, for its promise, with one of the keys");
    CHECK_INT(resume_sign(keys[1], STR("order-7/paid"), 1000, &b), 0);
    CHECK_INT(sscanf(b.p, "expires=%19[0-9]&signature=%79s", expires, signature), 2);
    struct str id = STR("order-7/paid"), x = str_of(expires), s = str_of(signature);
    CHECK_INT(resume_verify(keys, 2, id, x, s, 999 * NS_PER_S, &e), 0);
    CHECK_INT(resume_verify(keys, 2, id, x, s, 1000 * NS_PER_S, &e), ERR_TIMEOUT);
    CHECK_INT(resume_verify(keys, 1, id, x, s, 999 * NS_PER_S, &e), ERR_ARG);
    CASE("another promise, a later time, a broken signature");
    CHECK_INT(resume_verify(keys, 2, STR("order-8/paid"), x, s, 0, &e), ERR_ARG);
    CHECK_INT(resume_verify(keys, 2, id, STR("1001"), s, 0, &e), ERR_ARG);
    CHECK_INT(resume_verify(keys, 2, id, STR("01000"), s, 0, &e), ERR_ARG);
    CHECK_INT(resume_verify(keys, 2, id, STR(""), s, 0, &e), ERR_ARG);
    CHECK_INT(resume_verify(keys, 2, id, x, STR(""), 0, &e), ERR_ARG);
    signature[0] = signature[0] == '0' ? '1' : '0';
    CHECK_INT(resume_verify(keys, 2, id, x, s, 0, &e), ERR_ARG);
    CASE("a key that is too short signs nothing");
    CHECK_INT(resume_sign(STR("short"), id, 1000, &b), ERR_ARG);
    struct str weak = STR("short");
    CHECK_INT(resume_verify(&weak, 1, id, x, s, 0, &e), ERR_ARG);
    buf_free(&b);
}

int main(void)
{
    struct err e;
    buf_init(&key, 1000);
    buf_init(&other, 1000);
    CHECK_INT(webhook_secret_read(STR("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), &key, &e), 0);
    CHECK_INT(webhook_secret_read(STR("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), &other, &e), 0);
    standard();
    github();
    resume();
    buf_free(&key);
    buf_free(&other);
    return CHECK_DONE();
}
