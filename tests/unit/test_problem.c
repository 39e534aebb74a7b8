/* Problems: each kind's status and type, the JSON. */
#include "check.h"
#include "http/problem.h"

int main(void)
{
    struct buf b;
    buf_init(&b, 1 << 16);
    CASE("kinds are found by their word and their URN");
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        enum problem_kind k = (enum problem_kind)i;
        CHECK(problem_status(k) >= 400 && problem_status(k) < 600);
        CHECK_INT(problem_find(str_of(problem_type(k))), k);
        CHECK_INT(problem_find(str_of(problem_type(k) + strlen("urn:moonloop:problem:"))), k);
    }
    CHECK_INT(problem_find(STR("no-such")), PROBLEM_COUNT);
    CASE("the whole form");
    struct problem_error errors[] = {
        {STR("/caption"), STR("maxLength"), STR("must have at most 280 characters")},
        {STR("/a"), STR("required"), STR("is \"missing\"")}};
    struct problem p = {.kind = PROBLEM_INVALID_BODY,
                        .detail = STR("2 fields do not fit"),
                        .errors = errors,
                        .n_errors = 2,
                        .instance = STR("urn:uuid:1")};
    problem_write(&p, &b);
    CHECK_STR(
        b.p,
        "{\"detail\":\"2 fields do not fit\",\"errors\":[{\"message\":\"must have at most 280 "
        "characters\",\"pointer\":\"/caption\",\"rule\":\"maxLength\"},{\"message\":\"is "
        "\\\"missing\\\"\",\"pointer\":\"/a\",\"rule\":\"required\"}],\"instance\":"
        "\"urn:uuid:1\",\"status\":422,\"title\":\"The body does not fit its schema\",\"type\":"
        "\"urn:moonloop:problem:invalid-body\"}");
    CASE("the short form, and one with a wait");
    buf_reset(&b);
    p = (struct problem){.kind = PROBLEM_RATE_LIMITED, .retry_after_s = 7};
    problem_write(&p, &b);
    CHECK_STR(b.p, "{\"retryAfter\":7,\"status\":429,\"title\":\"Too many requests\",\"type\":"
                   "\"urn:moonloop:problem:rate-limited\"}");
    CASE("errors that are JSON already");
    buf_reset(&b);
    p = (struct problem){.kind = PROBLEM_INVALID_QUERY, .errors_json = STR("[{\"rule\":\"x\"}]")};
    problem_write(&p, &b);
    CHECK(strstr(b.p, "\"errors\":[{\"rule\":\"x\"}],") != NULL);
    buf_free(&b);
    return CHECK_DONE();
}
