/* See replay_engine.h: doing tasks again, and comparing what comes out. */
#include "base/mem.h"
#include "check.h"
#include "replay_engine.h"
#include <time.h>
#include <unistd.h>

void sim_fail(const struct sim *s, const char *what)
{
    fprintf(stderr,
            "%.*s\nseed %llu, program %llu: %s\nagain: the same command with --seed %llu --program "
            "%llu\n",
            (int)s->program->lua.n, s->program->lua.p, (unsigned long long)s->program->seed,
            (unsigned long long)s->program->number, what, (unsigned long long)s->program->seed,
            (unsigned long long)s->program->number);
    exit(1);
}

/* ---- outcomes ---- */
void outcome_init(struct outcome *x)
{
    buf_init(&x->commands, 16u << 20);
    buf_init(&x->messages, 16u << 20);
    buf_init(&x->queries, 1u << 20);
    buf_init(&x->logs, 1u << 20);
    buf_init(&x->pending, 1u << 20);
}

void outcome_free(struct outcome *x)
{
    buf_free(&x->commands);
    buf_free(&x->messages);
    buf_free(&x->queries);
    buf_free(&x->logs);
    buf_free(&x->pending);
}

void outcome_take(struct outcome *x, const struct wf_out *o)
{
    for (size_t i = 0; i < o->n_commands; i++)
        CHECK(rec_encode(o->commands[i], &x->commands) == 0);
    for (size_t i = 0; i < o->n_messages; i++)
        CHECK(rec_encode(o->messages[i], &x->messages) == 0);
    for (size_t i = 0; i < o->n_query_results; i++) {
        const struct wf_query_result *q = &o->query_results[i];
        buf_printf(&x->queries, "%d " STR_FMT "\n", q->ok, STR_ARG(q->message));
        if (q->ok && q->result) CHECK(rec_encode(q->result, &x->queries) == 0);
    }
    for (size_t i = 0; i < o->n_pending; i++)
        buf_printf(&x->pending, "%d " STR_FMT " " STR_FMT " " STR_FMT " %lld\n",
                   (int)o->pending[i].kind, STR_ARG(o->pending[i].id), STR_ARG(o->pending[i].name),
                   STR_ARG(o->pending[i].where), (long long)o->pending[i].due_ns);
    CHECK(!x->commands.code && !x->messages.code && !x->queries.code && !x->pending.code);
}

void outcome_logs(struct outcome *x, const struct wf_out *o)
{
    for (size_t i = 0; i < o->n_logs; i++)
        buf_printf(&x->logs, "%d " STR_FMT " " STR_FMT "\n", o->logs[i].level,
                   STR_ARG(o->logs[i].text), STR_ARG(o->logs[i].fields));
}

