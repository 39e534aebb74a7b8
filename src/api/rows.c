/* The caller's rows: JSON objects under (table, id), apart from everything that the engine keeps,
 * so that no name a script may choose reaches its tables. Reads see what is committed. What a
 * handler wants to write are intents, each a guard of the batch: a row that is there already, is
 * missing, is at another version, or breaks a unique index undoes the whole. */
#include "api/api_internal.h"

bool api_name_ok(struct str name)
{
    for (size_t i = 0; i < name.n; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9')) return false;
    }
    return name.n >= 1 && name.n <= 63;
}

const char *api_shape(struct api *a, struct str sql)
{
    char *text = map_get(&a->shapes, sql);
    if (text) return text;
    if (a->shapes.n >= API_SHAPES_MAX) return NULL;
    text = str_dup(sql);
    if (text && map_set(&a->shapes, sql, text) == 0) return text;
    mem_free(text);
    return NULL;
}

/* The row with its id, in one object: the id is a field of it. */
#define INTENTS_MAX 250
#define ROW_TEXT "json_set(row, '$.id', id)"

int api_row_get(struct api *a, struct str table, struct str id, struct buf *out, int64_t *version,
                struct err *e)
{
    struct store_read *r = NULL;
    int rc = store_read_open(a->store, &r, e,
                             "SELECT " ROW_TEXT ", version FROM api_rows WHERE tab = ? AND id = ?",
                             "ss", table, id);
    int got = rc ? rc : store_read_next(r);
    if (got == 1) {
        rc = buf_putstr(out, store_read_str(r, 0));
        *version = store_read_i64(r, 1);
    }
    store_read_close(r);
    if (got == 1) return rc ? err_set(e, rc, "a row is too large") : 0;
    if (got == 0) return err_set(e, ERR_NOTFOUND, "there is no row " STR_FMT, STR_ARG(id));
    return e->code ? e->code : err_set(e, got, "a row could not be read");
}

/* ---- queries ---- */
static int op_ok(struct str op)
{
    static const char *const ops[] = {"=", "<>", "<", "<=", ">", ">="};
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (str_eqz(op, ops[i])) return 1;
    return 0;
}

static int query_text(const struct api_query *q, struct buf *sql, struct err *e)
{
    if (!api_name_ok(q->table))
        return err_set(e, ERR_ARG, "\"" STR_FMT "\" is no name of a table", STR_ARG(q->table));
    if (q->n_where > 8) return err_set(e, ERR_LIMIT, "a query has at most 8 conditions");
    buf_printf(sql, "SELECT " ROW_TEXT " FROM api_rows WHERE tab = '" STR_FMT "'",
               STR_ARG(q->table));
    for (size_t i = 0; i < 8; i++) {
        const struct api_where *w = &q->where[i];
        if (i >= q->n_where) {
            buf_puts(sql, " AND ? IS NULL");
            continue;
        }
        if (!api_name_ok(w->field) || !op_ok(w->op))
            return err_set(e, ERR_ARG, "\"" STR_FMT " " STR_FMT "\" is no condition",
                           STR_ARG(w->field), STR_ARG(w->op));
        bool id = str_eqz(w->field, "id"), null = str_eqz(w->json, "null");
        const char *op = !null ? NULL : str_eqz(w->op, "=") ? "IS" : "IS NOT";
        buf_puts(sql, " AND ");
        buf_printf(sql, id ? "id" : "json_extract(row, '$." STR_FMT "')", STR_ARG(w->field));
        buf_printf(sql, " " STR_FMT " json_extract(?, '$')", STR_ARG(op ? str_of(op) : w->op));
    }
    if (q->order.n && !api_name_ok(q->order))
        return err_set(e, ERR_ARG, "\"" STR_FMT "\" is no name of a field", STR_ARG(q->order));
    buf_puts(sql, " AND id > ? ORDER BY ");
    if (q->order.n && !str_eqz(q->order, "id"))
        buf_printf(sql, "json_extract(row, '$." STR_FMT "')%s, ", STR_ARG(q->order),
                   q->descending ? " DESC" : "");
    buf_printf(sql, "id%s LIMIT ?", q->descending ? " DESC" : "");
    return sql->code ? err_set(e, sql->code, "the query is too long") : 0;
}

