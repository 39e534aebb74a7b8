/* ml.oauth2: tokens fetched, kept and refreshed in the process, one request at a time for each set
 * of credentials. Keeps true: a token lives in this file's memory and in request headers only; it
 * is never recorded. */
#include "activity/act_http.h"
#include "base/hash.h"

#include <stdio.h>

#define MARGIN (30 * NS_PER_S)

struct oauth_op {
    struct act_op op;
    struct token *t;
    struct oauth_op *next;
};

struct token {
    struct act_tokens *all;
    struct token *next;
    uint8_t key[SHA256_BYTES];
    struct buf value, refresh, body;
    int64_t expires_ns;  /* monotonic; 0: none yet */
    uint64_t request;    /* in flight */
    bool answered;       /* body and status hold an answer that nobody has taken */
    int64_t answered_ns; /* monotonic */
    int status;
    struct http_failure failure;
    struct oauth_op *waiters;
};

struct act_tokens {
    struct act_host *h;
    struct token *first;
};

bool act_is_oauth(lua_State *L, int idx)
{
    return luaL_testudata(L, idx, "moonloop.oauth2") != NULL;
}

static int is_oauth(lua_State *L)
{
    lua_pushboolean(L, act_is_oauth(L, 1));
    return 1;
}

void act_tokens_free(struct act_host *h)
{
    struct act_tokens *all = h->tokens;
    if (!all) return;
    while (all->first) {
        struct token *t = all->first;
        all->first = t->next;
        if (t->request && h->env.http && *h->env.http) http_cancel(*h->env.http, t->request);
        buf_free(&t->value);
        buf_free(&t->refresh);
        buf_free(&t->body);
        mem_free(t);
    }
    mem_free(all);
    h->tokens = NULL;
}

/* ---- the handle ---- */

static int ml_oauth2(lua_State *L)
{
    static const char *const names[] = {"token_url", "client_id", "client_secret", "scope",
                                        "refresh_token"};
    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_newtable(L); /* a copy: later changes of the table change nothing */
    for (lua_pushnil(L); lua_next(L, 1);) {
        const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
        size_t i = 0, n = sizeof names / sizeof names[0];
        while (i < n && strcmp(names[i], key) != 0)
            i++;
        if (i == n) return act_misuse(L, "ml.oauth2: unknown option '%s'", key);
        if (!lua_isstring(L, -1) && !act_is_env(L, -1) && !act_is_secret(L, -1))
            return act_misuse(L, "ml.oauth2: option '%s' is a text, ml.env or ml.secret", key);
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        lua_rawset(L, 2);
    }
    if (lua_getfield(L, 2, "token_url") == LUA_TNIL)
        return act_misuse(L, "ml.oauth2: token_url is missing");
    lua_newuserdatauv(L, 1, 1);
    lua_pushvalue(L, 2);
    lua_setiuservalue(L, -2, 1);
    luaL_setmetatable(L, "moonloop.oauth2");
    return 1;
}

static int oauth_tostring(lua_State *L)
{
    lua_pushliteral(L, "ml.oauth2{...}");
    return 1;
}

/* Appends the text of an option of the table on top. */
static bool option(lua_State *L, const char *key, struct buf *out)
{
    struct str s;
    bool found = lua_getfield(L, -1, key) != LUA_TNIL;
    if (found && act_is_secret(L, -1))
        act_secret_value(L, -1, out);
    else if (found && act_to_str(L, -1, &s))
        buf_putstr(out, s);
    lua_pop(L, 1);
    return found;
}

/* The form that asks for a token; also identifies the credentials. Pushes one value (the buffer).
 */
