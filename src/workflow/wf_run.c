/* A run: opened with its bundle, closed at any time, and what both halves report into (failure of
 * the task, log lines, pending list). The activation loop is in wf_activate.c. */
#include "workflow/wf_machine.h"
#include <stdarg.h>
#include <stdio.h>

#define DEFAULT_MEMORY ((size_t)64 << 20)
#define DEFAULT_INSTRUCTIONS UINT64_C(200000000)
#define DEFAULT_COMMANDS 10000
#define DEFAULT_PAYLOAD ((size_t)32 << 20)
#define LOGS_MAX ((size_t)4 << 20) /* of one task: then lines are left out, and one says so */
#define OUT_MAX ((size_t)512 << 20)

static struct wf_limits limits_of(struct wf_limits l)
{
    l.memory_bytes = l.memory_bytes ? l.memory_bytes : DEFAULT_MEMORY;
    l.instructions = l.instructions ? l.instructions : DEFAULT_INSTRUCTIONS;
    l.commands = l.commands ? l.commands : DEFAULT_COMMANDS;
    l.payload_bytes = l.payload_bytes ? l.payload_bytes : DEFAULT_PAYLOAD;
    return l;
}

static void info_copy(struct wf_run *r, const struct wf_info *info)
{
    struct arena *a = &r->keep;
    r->info = *info;
    r->info.namespace_ = arena_str(a, info->namespace_);
    r->info.workflow_id = arena_str(a, info->workflow_id);
    r->info.run_id = arena_str(a, info->run_id);
    r->info.task_queue = arena_str(a, info->task_queue);
    r->info.noop_name = arena_str(a, info->noop_name);
    r->info.current_digest =
        info->current_digest ? arena_str(a, str_of(info->current_digest)).p : NULL;
    r->info.limits = limits_of(info->limits);
}

static void machines_init(struct wf_machines *m)
{
    arena_init(&m->task_arena, 0);
    arena_init(&m->look_arena, 0);
    arena_init(&m->pending_arena, 0);
    for (int i = 0; i < 2; i++)
        arena_init(&m->sets[i].arena, 0);
    m->cmds = &m->sets[0];
    m->expected = &m->sets[1];
    m->local_markers_end = &m->local_markers;
    map_init(&m->patches);
    map_init(&m->patch_memo);
    map_init(&m->side_effects);
    map_init(&m->by_event);
    map_init(&m->admitted);
    idmap_init(&m->ops);
}

