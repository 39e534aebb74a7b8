/* JSON at the edge <-> payloads and failures inside. */
#include "base/mem.h"
#include "host/host_internal.h"
#include "script/value.h"

#define FAILURE_DEPTH_MAX 20

static void one_payload(const struct rec *p, struct buf *out)
{
    struct str enc = payload_encoding(p);
    if (str_eqz(enc, PAYLOAD_JSON)) {
        buf_putstr(out, payload_data(p));
    } else if (str_eqz(enc, PAYLOAD_NULL)) {
        buf_puts(out, "null");
    } else {
        buf_puts(out, "{\"encoding\":");
        buf_put_json(out, enc);
        buf_puts(out, ",\"data\":\"");
        buf_put_base64(out, payload_data(p));
        buf_puts(out, "\"}");
    }
}

int payload_json(const struct rec *payloads, struct buf *out)
{
    size_t n = rec_count(payloads, T(payloads, payloads));
    if (n > 1) buf_putc(out, '[');
    for (const struct rec_field *f = rec_each(payloads, T(payloads, payloads), NULL); f;
         f = rec_each(payloads, T(payloads, payloads), f)) {
        if (f != rec_each(payloads, T(payloads, payloads), NULL)) buf_putc(out, ',');
        one_payload(f->v.m, out);
    }
    if (n > 1) buf_putc(out, ']');
    if (n == 0) buf_puts(out, "null");
    return out->code;
}

static void put_text(struct buf *out, const char *name, struct str v)
{
    buf_printf(out, ",\"%s\":", name);
    buf_put_json(out, v);
}

static void put_failure(const struct rec *f, struct buf *out, int depth)
{
    const struct rec *app = rec_msg(f, T(failure, application_failure_info));
    const struct rec *details = app ? rec_msg(app, T(application_failure_info, details)) : NULL;
    const struct rec *cause = rec_msg(f, T(failure, cause));
    struct str trace = rec_str(f, T(failure, stack_trace));
    buf_puts(out, "{\"type\":");
    buf_put_json(out, failure_type(f));
    put_text(out, "message", rec_str(f, T(failure, message)));
    if (app)
        buf_printf(out, ",\"retryable\":%s",
                   rec_int(app, T(application_failure_info, non_retryable)) ? "false" : "true");
    if (details) {
        buf_puts(out, ",\"details\":");
        payload_json(details, out);
    }
    if (trace.n) put_text(out, "stackTrace", trace);
    if (cause && depth < FAILURE_DEPTH_MAX) {
        buf_puts(out, ",\"cause\":");
        put_failure(cause, out, depth + 1);
    }
    buf_putc(out, '}');
}

int failure_json(const struct rec *failure, struct buf *out)
{
    put_failure(failure, out, 0);
    return out->code;
}

struct rec *failure_of_json(struct arena *a, const cJSON *j, int depth)
{
    struct rec *details = NULL, *cause = NULL;
    const cJSON *d = cJSON_GetObjectItemCaseSensitive(j, "details"),
                *c = cJSON_GetObjectItemCaseSensitive(j, "cause");
    const char *type = arg_str(j, "type"), *message = arg_str(j, "message");
    if (d) {
        char *text = cJSON_PrintUnformatted(d);
        struct str copy = arena_str(a, str_of(text));
        cJSON_free(text);
        if (copy.n) details = payloads_of_json(a, copy);
    }
    if (cJSON_IsObject(c) && depth < FAILURE_DEPTH_MAX) cause = failure_of_json(a, c, depth + 1);
    bool non_retryable = cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(j, "retryable"));
    return failure_app(a, arena_str(a, str_of(type ? type : "Failure")),
                       arena_str(a, str_of(message ? message : "")), non_retryable, details, cause);
}

int payloads_of_value(struct arena *a, const char *json, struct rec **out, struct err *e)
{
    struct buf canon;
    if (!json || !*json) {
        *out = NULL;
        return 0;
    }
    buf_init(&canon, VALUE_BYTES_MAX);
    int rc = value_canonical(str_of(json), &canon, e);
    if (rc == 0) {
        *out = payloads_of_json(a, arena_str(a, buf_str(&canon)));
        if (arena_failed(a)) rc = err_set(e, ERR_NOMEM, "out of memory");
    } else {
        err_prefix(e, rc == ERR_LIMIT ? "the value is too large" : "the value is not JSON");
    }
    buf_free(&canon);
    return rc;
}