static struct buf *token_form(lua_State *L, int idx, const struct token *t)
{
    static const char *const names[] = {"client_id", "client_secret", "scope"};
    idx = lua_absindex(L, idx);
    struct buf *form = act_buf(L, 1u << 20), *value = act_buf(L, 1u << 20);
    lua_getiuservalue(L, idx, 1);
    buf_reset(value);
    bool refresh = option(L, "refresh_token", value);
    if (t && t->refresh.n) {
        buf_reset(value);
        buf_putstr(value, buf_str(&t->refresh));
    }
    http_query_add(form, STR("grant_type"),
                   refresh ? STR("refresh_token") : STR("client_credentials"));
    if (refresh) http_query_add(form, STR("refresh_token"), buf_str(value));
    for (size_t i = 0; i < 3; i++) {
        buf_reset(value);
        if (option(L, names[i], value)) http_query_add(form, str_of(names[i]), buf_str(value));
    }
    if (form->code < 0) act_misuse(L, "ml.oauth2: the credentials are too long");
    lua_pop(L, 2);
    return form;
}

static struct token *token_of(lua_State *L, int idx)
{
    struct act_host *h = act_host_of(L);
    uint8_t key[SHA256_BYTES];
    idx = lua_absindex(L, idx);
    struct buf *form = token_form(L, idx, NULL), *url = act_buf(L, 1u << 20);
    lua_getiuservalue(L, idx, 1);
    option(L, "token_url", url);
    struct str parts[] = {buf_str(url), STR("\n"), buf_str(form)};
    hash_sha256_parts(parts, 3, key);
    lua_pop(L, 3);
    if (!h->tokens) {
        h->tokens = mem_zalloc(sizeof *h->tokens);
        if (!h->tokens) act_misuse(L, "out of memory");
        h->tokens->h = h;
    }
    for (struct token *t = h->tokens->first; t; t = t->next)
        if (memcmp(t->key, key, sizeof key) == 0) return t;
    struct token *t = mem_zalloc(sizeof *t);
    if (!t) act_misuse(L, "out of memory");
    t->all = h->tokens;
    memcpy(t->key, key, sizeof key);
    buf_init(&t->value, 1u << 20);
    buf_init(&t->refresh, 1u << 20);
    buf_init(&t->body, 1u << 20);
    t->next = h->tokens->first;
    h->tokens->first = t;
    return t;
}

static bool valid(const struct token *t)
{
    return t->value.n > 0 && clock_mono(t->all->h->env.clock) < t->expires_ns;
}

bool act_oauth_value(lua_State *L, int idx, struct buf *out)
{
    struct token *t = token_of(L, idx);
    buf_putstr(out, buf_str(&t->value));
    return t->value.n > 0;
}

/* ---- fetching ---- */

static void on_done(void *ud, const struct http_response *r)
{
    struct token *t = ud;
    t->request = 0;
    t->answered = true;
    t->answered_ns = clock_mono(t->all->h->env.clock);
    t->status = r->status;
    t->failure = r->failure;
    buf_reset(&t->body);
    buf_putstr(&t->body, r->body);
    for (struct oauth_op *o = t->waiters, *next; o; o = next) {
        next = o->next;
        act_op_done(&o->op);
    }
}

static void start_fetch(lua_State *L, int idx, struct token *t)
{
    static const struct http_events events = {.on_done = on_done};
    struct err e = {0};
    idx = lua_absindex(L, idx);
    struct http_client *client = act_http_client(L);
    struct buf *form = token_form(L, idx, t), *url = act_buf(L, 1u << 20);
    lua_getiuservalue(L, idx, 1);
    option(L, "token_url", url);
    struct http_header headers[] = {
        {STR("Content-Type"), STR("application/x-www-form-urlencoded"), false},
        {STR("Accept"), STR("application/json"), false}};
    struct http_request r = {.method = STR("POST"),
                             .url = buf_str(url),
                             .headers = headers,
                             .n_headers = 2,
                             .body = buf_str(form),
                             .redirects = 0,
                             .max_bytes = 1u << 20,
                             .timeout_ns = 30 * NS_PER_S};
    t->answered = false;
    if (http_start(client, &r, &events, t, &t->request, &e) < 0) {
        t->request = 0;
        act_fail(L, "AuthError", false, "ml.oauth2: %s", e.text);
    }
    lua_pop(L, 3);
}

