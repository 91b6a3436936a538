/* Sums of requests that never become rows: how many there were of each class by how long they took, in each stretch of time, and
   of both together. */

#include "_cutter.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>

/* Requests that are counted together. */
typedef struct {
    int64_t class, part, bucket; /* what they have in common: part is a step or a band of durations */
    int64_t count, timed, total, line, first, last;
    double least, most;
} Sum;

typedef struct {
    Sum *sums;
    int32_t *places; /* of a sum by the hash of what its requests have in common, from 1 on; a power of two of them */
    int64_t count, cap;
} Map;

enum { TOOK, MOMENTS, PACES, ASKED, FAILURES = ASKED, RHYTHM, MAPS };

struct Sums {
    Map maps[MAPS];
};

static uint64_t hash_of(int64_t class, int64_t part, int64_t bucket) {
    uint64_t hash = ((uint64_t)class * 0x9E3779B97F4A7C15u ^ (uint64_t)part) * 0xC2B2AE3D27D4EB4Fu ^ (uint64_t)bucket;
    hash *= 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

static int grow(Map *map) {
    int64_t cap = map->cap ? map->cap * 2 : 256;
    Sum *sums = realloc(map->sums, (size_t)cap / 2 * sizeof(Sum));
    if (sums) map->sums = sums;
    int32_t *places = calloc((size_t)cap, sizeof(int32_t));
    if (!sums || !places) {
        free(places);
        return -1;
    }
    for (int64_t n = 0; n < map->count; n++) {
        uint64_t at = hash_of(sums[n].class, sums[n].part, sums[n].bucket);
        while (places[at & (uint64_t)(cap - 1)]) at++;
        places[at & (uint64_t)(cap - 1)] = (int32_t)n + 1;
    }
    free(map->places);
    map->places = places;
    map->cap = cap;
    return 0;
}

/* The sum of requests that have this in common; NULL without memory. */
static Sum *sum_of(Map *map, int64_t class, int64_t part, int64_t bucket) {
    if (map->count >= map->cap / 2 && grow(map)) return NULL;
    for (uint64_t at = hash_of(class, part, bucket);; at++) {
        int32_t *place = map->places + (at & (uint64_t)(map->cap - 1));
        if (!*place) {
            *place = (int32_t)++map->count;
            map->sums[map->count - 1] = (Sum){class, part, bucket, 0, 0, 0, INT64_MAX, INT64_MAX, INT64_MIN, INFINITY, -INFINITY};
        }
        Sum *sum = map->sums + *place - 1;
        if (sum->class == class && sum->part == part && sum->bucket == bucket) return sum;
    }
}

/* The step of a duration: how many of the bounds are not above it. */
static int64_t step_of(const Steps *steps, double took) {
    int64_t low = 0, high = steps->count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (took < steps->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static int64_t floor_to(int64_t at, int64_t width) { return (at / width - (at % width < 0)) * width; }

struct Sums *new_sums(void) { return calloc(1, sizeof(struct Sums)); }

/* Add one to the sum of what has this in common; NULL without memory. */
static Sum *add_one(Map *map, int64_t class, int64_t part, int64_t bucket, int64_t at, int64_t line) {
    Sum *sum = sum_of(map, class, part, bucket);
    if (!sum) return NULL;
    sum->count++;
    if (line < sum->line) sum->line = line;
    if (at < sum->first) sum->first = at;
    if (at > sum->last) sum->last = at;
    return sum;
}

int add_request(struct Sums *sums, const Steps *steps, int64_t width, int64_t class, int64_t at, double took, int64_t line) {
    int timed = took == took;
    int64_t step = timed ? step_of(steps, took) : NO_STEP, band = timed ? step / steps->band : NO_STEP;
    int64_t parts[ASKED] = {step, 0, band}, buckets[ASKED] = {0, floor_to(at, width), floor_to(at, steps->pace)};
    for (int n = 0; n < ASKED; n++) {
        Sum *sum = add_one(sums->maps + n, class, parts[n], buckets[n], at, line);
        if (!sum) return -1;
        if (!timed) continue;
        sum->timed++;
        sum->total += (int64_t)rint(took * 1000);
        if (took < sum->least) sum->least = took;
        if (took > sum->most) sum->most = took;
    }
    return 0;
}

int add_failure(struct Sums *sums, const int64_t widths[2], int64_t answer, int64_t at, int64_t line) {
    for (int n = FAILURES; n < MAPS; n++)
        if (!add_one(sums->maps + n, answer, 0, floor_to(at, widths[n - FAILURES]), at, line)) return -1;
    return 0;
}

void free_sums(struct Sums *sums) {
    for (int n = 0; sums && n < MAPS; n++) free(sums->maps[n].sums), free(sums->maps[n].places);
    free(sums);
}

/* Of each sum the number at that place, as a column. */
static PyObject *column_of(const Map *map, size_t offset, const char *format) {
    char *values = malloc((size_t)map->count * 8 + 1);
    if (!values) return PyErr_NoMemory();
    for (int64_t n = 0; n < map->count; n++) memcpy(values + n * 8, (const char *)(map->sums + n) + offset, 8);
    void *kept[4] = {NULL, values, NULL, NULL};
    return hand_out(format, map->count, 0, kept, 2, 0);
}

PyObject *hand_out_sums(const struct Sums *sums) {
    static const size_t whole[] = {offsetof(Sum, class), offsetof(Sum, part),  offsetof(Sum, bucket), offsetof(Sum, count), offsetof(Sum, timed),
                                   offsetof(Sum, total), offsetof(Sum, line), offsetof(Sum, first),  offsetof(Sum, last)},
                        parts[] = {offsetof(Sum, least), offsetof(Sum, most)};
    PyObject *made = PyTuple_New(MAPS);
    for (int m = 0; made && m < MAPS; m++) {
        PyObject *columns = PyList_New(0);
        for (size_t n = 0; columns && n < sizeof whole / sizeof *whole + sizeof parts / sizeof *parts; n++) {
            size_t count = sizeof whole / sizeof *whole;
            PyObject *column = n < count ? column_of(sums->maps + m, whole[n], "l") : column_of(sums->maps + m, parts[n - count], "g");
            if (!column || PyList_Append(columns, column)) Py_CLEAR(columns);
            Py_XDECREF(column);
        }
        if (!columns || PyTuple_SetItem(made, m, columns)) Py_CLEAR(made);
    }
    return made;
}
