/* The other side of the socket: a host whose verbs go to the process that owns the file. When the
 * owner goes, a host that had loaded a script races for the lock: the winner opens the file, loads
 * its scripts and goes on with what was asked; the others connect to the winner and ask again
 * (requests carry ids that stay the same). A host without scripts is told ML_E_CLOSED. */
#include "base/mem.h"
#include "host/host_internal.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define RACE_NS (50 * NS_PER_MS)

static void on_frame(void *ud, cJSON *frame);
static void on_lost(void *ud);
static void next_try(struct attach *a);

static int connect_to(struct attach *a, struct err *e)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int rc = owner_socket_path(a->h->path, addr.sun_path, false, e);
    if (rc) return rc;
    /* not blocking: an owner that does nothing lets its queue of connections fill */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) != 0) {
        close(fd);
        return err_set(e, ERR_BUSY, "%s is in use by another process that cannot be reached: %s",
                       a->h->path, strerror(errno));
    }
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0 || cred.uid != getuid()) {
        close(fd);
        return err_set(e, ERR_IO, "the process behind %s is of another user", addr.sun_path);
    }
    if (conn_new(a->h->loop, fd, on_frame, on_lost, a, &a->conn)) {
        close(fd);
        return err_set(e, ERR_NOMEM, "out of memory connecting to the owner of the file");
    }
    cJSON *f = cJSON_CreateObject(), *hello = cJSON_AddObjectToObject(f, "hello");
    arg_add(hello, "version", ml_version());
    if (hello && !cJSON_AddBoolToObject(hello, "events", a->h->cfg.event != NULL))
        hello->type = cJSON_Invalid; /* as arg_add does: it is not sent */
    if (!hello || cJSON_IsInvalid(hello)) {
        cJSON_Delete(f);
        f = NULL;
    }
    if (conn_send(a->conn, f)) { /* without it the owner answers nothing */
        conn_free(a->conn);
        a->conn = NULL;
        return err_set(e, ERR_NOMEM, "out of memory connecting to the owner of the file");
    }
    return 0;
}

