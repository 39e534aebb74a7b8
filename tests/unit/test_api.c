/* The boundary on the real engine and a real file: who may call, keys, rates, credits, rows, the
 * audit chain, and what of them is there after a restart. */
#define FAKE_MIGRATIONS all_steps
#define FAKE_MIGRATIONS_N (engine_migrations_n + 1)
#include "api/api.h"
#include "base/map.h"
struct store_migration;
extern struct store_migration all_steps[8];
#include "engine_fake.h"
struct store_migration all_steps[8];

static struct fake F;
static struct api *api;
static char token[200], key_id[40];

static int workflow_of(void *ud, struct str type, struct api_workflow *out, struct err *e)
{
    (void)ud;
    if (!str_eqz(type, "flow"))
        return err_set(e, ERR_NOTFOUND, "no workflow '%.*s'", STR_ARG(type));
    *out = (struct api_workflow){STR("d1"), STR("flow.lua"), STR("default")};
    return 0;
}

static void api_up(void)
{
    struct err e = {0};
    struct api_opts o = {.store = F.store,
                         .backend = F.b,
                         .clock = &fake_clock,
                         .entropy = &entropy_system,
                         .log = &fake_logger,
                         .workflow = workflow_of,
                         .identity = STR("test@host")};
    CHECK_INT(api_open(&o, &api, &e), 0);
    CHECK_INT(api_reconcile(api, &e), 0);
}

static void restart(void)
{
    api_close(api);
    fake_reopen(&F);
    api_up();
}

/* ---- what the test asks ---- */
struct seen {
    bool done, entered, replayed;
    uint64_t call;
    int status;
    char body[2000], type[60], principal[100];
    int64_t retry_after;
};
static void see(struct seen *s, const struct api_answer *x)
{
    CHECK(!s->done);
    s->done = true;
    s->status = x->status;
    s->replayed = x->replayed;
    s->retry_after = x->retry_after_s;
    snprintf(s->body, sizeof s->body, "%.*s", STR_ARG(x->body));
    snprintf(s->type, sizeof s->type, "%.*s", STR_ARG(x->type));
}
static void on_answer_api(void *ud, const struct api_answer *x)
{
    see(ud, x);
}
static void on_entry(void *ud, const struct api_entry *x)
{
    struct seen *s = ud;
    CHECK(!s->entered);
    s->entered = true;
    s->call = x->call;
    snprintf(s->principal, sizeof s->principal, "%.*s", STR_ARG(x->principal));
    if (x->answer) see(s, x->answer);
}
static void turns(const bool *done)
{
    for (int i = 0; i < 20000 && !*done; i++)
        fake_turn(&F);
    CHECK(*done);
}

static char auth[260];
static struct api_request request(const char *key, const char *body)
{
    snprintf(auth, sizeof auth, "Bearer %s", token);
    return (struct api_request){.route = STR("POST /posts"),
                                .authorization = str_of(auth),
                                .auth = true,
                                .scope = STR("posts:write"),
                                .key = str_of(key),
                                .body = str_of(body)};
}
static struct seen enter(const struct api_request *r)
{
    struct seen s = {0};
    struct err e = {0};
    CHECK_INT(api_enter(api, r, on_entry, &s, &e), 0);
    CHECK(s.entered);
    return s;
}
static int number;
static struct api_outcome accepted(struct api_accept *x, char *id, size_t n)
{
    snprintf(id, n, "post-%d", ++number);
    *x = (struct api_accept){
        STR("flow"), str_of(id), STR("p1"), STR("{\"n\":9007199254740993}"), {NULL, 0}};
    return (struct api_outcome){
        .accept = x, .status = 202, .body = STR("{\"status\":\"accepted\"}")};
}
/* Enters, accepts and waits: the answer. */
static struct seen accept_one(const struct api_request *r)
{
    char id[40];
    struct api_accept x;
    struct seen s = enter(r);
    if (s.done) return s;
    struct api_outcome o = accepted(&x, id, sizeof id);
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    return s;
}

