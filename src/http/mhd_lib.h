/* libmicrohttpd, loaded when a server is first opened: it brings GnuTLS and what that stands on.
 * The server's files include this instead of <microhttpd.h> and write its own names. */
#ifndef ML_HTTP_MHD_LIB_H
#define ML_HTTP_MHD_LIB_H
#include "base/err.h"

#include <microhttpd.h>

#define MHD_LIB_FUNCTIONS(X)                                                                       \
    X(add_response_header)                                                                         \
    X(create_response_from_buffer_with_free_callback)                                              \
    X(create_response_from_callback)                                                               \
    X(create_response_from_fd64)                                                                   \
    X(destroy_response)                                                                            \
    X(get_connection_info)                                                                         \
    X(get_connection_values_n)                                                                     \
    X(get_daemon_info)                                                                             \
    X(get_timeout)                                                                                 \
    X(queue_response)                                                                              \
    X(quiesce_daemon)                                                                              \
    X(resume_connection)                                                                           \
    X(run)                                                                                         \
    X(start_daemon)                                                                                \
    X(stop_daemon)                                                                                 \
    X(suspend_connection)

struct mhd_lib {
#define X(name) __typeof__(&MHD_##name) name;
    MHD_LIB_FUNCTIONS(X)
#undef X
};
extern struct mhd_lib mhd_lib; /* complete after mhd_lib_load */

/* Loads the library, once a process. From any thread. 0, or ERR_IO with what is missing. */
int mhd_lib_load(struct err *e);

#define MHD_add_response_header mhd_lib.add_response_header
#define MHD_create_response_from_buffer_with_free_callback                                         \
    mhd_lib.create_response_from_buffer_with_free_callback
#define MHD_create_response_from_callback mhd_lib.create_response_from_callback
#define MHD_create_response_from_fd64 mhd_lib.create_response_from_fd64
#define MHD_destroy_response mhd_lib.destroy_response
#define MHD_get_connection_info mhd_lib.get_connection_info
#define MHD_get_connection_values_n mhd_lib.get_connection_values_n
#define MHD_get_daemon_info mhd_lib.get_daemon_info
#define MHD_get_timeout mhd_lib.get_timeout
#define MHD_queue_response mhd_lib.queue_response
#define MHD_quiesce_daemon mhd_lib.quiesce_daemon
#define MHD_resume_connection mhd_lib.resume_connection
#define MHD_run mhd_lib.run
#define MHD_start_daemon mhd_lib.start_daemon
#define MHD_stop_daemon mhd_lib.stop_daemon
#define MHD_suspend_connection mhd_lib.suspend_connection

#endif
