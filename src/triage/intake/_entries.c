/* Sifts lines of JSON: entries that only count leave behind when they were written, and as what; all others are kept as they are.

   What an entry means is not known here. It is learned from those that were read: two entries with the same keys, and the same
   texts at those that say who, where and how loud, mean the same but for when they were written and what they say. The Python
   around it (entries.py) says which leaf is what, by the keys at the top, and what became of the first entry of each kind; what
   an entry says is judged by its text, as that of a line. Of whatever is in doubt the line is kept. */

#include "_cutter.h"

#include <stdlib.h>

#define KINDS 8192    /* of entries that are told apart; a power of two */
#define MOST_KINDS (KINDS / 2)
#define MOST_KEYS 65535
#define WALLS 32      /* lines of which nothing is known, in one go: where there are more all is kept */
#define LONGEST_NAME 256

/* What a leaf is: of no account; only that it is there tells something; its text does; it makes an entry more than a line that
   counts, by being there and by its text; when; what it says. */
enum { FREE, MARK, NAME, MORE, MORE_NAME, WHEN, SAID };

enum { NOTHING = -1, COMPLETE = -2, BARE = -3, ASKED = -4 }; /* what a kind of entry may be instead of a group */

typedef struct {
    uint8_t role, rank, required;
} Part;

typedef struct {
    uint64_t hash;
    int32_t number; /* from 1 on; 0: free */
} Place;

typedef struct {
    int32_t group, key;
} Kind;

typedef struct {
    PyObject_HEAD
    Cutter *cutter;
    PyObject *sieve, *plan;
    Part **plans; /* of each shape, NULL: none; behind the last one */
    int plan_count;
    Place places[KINDS];
    Kind kinds[MOST_KINDS + 1];
    int32_t kind_count, group_count, key_count;
    int at_ends, ends, before, behind;
    char *scratch;
    size_t scratch_cap;
} EntrySieve;

typedef struct {
    int32_t number;
    int64_t line, at;
    int timed;
} Question;

typedef struct {
    Question *asked;
    int32_t *keys; /* of each line; -1: none */
    int64_t count, walls;
} Sifting;

static uint64_t mix(uint64_t hash, uint64_t with) {
    hash = (hash ^ with) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 29;
}

