/* What a server refuses by ending the run: a payload above its limit. It is found here first, so
 * that only the task fails. */
#include "temporal/worker_half.h"

int64_t tw_size(const struct rec *r)
{
    int64_t n = 0;
    for (const struct rec_field *f = r ? r->first : NULL; f; f = f->next) {
        n += 2;
        if (f->kind == REC_MSG)
            n += tw_size(f->v.m) + 3;
        else if (f->kind == REC_STR || f->kind == REC_BYTES || f->kind == REC_UNKNOWN)
            n += (int64_t)f->v.s.n + 3;
        else
            n += 4;
    }
    return n;
}

/* With a codec what it makes of them is measured; a request that it refuses is refused later. */
int64_t tw_size_sent(const struct tw *w, const struct rec *payloads)
{
    struct arena a;
    struct err e = {0};
    if (!w->t->codec || !payloads) return tw_size(payloads);
    arena_init(&a, 0);
    struct str bytes =
        call_pack(w->t, &a, bridge_message(&a, &pb_common__payloads__descriptor, payloads), &e);
    int64_t n = bytes.p ? (int64_t)bytes.n : tw_size(payloads);
    arena_free(&a);
    return n;
}

int tw_commands_fit(const struct tw *w, struct rec *const *commands, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++) {
        const struct rec *attrs = command_attrs(commands[i]);
        for (const struct rec_field *f = attrs ? attrs->first : NULL; f; f = f->next) {
            if (f->kind != REC_MSG) continue;
            int64_t size = 0;
            for (const struct rec_field *g = NULL; (g = rec_each(attrs, (int)f->tag, g));)
                size += tw_size(g->v.m);
            int64_t most = f->v.m->type == &rec_type_memo ? w->memo_max : w->blob_max;
            if (size <= most) continue;
            return err_set(e, ERR_LIMIT,
                           "command %s: its %s has %lld bytes, the namespace takes at most %lld: "
                           "keep large values in a store and pass their names",
                           command_name(command_type(commands[i])), f->ft ? f->ft->name : "value",
                           (long long)size, (long long)most);
        }
    }
    return 0;
}
