/* Sifts lines of JSON: entries that only count leave behind when they were written, and as what; all others are kept as they are.

   What an entry means is not known here. It is learned from those that were read: two entries with the same keys, and the same
   texts at those that say who, where and how loud, mean the same but for when they were written and what they say. The Python
   around it (entries.py) says which leaf is what, by the keys at the top, and what became of the first entry of each kind; what
   an entry says is judged by its text, as that of a line. Of whatever is in doubt the line is kept.

   Lines of text that tell of a request are sifted alike: there the groups of one regex are what leaves are in JSON. */

#include "_cutter.h"

#include <math.h>
#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define KINDS 32768   /* of entries that are told apart; a power of two */
#define MOST_KINDS (KINDS / 2)
#define MOST_ASKING (MOST_KINDS / 4 * 3) /* of those that name a route: there may be no end of them */
#define STREAMS 16384 /* of lines that are told apart; a power of two */
#define MOST_STREAMS (STREAMS / 2)
#define WALLS 32      /* lines of which nothing is known, in one go, and one of so many: where there are more all is kept */
#define LONGEST_NAME 256
#define LONGEST_ROUTE 1024
#define LONGEST 4096 /* bytes of a line of text that only counts */

/* What a leaf is: of no account; only that it is there tells something; its text does; it makes an entry more than a line that
   counts, by being there and by its text; when; what it says; what a request asked for, and how long that took; which of many alike wrote it. */
enum { FREE, MARK, NAME, MORE, MORE_NAME, WHEN, SAID, ROUTE, TOOK, INSTANCE };

enum { NOTHING = -1, BARE = -2, NEW = -3, ASKED = -4 }; /* what a kind of entry may be instead of a group */
enum { OPEN, CLOSED, SAYS_SO };               /* whether an entry of a kind is a record by itself: no, yes, yes if its text is plain */

typedef struct {
    uint8_t role, rank, required, unit; /* unit: of a duration that names none, as in `factors` from 1 on; VAGUE: the logger's own */
} Part;

#define VAGUE 0x80
#define VAGUE_DIGITS 7 /* of a whole number, which may be nanoseconds then */

typedef struct {
    uint64_t hash;
    int32_t number; /* from 1 on; 0: free */
} Place;

typedef struct {
    int32_t group, writer, class, answer; /* writer: streams have the same but for the instance; class: of requests that are alike;
                                             answer: of those that failed alike; -1: none */
    uint8_t closed;
} Kind;

#define FEW 4

/* How a line of text tells of a request: a regex with groups, one that is searched for how long it took, and which two bytes that
   begins with, what stamps are like, and the unit of durations that name none. */
typedef struct {
    Step *steps, *search_steps;
    uint8_t *sets, *search_sets;
    uint8_t begins[8192], pairs[2 * FEW]; /* begins: a bit for each two bytes; pairs: these, where they are so `few`, else there are 0 */
    int few, common, unit;
} Reader;

enum { AT, METHOD, PATH, STATUS, DURATION, GROUPS };

typedef struct {
    PyObject_HEAD
    Cutter *cutter; /* NULL: lines of text, which the reader reads */
    Reader reader;
    Steps steps;
    PyObject *sieve, *plan, *broken;
    Part **plans; /* of each shape, NULL: none; behind the last one */
    int plan_count;
    Place places[KINDS];
    Kind kinds[MOST_KINDS + 1];
    Place streams[STREAMS];
    int32_t kind_count, asking_count, group_count, stream_count, answer_count;
    int at_ends, ends, before, behind, shown; /* shown: so many failed requests of an answer, the earliest ones, are kept */
    char *scratch;
    size_t scratch_cap;
} EntrySieve;

typedef struct {
    int32_t number;
    int64_t line, at;
    double took;
    int timed, named; /* named: its instance is no part of its kind */
} Question;

/* What is known of a line beside what it is: its stream, the class of the request that it tells of and the answer where that failed
   (-1: none), and how many milliseconds it took (no number: not told). */
typedef struct {
    int32_t stream, class, answer;
    double took;
    int closed;
} Beside;

typedef struct {
    Question *asked;
    Beside *beside; /* of each line */
    int64_t count, walls, waiting;
} Sifting;

/* The parts of entries of a shape; NULL where nothing is known of them, or with an exception set. */
static const Part *parts_of(EntrySieve *self, int shape) {
    int leaves = self->cutter->leaf_count;
    while (self->plan_count <= shape) {
        Part **plans = realloc(self->plans, (size_t)(self->plan_count + 1) * sizeof(Part *));
        if (!plans) {
            PyErr_NoMemory();
            return NULL;
        }
        self->plans = plans;
        PyObject *keys = keys_of(self->cutter->shapes + self->plan_count), *told = NULL;
        if (keys) told = PyObject_CallFunctionObjArgs(self->plan, keys, NULL);
        Py_XDECREF(keys);
        if (!told) return NULL;
        Part *parts = NULL;
        char *bytes = NULL;
        Py_ssize_t size = 0;
        if (told != Py_None && (PyBytes_AsStringAndSize(told, &bytes, &size) || size != leaves * (Py_ssize_t)sizeof(Part))) {
            if (!PyErr_Occurred()) PyErr_SetString(PyExc_ValueError, "this is no plan");
        } else if (told != Py_None && (parts = calloc((size_t)leaves + 1, sizeof(Part)))) { /* the last one: how many are required */
            memcpy(parts, bytes, (size_t)size);
            for (int n = 0; n < leaves; n++) parts[leaves].required += parts[n].required;
        }
        Py_DECREF(told);
        if (PyErr_Occurred()) return NULL;
        self->plans[self->plan_count++] = parts;
    }
    return self->plans[shape];
}

