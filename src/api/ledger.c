/* Credits, double entry. Accounts: `issued` (what was ever given out, negative), `spent`,
 * "credit:PRINCIPAL" (free to use) and "held:PRINCIPAL" (reserved by runs that are open). Each
 * entry moves an amount; a trigger keeps the balances, a constraint keeps them from going below
 * zero, so that the commit itself is the guard. */
#include "api/api_internal.h"

static const char entry_sql[] =
    "INSERT INTO api_ledger(at, kind, source, target, amount, reservation) VALUES(?, ?, ? || ?, ? "
    "|| ?, ?, ?)";

int64_t api_balance(struct api *a, struct str principal)
{
    struct store_read *r = NULL;
    int64_t n = 0;
    if (store_read_open(a->store, &r, NULL,
                        "SELECT balance FROM api_accounts WHERE account = 'credit:' || ?", "s",
                        principal) == 0 &&
        store_read_next(r) == 1)
        n = store_read_i64(r, 0);
    store_read_close(r);
    return n;
}

void api_ledger_grant(struct store_batch *b, struct str principal, int64_t amount, int64_t now)
{
    store_batch_add(b, entry_sql, "izzzzsin", now, "grant", LEDGER_ISSUED, "", "credit:", principal,
                    amount);
}

void api_ledger_take_back(struct store_batch *b, struct str principal, int64_t amount, int64_t now)
{
    store_batch_guard(b, entry_sql, "izzszzin", now, "take back", "credit:", principal,
                      LEDGER_ISSUED, "", amount);
}

void api_ledger_reserve(struct store_batch *b, struct str principal, struct str id, int64_t amount,
                        struct str workflow_id, int64_t now)
{
    store_batch_guard(b, entry_sql, "izzszsis", now, "reserve", "credit:", principal,
                      "held:", principal, amount, id);
    store_batch_add(b,
                    "INSERT INTO api_reservations(id, principal, amount, workflow_id, state, at) "
                    "VALUES(?, ?, ?, ?, 'open', ?)",
                    "ssisi", id, principal, amount, workflow_id, now);
}

void api_ledger_close(struct store_batch *b, struct str id, bool settle, int64_t now)
{
    store_batch_guard(
        b,
        settle ? "UPDATE api_reservations SET state = 'settled', closed_at = ? WHERE id = ? AND "
                 "state = 'open'"
               : "UPDATE api_reservations SET state = 'released', closed_at = ? WHERE id = ? AND "
                 "state = 'open'",
        "is", now, id);
    store_batch_add(
        b,
        settle ? "INSERT INTO api_ledger(at, kind, source, target, amount, reservation) SELECT ?, "
                 "'settle', 'held:' || principal, 'spent', amount, id FROM api_reservations WHERE "
                 "id = ?"
               : "INSERT INTO api_ledger(at, kind, source, target, amount, reservation) SELECT ?, "
                 "'release', 'held:' || principal, 'credit:' || principal, amount, id FROM "
                 "api_reservations WHERE id = ?",
        "is", now, id);
}

/* ---- proof ---- */
static int64_t number(struct api *a, const char *sql, struct err *e)
{
    struct store_read *r = NULL;
    int64_t n = -1;
    if (store_read_open(a->store, &r, e, sql, "") == 0 && store_read_next(r) == 1)
        n = store_read_i64(r, 0);
    else if (e && !e->code)
        err_set(e, ERR_IO, "the ledger could not be read");
    store_read_close(r);
    return n;
}

int api_ledger_verify(struct api *a, struct buf *out, bool *ok, struct err *e)
{
    /* one condition a row: how many break it, and what that means */
    static const struct {
        const char *sql, *why;
    } checks[] = {
        {"SELECT coalesce(sum(balance), 0) <> 0 FROM api_accounts",
         "the accounts do not sum up to zero"},
        {"SELECT count(*) FROM api_accounts LEFT JOIN (SELECT account, sum(x) AS s FROM (SELECT "
         "target AS account, amount AS x FROM api_ledger UNION ALL SELECT source, -amount FROM "
         "api_ledger) GROUP BY account) USING (account) WHERE balance <> coalesce(s, 0)",
         "a balance is not the sum of its entries"},
        {"SELECT count(*) FROM api_accounts WHERE balance < 0 AND account <> 'issued'",
         "an account is below zero"},
        {"SELECT count(*) FROM (SELECT id FROM api_reservations r WHERE (SELECT count(*) FROM "
         "api_ledger WHERE reservation = r.id AND kind = 'reserve') <> 1 OR (SELECT count(*) FROM "
         "api_ledger WHERE reservation = r.id AND kind <> 'reserve') <> (state <> 'open'))",
         "a reservation does not have the entries of its state"},
        {"SELECT count(*) FROM api_accounts a WHERE account LIKE 'held:%' AND balance <> (SELECT "
         "coalesce(sum(amount), 0) FROM api_reservations WHERE state = 'open' AND 'held:' || "
         "principal = a.account)",
         "what is held is not the sum of the open reservations"},
    };
    struct err why = {0};
    const char *broken = NULL;
    for (size_t i = 0; i < sizeof checks / sizeof *checks && !broken && !why.code; i++)
        if (number(a, checks[i].sql, &why) > 0) broken = checks[i].why;
    int64_t entries = number(a, "SELECT count(*) FROM api_ledger", &why);
    int64_t open = number(a, "SELECT count(*) FROM api_reservations WHERE state = 'open'", &why);
    int64_t all = number(a, "SELECT count(*) FROM api_reservations", &why);
    if (why.code) {
        if (e) *e = why;
        return why.code;
    }
    *ok = broken == NULL;
    buf_printf(out, "{\"ok\":%s", broken ? "false" : "true");
    if (broken) buf_printf(out, ",\"why\":\"%s\"", broken);
    buf_printf(out, ",\"entries\":%lld,\"reservations\":%lld,\"open\":%lld}", (long long)entries,
               (long long)all, (long long)open);
    return out->code;
}
