/* What the compiled parts have in common: columns that are handed out, and what is known of bytes. */

#ifndef TRIAGE_CUTTER_H
#define TRIAGE_CUTTER_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define LARGEST ((size_t)1 << 30) /* bytes of one column */
#define MAX_KEYS 256   /* of one object at the top */
#define MAX_SHAPES 1024 /* of entries of one input: their top keys, in order */
#define MAX_LEAVES 1024
#define LIKES 16 /* keys of an object inside that are remembered, and their longest */
#define LIKE_SIZE 40

/* A text of a view array: up to 12 bytes in place, of longer ones the first four and where in the data they stand. */
typedef struct {
    int32_t size;
    union {
        char inside[12];
        struct {
            char first[4];
            int32_t buffer, offset;
        } far;
    } as;
} View;

/* The view of a text that stands `offset` bytes into the data. */
static inline View view_of(const char *text, size_t size, size_t offset) {
    View view;
    memset(&view, 0, sizeof view);
    view.size = (int32_t)size;
    if (size <= 12) {
        memcpy(view.as.inside, text, size);
    } else {
        memcpy(view.as.far.first, text, 4);
        view.as.far.offset = (int32_t)offset;
    }
    return view;
}

/* A column of these buffers, which are its own from now on, whatever happens; `count` of them are the array's. */
PyObject *hand_out(const char *format, int64_t rows, int64_t nulls, void *kept[4], int count, int64_t data_size);

/* Whether all of it is valid UTF-8. */
int is_utf8(const uint8_t *p, const uint8_t *end);

/* Whether a text begins like 2026-03-02T10:14:07, with that sign between date and time; its seconds since 1970. */
int is_second(const char *text, char between, int64_t *seconds);