struct said {
    bool done;
    int code;
    char json[2000];
};
static void on_said(void *ud, int code, struct str json)
{
    struct said *s = ud;
    s->done = true;
    s->code = code;
    snprintf(s->json, sizeof s->json, "%.*s", STR_ARG(json));
}
static void new_token(const char *scopes, const char *rate, int64_t credits)
{
    struct said s = {0};
    struct err e = {0};
    CHECK_INT(
        api_token_create(api, STR("t"), str_of(scopes), str_of(rate), credits, on_said, &s, &e), 0);
    turns(&s.done);
    CHECK_INT(s.code, 0);
    CHECK_INT(sscanf(s.json, "{\"id\":\"%39[^\"]\",\"token\":\"%199[^\"]\"}", key_id, token), 2);
}

/* The store knows statements by the address of their text. */
static struct map texts;
static const char *kept(const char *text)
{
    char *t = map_get(&texts, str_of(text));
    if (!t) map_set(&texts, str_of(text), t = str_dup(str_of(text)));
    return t;
}
static int64_t count(const char *sql)
{
    struct store_read *r = NULL;
    CHECK_INT(store_read_open(F.store, &r, NULL, kept(sql), ""), 0);
    CHECK_INT(store_read_next(r), 1);
    int64_t n = store_read_i64(r, 0);
    store_read_close(r);
    return n;
}
static void sql(const char *text)
{
    struct store_batch *b = store_batch_new(F.store);
    store_batch_add(b, text, "");
    store_submit(F.store, b, NULL, NULL);
    store_flush(F.store);
    store_drain(F.store);
}
static bool proven(char *why, size_t n)
{
    struct buf a, l;
    struct err e = {0};
    bool chain = false, ledger = false;
    buf_init(&a, 4096);
    buf_init(&l, 4096);
    CHECK_INT(api_audit_verify(api, &a, &chain, &e), 0);
    CHECK_INT(api_ledger_verify(api, &l, &ledger, &e), 0);
    if (why) snprintf(why, n, "%s %s", a.p, l.p);
    buf_free(&a);
    buf_free(&l);
    return chain && ledger;
}
static void proven_or_say(void)
{
    char why[600];
    if (proven(why, sizeof why)) return;
    fprintf(stderr, "%s\n", why);
    CHECK(false);
}

/* ---- workflows ---- */
static bool flow_fails, flow_waits;
static void flow(struct fake *f, const struct backend_task *t, struct rec *const *e, size_t n,
                 struct plan *p)
{
    (void)f;
    (void)t;
    (void)e;
    (void)n;
    if (flow_waits)
        p->pending = "[]";
    else if (flow_fails)
        add_fail(p, "Broke", true);
    else
        add_complete(p, "1");
}

/* ---- cases ---- */
static void who_calls(void)
{
    CASE("tokens: none, malformed, unknown, revoked, without the scope");
    new_token("posts:read posts:write", NULL, 0);
    struct api_request r = request(NULL, "{}");
    struct seen s = enter(&r);
    CHECK(s.call);
    CHECK(strstr(s.principal, key_id) == s.principal + 4);
    struct api_answer gone = {.status = 500, .body = STR("{}")};
    api_fail(api, s.call, &gone);
    static const char *const bad[] = {"",         "Basic eDp5", "Bearer ",
                                      "Bearer x", "Bearer ml_", "Bearer ml_x_y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = request(NULL, "{}");
        r.authorization = str_of(bad[i]);
        s = enter(&r);
        CHECK_INT(s.status, 401);
        CHECK_STR(s.type, "unauthorized");
        CHECK(strstr(s.body, "urn:moonloop:problem:unauthorized") != NULL);
    }
    r = request(NULL, "{}");
    auth[strlen(auth) - 1] = (char)(auth[strlen(auth) - 1] == 'A' ? 'B' : 'A');
    s = enter(&r);
    CHECK_INT(s.status, 401);
    r = request(NULL, "{}");
    r.scope = STR("posts:write admin");
    s = enter(&r);
    CHECK_INT(s.status, 403);
    CHECK_STR(s.type, "forbidden");
    CHECK(strstr(s.body, "admin") != NULL);
    CHECK_INT(count("SELECT count(*) FROM api_keys WHERE instr(hash, 'ml_')"), 0);

    CASE("a key that was revoked accepts nothing, also of a call that had entered");
    char id[40];
    struct api_accept x;
    r = request(NULL, "{}");
    s = enter(&r);
    struct said said = {0};
    struct err e = {0};
    CHECK_INT(api_token_revoke(api, str_of(key_id), on_said, &said, &e), 0);
    turns(&said.done);
    CHECK_INT(said.code, 0);
    struct api_outcome o = accepted(&x, id, sizeof id);
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 403);
    CHECK_STR(s.type, "forbidden");
    CHECK(strstr(s.body, "revoked") != NULL);
    r = request(NULL, "{}");
    s = enter(&r);
    CHECK_INT(s.status, 401);
    CHECK(strstr(s.body, "revoked") != NULL);
    said.done = false;
    CHECK_INT(api_token_revoke(api, str_of(key_id), on_said, &said, &e), 0);
    turns(&said.done);
    CHECK_INT(said.code, ERR_NOTFOUND);
    char principal[60];
    snprintf(principal, sizeof principal, "key:%s", key_id);
    r = (struct api_request){.route = STR("tool x"), .principal = str_of(principal), .auth = true};
    s = enter(&r);
    CHECK_INT(s.status, 403);
    CHECK_INT(count("SELECT count(*) FROM runs"), 0);
}

