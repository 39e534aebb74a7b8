/* TOML, profiles of Temporal's tools, and how they lie below the environment and flags. */
#include "base/buf.h"
#include "check.h"
#include "temporal/profile.h"
#include "temporal/settings.h"
#include "temporal/toml.h"
#include <sys/stat.h>
#include <unistd.h>

static struct err e;
static struct buf out;

/* ---- the language ---- */
static int on_item(void *ud, const struct toml_item *it, struct err *err)
{
    (void)err;
    for (size_t i = 0; i < it->n_keys; i++)
        buf_printf(ud, "%s" STR_FMT, i ? "." : "", STR_ARG(it->keys[i]));
    if (it->type == TOML_STRING) {
        buf_puts(ud, "=");
        buf_put_json(ud, it->text);
    } else
        buf_puts(ud, it->type == TOML_TABLE   ? "{}"
                     : it->type == TOML_OTHER ? "=?"
                     : it->yes                ? "=1"
                                              : "=0");
    buf_printf(ud, "@%d ", it->line);
    return 0;
}

static void reads(const char *text, const char *wanted)
{
    buf_reset(&out);
    e.text[0] = '\0';
    CHECK_INT(toml_read(str_of(text), on_item, &out, &e), 0);
    CHECK_STR(e.text, "");
    buf_putc(&out, '\0');
    CHECK_STR(out.p, wanted);
}

static void wrong(const char *text, const char *says)
{
    e.text[0] = '\0';
    buf_reset(&out);
    CHECK_INT(toml_read(str_of(text), on_item, &out, &e), ERR_ARG);
    if (!strstr(e.text, says)) CHECK_STR(e.text, says);
}

static void test_toml(void)
{
    CASE("keys, tables, comments, ends of lines");
    reads("", "");
    reads("# nothing\r\n\n \t# more", "");
    reads("a = 'x' # y\r\nb.c=\"z\"\n[ d . 'e f' . \"g\\u00e9\" ]\nh-1_ = true\ni=false",
          "a=\"x\"@1 b.c=\"z\"@2 d.e f.g\xc3\xa9{}@3 d.e f.g\xc3\xa9.h-1_=1@4 d.e "
          "f.g\xc3\xa9.i=0@5 ");
    reads("\xef\xbb\xbf"
          "1 = ''\n'' = \"\"",
          "1=\"\"@1 =\"\"@2 ");
    reads("[a]\n[a.b]\n[c.d]\n[c]", "a{}@1 a.b{}@2 c.d{}@3 c{}@4 ");
    CASE("strings");
    reads("a = \"\\b\\t\\n\\f\\r\\\"\\\\ \\u00E4 \\U0001F600\"",
          "a=\"\\b\\t\\n\\f\\r\\\"\\\\ \xc3\xa4 \xf0\x9f\x98\x80\"@1 ");
    reads("a = 'C:\\x \"'", "a=\"C:\\\\x \\\"\"@1 ");
    reads("a = \"\"\"\none\r\ntwo \\\n\n   three \"\" \"\"\"\"\"\nb = '''\n'x\\\n''''",
          "a=\"one\\ntwo three \\\"\\\" \\\"\\\"\"@1 b=\"'x\\\\\\n'\"@6 ");
    reads("a = \"\"\"\"\"\"\nb = ''''''", "a=\"\"@1 b=\"\"@2 ");
    CASE("inline tables, and what is passed over");
    reads("a = { b = 'c', d.e = true }\nf = {}\n", "a{}@1 a.b=\"c\"@1 a.d.e=1@1 f{}@2 ");
    reads("a = 1\nb = -0x1f\nc = 1979-05-27T07:32:00Z\nd = [ 1, 'x' # y\n, { e = [] }, ]\nf = nan",
          "a=?@1 b=?@2 c=?@3 d=?@4 f=?@6 ");
}

