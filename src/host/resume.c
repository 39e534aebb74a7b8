/* The URLs of ml.promise (lua/moonloop/promise.lua): the activity that makes them, and what serve
 * does with a request to one. Keeps true: the key never leaves C; it is MOONLOOP_RESUME_KEY (the
 * first of its words signs, all are taken, so that one may replace another), else one that is made
 * once and kept in the file. The key of the file stays good beside those of the environment. */
#include "base/hash.h"
#include "base/mem.h"
#include "host/serve.h"
#include "http/webhook.h"
#include "store/kv.h"
#include "json/tree.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEYS_MAX 8
#define KEY_BYTES 32
#define TOKEN_MAX 4096 /* of a workflow id (1000 bytes) and the promise's */

static const struct str key_ns = STR("moonloop.resume"), key_name = STR("key");

struct keys {
    struct str key[KEYS_MAX + 1];
    size_t n;
    struct buf own; /* of the file */
};

/* The keys there are; none is no error. */
static int keys_read(ml_host *h, struct keys *k, struct err *e)
{
    const char *p = getenv("MOONLOOP_RESUME_KEY");
    int64_t version;
    bool found = false;
    memset(k, 0, sizeof *k);
    buf_init(&k->own, 1000);
    while (p && *(p += strspn(p, " ,")) && k->n < KEYS_MAX) {
        size_t n = strcspn(p, " ,");
        if (n < KEY_BYTES)
            return err_set(e, ERR_ARG, "MOONLOOP_RESUME_KEY: a key has %d bytes or more",
                           KEY_BYTES);
        k->key[k->n++] = str_make(p, n);
        p += n;
    }
    if (!h->store) return 0;
    int code =
        kv_get(h->store, key_ns, key_name, clock_wall(&h->clock), &k->own, &version, &found, e);
    if (code == 0 && found) k->key[k->n++] = buf_str(&k->own);
    return code;
}

/* ---- tokens: base64url of "PROMISE\nWORKFLOW" ---- */

static void swap(char *p, size_t n, const char *from, const char *to)
{
    for (size_t i = 0; i < n; i++)
        for (int k = 0; k < 2; k++)
            if (p[i] == from[k]) {
                p[i] = to[k];
                break;
            }
}

static int token_make(struct arena *a, struct str promise, struct str workflow, struct str *out)
{
    struct buf b;
    struct str plain = arena_printf(a, STR_FMT "\n" STR_FMT, STR_ARG(promise), STR_ARG(workflow));
    buf_init(&b, TOKEN_MAX);
    int code = plain.p ? buf_put_base64(&b, plain) : ERR_NOMEM;
    while (code == 0 && b.n && b.p[b.n - 1] == '=')
        b.n--;
    if (code == 0) swap(b.p, b.n, "+/", "-_");
    *out = arena_str(a, buf_str(&b));
    buf_free(&b);
    return code ? code : out->p ? 0 : ERR_NOMEM;
}

static bool token_read(struct arena *a, struct str token, struct str *promise, struct str *workflow)
{
    struct buf b;
    struct str text = arena_str(a, token);
    if (!text.p || !text.n || text.n > TOKEN_MAX) return false;
    swap((char *)text.p, text.n, "-_", "+/");
    buf_init(&b, TOKEN_MAX);
    text = base64_decode(text, &b) == 0 ? arena_str(a, buf_str(&b)) : (struct str){NULL, 0};
    buf_free(&b);
    const char *end = text.n ? memchr(text.p, '\n', text.n) : NULL;
    if (!end) return false;
    *promise = str_make(text.p, (size_t)(end - text.p));
    *workflow = str_make(end + 1, text.n - promise->n - 1);
    return promise->n && workflow->n;
}

/* ---- the activity ---- */

struct making {
    ml_host *h;
    uint64_t call;
    struct arena arena;
    struct str promise, workflow, base;
    int64_t expires_s;
};

static void making_free(struct making *m)
{
    if (!m) return;
    arena_free(&m->arena);
    mem_free(m);
}

static void give_up(struct making *m, const char *type, bool final, const char *text)
{
    if (m->h->worker)
        worker_c_done(m->h->worker, m->call, ERR_FAILED, (struct str){NULL, 0}, str_of(type),
                      str_of(text), final);
    making_free(m);
}