#define MANY 200
static void one_key(void)
{
    CASE("200 requests with one key at once: one handler, one start, 200 equal answers");
    static struct seen all[MANY];
    int handlers = 0;
    uint64_t call = 0;
    struct err e = {0};
    char id[40];
    struct api_accept x;
    new_token("posts:write", "30/min", 100);
    int64_t runs = count("SELECT count(*) FROM runs");
    memset(all, 0, sizeof all);
    struct api_request r = request("k1", "{\"a\":1}");
    r.cost = 5;
    for (int i = 0; i < MANY; i++) {
        CHECK_INT(api_enter(api, &r, on_entry, &all[i], &e), 0);
        if (!all[i].call) continue;
        handlers++;
        call = all[i].call;
    }
    CHECK_INT(handlers, 1);
    struct api_request other = request("k1", "{\"a\":2}");
    struct seen s = enter(&other);
    CHECK_INT(s.status, 409);
    CHECK_STR(s.type, "idempotency-key-reused");
    struct api_outcome o = accepted(&x, id, sizeof id);
    for (int i = 0; i < MANY; i++)
        if (all[i].call == call) api_leave(api, call, &o, on_answer_api, &all[i]);
    for (int i = 0; i < MANY; i++) {
        turns(&all[i].done);
        CHECK_INT(all[i].status, 202);
        CHECK_STR(all[i].body, "{\"status\":\"accepted\"}");
    }
    CHECK_INT(count("SELECT count(*) FROM runs"), runs + 1);
    CHECK_INT(count("SELECT count(*) FROM api_reservations"), 1);

    CASE("the same answer after a restart, and 409 for another body");
    restart();
    s = enter(&r);
    CHECK_INT(s.status, 202);
    CHECK(s.replayed);
    CHECK_STR(s.body, "{\"status\":\"accepted\"}");
    other = request("k1", "{\"a\":2}");
    s = enter(&other);
    CHECK_INT(s.status, 409);
    CHECK_INT(count("SELECT count(*) FROM runs"), runs + 1);

    CASE("a handler that failed frees the key, and who waited is told");
    struct api_request again = request("k2", "{}");
    struct seen leader = enter(&again), follower = {0};
    CHECK_INT(api_enter(api, &again, on_entry, &follower, &e), 0);
    CHECK(!follower.entered);
    struct api_answer broken = {.status = 500, .body = STR("{\"status\":500}"), .problem = true};
    api_fail(api, leader.call, &broken);
    CHECK_INT(follower.status, 500);
    s = accept_one(&again);
    CHECK_INT(s.status, 202);

    CASE("the key belongs to the principal and to the route");
    again.route = STR("POST /others");
    s = enter(&again);
    CHECK(s.call);
    api_fail(api, s.call, &broken);
    new_token("posts:write", NULL, 0);
    again = request("k2", "{}");
    s = enter(&again);
    CHECK(s.call);
    api_fail(api, s.call, &broken);
    char big[300];
    memset(big, 'k', sizeof big - 1);
    big[sizeof big - 1] = 0;
    again = request(big, "{}");
    s = enter(&again);
    CHECK_INT(s.status, 400);
    proven_or_say();
}