static void test_toml_wrong(void)
{
    CASE("what is wrong says where, and no value");
    wrong("a = 's3cret", "line 1: a string that does not end");
    wrong("\na = \"\"\"s3cret\n\n", "line 2: a string that does not end");
    wrong("a = s3cret", "line 1: a value that is no string in quotes");
    wrong("a", "line 1: here should be =");
    wrong("= 1", "here should be a key");
    wrong("a. = 1", "here should be a key");
    wrong("a =\n", "here should be a value");
    wrong("a = 'x' 'y'", "the line should end here");
    wrong("[a] b = 1", "the line should end here");
    wrong("[a", "should end with ]");
    wrong("[[a]]", "lists of tables");
    wrong("a = [1, 2", "needs a comma");
    wrong("a = [1 2]", "needs a comma");
    wrong("a = {b = 1\n}", "needs a comma");
    wrong("a = {b = 1,}", "here should be a key");
    wrong("a = \"\\q\"", "unknown escape");
    wrong("a = \"\\ud800\"", "no character");
    wrong("a = \"\\u0000\"", "no character");
    wrong("a = \"\\u12\"", "not hexadecimal");
    wrong("a = \"\\U00110000\"", "no character");
    wrong("a = \"x\001\"", "control character");
    wrong("# \001", "control character");
    wrong("a = 'x\rb'", "control character");
    wrong("\n\na = '\xff'", "line 3: this is not UTF-8");
    wrong("a = 1\na = 2", "line 2: this is there already");
    wrong("[a]\n[a]", "line 2: this is there already");
    wrong("a = 1\n[a]", "line 2: this is there already");
    wrong("a = 1\na.b = 1", "line 2: this is there already");
    wrong("a.b = 1\n[a]\nb = 2", "line 3: this is there already");
    wrong("a = {b = 1}\na.b = 2", "line 2: this is there already");
    wrong("a.b.c.d.e.f.g.h.i = 1", "too many parts");
    wrong("a = [[[[[[[[[[[[[[[[[[", "too deep");
}

/* ---- profiles ---- */
static const char full[] =
    "[profile.default]\naddress = \"here:1\"\n[other.tool]\nx = 3\n[profile.\"prod eu\"]\n"
    "address = \"there:2\"\nnamespace = \"ns\"\napi_key = 'k3y'\n[profile.\"prod eu\".tls]\n"
    "client_cert_path = \"c.pem\"\nclient_key_data = \"\"\"\n-- key\n--\n\"\"\"\n"
    "server_name = \"sn\"\ndisable_host_verification = true\n"
    "[profile.\"prod eu\".codec]\nendpoint = \"http://c\"\n"
    "[profile.\"prod eu\".grpc_meta]\nX_One = \"1\"\n\"x-two\" = \"2\"\n"
    "[profile.off]\ntls = { disabled = true }\n";

