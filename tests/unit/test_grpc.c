/* gRPC's framing, time-outs and metadata, byte by byte. */
#include "base/clock.h"
#include "check.h"
#include "temporal/grpc.h"

static void test_reader(void)
{
    CASE("a message in pieces of every size");
    unsigned char wire[5 + 300];
    grpc_frame_head(wire, 300);
    for (int i = 0; i < 300; i++)
        wire[5 + i] = (unsigned char)i;
    for (size_t step = 1; step <= sizeof wire; step++) {
        struct grpc_reader r;
        struct err e;
        grpc_reader_init(&r, 300);
        for (size_t at = 0; at < sizeof wire; at += step) {
            CHECK(!grpc_reader_complete(&r));
            size_t n = sizeof wire - at < step ? sizeof wire - at : step;
            CHECK_INT(grpc_reader_feed(&r, wire + at, n, &e), 0);
        }
        CHECK(grpc_reader_complete(&r));
        CHECK(r.body.n == 300 && memcmp(r.body.p, wire + 5, 300) == 0);
        grpc_reader_free(&r);
    }
    struct grpc_reader r;
    struct err e;

    CASE("an empty message");
    grpc_reader_init(&r, 10);
    CHECK(!grpc_reader_complete(&r));
    CHECK_INT(grpc_reader_feed(&r, "\0\0\0\0\0", 5, &e), 0);
    CHECK(grpc_reader_complete(&r));

    CASE("more behind it, compressed, too large, the largest length");
    CHECK_INT(grpc_reader_feed(&r, "x", 1, &e), ERR_PROTO);
    grpc_reader_free(&r);
    CHECK_INT(grpc_reader_feed(&r, "\1\0\0\0\0", 5, &e), ERR_PROTO);
    CHECK(strstr(e.text, "compressed"));
    grpc_reader_free(&r);
    CHECK_INT(grpc_reader_feed(&r, "\0\0\0\0\13", 5, &e), ERR_LIMIT);
    CHECK(strstr(e.text, "11 bytes") && strstr(e.text, "limit of 10"));
    grpc_reader_free(&r);
    CHECK_INT(grpc_reader_feed(&r, "\0\377\377\377\377", 5, NULL), ERR_PROTO);
    CHECK(!grpc_reader_complete(&r));
    grpc_reader_free(&r);
}

static void check_timeout(int64_t ns, const char *want)
{
    char out[GRPC_TIMEOUT_MAX];
    grpc_timeout(ns, out);
    CHECK_STR(out, want);
}

static void test_headers(void)
{
    CASE("time-outs are rounded up and have at most 8 digits");
    check_timeout(-5, "1m");
    check_timeout(1, "1m");
    check_timeout(NS_PER_MS, "1m");
    check_timeout(NS_PER_MS + 1, "2m");
    check_timeout(30 * NS_PER_S, "30000m");
    check_timeout(99999999 * NS_PER_MS, "99999999m");
    check_timeout(99999999 * NS_PER_MS + 1, "100000S");
    check_timeout(INT64_MAX, "99999999S");

    CASE("percent signs");
    struct buf b;
    buf_init(&b, 100);
    grpc_percent_decode(STR("a%20b%C3%a9 100% %zz %4"), &b);
    CHECK_STR(b.p, "a b\xC3\xA9 100% %zz %4");
    buf_free(&b);

    CASE("codes");
    CHECK_INT(grpc_status_parse(STR("0")), 0);
    CHECK_INT(grpc_status_parse(STR("16")), 16);
    CHECK_INT(grpc_status_parse(STR("")), STATUS_UNKNOWN);
    CHECK_INT(grpc_status_parse(STR("-1")), STATUS_UNKNOWN);
    CHECK_INT(grpc_status_parse(STR("99999")), STATUS_UNKNOWN);
    CHECK_STR(grpc_status_name(14), "UNAVAILABLE");
    CHECK_STR(grpc_status_name(77), "UNKNOWN");

    CASE("metadata that would split or forge is refused");
    const struct str bad_names[] = {
        STR(""),       STR("X-A"), STR(":path"),        STR("a b"),  STR("a\nb"), STR("a\0b"),
        STR("grpc-x"), STR("te"),  STR("content-type"), STR("host"), STR("a:"),   STR("\xC3\xA9")};
    for (size_t i = 0; i < sizeof bad_names / sizeof bad_names[0]; i++)
        CHECK(grpc_header_name_wrong(bad_names[i]));
    const struct str bad_values[] = {STR("a\r\nb: c"), STR("a\nb"), STR("a\rb"), STR("a\0b"),
                                     STR("\x7F"),      STR("\xFF"), STR(" a"),   STR("a ")};
    for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++)
        CHECK(grpc_header_value_wrong(STR("x"), bad_values[i]));
    CHECK(!grpc_header_name_wrong(STR("x-a_b.c9")));
    CHECK(!grpc_header_value_wrong(STR("x"), STR("Bearer a.b~c=")));
    CHECK(!grpc_header_value_wrong(STR("x"), STR("")));
    CHECK(!grpc_header_value_wrong(STR("x-bin"), STR("\0\xFF\n")));
}

int main(void)
{
    test_reader();
    test_headers();
    return CHECK_DONE();
}
