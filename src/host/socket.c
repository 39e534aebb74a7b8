/* The owner's side of the socket: other processes of the same user run verbs here and may listen to
 * events. Keeps true: only this user's processes are heard, and a reply finds its client by an id
 * that goes stale when the client has left. */
#include "base/fault.h"
#include "base/mem.h"
#include "host/host_internal.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void client_free(struct server_client *k)
{
    struct server *s = k->s;
    idmap_del(&s->ids, k->id);
    if (k->prev)
        k->prev->next = k->next;
    else
        s->clients = k->next;
    if (k->next) k->next->prev = k->prev;
    s->n--;
    mem_free(k);
}

static void on_closed(void *ud)
{
    client_free(ud);
}

/* ---- a verb's reply ---- */
struct remote {
    struct server *s;
    ml_host *h;
    uint64_t client;
    double id;
};

static cJSON *reply_frame(double id, const ml_reply *r)
{
    cJSON *f = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(f, "reply");
    bool fine = cJSON_AddNumberToObject(f, "id", id) && cJSON_AddNumberToObject(o, "code", r->code);
    if (f && !fine) f->type = cJSON_Invalid; /* as arg_add does */
    arg_add(o, "text", r->text);
    arg_add(o, "workflowId", r->workflow_id);
    arg_add(o, "runId", r->run_id);
    arg_add(o, "nextPage", r->next_page);
    arg_add(o, "status", r->status);
    arg_add(o, "json", r->json);
    arg_add(o, "failure", r->failure_json);
    if (r->existing) arg_add_true(o, "existing");
    return f;
}

static void on_reply(void *ud, const ml_reply *r)
{
    struct remote *q = ud;
    struct server_client *k = q->h->server ? idmap_get(&q->h->server->ids, q->client) : NULL;
    FAULT("host.answer.before");
    int rc = k ? conn_send(k->conn, reply_frame(q->id, r)) : 0;
    FAULT("host.answer.after");
    if (rc == ERR_LIMIT) {
        ml_reply big = {.code = ML_E_LIMIT,
                        .text = "the answer is larger than 16 MiB; ask the process that owns the "
                                "file, or stop it first"};
        rc = conn_send(k->conn, reply_frame(q->id, &big));
    }
    if (rc) conn_hang_up(k->conn); /* it would wait for ever for an answer that cannot be sent */
    mem_free(q);
}

static void on_frame(void *ud, cJSON *frame)
{
    struct server_client *k = ud;
    ml_host *h = k->s->h;
    const cJSON *hello = cJSON_GetObjectItemCaseSensitive(frame, "hello"),
                *id = cJSON_GetObjectItemCaseSensitive(frame, "id");
    if (hello) {
        cJSON *f = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(f, "hello");
        k->hello = true;
        k->events = arg_bool(hello, "events");
        cJSON_AddStringToObject(o, "version", ml_version());
        cJSON_AddNumberToObject(o, "pid", (double)getpid());
        conn_send(k->conn, f);
        return;
    }
    const char *verb = arg_str(frame, "verb");
    cJSON *args = cJSON_DetachItemFromObjectCaseSensitive(frame, "args");
    struct remote *q = k->hello && verb && cJSON_IsNumber(id) ? mem_zalloc(sizeof *q) : NULL;
    if (!q) {
        cJSON_Delete(args);
        if (verb) conn_hang_up(k->conn); /* no hello, no number to answer to, or out of memory */
        return;
    }
    *q = (struct remote){k->s, h, k->id, id->valuedouble};
    struct err before = h->last;
    FAULT("host.request");
    int rc = host_verb_owned(h, verb, args ? args : cJSON_CreateObject(), on_reply, q, mem_free);
    if (rc) {
        ml_reply r = {.code = rc, .text = h->last.text};
        on_reply(q, &r);
        h->last = before;
    }
}

static bool same_user(int fd, pid_t *pid)
{
    struct ucred cred;
    socklen_t n = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &n) != 0) return false;
    *pid = cred.pid;
    return cred.uid == getuid();
}