int wf_open(struct bundle *b, const struct wf_info *info, struct wf_run **out, struct err *e)
{
    struct wf_run *r = mem_zalloc(sizeof *r);
    struct wf_machines *m = r ? mem_zalloc(sizeof *m) : NULL;
    if (!m) {
        mem_free(r);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    machines_init(m);
    r->machines = m;
    arena_init(&r->keep, 0);
    arena_init(&r->out_arena, OUT_MAX);
    idmap_init(&r->futures);
    info_copy(r, info);
    r->bundle = b ? bundle_ref(b) : NULL;
    rng_seed(&r->rng, r->info.run_id);
    rng_seed(&m->id_rng, r->info.run_id);
    r->sandbox.mem_max = r->info.limits.memory_bytes;
    r->sandbox.instructions_max = r->info.limits.instructions;
    r->replaying = true;
    int rc = arena_failed(&r->keep) ? err_set(e, ERR_NOMEM, "out of memory") : script_open(r, e);
    if (rc) {
        wf_close(r);
        return rc;
    }
    *out = r;
    return 0;
}

void wf_close(struct wf_run *r)
{
    if (!r) return;
    struct wf_machines *m = r->machines;
    m->phase = PHASE_BROKEN; /* commands are off */
    r->closed = true;
    script_close(r);
    for (struct wf_op *op = m->first_op, *next; op; op = next) {
        next = op->next;
        wf_local_free(op->local);
        mem_free(op);
    }
    wf_updates_free(r, true);
    map_free(&m->patches);
    map_free(&m->patch_memo);
    map_free(&m->side_effects);
    map_free(&m->by_event);
    map_free(&m->admitted);
    idmap_free(&m->ops);
    idmap_free(&r->futures);
    for (int i = 0; i < 2; i++)
        arena_free(&m->sets[i].arena);
    arena_free(&m->task_arena);
    arena_free(&m->look_arena);
    arena_free(&m->pending_arena);
    arena_free(&r->keep);
    arena_free(&r->out_arena);
    if (r->bundle) bundle_unref(r->bundle);
    mem_free(m);
    mem_free(r);
}

/* The commands so far went out with a task that goes on: what follows belongs to the next one. */
void wf_flushed(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    if (m->phase != PHASE_WAIT) return;
    wf_cmds_turn(r);
    m->n_out_messages = m->cap_out_messages = 0;
    m->out_messages = NULL;
    m->flag_due = false;
    m->task_open = false;
    m->phase = PHASE_IDLE;
}

/* The engine discarded the task, in which nothing but rejected updates happened: its SCHEDULED and
 * STARTED never were. */
void wf_rollback(struct wf_run *r, int64_t event)
{
    struct wf_machines *m = r->machines;
    if (m->phase == PHASE_BROKEN) return;
    wf_cmds_reset(r, m->cmds);
    r->now_ns = m->before.now_ns;
    r->history_length = m->before.history_length;
    r->history_bytes = m->before.history_bytes;
    r->continue_as_new_suggested = m->before.suggested;
    m->last_event = event;
    m->n_out_messages = m->cap_out_messages = 0;
    m->out_messages = NULL;
    m->task_open = false;
    m->phase = PHASE_IDLE;
}

void wf_interrupt(struct wf_run *r)
{
    r->sandbox.interrupt = 1;
}

void wf_stop(struct wf_run *r)
{
    r->sandbox.interrupt = 2;
}

uint32_t wf_activations(const struct wf_run *r)
{
    return r->sandbox.budgets;
}

size_t wf_memory(const struct wf_run *r)
{
    const struct wf_machines *m = r->machines;
    return sizeof *r + sizeof *m + r->sandbox.mem_used + r->keep.used + r->out_arena.used +
           m->task_arena.used + m->look_arena.used + m->sets[0].arena.used + m->sets[1].arena.used +
           m->by_event.n * (sizeof(struct wf_op) + 64);
}

int64_t wf_last_event(const struct wf_run *r)
{
    return r->machines->last_event;
}

uint64_t wf_instructions(const struct wf_run *r)
{
    return r->sandbox.instructions;
}

int wf_definitions(struct bundle *b,
                   void (*each)(void *ud, const char *kind, struct str name,
                                struct str options_json),
                   void *ud, struct err *e)
{
    return script_definitions(b, each, ud, e);
}

/* ---- reports ---- */
static void *grow(struct arena *a, void *old, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return old;
    size_t want = *cap ? *cap * 2 : 16;
    void *p = arena_alloc(a, want * size);
    if (!p) return NULL;
    if (n) memcpy(p, old, n * size);
    *cap = want;
    return p;
}

void wf_log_add(struct wf_run *r, int level, struct str text, struct str fields_json)
{
    size_t n = text.n + fields_json.n + sizeof *r->logs;
    if (r->replaying || r->log_bytes > LOGS_MAX) return;
    r->log_bytes += n;
    if (n > LOGS_MAX || r->log_bytes > LOGS_MAX) {
        r->log_bytes = LOGS_MAX + 1;
        level = LOG_WARN;
        text = STR("more than 4 MiB of log lines in one workflow task: the rest is left out");
        fields_json = (struct str){0};
    }
    struct wf_log *logs = grow(&r->out_arena, r->logs, r->n_logs, &r->cap_logs, sizeof *logs);
    if (!logs) return;
    r->logs = logs;
    r->logs[r->n_logs++] = (struct wf_log){level, arena_str(&r->out_arena, text),
                                           arena_str(&r->out_arena, fields_json)};
}

void wf_pending_add(struct wf_run *r, const struct wf_pending *p)
{
    struct arena *a = &r->machines->pending_arena;
    struct wf_pending *list = grow(a, r->pending, r->n_pending, &r->cap_pending, sizeof *list);
    if (!list) return;
    r->pending = list;
    struct wf_pending copy = *p;
    copy.id = arena_str(a, p->id);
    copy.name = arena_str(a, p->name);
    copy.where = arena_str(a, p->where);
    r->pending[r->n_pending++] = copy;
}

void wf_task_fail(struct wf_run *r, int cause, const struct rec *failure)
{
    if (r->task_failure) return;
    r->task_fail_cause = cause;
    r->task_failure = rec_clone(&r->out_arena, failure);
}

void wf_task_failf(struct wf_run *r, int cause, const char *type, const char *fmt, ...)
{
    char text[2000];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (r->task_failure) return;
    r->task_fail_cause = cause;
    r->task_failure = failure_app(&r->out_arena, str_of(type),
                                  arena_str(&r->out_arena, str_of(text)), false, NULL, NULL);
}