int attach_open(ml_host *h, struct attach **out, struct err *e)
{
    struct attach *a = mem_zalloc(sizeof *a);
    if (!a) return err_set(e, ERR_NOMEM, "out of memory connecting to the owner of the file");
    a->h = h;
    int rc = connect_to(a, e);
    if (rc) {
        mem_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void attach_free_list(struct loaded_path *p)
{
    for (struct loaded_path *next; p; p = next) {
        next = p->next;
        mem_free(p->path);
        mem_free(p);
    }
}

static void remember(struct loaded_path **list, const char *text)
{
    for (struct loaded_path *p = *list; p; p = p->next)
        if (strcmp(p->path, text) == 0) return;
    struct loaded_path *p = mem_zalloc(sizeof *p);
    char *copy = p ? str_dup(str_of(text)) : NULL;
    if (!copy) { /* then this host does not take part in the race */
        mem_free(p);
        return;
    }
    *p = (struct loaded_path){copy, *list};
    *list = p;
}

void attach_close(struct attach *a)
{
    if (a->conn) conn_free(a->conn);
    if (a->timer) loop_timer_close(a->timer);
    attach_free_list(a->loads);
    attach_free_list(a->drives);
    a->h->attach = NULL;
    mem_free(a);
}

/* ---- asking ---- */
static void send_call(struct attach *a, struct hcall *c)
{
    cJSON *f = cJSON_CreateObject();
    c->sent = true;
    cJSON_AddNumberToObject(f, "id", (double)c->id);
    arg_add(f, "verb", c->verb->name);
    cJSON *args = cJSON_Duplicate(c->args, 1);
    if (!cJSON_AddItemToObject(f, "args", args)) { /* no half a request */
        cJSON_Delete(args);
        cJSON_Delete(f);
        f = NULL;
    }
    int rc = conn_send(a->conn, f);
    struct err e;
    if (rc == ERR_LIMIT || rc == ERR_NOMEM || rc == ERR_BUSY) {
        err_set(&e, rc,
                rc == ERR_LIMIT  ? "the request is larger than 16 MiB"
                : rc == ERR_BUSY ? "the process that owns the file does not read what it is asked"
                                 : "out of memory asking the process that owns the file");
        hcall_fail_later(c, &e);
    }
}

void attach_send(struct attach *a, struct hcall *c)
{
    c->id = ++a->next_id;
    if (a->conn && !a->reloading) send_call(a, c); /* else when there is an owner again */
}

static struct hcall *find_call(ml_host *h, uint64_t id)
{
    for (struct hcall *c = h->calls; c; c = c->next)
        if (c->sent && c->id == id) return c;
    return NULL;
}

static void take_event(ml_host *h, const cJSON *o)
{
    const char *time = arg_str(o, "time"), *id = arg_str(o, "eventId");
    const char *w = arg_str(o, "workflowId"), *r = arg_str(o, "runId"), *t = arg_str(o, "type"),
               *n = arg_str(o, "name"), *x = arg_str(o, "text");
    ml_event ev = {.kind = (enum ml_event_kind)arg_i64(o, "kind"),
                   .workflow_id = w ? w : "",
                   .run_id = r ? r : "",
                   .type = t ? t : "",
                   .name = n ? n : "",
                   .text = x ? x : "",
                   .event_id = id ? strtoll(id, NULL, 10) : 0,
                   .time_ns = time ? strtoll(time, NULL, 10) : 0,
                   .attempt = (int)arg_i64(o, "attempt")};
    host_event(h, &ev);
}

static void on_frame(void *ud, cJSON *frame)
{
    struct attach *a = ud;
    const cJSON *event = cJSON_GetObjectItemCaseSensitive(frame, "event"),
                *reply = cJSON_GetObjectItemCaseSensitive(frame, "reply");
    if (event) take_event(a->h, event);
    struct hcall *c = reply ? find_call(a->h, (uint64_t)arg_i64(frame, "id")) : NULL;
    if (!c) return;
    ml_reply r = {.code = (int)arg_i64(reply, "code"),
                  .text = arg_str(reply, "text"),
                  .workflow_id = arg_str(reply, "workflowId"),
                  .run_id = arg_str(reply, "runId"),
                  .next_page = arg_str(reply, "nextPage"),
                  .status = arg_str(reply, "status"),
                  .json = arg_str(reply, "json"),
                  .failure_json = arg_str(reply, "failure"),
                  .existing = arg_bool(reply, "existing")};
    const char *driven = strcmp(c->verb->name, "drive") == 0 ? arg_str(c->args, "id")
                         : arg_bool(c->args, "drive")        ? r.workflow_id
                                                             : NULL;
    if (driven && r.code == 0) remember(&a->drives, driven);
    hcall_reply(c, &r);
}

/* ---- the owner is gone ---- */
static void send_pending(struct attach *a)
{
    for (struct hcall *c = a->h->calls, *next; c; c = next) {
        next = c->next;
        if (!c->verb->local_only && !c->ending && a->conn) send_call(a, c);
    }
}

static void run_pending(ml_host *h)
{
    struct hcall *newest = h->calls, *c = newest, *next;
    while (c && c->next)
        c = c->next;
    for (; c; c = next) { /* oldest first; what a verb adds meanwhile comes before `newest` */
        next = c == newest ? NULL : c->prev;
        if (!c->verb->local_only && !c->ending) hcall_run(c);
    }
    struct loaded_path *drives = h->drives;
    h->drives = NULL;
    for (struct loaded_path *p = drives; p; p = p->next)
        ml_drive(h, p->path);
    attach_free_list(drives);
}

static void reloaded_here(void *ud, const ml_load_result *r)
{
    ml_host *h = ud;
    if (r->code) host_say(h, ML_EVENT_BLOCKED, "", r->text);
    if (h->reloads && --h->reloads == 0) run_pending(h);
}

/* This host holds the lock now. */
static void become_owner(struct attach *a)
{
    ml_host *h = a->h;
    struct err e = {0};
    struct loaded_path *loads = a->loads, *drives = a->drives;
    a->loads = a->drives = NULL;
    attach_close(a);
    int rc = host_open_engine(h, &e);
    if (rc) {
        host_fail_calls(h, &e);
        host_give_up(h, &e);
    } else {
        host_say(h, ML_EVENT_ATTACHED, "",
                 "the owner is gone: this process owns the file now and goes on");
    }
    h->drives = drives;
    h->reloads = 1;
    while (loads) {
        struct loaded_path *p = loads;
        loads = p->next;
        if (rc == 0) {
            h->reloads++;
            if (ml_load(h, p->path, NULL, 0, reloaded_here, h)) {
                h->reloads--;
                host_say(h, ML_EVENT_BLOCKED, "", h->last.text);
            }
        }
        mem_free(p->path);
        mem_free(p);
    }
    if (--h->reloads == 0 && rc == 0) run_pending(h);
}

static void reloaded_there(void *ud, const ml_reply *r)
{
    struct attach *a = ((ml_host *)ud)->attach;
    (void)r;
    if (a && a->reloading && --a->reloading == 0) send_pending(a);
}

static void reattached(struct attach *a)
{
    host_say(a->h, ML_EVENT_ATTACHED, "",
             "another process owns the file now: this one talks to it");
    struct hcall *old = a->h->calls;
    for (struct hcall *c = old; c; c = c->next)
        c->sent = false;
    for (struct loaded_path *p = a->loads; p; p = p->next)
        a->reloading++;
    for (struct loaded_path *p = a->loads; p; p = p->next) {
        cJSON *args = cJSON_CreateObject();
        arg_add(args, "path", p->path);
        struct hcall *c = hcall_new(a->h, verb_find("load"), args, reloaded_there, a->h);
        if (!c) {
            a->reloading--;
            continue;
        }
        c->id = ++a->next_id;
        send_call(a, c);
    }
    for (struct loaded_path *p = a->drives; p; p = p->next) {
        cJSON *args = cJSON_CreateObject();
        arg_add(args, "id", p->path);
        struct hcall *c = hcall_new(a->h, verb_find("drive"), args, NULL, NULL);
        if (c) c->id = ++a->next_id; /* sent with what is pending */
    }
    if (!a->reloading) send_pending(a);
}

static void on_try(void *ud)
{
    struct attach *a = ud;
    ml_host *h = a->h;
    struct err e = {0};
    int rc = owner_lock(h, &e);
    if (rc == 0) {
        become_owner(a);
        return;
    }
    if (rc == ERR_BUSY && connect_to(a, &e) == 0) {
        reattached(a);
        return;
    }
    next_try(a);
}

static void next_try(struct attach *a)
{
    if (!a->timer && loop_timer_open(a->h->loop, on_try, a, &a->timer)) {
        struct err e;
        err_set(&e, ERR_NOMEM, "out of memory waiting for the file");
        host_fail_calls(a->h, &e);
        return;
    }
    loop_timer_start(a->timer, RACE_NS);
}

static bool load_pending(const ml_host *h)
{
    for (const struct hcall *c = h->calls; c; c = c->next)
        if (strcmp(c->verb->name, "load") == 0 && !c->ending) return true;
    return false;
}

static void on_lost(void *ud)
{
    struct attach *a = ud;
    a->conn = NULL;
    a->reloading = 0;
    if (!a->loads && !load_pending(a->h)) {
        struct err e;
        err_set(&e, ERR_CLOSED, "the process that owned %s has ended before it answered",
                a->h->path);
        host_fail_calls(a->h, &e);
    }
    next_try(a);
}

/* ---- loading ---- */
struct remote_load {
    ml_host *h;
    char *path;
    char **copies;
    size_t argc;
    ml_load_fn fn;
    void *ud;
};

static void remote_load_free(struct remote_load *q)
{
    for (size_t i = 0; q->copies && i < q->argc; i++)
        mem_free(q->copies[i]);
    mem_free(q->copies);
    mem_free(q->path);
    mem_free(q);
}

static void remote_load_drop(void *ud)
{
    remote_load_free(ud);
}

/* What the owner calls a script error may be a plain program, which runs here. */
static void on_remote_loaded(void *ud, const ml_reply *r)
{
    struct remote_load *q = ud;
    ml_host *h = q->h;
    struct err e = {0};
    int rc = r->code;
    const char *text = r->text;
    if (rc == 0 && h->attach) remember(&h->attach->loads, q->path);
    if (rc == ML_E_SCRIPT && q->copies) {
        rc = program_start(h, q->path, (const char *const *)q->copies, q->argc, q->fn, q->ud, &e);
        if (rc == 0)
            q->fn = NULL;
        else
            text = e.text;
    }
    ml_load_result out = {.code = rc, .text = text, .definitions_json = r->json ? r->json : "[]"};
    if (q->fn && !h->closing) q->fn(q->ud, &out);
    remote_load_free(q);
}

int attach_load(ml_host *h, const char *path, const char *const *args, size_t argc, ml_load_fn fn,
                void *ud)
{
    char real[4096];
    if (!realpath(path, real)) return err_set(&h->last, ERR_NOTFOUND, "no script %s", path);
    struct remote_load *q = mem_zalloc(sizeof *q);
    cJSON *a = cJSON_CreateObject();
    arg_add(a, "path", real);
    if (q)
        *q = (struct remote_load){
            .h = h, .path = str_dup(str_of(real)), .argc = argc, .fn = fn, .ud = ud};
    if (q && args) q->copies = mem_zalloc((argc + 1) * sizeof *q->copies);
    bool fine = q && q->path && (!args || q->copies);
    for (size_t i = 0; fine && args && i < argc; i++)
        fine = (q->copies[i] = str_dup(str_of(args[i]))) != NULL;
    if (!fine) {
        cJSON_Delete(a);
        if (q) remote_load_free(q);
        return err_set(&h->last, ERR_NOMEM, "out of memory loading %s", path);
    }
    int rc = host_verb_owned(h, "load", a, on_remote_loaded, q, remote_load_drop);
    if (rc) remote_load_free(q);
    return rc;
}