static void credits(void)
{
    CASE("two requests never spend more than there is");
    char id1[40], id2[40];
    struct api_accept x1, x2;
    new_token("posts:write", NULL, 7);
    flow_waits = true;
    struct api_request r = request(NULL, "{}");
    r.cost = 5;
    struct seen a = enter(&r), b = enter(&r);
    CHECK(a.call && b.call);
    struct api_outcome o1 = accepted(&x1, id1, sizeof id1), o2 = accepted(&x2, id2, sizeof id2);
    api_leave(api, a.call, &o1, on_answer_api, &a);
    api_leave(api, b.call, &o2, on_answer_api, &b);
    turns(&a.done);
    turns(&b.done);
    CHECK_INT(a.status + b.status, 202 + 402);
    CHECK_STR(a.status == 402 ? a.type : b.type, "out-of-credit");
    struct seen c = enter(&r);
    CHECK_INT(c.status, 402);
    proven_or_say();
    char q[300];
    snprintf(q, sizeof q, "SELECT balance FROM api_accounts WHERE account = 'credit:key:%s'",
             key_id);
    CHECK_INT(count(q), 2);

    CASE("a reservation is released when its run does not end well, settled when it does");
    struct err e = {0};
    struct backend_target t = {str_of(a.status == 202 ? id1 : id2), {NULL, 0}};
    static struct got g;
    clear(&g);
    F.b->ops->terminate(F.b, &t, STR("test"), take, &g);
    wait_got(&F, &g);
    for (int i = 0; i < 2000 && count(q) != 7; i++)
        fake_turn(&F);
    CHECK_INT(count(q), 7);
    flow_waits = false;
    a = accept_one(&r);
    CHECK_INT(a.status, 202);
    snprintf(q, sizeof q,
             "SELECT count(*) FROM api_reservations WHERE state = 'settled' AND principal = "
             "'key:%s'",
             key_id);
    for (int i = 0; i < 2000 && !count(q); i++)
        fake_turn(&F);
    CHECK_INT(count(q), 1);
    proven_or_say();

    CASE("a reservation whose run ended while nobody looked is closed at the next open");
    flow_waits = true;
    struct said said = {0};
    CHECK_INT(api_token_credits(api, str_of(key_id), 3, on_said, &said, &e), 0);
    turns(&said.done);
    a = accept_one(&r);
    CHECK_INT(a.status, 202);
    api_close(api); /* the run goes on without the boundary */
    snprintf(id1, sizeof id1, "post-%d", number);
    t.workflow_id = str_of(id1);
    clear(&g);
    F.b->ops->terminate(F.b, &t, STR("test"), take, &g);
    wait_got(&F, &g);
    CHECK_INT(count("SELECT count(*) FROM api_reservations WHERE state = 'open'"), 1);
    api_up();
    for (int i = 0; i < 2000 && count("SELECT count(*) FROM api_reservations WHERE state = 'open'");
         i++)
        fake_turn(&F);
    CHECK_INT(count("SELECT count(*) FROM api_reservations WHERE state = 'open'"), 0);
    proven_or_say();

    CASE("credits are taken back as far as they are free");
    said = (struct said){0};
    CHECK_INT(api_token_credits(api, str_of(key_id), -6, on_said, &said, &e), 0);
    turns(&said.done);
    CHECK_INT(said.code, ERR_NOTFOUND);
    said = (struct said){0};
    CHECK_INT(api_token_credits(api, str_of(key_id), -5, on_said, &said, &e), 0);
    turns(&said.done);
    CHECK_INT(said.code, 0);
    CHECK_INT(api_token_credits(api, STR("nobody"), 5, on_said, &said, &e), ERR_NOTFOUND);
    CHECK_INT(api_token_credits(api, str_of(key_id), 0, on_said, &said, &e), ERR_ARG);
    proven_or_say();
    flow_waits = false;
}