/* What a hexadecimal digit stands for; -1 where it is none. */
static inline int hex(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A hash that goes on with a number, with a text. */
static inline uint64_t mix(uint64_t hash, uint64_t with) {
    hash = (hash ^ with) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static inline uint64_t mix_text(uint64_t hash, const uint8_t *text, size_t size) {
    uint64_t part = 0;
    hash = mix(hash, size);
    for (; size >= 8; size -= 8, text += 8) {
        memcpy(&part, text, 8);
        hash = mix(hash, part);
    }
    part = 0;
    memcpy(&part, text, size);
    return mix(hash, part);
}

/* The number that so many digits are; -1 where one of them is none. */
int digits(const char *text, int count, int *value);

/* ------------------------------------------------------------------------------------------------ cutting lines of JSON */

/* A text that rows of a column hold, and its last bytes: texts that are nearly the same differ there. */
typedef struct {
    char *text;
    uint32_t size;
    uint64_t tail;
} Different;

typedef struct {
    int64_t rows; /* that have a place here; those behind them are null */
    int64_t cap;
    int64_t nulls;
    int same; /* every row so far holds the first of the different texts: nothing is laid down yet */
    int few;  /* rows hold numbers of different texts */
    Different *different;
    int different_count, last; /* of the different texts that which the row before holds */
    uint8_t *codes;
    View *views;
    uint8_t *valid;
    char *data;
    size_t data_size, data_cap;
    int64_t *numbers; /* the values as what is wanted, as long as `whole` says that all of them are that */
    int whole;
    int raw; /* some value is RAW */
} Column;

typedef struct {
    const char *key;
    size_t size;
    int leaf, node; /* -1: none */
} Slot;

/* A key as it stood at its place in the object before: the next one most often has the same. */
typedef struct {
    char name[LIKE_SIZE];
    size_t size;
    int slot;
} Like;

typedef struct {
    Slot *slots;
    int count;
    uint64_t seen;
    Like like[LIKES];
} Node;

/* RAW: true, false, a list, an object, or a number that Python writes in another way, as it stands, behind a NUL */
enum { ABSENT, TEXT, ESCAPED, WHOLE, DECIMAL, RAW };

/* What a value is wanted as: text, what stands in it behind its last slash, and where all are that, a whole number, or
   microseconds since 1970 of a stamp in UTC. */
enum { AS_TEXT, AS_LAST, AS_NUMBER, AS_TIME };

typedef struct {
    int wanted;
    uint64_t seen;
    int kind;
    const uint8_t *at;
    size_t size;
    Column column;
} Leaf;

typedef struct {
    uint64_t hash;
    size_t size;
    int slot; /* of the outermost node; -1: not asked for */
} Key;

typedef struct {
    Key *keys;
    char *names; /* one behind the other */
    int count;
} Shape;

typedef struct {
    PyObject_HEAD
    Node *nodes;
    int node_count;
    Leaf *leaves;
    int leaf_count;
    char *names; /* the keys that are asked for */
    int strict;  /* a node that holds no object makes its line a foreign one */
    uint64_t stamp;
    int touched[MAX_LEAVES];
    int touched_count;
    Shape *shapes;
    int shape_count, expected;
    Key keys[MAX_KEYS];
    const uint8_t *key_at[MAX_KEYS];
    int key_count;
    int64_t rows, row_cap;
    int64_t *lines;
    int32_t *shape_of;
    char *scratch;
    size_t scratch_cap;
    int flagged; /* some key ends as those do that say of a text that it was cut */
} Cutter;

/* Behind the line of JSON at p and the blanks at its end, with what is asked for of it in the leaves; the number of the shape that
   its top keys make, -1 where it is none that is surely understood, -2 without memory. */
int read_entry(Cutter *self, const uint8_t **p, const uint8_t *end);

/* The text of a string with escapes; how many bytes it has. */
size_t unescape(const uint8_t *p, const uint8_t *end, char *into);

/* Whether the text is a stamp like 2026-03-02T10:14:07.123Z (or with +00:00), and its microseconds since 1970; finer digits are cut. */
int is_stamp(const char *text, size_t size, int64_t *micros);

/* Whether the text is a stamp like 02/Mar/2026:10:14:07 +0100, and its microseconds since 1970. */
int is_common_stamp(const char *text, size_t size, int64_t *micros);

/* The top keys of a shape, as texts. */
PyObject *keys_of(const Shape *shape);

/* --------------------------------------------------------------------------------------------------------- sifting lines */

/* A line that may touch those near it; a header that is not quiet; one that surely goes on no other, and that nothing plain goes
   on; a line that is kept, and touches no other; one that only counts; one of which nothing is known; the header of a record that says
   the same as one before it; a line below such a header. */
enum { APART, LOUD, ALONE, KEPT, CALM, WALL, REPEATED, GONE };
enum { UNSURE, WARNED, SURE }; /* the group of a line of text that is LOUD or ALONE: what its level is: not known, WARNING, above */

typedef struct {
    int64_t at;
    uint32_t start, size;
    uint16_t group, said; /* which lines it is counted with: of text those of its level; where behind a header its text begins */
    uint8_t kind, looked_at; /* looked_at: whether it may be a part of a traceback: 0 not asked yet, 1 no, 2 yes */
} Line;

typedef struct {
    Line *lines;
    int64_t count, cap, stamp; /* of text: bytes of the stamp of each header */
} Found;

int add_found(Found *found, size_t start, size_t end);

/* Numbers that are laid down one behind the other. */
typedef struct {
    int64_t *numbers, count, cap;
} Numbers;

/* -1 where memory is short. */
int push(Numbers *into, int64_t number);

/* A column of the numbers, of which there are none left then. */
PyObject *hand_out_numbers(Numbers *from);

/* What lines that only count leave behind, in `width` microseconds each: ((groups, first times, last times, counts), (numbers, times)
   of the first and the last of those that stand together, steps back in time between them); NULL with an exception set. */
PyObject *leave(const Found *found, int groups, int64_t first, int64_t width);

/* What a text is that stands in an entry (APART, LOUD, KEPT, CALM), and the level of a header of its own, -1 where it has none; -2 with
   an exception set. */
int judge(PyObject *sieve, const uint8_t *p, const uint8_t *end, int *level);

/* A step of a regex; programs.py lays them down. */
typedef struct {
    int32_t what, a, b, c;
} Step;

#define SAVED 12 /* where groups begin and end, then: */
enum { ENDS_AT = SAVED - 2, LOOKED_AT };

/* Try a regex: 1 where it fits, 0 where it does not, -1 where only somebody who knows all characters can tell. saved: where groups
   begin and end, where what it fits ends, and the end of what was looked at (NULL: of the line). */
int fits(const Step *steps, int start, const uint8_t *sets, const uint8_t *pos, const uint8_t *end, const uint8_t *saved[SAVED]);

/* Whether one of the regexes of texts that are more than a line which counts may fit the text. */
int may_be_more(PyObject *sieve, const uint8_t *p, const uint8_t *end);

/* Whether there is a control character other than a tabulator. */
int is_odd(const uint8_t *p, const uint8_t *end);

/* Whether one of the words that tell more stands in the text. */
int holds_word(PyObject *sieve, const uint8_t *p, const uint8_t *end);

/* A path as far as it says which one it is: without what is behind it, ids as "0". How many bytes it has; it is never longer. */
size_t plain_route(const uint8_t *p, size_t size, uint8_t *into);

/* ------------------------------------------------------------------------------------------------- records that came before */

struct Repeats;
struct Repeats *new_repeats(void);
void free_repeats(struct Repeats *self);

/* Mark the lines of records that say the same as one before them, and have so many clear lines on both sides: ((lines, times, records), (lines, bodies), questions): those of which
   nothing is left, those of which the header is kept, and (line, lines, body, record, what the header says) of some whose numbers
   are not known yet. NULL with an exception set. */
PyObject *find_repeats(struct Repeats *self, PyObject *sieve, Found *found, const uint8_t *text, int64_t first, int64_t from, int64_t at_ends, int64_t beside);

/* Say whether it is known from now on what becomes of a body or record; -1 where there is no such. */
int settle_repeat(struct Repeats *self, int is_record, int number, int known);

/* ------------------------------------------------------------------------------------------------- requests that only count */

#define NO_STEP INT64_MIN /* of requests of which it is not told how long they took */

/* Durations in milliseconds from which on a further step begins, how many steps are a band, and the microseconds in which bands are
   told apart. */
typedef struct {
    double *bounds;
    int64_t count, band, pace;
} Steps;

struct Sums;
struct Sums *new_sums(void);
void free_sums(struct Sums *sums);

/* Count a request, in stretches of `width` microseconds where it does not matter how long it took; -1 where memory is short. */
int add_request(struct Sums *sums, const Steps *steps, int64_t width, int64_t class, int64_t at, double took, int64_t line);

/* Count a failed request, in stretches of so many microseconds: fine ones, and those of the rhythm; -1 where memory is short. */
int add_failure(struct Sums *sums, const int64_t widths[2], int64_t answer, int64_t at, int64_t line);

/* Five lists of columns (class, step or band, bucket, count, timed, total microseconds, line, first, last, least, most): by step, by
   stretch of time, by band and stretch of time; failed ones by answer (the first column) and the one and the other stretch of time. */
PyObject *hand_out_sums(const struct Sums *sums);

extern PyObject *cutter_type, *sieve_type;
extern PyType_Spec sieve_spec, entries_spec;

#endif