/* Where what has this hash stands, or would stand, among so many places. */
static Place *place_of(Place *places, uint64_t count, uint64_t hash) {
    for (uint64_t at = hash;; at++) {
        Place *place = places + (at & (count - 1));
        if (!place->number || place->hash == hash) return place;
    }
}

/* The number of this kind of entry; 0 where there are too many. A new one is asked for. */
static int32_t number_of(EntrySieve *self, uint64_t hash, int asking) {
    Place *place = place_of(self->places, KINDS, hash);
    if (place->number) return place->number;
    if (self->kind_count >= MOST_KINDS || (asking && self->asking_count >= MOST_ASKING)) return 0;
    self->asking_count += asking;
    *place = (Place){hash, ++self->kind_count};
    self->kinds[self->kind_count] = (Kind){NEW, NOTHING, NOTHING, NOTHING, OPEN};
    return self->kind_count;
}

/* The number of the stream of this instance of a writer; -1 where there are too many. */
static int32_t stream_of(EntrySieve *self, int32_t writer, uint64_t instance) {
    uint64_t hash = mix(mix(0, (uint64_t)writer), instance);
    Place *place = place_of(self->streams, STREAMS, hash);
    if (!place->number && self->stream_count < MOST_STREAMS) *place = (Place){hash, ++self->stream_count};
    return place->number - 1;
}

/* Whether a name surely stands for itself, whatever it is. */
static int is_plain(const Leaf *leaf) {
    const uint8_t *p = leaf->at;
    int odd = 0;
    if (leaf->kind != TEXT || leaf->size < 10 || leaf->size > 200) return 0;
    for (size_t n = 0; n < leaf->size; n++) odd |= p[n] <= ' ' || p[n] >= 0x7f;
    return !odd && *p != '{' && *p != '[';
}

/* The text of a leaf, without escapes; its size in `size`. NULL without memory. */
static const uint8_t *text_of(EntrySieve *self, const Leaf *leaf, size_t *size) {
    *size = leaf->size;
    if (leaf->kind != ESCAPED) return leaf->at;
    if (leaf->size + 1 > self->scratch_cap) {
        char *scratch = realloc(self->scratch, leaf->size * 2 + 1);
        if (!scratch) return NULL;
        self->scratch = scratch;
        self->scratch_cap = leaf->size * 2 + 1;
    }
    *size = unescape(leaf->at, leaf->at + leaf->size, self->scratch);
    return (const uint8_t *)self->scratch;
}

/* Whether the number is seconds, milli-, micro- or nanoseconds since 1970, told apart by size as times.py does; as microseconds. */
static int is_epoch(const char *text, size_t size, int64_t *micros) {
    static const struct {
        int64_t least, most, times, parts;
    } units[] = {{600000000, 4200000000, 1000000, 1}, {600000000000, 4200000000000, 1000, 1}, {600000000000000, 4200000000000000, 1, 1},
                 {600000000000000000, 4200000000000000000, 1, 1000}};
    int64_t number = 0;
    for (size_t n = 0; n < size; n++) {
        if (text[n] < '0' || text[n] > '9') return 0;
        number = number * 10 + (text[n] - '0');
    }
    for (int n = 0; n < 4; n++)
        if (number >= units[n].least && number <= units[n].most) {
            *micros = number * units[n].times / units[n].parts;
            return 1;
        }
    return 0;
}

/* Whether a part of a path is surely an id, whatever it is: digits, many hexadecimal ones, a UUID. */
static int is_id(const uint8_t *p, size_t size) {
    size_t decimal = 0, letters = 0;
    for (size_t n = 0; n < size; n++) {
        int dash = size == 36 && (n == 8 || n == 13 || n == 18 || n == 23);
        if (dash ? p[n] != '-' : hex(p[n]) < 0) return 0;
        decimal += p[n] >= '0' && p[n] <= '9';
        letters += !dash && p[n] > '9';
    }
    return size && (decimal == size || (decimal + letters == size ? size > 8 && decimal : size == 36));
}

size_t plain_route(const uint8_t *p, size_t size, uint8_t *into) {
    uint8_t *out = into;
    size_t n = 0;
    while (n < size && p[n] != '?' && p[n] != '#' && p[n] != ';') {
        size_t start = n += p[n] == '/' && (*out++ = '/');
        while (n < size && p[n] != '?' && p[n] != '#' && p[n] != ';' && p[n] != '/') n++;
        if (start && is_id(p + start, n - start)) {
            *out++ = '0';
        } else {
            memcpy(out, p + start, n - start);
            out += n - start;
        }
    }
    return (size_t)(out - into);
}

