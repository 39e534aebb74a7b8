/* Any text as a workflow script, under small limits. Keeps true: it ends; interrupted anywhere it
 * says the same; the history that its commands make replays to the same commands. The first byte
 * sizes the slices. Activities answer a number, timers fire, one signal comes. */
#include "fuzz_wf.h"

#define ROUNDS 6

/* The events that a command makes and what follows it at once; false: the drive ends here. */
static bool world(struct hist *h, const struct rec *c)
{
    const struct rec *in = command_attrs(c);
    struct rec *at = NULL;
    int64_t id;
    switch (command_type(c)) {
    case COMMAND_TYPE_START_TIMER:
        h_add(h, EVENT_TYPE_TIMER_STARTED, &at);
        rec_set_copy(at, T(ev_timer_started, timer_id), rec_str(in, T(cmd_start_timer, timer_id)));
        rec_set_int(at, T(ev_timer_started, start_to_fire_timeout),
                    rec_int(in, T(cmd_start_timer, start_to_fire_timeout)));
        return true;
    case COMMAND_TYPE_SCHEDULE_ACTIVITY_TASK:
        h_add(h, EVENT_TYPE_ACTIVITY_TASK_SCHEDULED, &at);
        rec_set_copy(at, T(ev_activity_task_scheduled, activity_id),
                     rec_str(in, T(cmd_schedule_activity_task, activity_id)));
        rec_set_msg(at, T(ev_activity_task_scheduled, activity_type),
                    rec_clone(&h->a, rec_msg(in, T(cmd_schedule_activity_task, activity_type))));
        rec_set_msg(at, T(ev_activity_task_scheduled, input),
                    rec_clone(&h->a, rec_msg(in, T(cmd_schedule_activity_task, input))));
        return true;
    case COMMAND_TYPE_RECORD_MARKER: {
        const struct rec_field *f = NULL;
        h_add(h, EVENT_TYPE_MARKER_RECORDED, &at);
        rec_set_copy(at, T(ev_marker_recorded, marker_name),
                     rec_str(in, T(cmd_record_marker, marker_name)));
        while ((f = rec_each(in, T(cmd_record_marker, details), f))) {
            struct rec *to = rec_map_set(at, T(ev_marker_recorded, details),
                                         arena_str(&h->a, rec_str(f->v.m, 1)));
            const struct rec_field *p = NULL;
            while ((p = rec_each(rec_msg(f->v.m, 2), T(payloads, payloads), p)))
                payloads_add(to, rec_clone(&h->a, p->v.m));
        }
        const struct rec *failure = rec_msg(in, T(cmd_record_marker, failure));
        if (failure) rec_set_msg(at, T(ev_marker_recorded, failure), rec_clone(&h->a, failure));
        return true;
    }
    case COMMAND_TYPE_CANCEL_TIMER:
        h_add(h, EVENT_TYPE_TIMER_CANCELED, &at);
        rec_set_copy(at, T(ev_timer_canceled, timer_id),
                     rec_str(in, T(cmd_cancel_timer, timer_id)));
        for (size_t i = 0; i < h->n; i++) {
            id = event_id(h->ev[i]);
            if (event_type(h->ev[i]) == EVENT_TYPE_TIMER_STARTED &&
                str_eq(rec_str(event_attrs(h->ev[i]), T(ev_timer_started, timer_id)),
                       rec_str(in, T(cmd_cancel_timer, timer_id))))
                rec_set_int(at, T(ev_timer_canceled, started_event_id), id);
        }
        return true;
    case COMMAND_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
        h_add(h, EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, &at);
        rec_set_msg(at, T(ev_upsert_workflow_search_attributes, search_attributes),
                    rec_clone(&h->a, rec_msg(in, T(cmd_upsert_workflow_search_attributes,
                                                   search_attributes))));
        return true;
    default:
        return false;
    }
}