/* Reads the answer into the token; raises what went wrong. */
static void take_answer(lua_State *L, struct token *t)
{
    struct err e = {0};
    size_t n;
    t->answered = false;
    buf_reset(&t->value);
    t->expires_ns = 0;
    if (t->failure.type) {
        act_fail(L, "AuthError", t->failure.retryable, "ml.oauth2: %s", t->failure.text);
    }
    bool retryable = t->status == 408 || t->status == 425 || t->status == 429 || t->status >= 500;
    if (t->status != 200)
        act_fail(L, "AuthError", retryable, "ml.oauth2: the token request was answered with %d",
                 t->status);
    int code = value_decode(L, buf_str(&t->body), &e);
    buf_reset(&t->body);
    if (code < 0 || !lua_istable(L, -1))
        act_fail(L, "AuthError", true, "ml.oauth2: the token answer is not a JSON object");
    lua_getfield(L, -1, "access_token");
    const char *value = lua_tolstring(L, -1, &n);
    if (!value || !n)
        act_fail(L, "AuthError", false, "ml.oauth2: the token answer has no access_token");
    buf_put(&t->value, value, n);
    lua_getfield(L, -2, "refresh_token");
    value = lua_tolstring(L, -1, &n);
    if (value && n) {
        buf_reset(&t->refresh);
        buf_put(&t->refresh, value, n);
    }
    lua_getfield(L, -3, "expires_in");
    int64_t life = (lua_isnumber(L, -1) && lua_tonumber(L, -1) >= 0 && lua_tonumber(L, -1) < 1e9
                        ? (int64_t)lua_tonumber(L, -1)
                        : 3600) *
                   NS_PER_S;
    t->expires_ns = t->answered_ns + (life > 2 * MARGIN ? life - MARGIN : life / 2);
    lua_pop(L, 4);
}

static void oauth_unlink(struct act_op *op)
{
    struct oauth_op *o = (struct oauth_op *)op;
    if (!o->t) return;
    struct oauth_op **at = &o->t->waiters;
    while (*at && *at != o)
        at = &(*at)->next;
    if (*at) *at = o->next;
    o->t = NULL;
}

static int oauth_push(lua_State *L, struct act_op *op)
{
    struct token *t = ((struct oauth_op *)op)->t;
    oauth_unlink(op);
    if (t->answered) take_answer(L, t);
    if (!t->value.n)
        return act_fail(L, "AuthError", true,
                        "ml.oauth2: the token request of another coroutine failed");
    return 0;
}

/* core.oauth_token(handle): returns when a token is there. */
static int oauth_token(lua_State *L)
{
    luaL_checkudata(L, 1, "moonloop.oauth2");
    act_act(L, "ml.oauth2");
    struct token *t = token_of(L, 1);
    /* Those it woke have not run yet, or they were cancelled: a refresh token may count once. */
    if (t->answered && (t->waiters || (!t->failure.type && t->status == 200))) take_answer(L, t);
    if (valid(t)) return 0;
    struct oauth_op *o = act_op_new(L, sizeof *o, oauth_unlink, oauth_push, oauth_unlink);
    if (!t->request) start_fetch(L, 1, t);
    o->t = t;
    o->next = t->waiters;
    t->waiters = o;
    o->op.done = false;
    return act_op_wait(L, o);
}

static int oauth_forget(lua_State *L)
{
    luaL_checkudata(L, 1, "moonloop.oauth2");
    struct token *t = token_of(L, 1);
    if (!t->request) t->expires_ns = 0;
    return 0;
}

/* The table of http's inside is on top, ml's table below it. */
void act_open_oauth(lua_State *L)
{
    static const luaL_Reg core[] = {{"is_oauth", is_oauth},
                                    {"oauth_token", oauth_token},
                                    {"oauth_forget", oauth_forget},
                                    {NULL, NULL}};
    luaL_setfuncs(L, core, 0);
    luaL_newmetatable(L, "moonloop.oauth2");
    lua_pushcfunction(L, oauth_tostring);
    lua_setfield(L, -2, "__tostring");
    lua_pushliteral(L, "oauth2");
    lua_setfield(L, -2, "__name");
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    lua_pop(L, 1);
    lua_pushcfunction(L, ml_oauth2);
    lua_setfield(L, -3, "oauth2");
}