/* Canonical text has no blanks, so elements end at a comma of depth 1 outside of strings. */
int payloads_of_args(struct arena *a, struct str json_array, struct rec **out, struct err *e)
{
    struct buf canon;
    struct rec *payloads = NULL;
    if (!json_array.n) {
        *out = NULL;
        return 0;
    }
    buf_init(&canon, VALUE_BYTES_MAX);
    int rc = value_canonical(json_array, &canon, e);
    if (rc) {
        err_prefix(e, "the arguments are not JSON");
        goto out;
    }
    if (canon.p[0] != '[') {
        rc = err_set(e, ERR_ARG, "the arguments must be a JSON array");
        goto out;
    }
    struct str text = arena_str(a, buf_str(&canon));
    size_t from = 1;
    int depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < text.n; i++) {
        char ch = text.p[i];
        if (quoted) {
            if (ch == '\\')
                i++;
            else if (ch == '"')
                quoted = false;
            continue;
        }
        if (ch == '"')
            quoted = true;
        else if (ch == '[' || ch == '{')
            depth++;
        else if (ch == ']' || ch == '}')
            depth--;
        bool ends = (ch == ',' && depth == 1) || (ch == ']' && depth == 0);
        if (!ends || i == from) continue;
        if (!payloads) payloads = rec_new(a, &rec_type_payloads);
        payloads_add(payloads, payload_new(a, PAYLOAD_JSON, str_make(text.p + from, i - from)));
        from = i + 1;
    }
    if (arena_failed(a))
        rc = err_set(e, ERR_NOMEM, "out of memory");
    else
        *out = payloads;
out:
    buf_free(&canon);
    return rc;
}

struct rec *payload_map(struct arena *a, const struct rec_type *type, int tag, const cJSON *object)
{
    struct rec *m = rec_new(a, type);
    const cJSON *v;
    cJSON_ArrayForEach(v, object)
    {
        char *text = cJSON_PrintUnformatted(v);
        struct rec *slot = rec_map_set(m, tag, arena_str(a, str_of(v->string)));
        struct rec *p = payload_new(a, PAYLOAD_JSON, arena_str(a, str_of(text)));
        cJSON_free(text);
        if (!slot || !p) continue;
        *slot = *p;
    }
    return m;
}

const char *status_name(enum backend_run_status s)
{
    switch (s) {
    case RUN_RUNNING:
        return "Running";
    case RUN_COMPLETED:
        return "Completed";
    case RUN_FAILED:
        return "Failed";
    case RUN_CANCELED:
        return "Canceled";
    case RUN_TERMINATED:
        return "Terminated";
    case RUN_CONTINUED_AS_NEW:
        return "ContinuedAsNew";
    case RUN_TIMED_OUT:
        return "TimedOut";
    }
    return "";
}

int64_t duration_of(const cJSON *j, struct err *e, const char *what)
{
    int64_t ns = 0;
    if (!j || cJSON_IsNull(j)) return 0;
    double v = cJSON_IsNumber(j) ? j->valuedouble : 0;
    if (cJSON_IsNumber(j) && v >= 0 && v <= (double)DURATION_MAX_S)
        return (int64_t)(v * (double)NS_PER_S);
    int rc = cJSON_IsString(j) ? duration_parse(str_of(j->valuestring), &ns) : ERR_ARG;
    if (!rc) return ns;
    char *shown = cJSON_PrintUnformatted(j);
    err_set(e, ERR_ARG, "%s must be %s, not %.100s", what,
            v < 0 ? "0 or longer"
            : v > (double)DURATION_MAX_S || rc == ERR_LIMIT
                ? "at most 100 years"
                : "a duration such as \"90s\", or seconds",
            shown ? shown : "this");
    cJSON_free(shown);
    return 0;
}