static void rates(void)
{
    CASE("a rate holds over a restart");
    new_token("posts:write", "5/h", 0);
    struct api_request r = request(NULL, "{}");
    for (int i = 0; i < 3; i++)
        CHECK_INT(accept_one(&r).status, 202);
    restart();
    struct api_outcome plain = {.status = 200, .body = STR("{}")};
    for (int i = 0; i < 2; i++) { /* an answer without a run is counted too */
        struct seen s = enter(&r);
        CHECK(s.call);
        api_leave(api, s.call, &plain, on_answer_api, &s);
        turns(&s.done);
        CHECK_INT(s.status, 200);
    }
    struct seen s = enter(&r);
    CHECK_INT(s.status, 429);
    CHECK_STR(s.type, "rate-limited");
    CHECK(s.retry_after > 600 && s.retry_after <= 720);
    restart();
    s = enter(&r);
    CHECK_INT(s.status, 429);
    F.wall_offset += 721 * NS_PER_S;
    CHECK_INT(accept_one(&r).status, 202);
    CHECK_INT(enter(&r).status, 429);

    CASE("each route has its own rate, a token's own holds over all");
    r.rate = STR("1/min");
    CHECK(enter(&r).call);
    CHECK_INT(enter(&r).status, 429);
    r.route = STR("POST /others");
    CHECK(enter(&r).call);
    r.rate = (struct str){NULL, 0};
    CHECK_INT(enter(&r).status, 429);
    struct err e = {0};
    static const char *const bad[] = {"x", "5", "5/", "0/min", "5/week", "-1/s", "/s", "5/min "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r.rate = str_of(bad[i]);
        CHECK_INT(api_enter(api, &r, on_entry, NULL, &e), ERR_ARG);
    }
    proven_or_say();
}

static void on_index(void *ud, const struct store_answer *x)
{
    struct said *s = ud;
    s->done = true;
    s->code = (int)x->kind;
    snprintf(s->json, sizeof s->json, "%s", x->err.text);
}

static void rows(void)
{
    CASE("rows are written with the start, or not at all");
    char id[40];
    struct api_accept x;
    struct buf b;
    struct err e = {0};
    int64_t version = 0;
    new_token("posts:write", NULL, 0);
    struct api_request r = request(NULL, "{}");
    struct seen s = enter(&r);
    struct api_intent in[] = {{API_INSERT, STR("posts"), STR("a"),
                               STR("{\"n\":9007199254740993,\"f\":1.0,\"id\":\"x\"}"), 0},
                              {API_INSERT, STR("posts"), STR("b"), STR("{\"n\":2}"), 0}};
    struct api_outcome o = accepted(&x, id, sizeof id);
    o.intents = in;
    o.n_intents = 2;
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 202);
    buf_init(&b, 4096);
    CHECK_INT(api_row_get(api, STR("posts"), STR("a"), &b, &version, &e), 0);
    CHECK_STR(b.p, "{\"n\":9007199254740993,\"f\":1.0,\"id\":\"a\"}");
    CHECK_INT(version, 1);
    int64_t runs = count("SELECT count(*) FROM runs");
    s = enter(&r);
    in[0].id = STR("c"); /* b is there already: c must not be written either */
    o = accepted(&x, id, sizeof id);
    o.intents = in;
    o.n_intents = 2;
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 409);
    CHECK_STR(s.type, "conflict");
    CHECK_INT(count("SELECT count(*) FROM runs"), runs);
    CHECK_INT(count("SELECT count(*) FROM api_rows"), 2);

    CASE("update changes fields, by version if one is named; delete");
    struct api_intent up[] = {
        {API_UPDATE, STR("posts"), STR("a"), STR("{\"f\":null,\"s\":\"new\"}"), 1},
        {API_DELETE, STR("posts"), STR("b"), {NULL, 0}, 0}};
    struct api_outcome commit = {
        .commit = true, .intents = up, .n_intents = 2, .status = 200, .body = STR("{}")};
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 200);
    buf_reset(&b);
    CHECK_INT(api_row_get(api, STR("posts"), STR("a"), &b, &version, &e), 0);
    CHECK_STR(b.p, "{\"n\":9007199254740993,\"s\":\"new\",\"id\":\"a\"}");
    CHECK_INT(version, 2);
    CHECK_INT(api_row_get(api, STR("posts"), STR("b"), &b, &version, &e), ERR_NOTFOUND);
    commit.n_intents = 1; /* at another version by now */
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 409);

    CASE("intents without accept or commit are not written");
    commit.commit = false;
    up[0].if_version = 0;
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 500);
    CHECK_STR(s.type, "internal");
    CHECK_INT(count("SELECT max(version) FROM api_rows"), 2);

    CASE("no name reaches the engine's tables");
    up[0].table = STR("runs\"; DROP TABLE runs; --");
    commit.commit = true;
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 500);
    CHECK_STR(s.type, "internal");

    CASE("what is unique is a condition, also after a restart; a query finds what it asks for");
    struct str field = STR("s");
    struct said indexed = {0};
    CHECK_INT(api_unique(api, STR("posts"), &field, 1, on_index, &indexed, &e), 0);
    turns(&indexed.done);
    CHECK_STR(indexed.json, "");
    CHECK_INT(indexed.code, STORE_DURABLE);
    restart();
    struct api_intent same = {API_INSERT, STR("posts"), STR("z"), STR("{\"s\":\"new\"}"), 0};
    commit.intents = &same;
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 409);
    same.table = STR("drafts"); /* another table's rows are not meant */
    s = enter(&r);
    api_leave(api, s.call, &commit, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 200);
    struct api_where w[] = {{STR("s"), STR("\"new\""), STR("=")},
                            {STR("n"), STR("9007199254740992"), STR(">")}};
    struct api_query q = {.table = STR("posts"), .where = w, .n_where = 2};
    buf_reset(&b);
    CHECK_INT(api_row_query(api, &q, &b, &e), 0);
    CHECK_STR(b.p, "[{\"n\":9007199254740993,\"s\":\"new\",\"id\":\"a\"}]");
    w[1].json = STR("9007199254740993");
    buf_reset(&b);
    CHECK_INT(api_row_query(api, &q, &b, &e), 0);
    CHECK_STR(b.p, "[]");
    w[0].field = STR("s') OR 1=1 --");
    CHECK_INT(api_row_query(api, &q, &b, &e), ERR_ARG);
    w[0].field = STR("s");
    w[0].op = STR("; --");
    CHECK_INT(api_row_query(api, &q, &b, &e), ERR_ARG);
    buf_free(&b);
    proven_or_say();

    CASE("what is no workflow, or an id that was used, is told and nothing is written");
    o = accepted(&x, id, sizeof id);
    x.workflow = STR("nothing");
    s = enter(&r);
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    CHECK_STR(s.type, "internal");
    x.workflow = STR("flow");
    x.id = STR("post-2");
    s = enter(&r);
    api_leave(api, s.call, &o, on_answer_api, &s);
    turns(&s.done);
    CHECK_INT(s.status, 409);
    CHECK_STR(s.type, "conflict");
}