/* The milliseconds of a duration, which names its unit or has that one; 0 where it may be something else. */
static int is_duration(const uint8_t *p, size_t size, int unit, double *took) {
    static const struct {
        const char *name;
        double factor;
    } factors[] = {{"", 0}, {"s", 1000.0}, {"ms", 1.0}, {"us", 1e-3}, {"ns", 1e-6}, {"m", 60000.0}};
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    int64_t number = 0;
    size_t n = 0, whole = 0, part = 0;
    for (; n < size && p[n] >= '0' && p[n] <= '9'; n++, whole++)
        if ((number = number * 10 + (p[n] - '0')) >= 1000000000000000) return 0; /* more than a double surely holds */
    if (whole && n < size && p[n] == '.')
        for (n++; n < size && p[n] >= '0' && p[n] <= '9'; n++, part++)
            if (part == 22 || (number = number * 10 + (p[n] - '0')) >= 1000000000000000) return 0;
    if (!whole || (n > whole && !part)) return 0;
    double value = (double)number / tens[part];
    if (n == size) {
        if (!(unit & ~VAGUE) || (unit & VAGUE && whole >= VAGUE_DIGITS)) return 0;
        *took = value * factors[unit & ~VAGUE].factor;
        return 1;
    }
    for (int which = 1; which < 5; which++)
        if (strlen(factors[which].name) == size - n && !memcmp(factors[which].name, p + n, size - n)) {
            *took = value * factors[which].factor;
            return *took <= 1e15;
        }
    return 0;
}

/* What a request asked for, into its kind; 1 where it tells more than that, -1 where that is not clear, -2 with an exception set. */
static int mix_route(EntrySieve *self, const Leaf *leaf, uint64_t *hash) {
    if ((leaf->kind != TEXT && leaf->kind != ESCAPED) || leaf->size > LONGEST_ROUTE) return -1;
    uint8_t plain[LONGEST_ROUTE];
    size_t size;
    const uint8_t *text = text_of(self, leaf, &size);
    if (!text) {
        PyErr_NoMemory();
        return -2;
    }
    *hash = mix_text(*hash, plain, plain_route(text, size, plain));
    return memchr(text, '\n', size) ? -1 : holds_word(self->sieve, text, text + size);
}

/* What was read of an entry: the hash of its kind, what its text is, whether it has a time, whether it tells more than that it was
   written (or not clearly how long it took), whether it may be a request, and the hash of its instance (0: in that of the kind). */
typedef struct {
    uint64_t hash, instance;
    int told, timed, more, unclear, spoken, asking;
} Entry;

/* What the entry is, and what else is known of it, once it is clear of which kind it is. */
static void settle(EntrySieve *self, Sifting *work, Line *line, Beside *beside, int64_t number, const Entry *entry) {
    int32_t which = number_of(self, entry->hash, entry->asking);
    if (!which) return;
    Kind *kind = self->kinds + which;
    work->waiting += kind->group == NEW || kind->group == ASKED;
    if (kind->group == NEW) {
        kind->group = ASKED;
        work->asked[work->count++] = (Question){which, number, line->at, beside->took, entry->timed, entry->instance != 0};
        return;
    }
    if (kind->closed == SAYS_SO && entry->spoken && entry->told == APART) return; /* its text may say that it is none */
    if (kind->writer < 0 && !kind->closed) return;
    int32_t stream = kind->writer < 0 ? NOTHING : stream_of(self, kind->writer, entry->instance);
    if (kind->writer >= 0 && stream < 0) return;
    int calm = kind->group >= 0 && entry->told == CALM && entry->timed && !entry->more && !entry->unclear;
    beside->stream = stream;
    beside->class = calm ? kind->class : NOTHING;
    beside->answer = calm ? kind->answer : NOTHING;
    beside->closed = kind->closed != OPEN;
    line->kind = !kind->closed && (entry->told == APART || kind->group == BARE) ? APART : calm ? CALM : KEPT;
    line->group = (uint16_t)(calm ? kind->group : 0);
}

