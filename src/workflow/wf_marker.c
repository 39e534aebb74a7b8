/* Markers: patches (core_patch, with the TemporalChangeVersion upsert), side effects (SideEffect),
 * and the look-ahead that makes the markers of a replayed batch known before its code runs. */
#include "workflow/wf_machine.h"
#include <stdio.h>
#include <stdlib.h>

#define A(r) (&(r)->machines->cmds->arena)
#define CHANGE_VERSION_MAX 2048 /* the server's limit for one search attribute */

/* ---- reading ---- */
struct str wf_marker_data(const struct rec *marker, const char *key)
{
    const struct rec *list = rec_map_get(marker, T(ev_marker_recorded, details), str_of(key));
    return payload_data(rec_msg(list, T(payloads, payloads)));
}

struct str wf_marker_patch_id(struct arena *a, const struct rec *marker, bool *deprecated)
{
    struct str data = wf_marker_data(marker, "patch-data"), raw;
    *deprecated = false;
    if (data.n) {
        *deprecated = wf_json_get(data, "deprecated", &raw) && str_eqz(raw, "true");
        return wf_json_get(data, "id", &raw) ? wf_json_string(a, raw) : (struct str){NULL, 0};
    }
    struct str old = wf_marker_data(marker, "deprecated"); /* the older layout: bytes */
    *deprecated = old.n == 1 && (old.p[0] == 1 || old.p[0] == '1');
    return wf_marker_data(marker, "patch_id");
}

int64_t wf_marker_local_seq(const struct rec *marker)
{
    struct str raw;
    return wf_json_get(wf_marker_data(marker, "data"), "seq", &raw) ? wf_json_int(raw, 0) : 0;
}

/* Number and type decide: one that is cancelled before anybody was asked is never looked up. */
struct str wf_marker_local_id(struct arena *a, const struct rec *marker)
{
    struct str raw, type = {NULL, 0};
    if (wf_json_get(wf_marker_data(marker, "data"), "activity_type", &raw))
        type = wf_json_string(a, raw);
    return wf_local_id(a, (uint32_t)wf_marker_local_seq(marker), type);
}

struct str wf_local_id(struct arena *a, uint32_t seq, struct str type)
{
    return arena_printf(a, "%u, type \"" STR_FMT "\"", seq, STR_ARG(type));
}

bool wf_is_change_version(const struct rec *sa)
{
    const struct rec_field *f = rec_each(sa, T(search_attributes, indexed_fields), NULL);
    return f && rec_count(sa, T(search_attributes, indexed_fields)) == 1 &&
           str_eqz(rec_str(f->v.m, T(search_attributes_indexed_fields_entry, key)),
                   WF_CHANGE_VERSION);
}

static bool followed_by_upsert(const struct rec *const *events, size_t n, size_t i)
{
    for (i++; i < n; i++) {
        int type = event_type(events[i]);
        if (type == EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES)
            return wf_is_change_version(
                rec_msg(event_attrs(events[i]),
                        T(ev_upsert_workflow_search_attributes, search_attributes)));
        if (event_is_command(type)) return false;
    }
    return false;
}

static int lookahead_marker(struct wf_run *r, const struct rec *const *events, size_t n, size_t i)
{
    struct wf_machines *m = r->machines;
    const struct rec *at = event_attrs(events[i]);
    struct str name = rec_str(at, T(ev_marker_recorded, marker_name));
    if (str_eqz(name, WF_MARKER_PATCH)) {
        bool deprecated;
        struct str id = wf_marker_patch_id(&m->look_arena, at, &deprecated);
        return map_set(&m->patches, id,
                       followed_by_upsert(events, n, i) ? PATCH_UPSERT : PATCH_YES);
    }
    if (str_eqz(name, WF_MARKER_SIDE_EFFECT))
        return map_set(&m->side_effects, wf_marker_data(at, "side-effect-id"),
                       (void *)(uintptr_t)at);
    if (str_eqz(name, WF_MARKER_LOCAL)) {
        struct wf_marker *node = arena_alloc(&m->look_arena, sizeof *node);
        if (!node) return ERR_NOMEM;
        node->seq = (uint32_t)wf_marker_local_seq(at);
        node->attrs = at;
        node->event_id = event_id(events[i]);
        *m->local_markers_end = node;
        m->local_markers_end = &node->next;
    }
    return 0;
}

int wf_marker_lookahead(struct wf_run *r, const struct rec *const *events, size_t n)
{
    struct wf_machines *m = r->machines;
    m->local_markers = NULL;
    m->local_markers_end = &m->local_markers;
    map_free(&m->side_effects);
    map_init(&m->side_effects);
    for (size_t i = 0; i < n; i++) {
        int rc = event_type(events[i]) == EVENT_TYPE_MARKER_RECORDED
                     ? lookahead_marker(r, events, n, i)
                     : 0;
        if (rc) return rc;
    }
    return 0;
}

/* ---- patches ---- */
static struct wf_cmd *marker_command(struct wf_run *r, const char *name, struct str id,
                                     struct rec **at)
{
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_RECORD_MARKER, NULL, at);
    if (!c) return NULL;
    rec_set_str(*at, T(cmd_record_marker, marker_name), str_of(name));
    wf_cmd_identity(r, c, id, str_of(name), NULL);
    return c;
}

