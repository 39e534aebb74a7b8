/* Flags and environment made into a channel's options. */
#include "check.h"
#include "temporal/settings.h"

static struct settings s;
static struct err e;

static int read(const struct settings_flags *f, char *const *env)
{
    static const struct settings_flags none = {.tls = CHANNEL_TLS_AUTO};
    return settings_read(f ? f : &none, env, &s, &e);
}

static void refused(const struct settings_flags *f, char *const *env, const char *word)
{
    e.text[0] = '\0';
    CHECK_INT(read(f, env), ERR_ARG);
    CHECK(strstr(e.text, word));
    CHECK(!strstr(e.text, "s3cret"));
}

#define ENV(...) ((char *const[]){__VA_ARGS__, NULL})

static void test_good(void)
{
    CASE("nothing set");
    CHECK_INT(read(NULL, NULL), 0);
    CHECK_STR(s.channel.address.p, "localhost:7233");
    CHECK_STR(s.ns.p, "default");
    CHECK(s.channel.tls == CHANNEL_TLS_AUTO && !s.channel.n_headers && !s.channel.api_key.p);
    settings_free(&s);

    CASE("the environment of the official tools");
    CHECK_INT(
        read(NULL, ENV("PATH=x", "TEMPORAL_ADDRESS=a:1", "TEMPORAL_NAMESPACE=ns",
                       "TEMPORAL_API_KEY=k", "TEMPORAL_TLS=TRUE", "TEMPORAL_TLS_CLIENT_CERT_PATH=c",
                       "TEMPORAL_TLS_CLIENT_KEY_DATA=kd", "TEMPORAL_TLS_SERVER_CA_CERT_DATA=ca",
                       "TEMPORAL_TLS_SERVER_NAME=sn", "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION=1",
                       "TEMPORAL_GRPC_META_X_One=1", "TEMPORAL_GRPC_META_AUTHORIZATION=Basic z",
                       "TEMPORAL_ADDRESSES=no")),
        0);
    CHECK_STR(s.channel.address.p, "a:1");
    CHECK_STR(s.ns.p, "ns");
    CHECK_STR(s.channel.api_key.p, "k");
    CHECK_STR(s.channel.cert_file.p, "c");
    CHECK_STR(s.channel.key_data.p, "kd");
    CHECK_STR(s.channel.ca_data.p, "ca");
    CHECK_STR(s.channel.server_name.p, "sn");
    CHECK(s.channel.tls == CHANNEL_TLS_ON && s.channel.no_host_verification);
    CHECK_INT(s.channel.n_headers, 2);
    CHECK_STR(s.channel.headers[0].name.p, "x-one");
    CHECK_STR(s.channel.headers[0].value.p, "1");
    CHECK_STR(s.channel.headers[1].name.p, "authorization");
    settings_free(&s);

    CASE("flags win");
    const struct str meta[] = {STR("X-One=2"), STR("y="), STR("z=a=b")};
    const struct settings_flags f = {.address = STR("b:2"),
                                     .ns = STR("n2"),
                                     .api_key = STR("k2"),
                                     .tls = CHANNEL_TLS_OFF,
                                     .cert_file = STR("c2"),
                                     .key_file = STR("kf"),
                                     .proxy = STR("user:p@ss:w@proxy:3"),
                                     .metadata = meta,
                                     .n_metadata = 3};
    CHECK_INT(read(&f, ENV("TEMPORAL_ADDRESS=a:1", "TEMPORAL_NAMESPACE=ns", "TEMPORAL_API_KEY=k",
                           "TEMPORAL_TLS=true", "TEMPORAL_TLS_CLIENT_CERT_DATA=c",
                           "TEMPORAL_TLS_CLIENT_KEY_DATA=k", "TEMPORAL_GRPC_META_X_ONE=1")),
              0);
    CHECK_STR(s.channel.address.p, "b:2");
    CHECK_STR(s.ns.p, "n2");
    CHECK_STR(s.channel.api_key.p, "k2");
    CHECK_STR(s.channel.cert_file.p, "c2");
    CHECK(!s.channel.cert_data.p && !s.channel.key_data.p);
    CHECK_STR(s.channel.proxy.p, "proxy:3");
    CHECK_STR(s.channel.proxy_user.p, "user");
    CHECK_STR(s.channel.proxy_password.p, "p@ss:w");
    CHECK(s.channel.tls == CHANNEL_TLS_OFF);
    CHECK_INT(s.channel.n_headers, 3);
    CHECK_STR(s.channel.headers[0].value.p, "2");
    CHECK(s.channel.headers[1].value.p && s.channel.headers[1].value.n == 0);
    CHECK_STR(s.channel.headers[2].value.p, "a=b");
    settings_free(&s);

    CASE("empty counts as not set");
    CHECK_INT(read(NULL, ENV("TEMPORAL_ADDRESS=", "TEMPORAL_TLS=", "TEMPORAL_CONFIG_FILE=")), 0);
    CHECK_STR(s.channel.address.p, "localhost:7233");
    settings_free(&s);
}

static void test_bad(void)
{
    CASE("what cannot be used says which setting, and no secret");
    refused(NULL, ENV("TEMPORAL_TLS=maybe"), "TEMPORAL_TLS");
    refused(NULL, ENV("TEMPORAL_TLS_DISABLE_HOST_VERIFICATION=2"), "DISABLE_HOST_VERIFICATION");
    refused(NULL, ENV("TEMPORAL_TLS_CLIENT_KEY_PATH=a", "TEMPORAL_TLS_CLIENT_KEY_DATA=s3cret"),
            "both set");
    refused(NULL, ENV("TEMPORAL_GRPC_META_A=s3cret\nx"), "TEMPORAL_GRPC_META_A");
    refused(NULL, ENV("TEMPORAL_GRPC_META_GRPC_X=s3cret"), "gRPC's own");
    const struct str meta[] = {STR("s3cret")};
    const struct settings_flags f = {.metadata = meta, .n_metadata = 1};
    refused(&f, NULL, "name=value");
    const struct str evil[] = {STR("a b=s3cret")};
    const struct settings_flags f2 = {.metadata = evil, .n_metadata = 1};
    refused(&f2, NULL, "lower-case");
}

static void test_codec(void)
{
    CASE("codec keys: as text, from a file, one of them; failures plain or encoded");
    CHECK_INT(read(NULL, ENV("MOONLOOP_CODEC_KEYS=a s3cret", "MOONLOOP_CODEC_FAILURES=plain")), 0);
    CHECK(str_eqz(s.codec_keys, "a s3cret") && s.codec_plain_failures);
    settings_free(&s);
    CHECK_INT(read(NULL, ENV("MOONLOOP_CODEC_FAILURES=encoded")), 0);
    CHECK(!s.codec_keys.n && !s.codec_plain_failures);
    settings_free(&s);
    refused(NULL, ENV("MOONLOOP_CODEC_KEYS=s3cret", "MOONLOOP_CODEC_KEYS_FILE=/none"),
            "leave one of them out");
    refused(NULL, ENV("MOONLOOP_CODEC_FAILURES=maybe"), "neither plain nor encoded");
    const struct settings_flags f = {.codec_keys_file = STR("/no/such/file")};
    e.text[0] = '\0';
    CHECK_INT(read(&f, ENV("MOONLOOP_CODEC_KEYS=s3cret")), ERR_IO); /* the flag wins */
    CHECK(strstr(e.text, "/no/such/file"));
}

int main(void)
{
    test_codec();
    test_good();
    test_bad();
    return CHECK_DONE();
}