int api_row_query(struct api *a, const struct api_query *q, struct buf *out, struct err *e)
{
    struct buf sql;
    struct store_read *r = NULL;
    struct str v[8] = {{0}};
    buf_init(&sql, 16384);
    int rc = query_text(q, &sql, e);
    const char *text = rc ? NULL : api_shape(a, buf_str(&sql));
    buf_free(&sql);
    if (rc) return rc;
    if (!text) return err_set(e, ERR_LIMIT, "there are too many different queries");
    for (size_t i = 0; i < q->n_where; i++)
        v[i] = q->where[i].json;
    int64_t limit = q->limit > 0 && q->limit <= 1000 ? q->limit : 100;
    rc = store_read_open(a->store, &r, e, text, "sssssssssi", v[0], v[1], v[2], v[3], v[4], v[5],
                         v[6], v[7], q->after.p ? q->after : STR(""), limit);
    bool first = true;
    buf_putc(out, '[');
    while (rc == 0 && (rc = store_read_next(r)) == 1) {
        if (!first) buf_putc(out, ',');
        buf_putstr(out, store_read_str(r, 0));
        first = false;
        rc = 0;
    }
    store_read_close(r);
    buf_putc(out, ']');
    if (rc < 0) return e->code ? e->code : err_set(e, rc, "the rows could not be read");
    return out->code ? err_set(e, out->code, "the rows do not fit in memory: use a limit") : 0;
}

/* ---- intents ---- */
/* What a row has in these fields; where one is missing it shares nothing with any other row. */
#define VALUE_OF(fields)                                                                           \
    "(SELECT CASE WHEN max(json_extract(r.row, '$.' || f.value) IS NULL) THEN 'no ' || r.id ELSE " \
    "json_group_array(json_extract(r.row, '$.' || f.value)) END FROM json_each(" fields ") f)"

static void take_values(struct store_batch *b, const struct api_intent *x)
{
    store_batch_guard(
        b,
        "INSERT INTO api_values(tab, fields, value, id) SELECT u.tab, u.fields, " VALUE_OF(
            "u.fields") ", id FROM api_rows r JOIN api_uniques u ON u.tab = r.tab WHERE r.tab = ? "
                        "AND r.id = ?",
        "ss", x->table, x->id);
}

static void drop_values(struct store_batch *b, const struct api_intent *x)
{
    store_batch_add(b, "DELETE FROM api_values WHERE tab = ? AND id = ?", "ss", x->table, x->id);
}

static void add_one(struct store_batch *b, const struct api_intent *x, int64_t now)
{
    switch (x->kind) {
    case API_INSERT:
        store_batch_guard(b,
                          "INSERT INTO api_rows(tab, id, row, version, created_at, changed_at) "
                          "VALUES(?1, ?2, json_remove(json(?3), '$.id'), 1, ?4, ?4)",
                          "sssi", x->table, x->id, x->row, now);
        break;
    case API_UPDATE:
        store_batch_guard(b,
                          "UPDATE api_rows SET row = json_remove(json_patch(row, ?3), '$.id'), "
                          "version = version + 1, changed_at = ?4 WHERE tab = ?1 AND id = ?2 AND "
                          "(?5 = 0 OR version = ?5)",
                          "sssii", x->table, x->id, x->row, now, x->if_version);
        break;
    case API_DELETE:
        store_batch_guard(b,
                          "DELETE FROM api_rows WHERE tab = ?1 AND id = ?2 AND (?3 = 0 OR version "
                          "= ?3)",
                          "ssi", x->table, x->id, x->if_version);
        break;
    }
}