/* What the entry in the leaves of the cutter is, and what else is known of it; -1 with an exception set. */
static int look_at(EntrySieve *self, Sifting *work, Line *line, Beside *beside, int64_t number, int shape) {
    Cutter *cutter = self->cutter;
    const Part *parts = parts_of(self, shape);
    if (!parts) return PyErr_Occurred() ? -1 : 0;
    uint64_t hash = mix(0, (uint64_t)shape);
    int when = -1, said = -1, took = -1, instance = -1, required = 0, more = 0, routes = 0, telling = 0, named = 0;
    for (int n = 0; n < cutter->touched_count; n++) {
        int at = cutter->touched[n];
        const Leaf *leaf = cutter->leaves + at;
        const Part *part = parts + at;
        required += part->required;
        if (part->role == FREE) continue;
        hash = mix(hash, (uint64_t)at << 8 | (uint64_t)leaf->kind);
        int plain = part->role == INSTANCE && is_plain(leaf);
        if (part->role == NAME || part->role == MORE_NAME || (part->role == INSTANCE && !plain)) {
            if (leaf->size > LONGEST_NAME) return 0;
            hash = mix_text(hash, leaf->at, leaf->size);
        }
        if (part->role == ROUTE) {
            int told = mix_route(self, leaf, &hash);
            if (told < 0) return told + 1;
            routes++;
            telling |= told;
        }
        more |= part->role == MORE || part->role == MORE_NAME;
        int *first = part->role == WHEN       ? &when
                     : part->role == SAID     ? &said
                     : part->role == TOOK     ? &took
                     : part->role == INSTANCE ? &instance
                                              : NULL;
        if (!first) continue;
        if (*first >= 0 && parts[*first].rank == part->rank) return 0;
        if (*first >= 0 && parts[*first].rank < part->rank) continue;
        *first = at;
        if (first == &instance) named = plain;
    }
    if (required != parts[cutter->leaf_count].required) return 0;
    Entry entry = {.told = said < 0 && routes ? CALM : APART, .more = more || cutter->flagged, .spoken = said >= 0, .asking = routes > 0};
    int level = -1;
    if (said >= 0 && (cutter->leaves[said].kind == TEXT || cutter->leaves[said].kind == ESCAPED)) {
        size_t size;
        const uint8_t *text = text_of(self, cutter->leaves + said, &size);
        if (!text) {
            PyErr_NoMemory();
            return -1;
        }
        if (size && text[size - 1] == '\n') size--; /* ends of lines inside are no part of what is said */
        entry.told = !size && routes ? CALM : judge(self->sieve, text, text + size, &level);
        if (entry.told == -2) return -1;
    }
    if (entry.told == CALM && telling) entry.told = KEPT;
    if (when >= 0) {
        const Leaf *leaf = cutter->leaves + when;
        if (leaf->kind == TEXT) entry.timed = is_stamp((const char *)leaf->at, leaf->size, &line->at);
        if (leaf->kind == WHOLE) entry.timed = is_epoch((const char *)leaf->at, leaf->size, &line->at);
    }
    if (took >= 0) {
        const Leaf *leaf = cutter->leaves + took;
        int clear = leaf->kind == TEXT || leaf->kind == WHOLE || leaf->kind == DECIMAL;
        entry.unclear = !clear || !is_duration(leaf->at, leaf->size, parts[took].unit, &beside->took);
    }
    if (named) entry.instance = mix_text(1, cutter->leaves[instance].at, cutter->leaves[instance].size) | 1;
    entry.hash = mix(hash, entry.told == APART ? 1 : (uint64_t)(level + 3));
    settle(self, work, line, beside, number, &entry);
    return 0;
}

/* Whether a text may say of itself at its end that it was cut: of eight letters in a row one stands at every eighth place. */
static int may_be_cut(const uint8_t *p, const uint8_t *end) {
    static const char said[] = "runcated";
    const uint8_t *low = end - p > 128 ? end - 128 : p;
    for (const uint8_t *q = low + 7; q < end; q += 8) {
        const char *letter = strchr(said, *q | 0x20);
        const uint8_t *start = letter && *letter ? q - (letter - said) : end;
        int same = 0;
        while (start >= p && end - start >= 8 && same < 8 && (start[same] | 0x20) == said[same]) same++;
        if (same == 8) return 1;
    }
    return 0;
}

/* The next place at which what is searched may begin. */
static const uint8_t *next_begin(const Reader *reader, const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    for (; reader->few && end - p > 16; p += 16) {
        __m128i one = _mm_loadu_si128((const __m128i *)p), other = _mm_loadu_si128((const __m128i *)(p + 1)), found = _mm_setzero_si128();
        for (int n = 0; n < reader->few; n++)
            found = _mm_or_si128(found, _mm_and_si128(_mm_cmpeq_epi8(one, _mm_set1_epi8((char)reader->pairs[2 * n])),
                                                      _mm_cmpeq_epi8(other, _mm_set1_epi8((char)reader->pairs[2 * n + 1]))));
        int places = _mm_movemask_epi8(found);
        if (places) return p + __builtin_ctz((unsigned)places);
    }
#endif
    for (; end - p > 1; p++) {
        size_t pair = (size_t)p[0] << 8 | p[1];
        if (reader->begins[pair >> 3] >> (pair & 7) & 1) return p;
    }
    return end;
}

/* How long a request took that a line tells of: 1, or -1 where that is not clear; 0 where it does not say so. */
static int duration_of(const Reader *reader, const uint8_t *p, const uint8_t *end, double *took) {
    for (; (p = next_begin(reader, p, end)) < end; p++) {
        const uint8_t *saved[SAVED];
        saved[0] = saved[1] = NULL;
        int fit = fits(reader->search_steps, 0, reader->search_sets, p, end, saved);
        if (fit < 0) return -1;
        if (fit) return saved[0] && saved[1] && is_duration(saved[0], (size_t)(saved[1] - saved[0]), reader->unit, took) ? 1 : -1;
    }
    return 0;
}