/* No descriptor is free: left waiting, the peer would keep the loop turning. */
static void turn_away(struct server *s)
{
    if (s->spare < 0) return;
    close(s->spare);
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) close(fd);
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_accept(void *ud, int events, int error)
{
    struct server *s = ud;
    (void)events;
    if (error) return;
    int fd = accept4(s->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        turn_away(s);
        return;
    }
    if (fd < 0) return;
    pid_t pid = 0;
    struct server_client *k =
        s->n < HOST_CLIENTS_MAX && same_user(fd, &pid) ? mem_zalloc(sizeof *k) : NULL;
    uint64_t id = k ? idmap_add(&s->ids, k) : 0;
    if (!id) {
        mem_free(k);
        close(fd);
        return;
    }
    *k = (struct server_client){.s = s, .id = id, .pid = pid};
    if (conn_new(s->h->loop, fd, on_frame, on_closed, k, &k->conn)) {
        idmap_del(&s->ids, id);
        mem_free(k);
        close(fd);
        return;
    }
    k->next = s->clients;
    if (k->next) k->next->prev = k;
    s->clients = k;
    s->n++;
}

static int listen_on(struct server *s, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int rc = owner_socket_path(s->h->path, a.sun_path, true, e);
    if (rc) return rc;
    s->path = str_dup(str_of(a.sun_path));
    s->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!s->path || s->fd < 0) return err_set(e, ERR_IO, "socket: %s", strerror(errno));
    unlink(a.sun_path); /* left by an owner that was killed: we hold the lock, so nobody listens
                           there */
    if (bind(s->fd, (struct sockaddr *)&a, sizeof a) != 0 || listen(s->fd, 64) != 0)
        return err_set(e, ERR_IO, "cannot listen on %s: %s", a.sun_path, strerror(errno));
    rc = loop_io_open(s->h->loop, s->fd, on_accept, s, &s->io);
    if (rc) return err_set(e, rc, "cannot watch %s", a.sun_path);
    loop_io_want(s->io, LOOP_READ);
    return 0;
}

int server_open(ml_host *h, struct server **out, struct err *e)
{
    struct server *s = mem_zalloc(sizeof *s);
    if (!s) return err_set(e, ERR_NOMEM, "out of memory opening the socket");
    s->h = h;
    s->fd = -1;
    s->spare = open("/dev/null", O_RDONLY | O_CLOEXEC);
    idmap_init(&s->ids);
    int rc = listen_on(s, e);
    if (rc) {
        mem_free(s->path); /* not ours to unlink */
        s->path = NULL;
        server_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void server_close(struct server *s)
{
    while (s->clients) {
        conn_free(s->clients->conn);
        client_free(s->clients);
    }
    if (s->io) loop_io_close(s->io);
    if (s->fd >= 0) close(s->fd);
    if (s->spare >= 0) close(s->spare);
    if (s->path) unlink(s->path);
    mem_free(s->path);
    idmap_free(&s->ids);
    mem_free(s);
}

bool server_listened(const struct server *s)
{
    for (const struct server_client *k = s ? s->clients : NULL; k; k = k->next) {
        if (k->events) return true;
    }
    return false;
}

void server_event(struct server *s, const ml_event *ev)
{
    for (struct server_client *k = s->clients, *next; k; k = next) {
        next = k->next;
        if (!k->events) continue;
        cJSON *f = cJSON_CreateObject(), *o = cJSON_AddObjectToObject(f, "event");
        char time[32], id[32];
        snprintf(time, sizeof time, "%lld", (long long)ev->time_ns);
        snprintf(id, sizeof id, "%lld", (long long)ev->event_id);
        cJSON_AddNumberToObject(o, "kind", ev->kind);
        arg_add(o, "workflowId", ev->workflow_id);
        arg_add(o, "runId", ev->run_id);
        arg_add(o, "type", ev->type);
        arg_add(o, "name", ev->name);
        arg_add(o, "text", ev->text);
        arg_add(o, "eventId", id);
        arg_add(o, "time", time);
        cJSON_AddNumberToObject(o, "attempt", ev->attempt);
        conn_send(k->conn, f); /* events are droppable: a client that does not read misses some */
    }
}
