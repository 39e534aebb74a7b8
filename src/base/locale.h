/* The C locale for the calling thread, whatever locale the process is in: numbers have a point,
 * texts are compared by bytes. leave() takes what enter() gave. */
#ifndef ML_BASE_LOCALE_H
#define ML_BASE_LOCALE_H
void *locale_c_enter(void);
void locale_c_leave(void *before);
#endif
