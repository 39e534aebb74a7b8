/* One TCP connection by name: resolves, tries the addresses one after the other, reads and writes.
 * Its memory goes when uv has let go of it; no callback comes after sock_close, which any callback
 * may call. */
#ifndef ML_TEMPORAL_CHANNEL_SOCK_H
#define ML_TEMPORAL_CHANNEL_SOCK_H
#include "base/buf.h"
#include "base/loop.h"

#define SOCK_READ_MAX (64u << 10)
#define SOCK_OUT_MAX (1u << 20) /* of what waits to be written */

struct sock;
struct sock_events {
    void (*on_open)(void *ud);
    void (*on_data)(void *ud, const char *p, size_t n);
    void (*on_written)(void *ud);                   /* all that was sent by sock_send is out */
    void (*on_down)(void *ud, const struct err *e); /* once; sock_close is still to be called */
};
/* Copies host (a name or an address without brackets). ERR_NOMEM, ERR_IO (no thread can be had to
 * look a name up), ERR_CLOSED. */
int sock_open(struct loop *l, const char *host, int port, const struct sock_events *ev, void *ud,
              struct sock **out, struct err *e);
void sock_close(struct sock *s);
/* What is to be sent is put here, while sock_writing is false. */
struct buf *sock_out(struct sock *s);
bool sock_writing(const struct sock *s);
/* Writes what sock_out holds: what the kernel does not take at once is written later, and
 * on_written tells. A failure comes by on_down, later. */
void sock_send(struct sock *s);
const char *sock_doing(const struct sock *s); /* "resolving the name", "connecting" */

#endif