const char *outcome_differs(const struct outcome *a, const struct outcome *b)
{
    const struct {
        const char *name;
        const struct buf *a, *b;
    } parts[] = {{"the commands", &a->commands, &b->commands},
                 {"the answers to updates", &a->messages, &b->messages},
                 {"the answers to queries", &a->queries, &b->queries},
                 {"the log lines", &a->logs, &b->logs},
                 {"the list of what is pending", &a->pending, &b->pending}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (!str_eq(buf_str(parts[i].a), buf_str(parts[i].b))) return parts[i].name;
    return NULL;
}

/* ---- runs ---- */
struct replay_how sim_how(const struct sim *s)
{
    return (struct replay_how){.bundle = s->bundle, .digest = s->bundle->digest};
}

struct wf_run *replay_open(const struct replay_how *how, struct err *e)
{
    struct wf_run *r = NULL;
    struct wf_info info = {.namespace_ = STR("default"),
                           .workflow_id = STR("wf-1"),
                           .run_id = STR("run-1"),
                           .task_queue = STR("queue"),
                           .current_digest = how->digest,
                           .noop_name = how->noop};
    return wf_open(how->bundle, &info, &r, e) ? NULL : r;
}

static void see_asked(struct locals_seen *x, const struct wf_out *o)
{
    for (size_t i = 0; x && i < o->n_locals; i++) {
        CHECK(x->n < sizeof x->seq / sizeof *x->seq);
        x->got[x->n] = false;
        x->seq[x->n++] = o->locals[i].seq;
    }
}

static void see_answer(struct locals_seen *x, uint32_t seq)
{
    for (size_t i = 0; x && i < x->n; i++)
        if (x->seq[i] == seq) x->got[i] = true;
}

static const struct wf_out *step(const struct sim *s, const struct replay_how *how,
                                 struct wf_run *r, const struct wf_task *t, struct outcome *out)
{
    const struct wf_out *o = NULL;
    struct err e = {0};
    do {
        uint64_t budget = how->slices ? 1 + rng_below(how->slices, 1500) : how->budget;
        if (wf_activate(r, t, (struct wf_budget){budget}, &o, &e)) sim_fail(s, e.text);
        t = NULL;
    } while (o->status == WF_MORE);
    if (out) outcome_logs(out, o);
    see_asked(how->seen, o);
    return o;
}

struct wf_task replay_wf_task(const struct sim *s, const struct task *t, size_t from)
{
    static const struct wf_query queries[] = {{.id = STR("q"), .type = STR("o")},
                                              {.id = STR("l"), .type = STR("late")}};
    struct wf_task w = {.events = (const struct rec *const *)(s->h.ev + from),
                        .n_events = t->upto - from,
                        .whole = from == 0,
                        .started_id = (int64_t)t->upto,
                        .messages = (const struct rec *const *)&t->message,
                        .n_messages = t->message ? 1 : 0,
                        .queries = queries,
                        .n_queries = 2,
                        .wall_ns = t->wall_ns};
    memcpy(w.entropy, t->entropy, sizeof w.entropy);
    return w;
}

bool replay_task(const struct sim *s, const struct replay_how *how, struct wf_run *r,
                 const struct task *t, bool whole, struct outcome *out, const struct wf_out **o)
{
    struct wf_task w = replay_wf_task(s, t, whole ? 0 : t->from);
    *o = step(s, how, r, &w, out);
    for (size_t i = 0; (*o)->status == WF_WAIT_LOCAL && i < t->n_answers; i++) {
        if (wf_local_resolve(r, t->answers[i].seq, &t->answers[i].res)) sim_fail(s, "resolve");
        see_answer(how->seen, t->answers[i].seq);
        *o = step(s, how, r, NULL, out);
    }
    if ((*o)->status == WF_FAIL_TASK) return false;
    outcome_take(out, *o);
    return true;
}

const struct wf_out *replay_closed(const struct sim *s, const struct replay_how *how,
                                   struct wf_run *r, size_t n)
{
    struct wf_task w = {.events = (const struct rec *const *)s->h.ev, .n_events = n, .whole = true};
    return step(s, how, r, &w, NULL);
}

/* ---- arguments ---- */
struct replay_args replay_arguments(int argc, char **argv, int programs)
{
    struct replay_args a = {programs, (uint64_t)time(NULL) ^ ((uint64_t)getpid() << 32), 1};
    for (int i = 1; i + 1 < argc; i += 2) {
        unsigned long long v = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--programs") == 0) {
            a.programs = (int)v;
        } else if (strcmp(argv[i], "--seed") == 0) {
            a.seed = v;
        } else if (strcmp(argv[i], "--first") == 0) {
            a.first = v;
        } else if (strcmp(argv[i], "--program") == 0) {
            a.first = v;
            a.programs = 1;
        } else {
            fprintf(stderr, "unknown argument %s\n", argv[i]);
            exit(2);
        }
    }
    printf("%d programs from number %llu, seed %llu\n", a.programs, (unsigned long long)a.first,
           (unsigned long long)a.seed);
    fflush(stdout);
    return a;
}