/* What a line of text is, if it tells of a request, and what else is known of it. */
static void look_at_text(EntrySieve *self, Sifting *work, Line *line, Beside *beside, int64_t number, const uint8_t *p, const uint8_t *end) {
    const Reader *reader = &self->reader;
    const uint8_t *saved[SAVED] = {NULL};
    if (end > p && end[-1] == '\r') end--;
    if (end - p < 24 || end - p > LONGEST || *p == '{' || *p <= ' ' || is_odd(p, end) || may_be_more(self->sieve, p, end)) return;
    if (fits(reader->steps, 0, reader->sets, p, end, saved) != 1) return;
    uint8_t plain[LONGEST_ROUTE];
    uint64_t hash = 0;
    size_t sizes[GROUPS];
    for (int n = 0; n < GROUPS; n++) sizes[n] = saved[2 * n] && saved[2 * n + 1] ? (size_t)(saved[2 * n + 1] - saved[2 * n]) : 0;
    if (sizes[PATH] > LONGEST_ROUTE || !saved[2 * AT]) return;
    for (int n = METHOD; n <= STATUS; n++) {
        hash = mix(hash, saved[2 * n] != NULL);
        if (n == PATH)
            hash = mix_text(hash, plain, plain_route(saved[2 * n], sizes[n], plain));
        else
            hash = mix_text(hash, saved[2 * n], sizes[n]);
    }
    Entry entry = {.told = may_be_cut(p, end) ? KEPT : CALM, .asking = 1, .hash = mix(hash, 1)};
    const char *at = (const char *)saved[2 * AT];
    entry.timed = reader->common ? is_common_stamp(at, sizes[AT], &line->at) : is_stamp(at, sizes[AT], &line->at);
    if (saved[2 * DURATION])
        entry.unclear = !is_duration(saved[2 * DURATION], sizes[DURATION], reader->unit, &beside->took);
    else if (reader->search_steps)
        entry.unclear = duration_of(reader, p, end, &beside->took) < 0;
    settle(self, work, line, beside, number, &entry);
    if (beside->answer >= 0 && holds_word(self->sieve, p, end)) line->kind = KEPT;
}

/* Of a stream that goes on behind what was looked at: so many of its next lines are kept, and so many where they are records. */
typedef struct {
    uint8_t open, closed;
} Rest;

/* Keep what stands near a line that may touch others of its stream, and at the ends of each stream: what is beyond them is not
   known, but of the `rest` of those streams that were looked at right before. Of records by themselves the next one is enough: it
   says that nothing goes on over it. How many lines only count after that; -1 where memory is short. `rest` is then that of all
   streams. */
static int64_t keep_near(const EntrySieve *self, Found *found, const Beside *beside, Rest *rest, int rests) {
    size_t streams = (size_t)self->stream_count + 1;
    int64_t calm = 0, *counts = malloc(streams * 4 * sizeof(int64_t)), *open = counts + streams, *until = open + streams, *next = until + streams;
    if (!counts) return -1;
    for (int turn = 0; turn < 2; turn++) { /* forth, and back */
        int near = turn ? self->before : self->behind;
        for (int k = 0; k < self->stream_count; k++) {
            int known = !turn && k < rests;
            counts[k] = open[k] = 0, until[k] = known ? rest[k].open : self->ends, next[k] = known ? rest[k].closed : 1;
        }
        for (int64_t n = 0; n < found->count; n++) {
            int64_t at = turn ? found->count - 1 - n : n;
            Line *line = found->lines + at;
            if (line->kind == WALL)
                for (int k = 0; k < self->stream_count; k++) {
                    if (until[k] < open[k] + near) until[k] = open[k] + near;
                    next[k] = counts[k] + 1;
                }
            int32_t key = beside[at].stream;
            if (key < 0) continue;
            /* what goes on another passes by records that join nothing, however many they are */
            int closed = beside[at].closed;
            int64_t place = counts[key]++, among_open = open[key];
            open[key] += !closed;
            if (line->kind == APART) {
                next[key] = place + 2;
                if (until[key] < among_open + 1 + near) until[key] = among_open + 1 + near;
            }
            int kept = closed ? place < next[key] : among_open < until[key];
            if (line->kind == CALM && (kept || n < self->at_ends)) line->kind = KEPT;
        }
        for (int k = 0; !turn && k < self->stream_count; k++) {
            int64_t more = until[k] - open[k], records = next[k] - counts[k];
            rest[k] = (Rest){(uint8_t)(more > 0 ? more : 0), (uint8_t)(records > 0 ? records : 0)};
        }
    }
    free(counts);
    for (int64_t n = 0; n < found->count; n++) calm += found->lines[n].kind == CALM;
    return calm;
}

/* How many bytes a line has without the return at its end. */
static size_t bare_size(const Line *line, const char *text) {
    return line->size - (line->size && text[line->start + line->size - 1] == '\r');
}

/* Whether the text of the first line comes before that of the second, byte by byte. */
static int comes_before(const Line *one, const Line *other, const char *text) {
    size_t own = bare_size(one, text), its = bare_size(other, text);
    int order = memcmp(text + one->start, text + other->start, own < its ? own : its);
    return order < 0 || (order == 0 && own < its);
}

/* Keep of the failed requests of each answer those that a report may show: the earliest ones, and the one with the smallest text.
   How many lines only count after that; -1 where memory is short. */
