/* The delay before a further attempt. Computed in doubles and capped, so that no policy overflows.
 */
#include "base/clock.h"
#include "history/event.h"

#include <math.h>

void retry_settle(struct rec *policy)
{
    int64_t initial = rec_int(policy, T(retry_policy, initial_interval));
    int64_t most = rec_int(policy, T(retry_policy, maximum_interval));
    if (most > 0 && (initial > 0 ? initial : NS_PER_S) > most)
        rec_set_int(policy, T(retry_policy, initial_interval), most);
}

int64_t retry_delay(const struct rec *policy, int next_attempt, int64_t override_ns)
{
    int64_t initial = rec_int(policy, T(retry_policy, initial_interval));
    int64_t most = rec_int(policy, T(retry_policy, maximum_interval));
    int64_t attempts = rec_int(policy, T(retry_policy, maximum_attempts));
    double coefficient = rec_double(policy, T(retry_policy, backoff_coefficient));
    if (attempts > 0 && next_attempt > attempts) return -1;
    if (override_ns > 0) return override_ns;
    if (initial <= 0) initial = NS_PER_S;
    if (most <= 0) most = initial > INT64_MAX / 100 ? INT64_MAX : initial * 100;
    if (!(coefficient > 0)) coefficient = 2;
    if (coefficient < 1) coefficient = 1;
    if (next_attempt <= 2 || coefficient == 1.0) return initial < most ? initial : most;
    double delay = (double)initial * pow(coefficient, next_attempt - 2);
    if (!(delay < (double)most)) return most;
    return (int64_t)delay;
}
