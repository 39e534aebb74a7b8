/* A completion of a workflow task that does not fit into one request: pages of commands go first,
 * one after the other, and the rest with the last one. A server says in the namespace whether it
 * takes that. */
#include "temporal/worker_half.h"

static struct str pack_page(struct call *c, const struct tw_task *k, PbCommand__Command **commands,
                            size_t n, struct err *e)
{
    struct arena *a = &c->arena;
    Pb__RespondWorkflowTaskCompletedRequest *q = bridge_new(
        a, Pb__RespondWorkflowTaskCompletedRequest, pb__respond_workflow_task_completed_request);
    q->namespace_ = bridge_text(a, str_of(c->t->ns));
    q->identity = bridge_text(a, str_of(c->t->identity));
    q->task_token = bridge_bytes(a, k->raw);
    q->worker_instance_key = bridge_text(a, str_of(k->w->key));
    q->deployment_options = tw_deployment(a, k->w, k->q->build);
    q->commands = commands;
    q->n_commands = n;
    q->page_number = (int32_t)k->pages.n;
    q->intermediate_page = true;
    return call_pack(c->t, a, q, e);
}

/* How many of the commands fill a page: one at least. */
static size_t take(PbCommand__Command **commands, size_t n, size_t *bytes)
{
    size_t at = 0;
    for (*bytes = 0; at < n; at++) {
        size_t size = protobuf_c_message_get_packed_size(&commands[at]->base) + 8;
        if (at && *bytes + size > TW_PAGE_BYTES) break;
        *bytes += size;
    }
    return at;
}

int tw_pages_make(struct call *c, struct tw_task *k, Pb__RespondWorkflowTaskCompletedRequest *q,
                  struct err *e)
{
    size_t n = q->n_commands, from = 0, bytes;
    PbCommand__Command **all = q->commands;
    struct str *p = arena_alloc(&c->arena, (n + 1) * sizeof *p);
    if (!p) return err_set(e, ERR_NOMEM, "out of memory for the request");
    k->pages.p = p;
    while (from < n) {
        size_t some = take(all + from, n - from, &bytes);
        if (from + some == n && bytes <= TW_PAGE_BYTES) break; /* these go with the rest */
        p[k->pages.n] = pack_page(c, k, all + from, some, e);
        k->pages.n++;
        from += some;
    }
    q->commands = from < n ? all + from : NULL;
    q->n_commands = n - from;
    q->page_number = (int32_t)k->pages.n;
    p[k->pages.n++] = call_pack(c->t, &c->arena, q, e);
    for (size_t i = 0; i < k->pages.n; i++)
        if (p[i].n > RPC_MESSAGE_MAX) return ERR_LIMIT;
    return e->code;
}

static int read_page(struct call *c, struct str bytes, struct err *e)
{
    struct tw_task *k = c->state;
    (void)bytes, (void)e;
    k->pages.at++;
    tw_pages_send(c, k, k->pages.last);
    return 0;
}

void tw_pages_send(struct call *c, struct tw_task *k, call_read_fn last)
{
    k->pages.last = last;
    call_turn(c); /* frees what the answer before was read into */
    call_send_bytes(c, METHOD("RespondWorkflowTaskCompleted"), k->pages.p[k->pages.at],
                    k->pages.at + 1 == k->pages.n ? last : read_page);
}

bool tw_pages_again(struct call *c, const struct status *s)
{
    struct tw_task *k = c->state;
    if (s->detail != DETAIL_BUFFER_LOST || !k->pages.n || k->pages.again == TW_PAGES_AGAIN)
        return false;
    k->pages.again++;
    k->pages.at = 0;
    tw_pages_send(c, k, k->pages.last);
    return true;
}