static int64_t keep_shown(const EntrySieve *self, Found *found, const Beside *beside, const char *text, int64_t calm) {
    size_t each = (size_t)self->shown + 1; /* the earliest ones in order, and the smallest */
    if (!self->answer_count) return calm;
    Line **shown = calloc((size_t)self->answer_count * each, sizeof(Line *));
    if (!shown) return -1;
    for (int64_t n = 0; n < found->count; n++) {
        Line *line = found->lines + n;
        if (line->kind != CALM || beside[n].answer < 0) continue;
        Line **own = shown + (size_t)beside[n].answer * each;
        int at = self->shown; /* of lines with the same time the first one is the earliest */
        for (; at > 0 && (!own[at - 1] || line->at < own[at - 1]->at); at--)
            if (at < self->shown) own[at] = own[at - 1];
        if (at < self->shown) own[at] = line;
        if (!own[self->shown] || comes_before(line, own[self->shown], text)) own[self->shown] = line;
    }
    for (size_t n = 0; n < (size_t)self->answer_count * each; n++)
        if (shown[n] && shown[n]->kind == CALM) shown[n]->kind = KEPT, calm--;
    free(shown);
    return calm;
}

/* The requests among the lines that only count, summed up; None where there are none. `widths`: of the stretches of time, and of those
   of failed ones. */
static PyObject *requests_of(const EntrySieve *self, const Found *found, const Beside *beside, int64_t first, const int64_t widths[3]) {
    struct Sums *sums = NULL;
    int failed = 0;
    for (int64_t n = 0; n < found->count && !failed; n++) {
        if (found->lines[n].kind != CALM || beside[n].class < 0) continue;
        if (!sums) sums = new_sums();
        failed = !sums || add_request(sums, &self->steps, widths[0], beside[n].class, found->lines[n].at, beside[n].took, first + n);
        if (!failed && beside[n].answer >= 0) failed = add_failure(sums, widths + 1, beside[n].answer, found->lines[n].at, first + n);
    }
    PyObject *made = failed ? PyErr_NoMemory() : sums ? hand_out_sums(sums) : Py_NewRef(Py_None);
    free_sums(sums);
    return made;
}

/* What is kept, as text and with its numbers, what the others leave behind, and the requests among them. */
static PyObject *hand_over(const EntrySieve *self, const Found *found, const Beside *beside, const char *text, int64_t calm, int64_t first,
                           const int64_t widths[4]) {
    size_t size = 0, used = 0;
    int64_t k = 0;
    for (int64_t n = 0; n < found->count; n++)
        if (found->lines[n].kind != CALM) size += found->lines[n].size + 1;
    char *data = malloc(size + 1);
    int64_t *numbers = malloc((size_t)(found->count - calm + 1) * sizeof(int64_t));
    PyObject *made = NULL, *left = data && numbers ? leave(found, self->group_count, first, widths[0]) : PyErr_NoMemory();
    PyObject *requests = left ? requests_of(self, found, beside, first, widths + 1) : NULL;
    for (int64_t n = 0; requests && n < found->count; n++) {
        const Line *line = found->lines + n;
        if (line->kind == CALM) continue;
        memcpy(data + used, text + line->start, line->size);
        data[used + line->size] = '\n';
        used += line->size + 1;
        numbers[k++] = first + n;
    }
    if (requests)
        made = Py_BuildValue("(y#y#NN)", data, (Py_ssize_t)used, (const char *)numbers, (Py_ssize_t)((size_t)k * sizeof(int64_t)), left, requests);
    else
        Py_XDECREF(left);
    free(data);
    free(numbers);
    return made;
}

static PyObject *questions(const Sifting *work) {
    PyObject *all = PyList_New(0);
    for (int64_t n = 0; all && n < work->count; n++) {
        const Question *one = work->asked + n;
        PyObject *at = one->timed ? PyLong_FromLongLong(one->at) : Py_NewRef(Py_None);
        PyObject *took = one->took == one->took ? PyFloat_FromDouble(one->took) : Py_NewRef(Py_None);
        PyObject *told = at && took ? Py_BuildValue("(iLOOO)", one->number, (long long)one->line, at, took, one->named ? Py_True : Py_False) : NULL;
        Py_XDECREF(at);
        Py_XDECREF(took);
        if (!told || PyList_Append(all, told)) Py_CLEAR(all);
        Py_XDECREF(told);
    }
    return all;
}

/* An entry that is broken is a record by itself, and joins nothing; -1 with an exception set. */
static int look_at_broken(EntrySieve *self, const Sifting *work, Line *line, const uint8_t *p, const uint8_t *end) {
    if (p == end || *p != '{' || work->walls > WALLS) return 0;
    PyObject *told = PyObject_CallFunction(self->broken, "y#", (const char *)p, (Py_ssize_t)(end - p));
    if (told && PyObject_IsTrue(told)) line->kind = KEPT;
    Py_XDECREF(told);
    return told ? 0 : -1;
}

/* Look at the line at p, up to its end: behind it. NULL with an exception set. */
static const uint8_t *look_at_line(EntrySieve *self, Sifting *work, Line *line, Beside *beside, int64_t number, const uint8_t *p,
                                   const uint8_t *end) {
    const uint8_t *start = p;
    int shape = -1, failed = 0;
    if (self->cutter) {
        self->cutter->flagged = 0;
        shape = read_entry(self->cutter, &p, end);
        if (shape == -2) {
            PyErr_NoMemory();
            return NULL;
        }
    }
    if (shape < 0) p = memchr(start, '\n', (size_t)(end - start));
    p = p ? p : end;
    if (!self->cutter)
        look_at_text(self, work, line, beside, number, start, p);
    else if (shape >= 0)
        failed = look_at(self, work, line, beside, number, shape);
    else
        failed = look_at_broken(self, work, line, start, p);
    return failed ? NULL : p;
}

