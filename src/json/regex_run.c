/* Runs a pattern: all threads at once, one character after the other (Thompson's way). A thread is
 * an instruction; each is in the list once, so a character costs at most the pattern's length. */
#include "json/regex.h"

struct list {
    uint32_t *pcs, n;
};
struct runner {
    const struct regex *r;
    uint32_t *mark, *stack, turn;
    const char *p, *begin, *end;
};

size_t regex_scratch(const struct regex *r)
{
    return 6 * (size_t)r->n_insns + 8;
}

static bool is_word(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool at_word_edge(const struct runner *run)
{
    bool before = run->p > run->begin && is_word(run->p[-1]);
    bool behind = run->p < run->end && is_word(*run->p);
    return before != behind;
}

/* Follows jumps from pc at this place of the text. True: the end of the pattern was reached. */
static bool follow(struct runner *run, struct list *to, uint32_t pc)
{
    uint32_t n = 0;
    bool go;
    run->stack[n++] = pc;
    while (n > 0) {
        pc = run->stack[--n];
        if (run->mark[pc] == run->turn) continue;
        run->mark[pc] = run->turn;
        const struct regex_insn *i = &run->r->insns[pc];
        switch (i->op) {
        case REGEX_MATCH:
            return true;
        case REGEX_SPLIT:
            run->stack[n++] = (uint32_t)((int32_t)pc + i->y);
            run->stack[n++] = (uint32_t)((int32_t)pc + i->x);
            continue;
        case REGEX_JUMP:
            run->stack[n++] = (uint32_t)((int32_t)pc + i->x);
            continue;
        case REGEX_BEGIN:
            go = run->p == run->begin;
            break;
        case REGEX_END:
            go = run->p == run->end;
            break;
        case REGEX_WORD:
            go = at_word_edge(run);
            break;
        case REGEX_NOT_WORD:
            go = !at_word_edge(run);
            break;
        default:
            to->pcs[to->n++] = pc;
            continue;
        }
        if (go) run->stack[n++] = pc + 1;
    }
    return false;
}

static bool takes(const struct regex *r, const struct regex_insn *i, uint32_t ch)
{
    if (i->op == REGEX_CHAR) return (uint32_t)i->x == ch;
    if (i->op == REGEX_ANY) return ch != '\n' && ch != '\r' && ch != 0x2028 && ch != 0x2029;
    bool in = false;
    for (int32_t k = 0; k < i->y && !in; k++)
        in = ch >= r->ranges[i->x + k].from && ch <= r->ranges[i->x + k].to;
    return in == (i->op == REGEX_SET);
}

int regex_search(const struct regex *r, struct str text, uint32_t *scratch, uint64_t *steps)
{
    size_t n = r->n_insns;
    struct list now = {scratch, 0}, then = {scratch + n, 0};
    struct runner run = {.r = r, .mark = scratch + 2 * n, .stack = scratch + 3 * n};
    run.p = run.begin = text.p ? text.p : "";
    run.end = run.begin + text.n;
    memset(run.mark, 0, n * sizeof *run.mark);
    run.turn = 1;
    for (;;) {
        /* a match may begin at each place */
        if (follow(&run, &now, 0)) return 1;
        if (run.p >= run.end) return 0;
        uint64_t cost = now.n + 1u;
        for (uint32_t i = 0; i < now.n; i++)
            if (r->insns[now.pcs[i]].op >= REGEX_SET) cost += (uint32_t)r->insns[now.pcs[i]].y;
        if (*steps < cost) {
            *steps = 0;
            return ERR_LIMIT;
        }
        *steps -= cost;
        uint32_t ch = regex_char(&run.p);
        run.turn++;
        then.n = 0;
        for (uint32_t i = 0; i < now.n; i++)
            if (takes(r, &r->insns[now.pcs[i]], ch) && follow(&run, &then, now.pcs[i] + 1))
                return 1;
        struct list t = now;
        now = then;
        then = t;
    }
}