/* What is open ends: events [from, to) had the commands. */
static void answers(struct hist *h, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        const struct rec *at = event_attrs(h->ev[i]);
        int64_t id = event_id(h->ev[i]);
        if (event_type(h->ev[i]) == EVENT_TYPE_TIMER_STARTED) {
            bool canceled = false;
            for (size_t k = i; k < to; k++)
                canceled = canceled || (event_type(h->ev[k]) == EVENT_TYPE_TIMER_CANCELED &&
                                        rec_int(event_attrs(h->ev[k]),
                                                T(ev_timer_canceled, started_event_id)) == id);
            struct str name = arena_str(&h->a, rec_str(at, T(ev_timer_started, timer_id)));
            if (!canceled) h_timer_fired(h, id, name.p);
        } else if (event_type(h->ev[i]) == EVENT_TYPE_ACTIVITY_TASK_SCHEDULED) {
            h_activity_completed(h, id, "{\"n\":7,\"list\":[1,2.5,null]}");
        }
    }
}

/* One more task of the run; whether it goes on. */
static bool round_of(struct hist *h, struct wf_run *r, size_t taken, uint64_t slice,
                     struct fuzz_out *last)
{
    struct wf_task t = {.events = (const struct rec *const *)(h->ev + taken),
                        .n_events = h->n - taken,
                        .whole = taken == 0,
                        .previous_started_id = 0,
                        .started_id = h->started,
                        .wall_ns = h->now};
    fuzz_out_free(last);
    fuzz_out_init(last);
    const struct wf_out *o = fuzz_task(r, &t, slice, 20, last);
    FUZZ_CHECK(last->rc == 0); /* these histories are well-formed */
    if (o->status != WF_DONE || o->closed || o->n_commands > 100) return false;
    h_done(h);
    size_t from = h->n;
    for (size_t i = 0; i < o->n_commands; i++)
        if (!world(h, o->commands[i])) return false;
    size_t to = h->n;
    answers(h, from, to);
    if (to == from) h_signal(h, "signal", "{\"n\":1}");
    return true;
}

/* The last task again, on a fresh run, from the beginning, in other slices. */
static void again(struct hist *h, struct bundle *b, size_t n, uint64_t slice,
                  const struct fuzz_out *last)
{
    struct fuzz_out out;
    struct wf_task t = {.events = (const struct rec *const *)h->ev,
                        .n_events = n,
                        .whole = true,
                        .started_id = (int64_t)n,
                        .wall_ns = h->now};
    struct wf_run *r = fuzz_open(b, STR("wf-1"));
    FUZZ_CHECK(r);
    fuzz_out_init(&out);
    fuzz_task(r, &t, slice, 20, &out);
    fuzz_out_compare(last, &out);
    fuzz_out_free(&out);
    wf_close(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct fuzz_in in = {data, n};
    uint64_t slice = 50 + 40 * (uint64_t)fuzz_byte(&in);
    struct str text = fuzz_rest(&in);
    struct bundle *b = fuzz_bundle(text);
    struct wf_run *r = fuzz_open(b, STR("wf-1"));
    if (!r) return 0;
    struct hist *h = malloc(sizeof *h);
    FUZZ_CHECK(h);
    struct fuzz_out last;
    fuzz_out_init(&last);
    h_init(h);
    struct str name = arena_str(&h->a, fuzz_workflow_name(text));
    h_begin(h, name.p, "{\"n\":3,\"list\":[1,2,3],\"name\":\"x\"}");
    size_t taken = 0, upto = 0;
    bool on = true;
    for (int i = 0; on && i < ROUNDS; i++) {
        h_task(h);
        upto = h->n;
        on = round_of(h, r, taken, slice, &last);
        taken = upto;
    }
    wf_close(r);
    again(h, b, upto, FUZZ_INSTRUCTIONS, &last);
    fuzz_out_free(&last);
    h_free(h);
    free(h);
    return 0;
}