/* Look at every line; 1, or 0 with an exception set. */
static int look_at_all(EntrySieve *self, Sifting *work, Found *found, const uint8_t *text, size_t size, long long first, long long from,
                       const long long span[2]) {
    const uint8_t *p = text, *end = text + size;
    int64_t cap = 0;
    while (p < end) {
        const uint8_t *start = p;
        if (add_found(found, (size_t)(start - text), (size_t)(start - text))) return PyErr_NoMemory() != NULL;
        if (found->count > cap) {
            cap = found->cap;
            Beside *beside = realloc(work->beside, (size_t)cap * sizeof(Beside));
            if (beside) work->beside = beside;
            Question *asked = realloc(work->asked, (size_t)cap * sizeof(Question));
            if (asked) work->asked = asked;
            if (!beside || !asked) return PyErr_NoMemory() != NULL;
        }
        int64_t n = found->count - 1;
        Line *line = found->lines + n;
        line->kind = WALL;
        work->beside[n] = (Beside){NOTHING, NOTHING, NOTHING, NAN, 0};
        if (!(p = look_at_line(self, work, line, work->beside + n, first + n, start, end))) return 0;
        line->size = (uint32_t)(p - start);
        if (line->kind == CALM && (first + n < from || line->at < span[0] || line->at > span[1])) line->kind = KEPT;
        work->walls += line->kind == WALL;
        p += p < end;
    }
    return 1;
}

static PyObject *entries_sift(EntrySieve *self, PyObject *args) {
    Py_buffer data;
    const char *before;
    Py_ssize_t before_size;
    long long first, from, given[4], span[2];
    if (!PyArg_ParseTuple(args, "y*LL(LLLL)LLy#", &data, &first, &from, given, given + 1, given + 2, given + 3, span, span + 1, &before,
                          &before_size))
        return NULL;
    int64_t widths[4];
    for (int n = 0; n < 4; n++) widths[n] = given[n] > 0 ? given[n] : 1;
    Found found = {0};
    Sifting work = {0};
    PyObject *made = NULL;
    Rest *rest = NULL;
    int rests = 0; /* of so many streams it is known what is beyond */
    if ((size_t)data.len < LARGEST && look_at_all(self, &work, &found, data.buf, (size_t)data.len, first, from, span)) {
        int64_t quiet = 0, calm = 0;
        for (int64_t n = 0; n < found.count; n++) quiet += found.lines[n].kind == CALM;
        if (work.walls > WALLS + found.count / WALLS) {
            work.waiting += quiet;
        } else if ((rest = calloc((size_t)self->stream_count + 1, sizeof(Rest)))) {
            int known = (int)(before_size / (Py_ssize_t)sizeof(Rest));
            memcpy(rest, before, (size_t)(known < self->stream_count ? known : self->stream_count) * sizeof(Rest));
            calm = keep_near(self, &found, work.beside, rest, known);
            rests = self->stream_count;
            if (work.waiting) work.waiting += quiet - calm;
            if (calm > 0) calm = keep_shown(self, &found, work.beside, data.buf, calm);
        }
        if (calm < 0 || (!rest && work.walls <= WALLS + found.count / WALLS))
            PyErr_NoMemory();
        else
            made = calm ? hand_over(self, &found, work.beside, data.buf, calm, first, widths) : Py_NewRef(Py_None);
    } else if (!PyErr_Occurred()) {
        made = Py_NewRef(Py_None);
    }
    PyObject *asked = made ? questions(&work) : NULL;
    if (asked) asked = Py_BuildValue("(NNLy#)", made, asked, (long long)work.waiting, rest ? (const char *)rest : "", (Py_ssize_t)(rests * (int)sizeof(Rest)));
    else Py_XDECREF(made);
    free(found.lines);
    free(work.beside);
    free(work.asked);
    free(rest);
    PyBuffer_Release(&data);
    return asked;
}

static PyObject *entries_learn(EntrySieve *self, PyObject *args) {
    int number, group, writer, class, answer, closed;
    if (!PyArg_ParseTuple(args, "iiiiii", &number, &group, &writer, &class, &answer, &closed)) return NULL;
    if (number < 1 || number > self->kind_count || group < BARE || group >= 65535 || writer < -1 || class < -1 || answer < -1 ||
        answer >= MOST_KINDS || closed < OPEN || closed > SAYS_SO) {
        PyErr_SetString(PyExc_ValueError, "there is no such kind of entry");
        return NULL;
    }
    self->kinds[number] = (Kind){group, writer, class, answer, (uint8_t)closed};
    if (answer >= self->answer_count) self->answer_count = answer + 1;
    if (group >= self->group_count) self->group_count = group + 1;
    Py_RETURN_NONE;
}

/* A copy of bytes; NULL with an exception set. */
static void *copy_of(const void *from, Py_ssize_t size) {
    void *made = malloc((size_t)size + 1);
    return made ? memcpy(made, from, (size_t)size) : PyErr_NoMemory();
}