int api_intents_guard(struct api *a, struct store_batch *b, const struct api_intent *intents,
                      size_t n, struct api_guards *g, struct err *e)
{
    int64_t now = api_now(a);
    if (n > INTENTS_MAX || g->n + 2 * n > sizeof g->kinds)
        return err_set(e, ERR_LIMIT, "more than %d rows are written by one call", INTENTS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct api_intent *x = &intents[i];
        if (!api_name_ok(x->table))
            return err_set(e, ERR_ARG,
                           "\"" STR_FMT "\" is no name of a table: letters, digits and _, 63 at "
                           "most",
                           STR_ARG(x->table));
        if (!x->id.n || x->id.n > 200) return err_set(e, ERR_ARG, "a row's id has 1 to 200 bytes");
        if (x->kind != API_DELETE && (!x->row.n || *x->row.p != '{'))
            return err_set(e, ERR_ARG, "a row is an object");
        add_one(b, x, now);
        g->kinds[g->n++] = GUARD_ROW;
        if (!map_get(&a->uniques, x->table)) continue;
        if (x->kind != API_INSERT) drop_values(b, x);
        if (x->kind == API_DELETE) continue;
        take_values(b, x);
        g->kinds[g->n++] = GUARD_ROW;
    }
    return 0;
}

int api_intents_add(struct api *a, struct store_batch *b, const struct api_intent *intents,
                    size_t n, struct err *e)
{
    struct api_guards g = {.n = 0};
    return api_intents_guard(a, b, intents, n, &g, e);
}

/* ---- fields that are unique ---- */
int api_uniques_load(struct api *a, struct err *e)
{
    struct store_read *r = NULL;
    int rc = store_read_open(a->store, &r, e, "SELECT DISTINCT tab FROM api_uniques", "");
    while (rc == 0 && (rc = store_read_next(r)) == 1)
        rc = map_set(&a->uniques, store_read_str(r, 0), a);
    store_read_close(r);
    return rc < 0 ? (e->code ? e->code : err_set(e, rc, "what is unique could not be read")) : 0;
}

int api_unique(struct api *a, struct str table, const struct str *fields, size_t n,
               store_answer_fn fn, void *ud, struct err *e)
{
    struct buf list;
    buf_init(&list, 1024);
    if (!api_name_ok(table))
        return err_set(e, ERR_ARG, "\"" STR_FMT "\" is no name of a table", STR_ARG(table));
    if (n < 1 || n > 8) return err_set(e, ERR_ARG, "1 to 8 fields are unique together");
    for (size_t i = 0; i < n; i++) {
        if (!api_name_ok(fields[i])) {
            buf_free(&list);
            return err_set(e, ERR_ARG, "\"" STR_FMT "\" is no name of a field", STR_ARG(fields[i]));
        }
        buf_printf(&list, "%c\"" STR_FMT "\"", i ? ',' : '[', STR_ARG(fields[i]));
    }
    buf_putc(&list, ']');
    struct store_batch *b = list.code ? NULL : store_batch_new(a->store);
    if (!b || map_set(&a->uniques, table, a)) {
        if (b) store_batch_free(b);
        buf_free(&list);
        return err_set(e, ERR_NOMEM, "out of memory");
    }
    store_batch_add(b, "INSERT INTO api_uniques(tab, fields) VALUES(?, ?) ON CONFLICT DO NOTHING",
                    "ss", table, buf_str(&list));
    store_batch_add(
        b,
        "INSERT INTO api_values(tab, fields, value, id) SELECT r.tab, ?2, " VALUE_OF(
            "?2") ", r.id FROM api_rows r WHERE tab = ?1 AND NOT EXISTS (SELECT 1 FROM api_values "
                  "v WHERE v.tab = ?1 AND v.fields = ?2 AND v.id = r.id)",
        "ss", table, buf_str(&list));
    buf_free(&list);
    store_submit(a->store, b, fn, ud);
    return 0;
}