/* Where others reach serve: what the script says, the environment, the address it listens on. */
static struct str base_of(const struct making *m)
{
    const char *env = getenv("MOONLOOP_PUBLIC_URL");
    struct str base = m->base;
    if (!base.n && env) base = str_of(env);
    if (!base.n && m->h->serving) base = str_of(m->h->serving->base);
    while (base.n && base.p[base.n - 1] == '/')
        base.n--;
    return base;
}

static bool base_sound(struct str base)
{
    if (!str_starts(base, STR("http://")) && !str_starts(base, STR("https://"))) return false;
    for (size_t i = 0; i < base.n; i++)
        if ((unsigned char)base.p[i] <= ' ' || strchr("?#\"\\<>", base.p[i])) return false;
    return true;
}

static void put(struct buf *out, const char *key, struct str value)
{
    buf_printf(out, "%s\"%s\":", out->n ? "," : "{", key);
    buf_put_json(out, value);
}

/* The answer: {id, reject_url, token, url}. */
static void sign(struct making *m, struct str key, struct str base)
{
    struct str token, url, no;
    struct buf query, out;
    buf_init(&query, 1000);
    buf_init(&out, 1u << 16);
    int code = token_make(&m->arena, m->promise, m->workflow, &token);
    if (code == 0) code = resume_sign(key, token, m->expires_s, &query);
    if (code == 0) {
        struct str q = buf_str(&query);
        url = arena_printf(&m->arena, STR_FMT "/v1/resume/" STR_FMT "?" STR_FMT, STR_ARG(base),
                           STR_ARG(token), STR_ARG(q));
        no = arena_printf(&m->arena, STR_FMT "/v1/resume/" STR_FMT "/reject?" STR_FMT,
                          STR_ARG(base), STR_ARG(token), STR_ARG(q));
        put(&out, "id", m->promise);
        put(&out, "reject_url", no);
        put(&out, "token", token);
        put(&out, "url", url);
        buf_putc(&out, '}');
        code = arena_failed(&m->arena) ? ERR_NOMEM : out.code;
    }
    buf_free(&query);
    if (code == 0 && m->h->worker &&
        worker_c_done(m->h->worker, m->call, 0, buf_str(&out), (struct str){NULL, 0},
                      (struct str){NULL, 0}, false) != ERR_NOMEM) {
        making_free(m);
    } else {
        give_up(m, "OutOfMemory", false, "the URL of a promise could not be made: out of memory");
    }
    buf_free(&out);
}

static void make(struct making *m, bool may_create);

static void on_created(void *ud, const struct store_answer *a)
{
    struct making *m = ud;
    if (a->kind == STORE_STORAGE)
        give_up(m, "IoError", false, a->err.text);
    else
        make(m, false); /* also when another was first: its key is the one */
}

static void make(struct making *m, bool may_create)
{
    struct str base = base_of(m);
    struct keys k;
    struct err e = {0};
    uint8_t fresh[KEY_BYTES];
    if (!base.n) {
        give_up(m, "NoAddress", false,
                "ml.promise: there is no address for its URL: run the script with moonloop serve, "
                "set MOONLOOP_PUBLIC_URL, or give ml.promise { base = \"https://...\" }");
        return;
    }
    if (!base_sound(base)) {
        give_up(m, "NoAddress", true,
                "ml.promise: the address (base, or MOONLOOP_PUBLIC_URL) begins with http:// or "
                "https:// and has neither spaces nor a query");
        return;
    }
    int code = keys_read(m->h, &k, &e);
    if (code)
        give_up(m, "NoResumeKey", false, e.text);
    else if (k.n)
        sign(m, k.key[0], base);
    else if (!m->h->store || !may_create)
        give_up(m, "NoResumeKey", false,
                "ml.promise: there is no database file to keep a key in: set MOONLOOP_RESUME_KEY "
                "(32 bytes or more), the same for the worker and for moonloop serve");
    else if (entropy_fill(&entropy_system, fresh, sizeof fresh))
        give_up(m, "NoResumeKey", false, "the system gives no random bytes");
    else
        kv_set(m->h->store, key_ns, key_name, str_make((const char *)fresh, sizeof fresh), 0, 0,
               clock_wall(&m->h->clock), on_created, m);
    buf_free(&k.own);
}