/* Take what lines of text are read by; -1 with an exception set. */
static int take_reader(Reader *reader, PyObject *given) {
    const char *steps, *sets, *search_steps, *search_sets, *begins;
    Py_ssize_t step_size, set_size, search_step_size, search_set_size, begin_size;
    if (!PyArg_ParseTuple(given, "y#y#y#y#y#ii", &steps, &step_size, &sets, &set_size, &search_steps, &search_step_size, &search_sets,
                          &search_set_size, &begins, &begin_size, &reader->common, &reader->unit))
        return -1;
    if (begin_size % 2 || step_size % (Py_ssize_t)sizeof(Step) || search_step_size % (Py_ssize_t)sizeof(Step)) {
        PyErr_SetString(PyExc_ValueError, "this is no reader");
        return -1;
    }
    for (Py_ssize_t n = 0; n < begin_size; n += 2) {
        size_t pair = (size_t)(uint8_t)begins[n] << 8 | (uint8_t)begins[n + 1];
        reader->begins[pair >> 3] |= (uint8_t)(1 << (pair & 7));
    }
    if (begin_size <= 2 * FEW) memcpy(reader->pairs, begins, (size_t)begin_size);
    reader->few = begin_size <= 2 * FEW ? (int)begin_size / 2 : 0;
    reader->steps = copy_of(steps, step_size);
    reader->sets = copy_of(sets, set_size);
    reader->search_sets = copy_of(search_sets, search_set_size);
    if (search_step_size) reader->search_steps = copy_of(search_steps, search_step_size);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *entries_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *cutter, *sieve, *plan, *broken, *reader;
    int at_ends, ends, before, behind, shown;
    const char *bounds;
    Py_ssize_t bound_size;
    long long band, pace;
    if (!PyArg_ParseTuple(args, "OO!OOOiiiiiy#LL", &cutter, sieve_type, &sieve, &plan, &broken, &reader, &at_ends, &ends, &before, &behind, &shown,
                          &bounds, &bound_size, &band, &pace))
        return NULL;
    if (band < 1 || pace < 1 || shown < 1 || shown > 100) {
        PyErr_SetString(PyExc_ValueError, "a band, a pace and how many are shown are at least 1");
        return NULL;
    }
    if (cutter == Py_None ? !PyTuple_Check(reader) : !PyObject_TypeCheck(cutter, (PyTypeObject *)cutter_type)) {
        PyErr_SetString(PyExc_TypeError, "it takes a Cutter, or a reader");
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    EntrySieve *self = (EntrySieve *)make(type, 0);
    if (!self) return NULL;
    self->cutter = cutter == Py_None ? NULL : (Cutter *)Py_NewRef(cutter);
    self->sieve = Py_NewRef(sieve);
    self->plan = Py_NewRef(plan);
    self->broken = Py_NewRef(broken);
    self->at_ends = at_ends;
    self->ends = ends;
    self->before = before;
    self->behind = behind;
    self->shown = shown;
    self->steps = (Steps){copy_of(bounds, bound_size), bound_size / (Py_ssize_t)sizeof(double), band, pace};
    if (PyErr_Occurred() || (!self->cutter && take_reader(&self->reader, reader))) Py_CLEAR(self);
    return (PyObject *)self;
}

static void entries_dealloc(EntrySieve *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int n = 0; n < self->plan_count; n++) free(self->plans[n]);
    free(self->plans);
    free(self->scratch);
    free(self->steps.bounds);
    free(self->reader.steps);
    free(self->reader.sets);
    free(self->reader.search_steps);
    free(self->reader.search_sets);
    Py_XDECREF((PyObject *)self->cutter);
    Py_XDECREF(self->sieve);
    Py_XDECREF(self->plan);
    Py_XDECREF(self->broken);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef entries_methods[] = {
    {"sift", (PyCFunction)(void (*)(void))entries_sift, METH_VARARGS,
     "sift(data, line, start, (width, moment, tick, beat), low, high, before): (None where all is kept, else (the lines that are kept, their numbers of 64 bits each, what the "
     "others left: ((groups, first times, last times, counts), (numbers, times), steps back), None or the requests among these as "
     "_requests.c sums them up in stretches of `moment` microseconds, and failed ones in those of `tick` and of `beat`), questions (kind, line, time or None, milliseconds or None, whether "
     "the instance is no part of the kind), how many "
     "lines are kept because their answers are not there yet, what is known of streams behind the last line: `before` where that one "
     "is in front of these). `line` is the "
     "number of the first line; those in front of number `start` and those with a time that is not between the two are kept."},
    {"learn", (PyCFunction)(void (*)(void))entries_learn, METH_VARARGS,
     "learn(kind, group, writer, class, answer, closed): entries of that kind count in this group (-1: in none, -2: they go on others), are by that writer "
     "(-1: unknown; a stream for each instance of it), are requests of that class (-1: none), which failed with that answer (-1: they did not), and records "
     "by themselves (1; 2: where their text is plain)."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot entries_slots[] = {{Py_tp_new, entries_new}, {Py_tp_dealloc, entries_dealloc}, {Py_tp_methods, entries_methods},
                                      {Py_tp_doc, "EntrySieve(...): tells entries that only count from all others; entries.py makes it."}, {0, NULL}};
PyType_Spec entries_spec = {"triage.intake._cutter.EntrySieve", sizeof(EntrySieve), 0, Py_TPFLAGS_DEFAULT, entries_slots};