static void chain(void)
{
    CASE("the audit chain: a row that was changed, removed, inserted or cut off is found");
    char why[600];
    proven_or_say();
    sql("DROP TRIGGER api_audit_kept");
    sql("DROP TRIGGER api_audit_all");
    sql("DROP TRIGGER api_audit_head_moves");
    sql("UPDATE api_audit SET detail = '{\"x\":1}' WHERE n = 3");
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "\"row\":3,\"why\":\"its content is not what was written\"") != NULL);
    sql("DELETE FROM api_audit WHERE n = 2");
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "\"row\":2,\"why\":\"a row is missing here\"") != NULL);
    sql("UPDATE api_audit SET n = 2 WHERE n = 3");
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "\"row\":2,\"why\":\"it does not follow from the row before\"") != NULL);
    sql("DELETE FROM api_audit WHERE n > 1");
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "\"row\":2,\"why\":\"rows are missing at the end\"") != NULL);

    CASE("the ledger: an entry that was changed is found");
    CHECK(strstr(why, "} {\"ok\":true") != NULL);
    sql("UPDATE api_ledger SET amount = amount + 1 WHERE n = 1"); /* refused: the ledger only grows
                                                                   */
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "} {\"ok\":true") != NULL);
    sql("DROP TRIGGER api_ledger_kept");
    sql("UPDATE api_ledger SET amount = amount + 1 WHERE n = 1");
    CHECK(!proven(why, sizeof why));
    CHECK(strstr(why, "a balance is not the sum of its entries") != NULL);
}

int main(void)
{
    memcpy(all_steps, engine_migrations, engine_migrations_n * sizeof *all_steps);
    all_steps[engine_migrations_n] =
        (struct store_migration){(int)engine_migrations_n + 1, api_schema_sql};
    map_init(&texts);
    fake_init(&F, "api");
    F.workflow = flow;
    F.threaded = true;
    fake_open(&F);
    api_up();
    who_calls();
    one_key();
    credits();
    rates();
    rows();
    chain();
    api_close(api);
    fake_remove(&F);
    for (struct map_entry *x = texts.first; x; x = x->next)
        mem_free(x->value);
    map_free(&texts);
    return CHECK_DONE();
}