/* The argument: {id, workflow, expires, base}. */
static int promise_url(void *ud, uint64_t call, struct str input)
{
    struct making *m = mem_zalloc(sizeof *m);
    struct json *args = NULL;
    struct err e = {0};
    if (!m) return ERR_NOMEM;
    m->h = ud;
    m->call = call;
    arena_init(&m->arena, 1u << 20);
    struct json_mem mem = {.arena = &m->arena};
    int code = json_parse(arena_str(&m->arena, input), &mem, &args, &e);
    const struct json *a = args && args->kind == JSON_ARRAY ? args->v.first : NULL;
    const struct json *expires = json_get(a, "expires");
    m->promise = json_get_str(a, "id");
    m->workflow = json_get_str(a, "workflow");
    m->base = json_get_str(a, "base");
    if (code == ERR_NOMEM || arena_failed(&m->arena)) {
        making_free(m);
        return ERR_NOMEM;
    }
    if (!m->promise.n || !m->workflow.n || !expires || expires->kind != JSON_INT) {
        give_up(m, "BadRequest", true, "moonloop.promise_url is for ml.promise");
        return 0;
    }
    m->expires_s = expires->v.i;
    make(m, true);
    return 0;
}

int resume_register(ml_host *h, struct err *e)
{
    struct worker_c_activity w = {
        .name = "moonloop.promise_url", .if_named = "promise", .fn = promise_url, .ud = h};
    return worker_register_c(h->worker, &w, e);
}

/* ---- requests ---- */

static int verify(ml_host *h, struct str query, struct str token, struct err *e)
{
    struct str k, v, expires = {NULL, 0}, signature = {NULL, 0};
    struct keys keys;
    while (http_query_next(&query, &k, &v)) {
        if (str_eqz(k, "expires")) expires = v;
        if (str_eqz(k, "signature")) signature = v;
    }
    int code = keys_read(h, &keys, e);
    if (code == 0)
        code = resume_verify(keys.key, keys.n, token, expires, signature, clock_wall(&h->clock), e);
    else if (code == ERR_ARG)
        code = ERR_IO; /* the server's fault, not the caller's */
    buf_free(&keys.own);
    return code;
}

/* [{id, value}] or [{id, reject, reason}]; the body is JSON, and may be empty. */
static int say(struct str promise, const struct json *body, struct str text, bool reject,
               cJSON *args)
{
    struct buf b;
    buf_init(&b, HOST_FRAME_MAX);
    buf_puts(&b, "[{\"id\":");
    buf_put_json(&b, promise);
    if (reject) {
        struct str reason = json_get_str(body, "reason");
        buf_puts(&b, ",\"reject\":true");
        if (reason.n) {
            buf_puts(&b, ",\"reason\":");
            buf_put_json(&b, reason);
        }
    } else if (body) {
        buf_printf(&b, ",\"value\":" STR_FMT, STR_ARG(text));
    }
    buf_puts(&b, "}]");
    int code = b.code ? b.code : buf_putc(&b, '\0');
    if (code == 0) {
        /* the same request again is the same update: it gets the first one's answer */
        char hash[SHA256_HEX], id[SHA256_HEX + 8];
        hash_sha256_hex(buf_str(&b), hash);
        snprintf(id, sizeof id, "resume-%s", hash);
        arg_add(args, "updateId", id);
        arg_add(args, "args", b.p);
    }
    buf_free(&b);
    return code;
}

cJSON *resume_args(struct host_request *r, const struct http_incoming *in, struct str token,
                   bool reject, struct arena *a)
{
    struct str promise, workflow;
    struct err e = {0};
    struct json_mem mem = {.arena = a};
    struct json *body = NULL;
    int code = verify(r->x->h, in->query, token, &e);
    if (code == ERR_TIMEOUT)
        serve_problem(r, PROBLEM_GONE, "the URL has expired: the promise waits no longer");
    else if (code == ERR_ARG)
        serve_problem(r, PROBLEM_FORBIDDEN, "the URL's signature does not hold");
    else if (code)
        serve_problem(r, PROBLEM_UNAVAILABLE, "the URL cannot be looked at now");
    else if (!token_read(a, token, &promise, &workflow))
        serve_problem(r, PROBLEM_BAD_REQUEST, "the URL names no promise");
    else if (in->body.n && json_parse(in->body, &mem, &body, &e) < 0)
        serve_problem(r, PROBLEM_BAD_JSON, e.text);
    else
        goto sound;
    return NULL;
sound:;
    cJSON *args = cJSON_CreateObject();
    arg_add(args, "id", arena_str(a, workflow).p);
    arg_add(args, "name", "moonloop.resume");
    arg_add_true(args, "wait");
    if (say(promise, body, in->body, reject, args) == 0 && !arena_failed(a)) return args;
    cJSON_Delete(args);
    serve_problem(r, PROBLEM_TOO_LARGE, "the value is too large");
    return NULL;
}
