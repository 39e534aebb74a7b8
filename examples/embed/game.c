/* A loop at 60 frames a second that steps a hundred durable characters within a budget of 4 ms a
 * frame, saves them to a snapshot in the middle, throws the host away, loads the snapshot and goes
 * on. build/examples/embed/game examples/embed/characters.lua /tmp/game.snapshot */
#include "moonloop.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHARACTERS = 100, FRAME_NS = 16666667, BUDGET_NS = 4000000 };
static int64_t game_time =
    1700000000000000000; /* the game's own clock: one frame is one sixtieth */
static int finished, failed, walks;

static int64_t game_clock(void *ud)
{
    (void)ud;
    return game_time;
}

static void walk(void *ud, ml_host *h, uint64_t call, const char *args_json)
{
    char json[32];
    const char *x = strrchr(args_json, ',');
    (void)ud;
    walks++;
    snprintf(json, sizeof json, "%d", (x ? atoi(x + 1) : 0) + 1);
    ml_activity_done(h, call, json, NULL, 0);
}

static void on_result(void *ud, const ml_reply *r)
{
    (void)ud;
    finished++;
    failed += r->code != 0 || strcmp(r->status, "Completed") != 0;
}

static void on_reply(void *ud, const ml_reply *r)
{
    (void)ud;
    if (r->code) fprintf(stderr, "%s\n", r->text), failed++;
}

static int loaded;
static void on_loaded(void *ud, const ml_load_result *r)
{
    (void)ud;
    loaded = r->code ? -1 : 1;
    if (r->code) fprintf(stderr, "%s\n", r->text);
}

static ml_host *open_game(const char *script, const char *snapshot)
{
    ml_config config;
    ml_host *h;
    ml_config_init(&config);
    config.path = snapshot;
    config.flags = ML_NO_THREADS | ML_DRIVE_ALL;
    config.durability = ML_DURABILITY_SNAPSHOT;
    config.clock = ML_CLOCK_HOST;
    config.wall_ns = game_clock;
    if (ml_open(&config, &h)) return fprintf(stderr, "%s\n", ml_open_error()), NULL;
    ml_register_activity(h, "walk", walk, NULL);
    loaded = 0;
    ml_load(h, script, NULL, 0, on_loaded, NULL);
    while (!loaded)
        ml_step(h, BUDGET_NS);
    return loaded > 0 ? h : (ml_close(h), NULL);
}

static void wait_for_results(ml_host *h)
{
    char id[32];
    finished = 0;
    for (int i = 0; i < CHARACTERS; i++)
        snprintf(id, sizeof id, "character-%d", i), ml_result(h, id, NULL, 1, on_result, NULL);
}

static void frames(ml_host *h, int n)
{
    for (int i = 0; i < n && finished < CHARACTERS; i++) {
        game_time += FRAME_NS;
        ml_step(h, BUDGET_NS);
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) return fprintf(stderr, "usage: game SCRIPT SNAPSHOT\n"), 2;
    remove(argv[2]);
    ml_host *h = open_game(argv[1], NULL);
    if (!h) return 6;
    for (int i = 0; i < CHARACTERS; i++) {
        char id[32], input[96];
        snprintf(id, sizeof id, "character-%d", i);
        snprintf(input, sizeof input, "{\"name\":\"c%d\",\"x\":%d,\"steps\":20}", i, i);
        ml_start_options o = {.workflow = "character", .id = id, .input_json = input};
        ml_start(h, &o, on_reply, NULL);
    }
    frames(h, 60);
    ml_signal(h, "character-7", NULL, "seen", "{\"what\":\"a fox\"}", NULL, on_reply, NULL);
    frames(h, 60);
    int before = walks;
    if (ml_save(h, argv[2])) return fprintf(stderr, "%s\n", ml_error(h)), 6;
    ml_close(h);

    h = open_game(argv[1], argv[2]);
    if (!h) return 6;
    wait_for_results(h);
    frames(h, 6000);
    printf("%d characters done, %d failed, %d walks before the save and %d after\n", finished,
           failed, before, walks - before);
    ml_close(h);
    return finished == CHARACTERS && !failed ? 0 : 1;
}