static void test_parse(void)
{
    struct arena a;
    struct profile p;
    struct str known;
    bool found;
    arena_init(&a, 0);
    CASE("one profile of several");
    CHECK_INT(profile_parse(&a, str_of(full), STR("prod eu"), &p, &found, &known, &e), 0);
    CHECK(found && str_eqz(known, "\"default\", \"prod eu\", \"off\""));
    CHECK(str_eqz(p.address, "there:2") && str_eqz(p.ns, "ns") && str_eqz(p.api_key, "k3y"));
    CHECK(str_eqz(p.cert_file, "c.pem") && str_eqz(p.key_data, "-- key\n--\n") && !p.ca_file.p);
    CHECK(p.tls == 1 && p.no_host_verification == 1 && str_eqz(p.server_name, "sn"));
    CHECK(p.n_meta == 2 && str_eqz(p.meta[0], "X_One") && str_eqz(p.meta[3], "2"));
    CHECK_INT(profile_parse(&a, str_of(full), STR("off"), &p, &found, &known, &e), 0);
    CHECK(found && p.tls == 0 && p.no_host_verification == -1 && !p.address.p && !p.n_meta);
    CHECK_INT(profile_parse(&a, str_of(full), STR("none"), &p, &found, &known, &e), 0);
    CHECK(!found && p.tls == -1);
    CHECK_INT(profile_parse(&a, STR(""), STR("none"), &p, &found, &known, &e), 0);
    CHECK(!found && str_eqz(known, "none"));
    CASE("what a profile cannot have");
    static const char *const bad[][2] = {
        {"[profile.p]\nadress = 's3cret'",
         "line 2: a profile has no setting 'adress'; there is address, "},
        {"[profile.p.tls]\ncert = 's3cret'",
         "line 2: tls has no setting 'cert'; there is disabled, "},
        {"[profile.p.tsl]", "line 1: a profile has no setting 'tsl'"},
        {"[profile.p]\naddress = 7", "line 2: address must be a string"},
        {"[profile.p]\ntls = true", "line 2: tls is a table"},
        {"[profile.p.tls.disabled]", "line 1: tls is a table of values"},
        {"[profile.p.tls]\ndisabled = 'true'", "line 2: disabled must be true or false"},
        {"[profile.p]\ngrpc_meta = { a = 1 }", "line 2: grpc_meta holds strings only"},
        {"[profile.p]\naddress.x = 's3cret'", "line 2: a profile has no setting 'x'"},
        {"profile = 's3cret'", "line 1: profiles are tables"},
        {"[profile]\np = 's3cret'", "line 2: profiles are tables"},
        {"[profile.p.tls]\nclient_key_path = 'a'\nclient_key_data = 's3cret'",
         "client_key_path and client_key_data are both set"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        e.text[0] = '\0';
        CHECK_INT(profile_parse(&a, str_of(bad[i][0]), STR("p"), &p, &found, &known, &e), ERR_ARG);
        if (!strstr(e.text, bad[i][1])) CHECK_STR(e.text, bad[i][1]);
        CHECK(!strstr(e.text, "s3cret"));
    }
    CASE("another profile's settings are not looked at, its syntax is");
    CHECK_INT(profile_parse(&a, STR("[profile.q]\nnew = 1"), STR("p"), &p, &found, &known, &e), 0);
    CHECK_INT(profile_parse(&a, STR("[profile.q]\nnew"), STR("p"), &p, &found, &known, &e),
              ERR_ARG);
    arena_free(&a);
}

/* ---- files and layers ---- */
static char dir[64], path[128];
static struct settings s;

static void write_file(const char *text)
{
    FILE *f = fopen(path, "w");
    CHECK(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static int given(const struct settings_flags *f, char *const *env)
{
    static const struct settings_flags none = {.tls = CHANNEL_TLS_AUTO};
    e.text[0] = '\0';
    return settings_read(f ? f : &none, env, &s, &e);
}
#define ENV(...) ((char *const[]){__VA_ARGS__, NULL})

static void test_files(char *config, char *home, char *xdg)
{
    CASE("where the file is");
    write_file(full);
    CHECK_INT(given(NULL, ENV(config)), 0);
    CHECK_STR(s.channel.address.p, "here:1");
    settings_free(&s);
    CHECK_INT(given(NULL, ENV(home)), 0);
    CHECK_STR(s.channel.address.p, "here:1");
    settings_free(&s);
    CHECK_INT(given(NULL, ENV(home, xdg)), 0); /* nothing there */
    CHECK_STR(s.channel.address.p, "localhost:7233");
    settings_free(&s);
    CASE("what was asked for must be there");
    CHECK_INT(given(NULL, ENV("TEMPORAL_CONFIG_FILE=/none")), ERR_ARG);
    CHECK(strstr(e.text, "TEMPORAL_CONFIG_FILE names /none, which is not there"));
    CHECK_INT(given(NULL, ENV("TEMPORAL_PROFILE=p", xdg)), ERR_ARG);
    CHECK(strstr(e.text, "there is no file with profiles"));
    CHECK_INT(given(NULL, ENV("TEMPORAL_PROFILE=p", config)), ERR_ARG);
    CHECK(strstr(e.text, "are: \"default\", \"prod eu\", \"off\""));
    CHECK_INT(given(NULL, ENV("TEMPORAL_CONFIG_FILE=/")), ERR_IO);
    write_file("[profile.other]\naddress = 'x'\n");
    CHECK_INT(given(NULL, ENV(config)), 0);
    CHECK_STR(s.channel.address.p, "localhost:7233");
    settings_free(&s);
    write_file("[profile.default]\nadress = 's3cret'\n");
    CHECK_INT(given(NULL, ENV(config)), ERR_ARG);
    CHECK(strstr(e.text, path) && strstr(e.text, "line 2") && !strstr(e.text, "s3cret"));
}

static void test_layers(char *config)
{
    CASE("flags beat variables, and these the profile");
    write_file(full);
    char *eu = "TEMPORAL_PROFILE=prod eu";
    CHECK_INT(given(NULL, ENV(config, eu)), 0);
    CHECK_STR(s.channel.address.p, "there:2");
    CHECK_STR(s.ns.p, "ns");
    CHECK_STR(s.channel.api_key.p, "k3y");
    CHECK_STR(s.channel.cert_file.p, "c.pem");
    CHECK_STR(s.channel.key_data.p, "-- key\n--\n");
    CHECK(s.channel.tls == CHANNEL_TLS_ON && s.channel.no_host_verification);
    CHECK_INT(s.channel.n_headers, 2);
    CHECK_STR(s.channel.headers[0].name.p, "x-one");
    settings_free(&s);
    CHECK_INT(given(NULL, ENV(config, eu, "TEMPORAL_ADDRESS=env:3", "TEMPORAL_TLS=false",
                              "TEMPORAL_TLS_CLIENT_KEY_PATH=k.pem",
                              "TEMPORAL_GRPC_META_X_ONE=", "TEMPORAL_GRPC_META_X_TWO=env",
                              "TEMPORAL_TLS_DISABLE_HOST_VERIFICATION=false")),
              0);
    CHECK_STR(s.channel.address.p, "env:3");
    CHECK_STR(s.ns.p, "ns");
    CHECK(str_eqz(s.channel.key_file, "k.pem") && !s.channel.key_data.p);
    CHECK(s.channel.tls == CHANNEL_TLS_OFF && !s.channel.no_host_verification);
    CHECK_INT(s.channel.n_headers, 1); /* an empty variable takes the profile's away */
    CHECK_STR(s.channel.headers[0].value.p, "env");
    settings_free(&s);
    const struct str meta[] = {STR("x-two=flag")};
    const struct settings_flags f = {
        .address = STR("flag:4"), .tls = CHANNEL_TLS_OFF, .metadata = meta, .n_metadata = 1};
    CHECK_INT(given(&f, ENV(config, eu, "TEMPORAL_ADDRESS=env:3")), 0);
    CHECK_STR(s.channel.address.p, "flag:4");
    CHECK(s.channel.tls == CHANNEL_TLS_OFF);
    CHECK_STR(s.channel.headers[1].value.p, "flag");
    settings_free(&s);
    write_file("[profile.default.grpc_meta]\n\"a b\" = 's3cret'\n");
    CHECK_INT(given(NULL, ENV(config)), ERR_ARG);
    CHECK(strstr(e.text, "grpc_meta of the profile: a b") && !strstr(e.text, "s3cret"));
}

int main(void)
{
    char config[160], home[80], xdg[90];
    snprintf(dir, sizeof dir, "/tmp/mlprofileXXXXXX");
    CHECK(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/.config", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.config/temporalio", dir);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.config/temporalio/temporal.toml", dir);
    snprintf(config, sizeof config, "TEMPORAL_CONFIG_FILE=%s", path);
    snprintf(home, sizeof home, "HOME=%s", dir);
    snprintf(xdg, sizeof xdg, "XDG_CONFIG_HOME=%s/none", dir);
    buf_init(&out, 1 << 20);
    test_toml();
    test_toml_wrong();
    test_parse();
    test_files(config, home, xdg);
    test_layers(config);
    buf_free(&out);
    CHECK(unlink(path) == 0);
    for (int i = 0; i < 3; i++) {
        *strrchr(path, '/') = '\0';
        CHECK(rmdir(path) == 0);
    }
    return CHECK_DONE();
}
