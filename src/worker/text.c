/* Which text a run goes on with. On the embedded engine the task says it. On a Temporal server a
 * worker of a deployment is given tasks by build: a pinned run that was last worked on by the same
 * build goes on with the text that its last completed task recorded, however the scripts here have
 * changed; a run that comes from another build, and one that may upgrade, has the newest. */
#include "worker/worker_internal.h"

static const struct rec *last_completed(struct rec *const *events, size_t n)
{
    for (size_t i = n; i > 0; i--)
        if (event_type(events[i - 1]) == EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
            return event_attrs(events[i - 1]);
    return NULL;
}

static struct str stamp_of(const struct rec *completed)
{
    return rec_str(rec_msg(completed, T(ev_workflow_task_completed, worker_version)),
                   T(worker_version_stamp, build_id));
}

struct rec **w_task_events(const struct w_task *k, size_t *n)
{
    *n = k->fetched ? k->n_events : k->t->n_events;
    return k->fetched ? k->events : k->t->events;
}

struct str w_text_of(const struct w_task *k, bool *pinned)
{
    const struct backend_task *t = k->t;
    size_t n;
    struct rec *const *events = w_task_events(k, &n);
    *pinned = false;
    if (t->bundle_digest.n || !t->build.n) return t->bundle_digest;
    const struct rec *at = last_completed(events, n);
    struct str build = rec_str(rec_msg(at, T(ev_workflow_task_completed, deployment_version)),
                               T(worker_deployment_version, build_id));
    if (!at || !str_eq(build, t->build) ||
        rec_int(at, T(ev_workflow_task_completed, versioning_behavior)) !=
            VERSIONING_BEHAVIOR_PINNED)
        return t->build_text;
    struct str stamp = stamp_of(at);
    *pinned = stamp.n > 0;
    return stamp.n ? stamp : t->build_text;
}

int w_bundle_for(struct w_task *k, struct bundle **out, struct err *e)
{
    const struct backend_task *t = k->t;
    bool pinned;
    struct str d = w_text_of(k, &pinned);
    struct err why = {0};
    if (!d.n) {
        int rc = worker_find_workflow(k->w, t->workflow_type, &d, NULL, NULL, NULL, e);
        if (rc) return rc;
    }
    int rc = worker_bundle(k->w, d, out, &why);
    if (rc == ERR_NOTFOUND && t->build.n)
        return err_set(
            e, rc,
            "this run is of build " STR_FMT ", its history was made by the text " STR_FMT
            ", and this worker has no such text: start a worker with that script "
            "(--build-id " STR_FMT
            "), give workers a common --bundles FOLDER, or let the run go on with the current "
            "build: temporal workflow update-options --workflow-id " STR_FMT
            " --versioning-override-behavior auto_upgrade (%s)",
            STR_ARG(t->build), STR_ARG(d), STR_ARG(t->build), STR_ARG(t->workflow_id), why.text);
    *e = why;
    return rc;
}

enum backend_versioning w_text_versioning(const struct w_task *k)
{
    if (!k->t->build.n) return VERSIONING_DEFAULT;
    return k->run->pinned ? VERSIONING_PINNED : w_versioning(k->w, k->t->workflow_type);
}

/* A text that made a part of the history and is not the one that the run has here. */
static struct str other_text(const struct w_task *k)
{
    size_t n;
    struct rec *const *events = w_task_events(k, &n);
    for (size_t i = 0; i < n; i++) {
        if (event_type(events[i]) != EVENT_TYPE_WORKFLOW_TASK_COMPLETED) continue;
        struct str s = stamp_of(event_attrs(events[i]));
        if (s.n && !str_eqz(s, k->run->digest)) return s;
    }
    return (struct str){NULL, 0};
}

const struct rec *w_text_note(const struct w_task *k, struct arena *a, const struct rec *failure)
{
    struct str other = k->run ? other_text(k) : (struct str){NULL, 0};
    if (!other.n || k->t->bundle_digest.n) return failure;
    struct rec *f = rec_clone(a, failure);
    const char *advice =
        k->t->build.n ? "The run moved to this build: guard the change with ml.patched, or let the "
                        "workflow's runs stay on their build (versioning = \"pinned\")"
                      : "Workers with different scripts serve this task queue, or the script was "
                        "changed: guard the change with ml.patched, or give workers a "
                        "--deployment, so that runs stay on the build they began on";
    struct str text = arena_printf(
        a, STR_FMT "\nAnother text of the script made this history: %.*s, here it is %.12s. %s",
        STR_ARG(rec_str(failure, T(failure, message))), (int)(other.n < 12 ? other.n : 12), other.p,
        k->run->digest, advice);
    if (!f || !text.p) return failure;
    rec_set_str(f, T(failure, message), text);
    return f;
}
