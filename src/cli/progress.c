/* Progress on stderr: one line per step. On a terminal the line of a step in flight is rewritten in
 * place. */
#include "cli/cli.h"
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static struct {
    bool on, live; /* live: a line without its end is on the terminal */
    bool terminal;
} state;

struct word {
    const char *type, *word;
};
static const struct word words[] = {
    {"WorkflowExecutionStarted", "started"},
    {"WorkflowExecutionCompleted", "completed"},
    {"WorkflowExecutionFailed", "failed"},
    {"WorkflowExecutionTimedOut", "timed out"},
    {"WorkflowExecutionCanceled", "cancelled"},
    {"WorkflowExecutionTerminated", "terminated"},
    {"WorkflowExecutionContinuedAsNew", "continues as new"},
    {"WorkflowExecutionSignaled", "signal"},
    {"WorkflowExecutionCancelRequested", "cancel requested"},
    {"WorkflowExecutionUpdateAccepted", "update accepted"},
    {"WorkflowExecutionUpdateCompleted", "update answered"},
    {"WorkflowTaskFailed", "task failed"},
    {"WorkflowTaskTimedOut", "task timed out"},
    {"ActivityTaskScheduled", "do"},
    {"ActivityTaskCompleted", "done"},
    {"ActivityTaskFailed", "failed"},
    {"ActivityTaskTimedOut", "timed out"},
    {"ActivityTaskCanceled", "cancelled"},
    {"ActivityTaskCancelRequested", "cancel requested"},
    {"TimerStarted", "sleep"},
    {"TimerFired", "woke"},
    {"TimerCanceled", "timer cancelled"},
    {"MarkerRecorded", "recorded"},
    {"StartChildWorkflowExecutionInitiated", "start child"},
    {"StartChildWorkflowExecutionFailed", "child did not start"},
    {"ChildWorkflowExecutionStarted", "child started"},
    {"ChildWorkflowExecutionCompleted", "child completed"},
    {"ChildWorkflowExecutionFailed", "child failed"},
    {"ChildWorkflowExecutionCanceled", "child cancelled"},
    {"ChildWorkflowExecutionTimedOut", "child timed out"},
    {"ChildWorkflowExecutionTerminated", "child terminated"},
    {"SignalExternalWorkflowExecutionInitiated", "signal to"},
    {"ExternalWorkflowExecutionSignaled", "signal delivered"},
    {"SignalExternalWorkflowExecutionFailed", "signal not delivered"},
    {"RequestCancelExternalWorkflowExecutionInitiated", "cancel other"},
    {"ExternalWorkflowExecutionCancelRequested", "other cancel requested"},
    {"RequestCancelExternalWorkflowExecutionFailed", "other not cancelled"},
    {"UpsertWorkflowSearchAttributes", "search attributes"},
    {"WorkflowPropertiesModified", "memo"},
};

const char *progress_word(const char *event_type)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(words[i].type, event_type) == 0) return words[i].word;
    return "";
}

void progress_begin(struct cli *c)
{
    state.on = !c->quiet;
    state.terminal = isatty(STDERR_FILENO) && !c->json;
}

static const char *color_of(const struct cli *c, const char *type)
{
    if (!c->color) return "";
    if (strstr(type, "Failed") || strstr(type, "TimedOut") || strstr(type, "Terminated"))
        return "\033[31m";
    if (strstr(type, "Completed") || strstr(type, "Fired")) return "\033[32m";
    return "";
}

static void write_json(const ml_event *ev)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "workflowId", ev->workflow_id ? ev->workflow_id : "");
    cJSON_AddNumberToObject(o, "eventId", (double)ev->event_id);
    cJSON_AddStringToObject(o, "eventType", ev->type ? ev->type : "");
    if (ev->name && *ev->name) cJSON_AddStringToObject(o, "name", ev->name);
    if (ev->text && *ev->text) cJSON_AddStringToObject(o, "text", ev->text);
    char *s = cJSON_PrintUnformatted(o);
    fprintf(stderr, "%s\n", s ? s : "{}");
    cJSON_free(s);
    cJSON_Delete(o);
}

void cli_forget_blocked(struct cli *c)
{
    free(c->blocked);
    free(c->blocked_id);
    c->blocked = c->blocked_id = NULL;
}

void progress_event(void *ud, const ml_event *ev)
{
    struct cli *c = ud;
    if (ev->kind == ML_EVENT_PRINT) {
        progress_end(c);
        fprintf(stderr, "%s\n", ev->text);
        return;
    }
    if (ev->kind == ML_EVENT_BLOCKED && (!c->driven || strcmp(c->driven, ev->workflow_id) == 0)) {
        cli_forget_blocked(c);
        c->blocked = strdup(ev->text);
        c->blocked_id = strdup(ev->workflow_id);
    }
    if (ev->kind == ML_EVENT_BLOCKED && c->blocked_shown && c->temporal.address && !c->quiet) {
        progress_end(c);
        if (c->json)
            write_json(ev);
        else
            fprintf(stderr, "%sworkflow task failed%s: %s: %s\n", c->color ? "\033[33m" : "",
                    c->color ? "\033[0m" : "", ev->workflow_id, ev->text);
        return;
    }
    bool told = ev->kind != ML_EVENT_HISTORY && c->blocked_shown && !c->quiet;
    if ((!state.on && !told) || (ev->kind == ML_EVENT_BLOCKED && c->temporal.address))
        return; /* a server's run is told when the command ends; others may be on its queue */
    if (c->json) {
        write_json(ev);
        return;
    }
    if (ev->kind == ML_EVENT_BLOCKED || ev->kind == ML_EVENT_DRIFT) {
        progress_end(c);
        fprintf(stderr, "%s%s%s: %s\n", c->color ? "\033[33m" : "",
                ev->kind == ML_EVENT_DRIFT ? "drift" : "blocked", c->color ? "\033[0m" : "",
                ev->text);
        return;
    }
    if (ev->kind != ML_EVENT_HISTORY) return;
    const char *word = progress_word(ev->type ? ev->type : "");
    if (!*word) return;
    char when[32];
    time_t s = (time_t)(ev->time_ns / 1000000000);
    struct tm tm;
    gmtime_r(&s, &tm);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &tm);
    char attempt[32] = "";
    if (ev->attempt > 1) snprintf(attempt, sizeof attempt, " (attempt %d)", ev->attempt);
    bool opens = strcmp(word, "do") == 0 || strcmp(word, "sleep") == 0;
    if (state.live) fputs("\r\033[K", stderr);
    fprintf(stderr, "%s  %-24.60s %4lld  %s%s%s %s%s", when, ev->workflow_id,
            (long long)ev->event_id, color_of(c, ev->type), word, c->color ? "\033[0m" : "",
            ev->name ? ev->name : "", attempt);
    state.live = state.terminal && opens;
    if (!state.live)
        fputc('\n', stderr);
    else
        fputs(" ...", stderr);
    fflush(stderr);
}

void progress_end(struct cli *c)
{
    (void)c;
    if (state.live) fputc('\n', stderr);
    state.live = false;
}