static bool patch_marker(struct wf_run *r, struct str id, bool deprecated)
{
    struct rec *at;
    struct wf_cmd *c = marker_command(r, WF_MARKER_PATCH, id, &at);
    if (!c) return false;
    c->optional = true;
    struct buf b;
    buf_init(&b, 64u << 10);
    buf_printf(&b, "{\"deprecated\":%s,\"id\":", deprecated ? "true" : "false");
    buf_put_json(&b, id);
    buf_putc(&b, '}');
    struct rec *list = rec_map_set(at, T(cmd_record_marker, details), STR("patch-data"));
    payloads_add(list, payload_new(A(r), PAYLOAD_JSON, arena_str(A(r), buf_str(&b))));
    buf_free(&b);
    return true;
}

static int by_text(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

/* All ids of this run as a sorted JSON list. */
static struct str change_versions(struct wf_run *r)
{
    struct wf_machines *m = r->machines;
    size_t n = 0;
    struct str *ids = arena_alloc(A(r), (m->patches.n + m->patch_memo.n + 1) * sizeof *ids);
    if (!ids) return (struct str){NULL, 0};
    for (struct map_entry *x = m->patches.first; x; x = x->next)
        ids[n++] = x->key;
    for (struct map_entry *x = m->patch_memo.first; x; x = x->next) {
        if (x->value == PATCH_YES && !map_get(&m->patches, x->key)) ids[n++] = x->key;
    }
    qsort(ids, n, sizeof *ids, by_text);
    struct buf b;
    buf_init(&b, 1u << 20);
    buf_putc(&b, '[');
    for (size_t i = 0; i < n; i++) {
        buf_puts(&b, i ? "," : "");
        buf_put_json(&b, ids[i]);
    }
    buf_putc(&b, ']');
    struct str out = b.code ? (struct str){NULL, 0} : arena_str(A(r), buf_str(&b));
    buf_free(&b);
    return out;
}

static void patch_upsert(struct wf_run *r, struct str versions)
{
    struct rec *at;
    struct wf_cmd *c = wf_cmd_new(r, COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, NULL, &at);
    if (!c) return;
    c->optional = true;
    wf_cmd_identity(r, c, (struct str){NULL, 0}, STR(WF_CHANGE_VERSION), NULL);
    struct rec *sa = rec_sub(at, T(cmd_upsert_workflow_search_attributes, search_attributes));
    struct rec *entry = rec_add(sa, T(search_attributes, indexed_fields));
    struct rec *p = payload_new(A(r), PAYLOAD_JSON, versions);
    rec_map_set_str(p, T(payload, metadata), STR("type"), STR("KeywordList"));
    rec_set_str(entry, T(search_attributes_indexed_fields_entry, key), STR(WF_CHANGE_VERSION));
    rec_set_msg(entry, T(search_attributes_indexed_fields_entry, value), p);
}

bool wf_op_patched(struct wf_run *r, struct str id, bool deprecated, struct err *e)
{
    struct wf_machines *m = r->machines;
    if (wf_op_guard(r, e)) return false;
    void *memo = map_get(&m->patch_memo, id);
    if (memo) return memo == PATCH_YES;
    void *known = map_get(&m->patches, id);
    bool yes = known || !r->replaying;
    if (map_set(&m->patch_memo, id, yes ? PATCH_YES : PATCH_NO)) {
        wf_nomem(r, e);
        return false;
    }
    if (r->replaying && known) {
        patch_marker(r, id, deprecated);
        if (known == PATCH_UPSERT)
            patch_upsert(r, STR("[]")); /* what is compared is that there is one */
    } else if (!r->replaying && !known && patch_marker(r, id, deprecated)) {
        struct str versions = m->versions_full ? STR("") : change_versions(r);
        m->versions_full = m->versions_full || versions.n >= CHANGE_VERSION_MAX;
        if (versions.n && versions.n < CHANGE_VERSION_MAX) patch_upsert(r, versions);
    }
    return yes;
}

/* ---- side effects ---- */
static int side_effect_marker(struct wf_run *r, const struct rec *payloads, struct err *e)
{
    struct wf_machines *m = r->machines;
    struct rec *at;
    struct str id = arena_printf(A(r), "%llu", (unsigned long long)m->next_side_effect);
    if (!marker_command(r, WF_MARKER_SIDE_EFFECT, id, &at))
        return err_set(e, ERR_LIMIT, "cannot record one more side effect");
    struct rec *list = rec_map_set(at, T(cmd_record_marker, details), STR("side-effect-id"));
    payloads_add(list, payload_new(A(r), PAYLOAD_JSON, id));
    struct rec *data = rec_map_set(at, T(cmd_record_marker, details), STR("data"));
    const struct rec_field *f = NULL;
    while (payloads && (f = rec_each(payloads, T(payloads, payloads), f)))
        payloads_add(data, rec_clone(A(r), f->v.m));
    return 0;
}

int wf_op_side_effect_recorded(struct wf_run *r, const struct rec **payloads, struct err *e)
{
    struct wf_machines *m = r->machines;
    char id[24];
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    int n = snprintf(id, sizeof id, "%llu", (unsigned long long)++m->next_side_effect);
    const struct rec *at = map_get(&m->side_effects, str_make(id, (size_t)n));
    if (!at) return 0;
    *payloads = rec_map_get(at, T(ev_marker_recorded, details), STR("data"));
    rc = side_effect_marker(r, *payloads, e);
    return rc ? rc : 1;
}

int wf_op_side_effect_record(struct wf_run *r, const struct rec *payloads, struct err *e)
{
    int rc = wf_op_guard(r, e);
    if (rc) return rc;
    if (!wf_payloads_fit(r, payloads, "the value of a side effect", e)) return ERR_LIMIT;
    return side_effect_marker(r, payloads, e);
}