static uint64_t mix_text(uint64_t hash, const uint8_t *text, size_t size) {
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

/* The number of this kind of entry; 0 where there are too many. A new one is asked for. */
static int32_t number_of(EntrySieve *self, uint64_t hash) {
    for (uint64_t at = hash;; at++) {
        Place *place = self->places + (at & (KINDS - 1));
        if (place->number && place->hash == hash) return place->number;
        if (place->number) continue;
        if (self->kind_count >= MOST_KINDS) return 0;
        *place = (Place){hash, ++self->kind_count};
        self->kinds[self->kind_count] = (Kind){ASKED, NOTHING};
        return self->kind_count;
    }
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

/* What the entry in the leaves of the cutter is, and the number of the stream that it belongs to (-1: none); -1 with an exception set. */
static int look_at(EntrySieve *self, Sifting *work, Line *line, int32_t *key, int64_t number, int shape) {
    Cutter *cutter = self->cutter;
    const Part *parts = parts_of(self, shape);
    if (!parts) return PyErr_Occurred() ? -1 : 0;
    uint64_t hash = mix(0, (uint64_t)shape);
    int when = -1, said = -1, required = 0, more = 0;
    for (int n = 0; n < cutter->touched_count; n++) {
        int at = cutter->touched[n];
        const Leaf *leaf = cutter->leaves + at;
        const Part *part = parts + at;
        required += part->required;
        if (part->role == FREE) continue;
        hash = mix(hash, (uint64_t)at << 8 | (uint64_t)leaf->kind);
        if (part->role == NAME || part->role == MORE_NAME) {
            if (leaf->size > LONGEST_NAME) return 0;
            hash = mix_text(hash, leaf->at, leaf->size);
        }
        more |= part->role == MORE || part->role == MORE_NAME;
        int *first = part->role == WHEN ? &when : part->role == SAID ? &said : NULL;
        if (!first) continue;
        if (*first >= 0 && parts[*first].rank == part->rank) return 0;
        if (*first < 0 || parts[*first].rank > part->rank) *first = at;
    }
    if (required != parts[cutter->leaf_count].required) return 0;
    int told = APART, level = -1;
    if (said >= 0 && (cutter->leaves[said].kind == TEXT || cutter->leaves[said].kind == ESCAPED)) {
        size_t size;
        const uint8_t *text = text_of(self, cutter->leaves + said, &size);
        if (!text) {
            PyErr_NoMemory();
            return -1;
        }
        if (size && text[size - 1] == '\n') size--; /* ends of lines inside are no part of what is said */
        told = judge(self->sieve, text, text + size, &level);
        if (told == -2) return -1;
    }
    int timed = 0;
    if (when >= 0) {
        const Leaf *leaf = cutter->leaves + when;
        if (leaf->kind == TEXT) timed = is_stamp((const char *)leaf->at, leaf->size, &line->at);
        if (leaf->kind == WHOLE) timed = is_epoch((const char *)leaf->at, leaf->size, &line->at);
    }
    int32_t which = number_of(self, mix(hash, told == APART ? 1 : (uint64_t)(level + 3)));
    if (!which) return 0;
    Kind *kind = self->kinds + which;
    if (kind->group == ASKED) {
        kind->group = NOTHING;
        work->asked[work->count++] = (Question){which, number, line->at, timed};
        return 0;
    }
    if (kind->group == COMPLETE) {
        if (!more || said < 0 || told != APART) line->kind = KEPT;
        return 0;
    }
    if (kind->key < 0) return 0;
    *key = kind->key;
    int calm = kind->group >= 0 && told == CALM && timed && !more && !cutter->flagged;
    line->kind = told == APART || kind->group == BARE ? APART : calm ? CALM : KEPT;
    line->group = (uint16_t)(calm ? kind->group : 0);
    return 0;
}

/* Keep what stands near a line that may touch others of its stream, and at both ends of each stream: what is beyond them is not
   known. How many lines only count after that; -1 where memory is short. */
static int64_t keep_near(const EntrySieve *self, Found *found, const int32_t *keys) {
    int64_t calm = 0, *counts = malloc((size_t)(self->key_count + 1) * 2 * sizeof(int64_t)), *until = counts + self->key_count + 1;
    if (!counts) return -1;
    for (int turn = 0; turn < 2; turn++) { /* forth, and back */
        int near = turn ? self->before : self->behind;
        for (int k = 0; k < self->key_count; k++) counts[k] = 0, until[k] = self->ends;
        for (int64_t n = 0; n < found->count; n++) {
            int64_t at = turn ? found->count - 1 - n : n;
            Line *line = found->lines + at;
            if (line->kind == WALL)
                for (int k = 0; k < self->key_count; k++) {
                    if (until[k] < counts[k] + near) until[k] = counts[k] + near;
                }
            if (keys[at] < 0) continue;
            int64_t place = counts[keys[at]]++;
            if (line->kind == APART && until[keys[at]] < place + 1 + near) until[keys[at]] = place + 1 + near;
            if (line->kind == CALM && (place < until[keys[at]] || n < self->at_ends)) line->kind = KEPT;
        }
    }
    free(counts);
    for (int64_t n = 0; n < found->count; n++) calm += found->lines[n].kind == CALM;
    return calm;
}

/* What is kept, as text and with its numbers, and what the others leave behind. */
static PyObject *hand_over(const EntrySieve *self, const Found *found, const char *text, int64_t calm, int64_t first, int64_t width) {
    size_t size = 0, used = 0;
    int64_t k = 0;
    for (int64_t n = 0; n < found->count; n++)
        if (found->lines[n].kind != CALM) size += found->lines[n].size + 1;
    char *data = malloc(size + 1);
    int64_t *numbers = malloc((size_t)(found->count - calm + 1) * sizeof(int64_t));
    PyObject *made = NULL, *left = data && numbers ? leave(found, self->group_count, first, width) : PyErr_NoMemory();
    for (int64_t n = 0; left && n < found->count; n++) {
        const Line *line = found->lines + n;
        if (line->kind == CALM) continue;
        memcpy(data + used, text + line->start, line->size);
        data[used + line->size] = '\n';
        used += line->size + 1;
        numbers[k++] = first + n;
    }
    if (left) made = Py_BuildValue("(y#y#N)", data, (Py_ssize_t)used, (const char *)numbers, (Py_ssize_t)((size_t)k * sizeof(int64_t)), left);
    free(data);
    free(numbers);
    return made;
}

static PyObject *questions(const Sifting *work) {
    PyObject *all = PyList_New(0);
    for (int64_t n = 0; all && n < work->count; n++) {
        const Question *one = work->asked + n;
        PyObject *told = one->timed ? Py_BuildValue("(iLL)", one->number, (long long)one->line, (long long)one->at)
                                    : Py_BuildValue("(iLO)", one->number, (long long)one->line, Py_None);
        if (!told || PyList_Append(all, told)) Py_CLEAR(all);
        Py_XDECREF(told);
    }
    return all;
}

/* Look at every line; 1, or 0 with an exception set. */
static int look_at_all(EntrySieve *self, Sifting *work, Found *found, const uint8_t *text, size_t size, long long first, long long from,
                       const long long span[2]) {
    const uint8_t *p = text, *end = text + size;
    int64_t cap = 0;
    while (p < end) {
        const uint8_t *start = p;
        self->cutter->flagged = 0;
        int shape = read_entry(self->cutter, &p, end);
        if (shape < 0) p = memchr(start, '\n', (size_t)(end - start));
        p = p ? p : end;
        if (shape == -2 || add_found(found, (size_t)(start - text), (size_t)(p - text))) return PyErr_NoMemory() != NULL;
        if (found->count > cap) {
            cap = found->cap;
            int32_t *keys = realloc(work->keys, (size_t)cap * sizeof(int32_t));
            if (keys) work->keys = keys;
            Question *asked = realloc(work->asked, (size_t)cap * sizeof(Question));
            if (asked) work->asked = asked;
            if (!keys || !asked) return PyErr_NoMemory() != NULL;
        }
        int64_t n = found->count - 1;
        Line *line = found->lines + n;
        line->kind = WALL;
        work->keys[n] = -1;
        if (shape >= 0 && look_at(self, work, line, work->keys + n, first + n, shape)) return 0;
        if (line->kind == CALM && (first + n < from || line->at < span[0] || line->at > span[1])) line->kind = KEPT;
        work->walls += line->kind == WALL;
        p += p < end;
    }
    return 1;
}

static PyObject *entries_sift(EntrySieve *self, PyObject *args) {
    Py_buffer data;
    long long first, from, width, span[2];
    if (!PyArg_ParseTuple(args, "y*LLLLL", &data, &first, &from, &width, span, span + 1)) return NULL;
    Found found = {NULL, 0, 0};
    Sifting work = {0};
    PyObject *made = NULL;
    if ((size_t)data.len < LARGEST && look_at_all(self, &work, &found, data.buf, (size_t)data.len, first, from, span)) {
        int64_t calm = work.walls > WALLS ? 0 : keep_near(self, &found, work.keys);
        if (calm < 0)
            PyErr_NoMemory();
        else
            made = calm ? hand_over(self, &found, data.buf, calm, first, width) : Py_NewRef(Py_None);
    } else if (!PyErr_Occurred()) {
        made = Py_NewRef(Py_None);
    }
    PyObject *asked = made ? questions(&work) : NULL;
    free(found.lines);
    free(work.keys);
    free(work.asked);
    PyBuffer_Release(&data);
    if (asked) return Py_BuildValue("(NN)", made, asked);
    Py_XDECREF(made);
    return NULL;
}

static PyObject *entries_learn(EntrySieve *self, PyObject *args) {
    int number, group, key;
    if (!PyArg_ParseTuple(args, "iii", &number, &group, &key)) return NULL;
    if (number < 1 || number > self->kind_count || group < BARE || group >= 65535 || key < -1 || key >= MOST_KEYS) {
        PyErr_SetString(PyExc_ValueError, "there is no such kind of entry");
        return NULL;
    }
    self->kinds[number] = (Kind){group, key};
    if (group >= self->group_count) self->group_count = group + 1;
    if (key >= self->key_count) self->key_count = key + 1;
    Py_RETURN_NONE;
}

static PyObject *entries_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *cutter, *sieve, *plan;
    int at_ends, ends, before, behind;
    if (!PyArg_ParseTuple(args, "O!O!Oiiii", cutter_type, &cutter, sieve_type, &sieve, &plan, &at_ends, &ends, &before, &behind)) return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    EntrySieve *self = (EntrySieve *)make(type, 0);
    if (!self) return NULL;
    self->cutter = (Cutter *)Py_NewRef(cutter);
    self->sieve = Py_NewRef(sieve);
    self->plan = Py_NewRef(plan);
    self->at_ends = at_ends;
    self->ends = ends;
    self->before = before;
    self->behind = behind;
    return (PyObject *)self;
}

static void entries_dealloc(EntrySieve *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int n = 0; n < self->plan_count; n++) free(self->plans[n]);
    free(self->plans);
    free(self->scratch);
    Py_XDECREF((PyObject *)self->cutter);
    Py_XDECREF(self->sieve);
    Py_XDECREF(self->plan);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef entries_methods[] = {
    {"sift", (PyCFunction)(void (*)(void))entries_sift, METH_VARARGS,
     "sift(data, line, start, width, low, high): (None where all is kept, else (the lines that are kept, their numbers of 64 bits each, what the "
     "others left: ((groups, first times, last times, counts), (numbers, times), steps back)), questions (kind, line, time or None)). `line` is the "
     "number of the first line; those in front of number `start` and those with a time that is not between the two are kept."},
    {"learn", (PyCFunction)(void (*)(void))entries_learn, METH_VARARGS,
     "learn(kind, group, key): entries of that kind count in this group (-1: in none, -2: they touch no other, -3: they go on others) and stand in "
     "that stream (-1: unknown)."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot entries_slots[] = {{Py_tp_new, entries_new}, {Py_tp_dealloc, entries_dealloc}, {Py_tp_methods, entries_methods},
                                      {Py_tp_doc, "EntrySieve(...): tells entries that only count from all others; entries.py makes it."}, {0, NULL}};
PyType_Spec entries_spec = {"triage.intake._cutter.EntrySieve", sizeof(EntrySieve), 0, Py_TPFLAGS_DEFAULT, entries_slots};
