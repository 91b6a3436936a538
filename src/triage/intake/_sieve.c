/* Sifts lines of text: those that only count (a whole header of one shape, of a quiet level, with nothing behind it that
   tells of a failure or of the life of a process, and nothing near them that might) leave behind when they were written
   and their level. All others are kept as lines.

   It takes a line for one that only counts where it is sure of it: stamp, regex of the header and words are given, and bytes
   that are no ASCII inside a header make a line one that is kept. So what it takes would have been read the same slowly. */

#include "_cutter.h"

#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define STACK 512      /* choices of a regex that are open at once */
#define PATIENCE 4096  /* steps of a regex on one line */
#define LEVELS 64      /* different words for levels that are remembered, and their longest */
#define LEVEL_SIZE 24
#define HEADS 512      /* headers that are remembered, by their first bytes, and their longest */
#define HEAD_SIZE 60
#define HEAD_START 24
#define LONGEST 4096   /* bytes of a line that only counts */
#define ANY 0x7fff     /* set of a way that may be taken at the end as well; programs.py says the same */
#define PIECES 16384   /* bytes; a bit for each number that four bytes of a word may make */

enum { CHAR, SET, RUN, SPLIT, JUMP, SAVE, END, MATCH, GULP };

typedef struct {
    const uint8_t *at, *least; /* of a run: down to where it may give back */
    int32_t step, slot;        /* slot: what is saved there is put back; -1 none */
} Choice;

typedef struct {
    char text[LEVEL_SIZE];
    int32_t size, number;
} Level;

/* A header that was read: a line with the same bytes here, which are all that were looked at, is read alike. */
typedef struct {
    uint8_t text[HEAD_SIZE], looked_at, size, kind, level;
} Head;

/* One of many regexes: bytes that a text must hold for it to fit, as bits, and its first step. */
typedef struct {
    uint64_t low, high;
    int32_t begins, step; /* begins: the set of bytes it begins with, ANY: any */
} Other;

typedef struct {
    PyObject_HEAD
    Step *steps;
    uint8_t *sets;
    Step *other_steps; /* of regexes that none of the texts in entries may fit which only count */
    uint8_t *other_sets;
    Other *others; /* for each byte those that a text may fit which begins with it, up to the place in `until` */
    int32_t until[129];
    uint16_t *words; /* next state, for each state and class of bytes: 0 is the start, the last ones have found a word */
    uint8_t classes[256], pieces[PIECES];
    int32_t class_count, found;
    char between, point;
    int digits;
    uint8_t *endings; /* of loggers that name an exception: size, bytes, size, bytes, ..., 0 */
    Level levels[LEVELS];
    Head heads[HEADS];
    char second[20]; /* of the line before: lines of one second stand together most often */
    int64_t second_at;
    int32_t level_count, at_ends, before, before_loud, behind; /* lines that are kept near others */
    struct Repeats *repeats;
    PyObject *ask;
} Sieve;

int fits(const Step *steps, int start, const uint8_t *sets, const uint8_t *pos, const uint8_t *end, const uint8_t *saved[SAVED]) {
    const uint8_t *seen = pos;
    Choice stack[STACK];
    int top = 0, patience = PATIENCE;
    const Step *step = steps + start;
    for (;;) {
        if (!--patience) return -1;
        if (pos >= seen) seen = pos + 1;
        switch (step->what) {
            case CHAR:
            case SET:
                if (pos < end) {
                    if (*pos >= 0x80) return -1;
                    if (step->what == CHAR ? *pos == step->a : sets[step->a * 256 + *pos]) {
                        pos++, step++;
                        continue;
                    }
                }
                break;
            case GULP:
            case RUN: {
                const uint8_t *set = sets + step->a * 256, *q = pos, *stop = end - pos > step->c ? pos + step->c : end;
                while (q < stop && set[*q]) q++;
                if (q < stop && *q >= 0x80) return -1;
                if (q >= seen) seen = q + 1;
                if (q - pos < step->b) break;
                if (q - pos > step->b && step->what == RUN) {
                    if (top == STACK) return -1;
                    stack[top++] = (Choice){q - 1, pos + step->b, (int32_t)(step - steps) + 1, -1};
                }
                pos = q, step++;
                continue;
            }
            case SPLIT: /* c: sets of bytes that the one and the other way may begin with, ANY: any */
                if (pos < end) {
                    if (*pos >= 0x80) return -1;
                    unsigned one = (unsigned)step->c & 0xffff, other = (unsigned)step->c >> 16;
                    if (one != ANY && !sets[one * 256 + *pos]) {
                        step = steps + step->b;
                        continue;
                    }
                    if (other != ANY && !sets[other * 256 + *pos]) {
                        step = steps + step->a;
                        continue;
                    }
                }
                if (top == STACK) return -1;
                stack[top++] = (Choice){pos, pos, step->b, -1};
                step = steps + step->a;
                continue;
            case JUMP:
                step = steps + step->a;
                continue;
            case SAVE:
                if (top == STACK) return -1;
                if (top) stack[top++] = (Choice){saved[step->a], NULL, 0, step->a}; /* without a choice there is no way back */
                saved[step->a] = pos;
                step++;
                continue;
            case END:
                if (pos != end) break;
                step++;
                continue;
            default:
                saved[ENDS_AT] = pos;
                saved[LOOKED_AT] = seen <= end ? seen : NULL;
                return 1;
        }
        for (;;) { /* back to the choice that is open */
            if (!top) return 0;
            Choice *choice = stack + top - 1;
            if (choice->slot >= 0) {
                saved[choice->slot] = choice->at;
                top--;
                continue;
            }
            pos = choice->at;
            step = steps + choice->step;
            if (choice->at > choice->least)
                choice->at--;
            else
                top--;
            break;
        }
    }
}

/* What a word for a level stands for: a number, or -1 where it is above WARNING, -3 where it is that, -4 where it is none; -2 with an exception set. */
static int level_of(Sieve *self, const uint8_t *text, size_t size) {
    if (size > LEVEL_SIZE) return -1;
    for (int n = 0; n < self->level_count; n++)
        if ((size_t)self->levels[n].size == size && !memcmp(self->levels[n].text, text, size)) return self->levels[n].number;
    PyObject *told = PyObject_CallFunction(self->ask, "s#", (const char *)text, (Py_ssize_t)size);
    long number = told ? PyLong_AsLong(told) : -1;
    Py_XDECREF(told);
    if (PyErr_Occurred()) return -2;
    if (self->level_count < LEVELS) {
        Level *level = self->levels + self->level_count++;
        memcpy(level->text, text, size);
        level->size = (int32_t)size;
        level->number = (int32_t)number;
    }
    return (int)number;
}

static int ends_so(const uint8_t *endings, const uint8_t *start, const uint8_t *end) {
    for (; *endings; endings += *endings + 1)
        if (end - start >= *endings && !memcmp(end - *endings, endings + 1, *endings)) return 1;
    return 0;
}

/* Whether one of the words may be in the text: four bytes of each are looked for, letters in lower case. */
static int may_tell(const Sieve *self, const uint8_t *p, const uint8_t *end) {
    unsigned told = 0;
    for (; end - p >= 4; p++) {
        uint32_t four = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
        uint32_t place = ((four | 0x20202020) * 0x9E3779B1u) >> 15;
        told |= (unsigned)self->pieces[place >> 3] >> (place & 7);
    }
    return told & 1;
}

/* Whether one of the words is in the text. */
static int tells(const Sieve *self, const uint8_t *text, const uint8_t *end) {
    if (!may_tell(self, text, end)) return 0;
    uint32_t state = 0, count = (uint32_t)self->class_count, found = (uint32_t)self->found;
    for (; text < end; text++) {
        state = self->words[state * count + self->classes[*text]];
        if (state >= found) return 1;
    }
    return 0;
}

/* Where a header with these first bytes is remembered; NULL where there are too few. */
static Head *head_of(Sieve *self, const uint8_t *p, const uint8_t *end) {
    if (end - p < HEAD_START) return NULL;
    uint64_t parts[HEAD_START / 8], all = 0;
    memcpy(parts, p, HEAD_START);
    for (int n = 0; n < HEAD_START / 8; n++) all = (all ^ parts[n]) * 0x9E3779B97F4A7C15u;
    return self->heads + (all >> 40) % HEADS;
}

/* Read a header behind its stamp: 1 where there is one, 0 where there is none, -1 with an exception set. */
static int read_head(Sieve *self, Head *head, const uint8_t *p, const uint8_t *end) {
    const uint8_t *saved[SAVED] = {NULL}, *looked_at, *ends;
    if (fits(self->steps, 0, self->sets, p, end, saved) != 1 || !saved[0] || !saved[1] || saved[ENDS_AT] - p > 250) return 0;
    looked_at = saved[LOOKED_AT], ends = saved[ENDS_AT];
    int level = level_of(self, saved[0], (size_t)(saved[1] - saved[0]));
    if (level == -2) return -1;
    int raised = saved[2] && saved[3] && ends_so(self->endings, saved[2], saved[3]);
    head->kind = level < 0 ? LOUD : raised ? APART : CALM;
    head->level = (uint8_t)(level >= 0 ? level : level == -1 ? SURE : level == -3 ? WARNED : UNSURE);
    head->size = (uint8_t)(ends - p);
    head->looked_at = looked_at && looked_at - p <= HEAD_SIZE ? (uint8_t)(looked_at - p) : 0;
    memcpy(head->text, p, head->looked_at);
    return 1;
}

/* Whether one of the other regexes may fit the text. */
static int may_fit(const Sieve *self, const uint8_t *p, const uint8_t *end) {
    uint64_t bits[2] = {0, 0};
    const uint8_t *saved[SAVED];
    if (*p >= 0x80) return 1;
    const Other *other = self->others + self->until[*p], *last = self->others + self->until[*p + 1];
    for (const uint8_t *q = other < last ? p : end; q < end; q++) bits[*q >> 6 & 1] |= (uint64_t)1 << (*q & 63);
    for (; other < last; other++) {
        if ((other->low & ~bits[0]) | (other->high & ~bits[1])) continue;
        if (fits(self->other_steps, other->step, self->other_sets, p, end, saved)) return 1;
    }
    return 0;
}

/* How many bytes the stamp of a header has. */
static int stamp_size(const Sieve *self) {
    return 19 + (self->point != 0) + self->digits;
}

/* What a line is, and of one that only counts its level and time; -1 with an exception set. `text`: where what it says begins. */
static int look_at(Sieve *self, Line *line, const uint8_t *p, const uint8_t *end, const uint8_t **text) {
    int part = 0, behind = stamp_size(self);
    const char *t = (const char *)p;
    line->kind = APART;
    if (end - p <= behind || end - p > LONGEST) return 0;
    if (memcmp(t, self->second, 19)) {
        if (!is_second(t, self->between, &self->second_at)) return 0;
        memcpy(self->second, t, 19);
    }
    if ((self->point && t[19] != self->point) || (self->digits && digits(t + 20, self->digits > 6 ? 6 : self->digits, &part))) return 0;
    for (int n = 6; n < self->digits; n++)
        if (t[20 + n] < '0' || t[20 + n] > '9') return 0;
    for (int n = self->digits; self->digits && n < 6; n++) part *= 10;
    line->at = self->second_at * 1000000 + part;
    Head *head = head_of(self, p + behind, end), new;
    if (!head || !head->size || end - p - behind < head->looked_at || memcmp(head->text, p + behind, head->looked_at)) {
        int told = read_head(self, &new, p + behind, end);
        if (told <= 0) return told;
        if (head && new.looked_at) *head = new;
        head = &new;
    }
    line->kind = head->kind;
    line->group = head->level;
    *text = p + behind + head->size;
    line->said = (uint16_t)(behind + head->size);
    if (line->kind == APART || *text >= end || **text < '!' || end[-1] == ':') {
        if (line->kind == CALM) line->kind = APART;
        return 0;
    }
    if (line->kind == CALM && tells(self, *text, end)) line->kind = KEPT;
    if (line->kind == LOUD && self->until[128] && !may_fit(self, *text, end)) line->kind = ALONE;
    return 0;
}

int is_odd(const uint8_t *p, const uint8_t *end) {
#if defined(__SSE2__)
    __m128i space = _mm_set1_epi8(0x20), below = _mm_set1_epi8(-1), tab = _mm_set1_epi8('\t');
    for (; end - p >= 16; p += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)p), control = _mm_and_si128(_mm_cmplt_epi8(x, space), _mm_cmpgt_epi8(x, below));
        if (_mm_movemask_epi8(_mm_andnot_si128(_mm_cmpeq_epi8(x, tab), control))) return 1;
    }
#endif
    for (; p < end; p++)
        if (*p < 0x20 && *p != '\t') return 1;
    return 0;
}

/* What a text of one line is, and the level of a header of its own as `judge` says; `said`: where what is behind that begins. */
static int judge_line(Sieve *self, const uint8_t *p, const uint8_t *end, int *level, const uint8_t **said) {
    Line line = {0};
    *said = p;
    if (p >= end || end - p > LONGEST || *p < '!' || *p == '{' || end[-1] == ':' || is_odd(p, end)) return APART;
    if (self->between && *p >= '0' && *p <= '9') {
        const uint8_t *text = NULL;
        if (look_at(self, &line, p, end, &text)) return -2;
        if (text) {
            *said = text;
            if (line.kind < ALONE) return APART; /* of a loud one it was asked already whether it may be a part */
            *level = line.kind == ALONE ? LEVELS : line.group;
            if (line.kind == ALONE) return LOUD;
            return may_fit(self, text, end) ? APART : line.kind;
        }
    }
    if (may_fit(self, p, end)) return APART;
    return tells(self, p, end) ? KEPT : CALM;
}

int judge(PyObject *sieve, const uint8_t *p, const uint8_t *end, int *level) {
    Sieve *self = (Sieve *)sieve;
    const uint8_t *said, *first = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
    *level = -1;
    if (!first) return judge_line(self, p, end, level, &said);
    /* of several lines: neighbours go on the first one, if any; what goes on it keeps it near for its own sake */
    int told = end - p > LONGEST || end[-1] == ':' ? APART : judge_line(self, p, first, level, &said);
    for (const uint8_t *q = first, *next; told >= LOUD && q < end; q = next) {
        next = memchr(q + 1, '\n', (size_t)(end - q - 1));
        next = next ? next : end;
        if (is_odd(q + 1, next)) told = APART;
    }
    if (told >= LOUD && may_fit(self, said, end)) told = APART;
    return told == CALM ? KEPT : told;
}

int may_be_more(PyObject *sieve, const uint8_t *p, const uint8_t *end) {
    return may_fit((Sieve *)sieve, p, end);
}

int holds_word(PyObject *sieve, const uint8_t *p, const uint8_t *end) {
    return tells((Sieve *)sieve, p, end);
}

int add_found(Found *found, size_t start, size_t end) {
    if (found->count == found->cap) {
        int64_t cap = found->cap ? found->cap * 2 : 4096;
        Line *lines = realloc(found->lines, (size_t)cap * sizeof(Line));
        if (!lines) return -1;
        found->lines = lines;
        found->cap = cap;
    }
    found->lines[found->count++] = (Line){0, (uint32_t)start, (uint32_t)(end - start), 0, 0, APART, 0};
    return 0;
}

/* The lines, and whether there are control characters in them; -1 where memory is short. */
static int split(Found *found, const uint8_t *text, size_t size) {
    size_t start = 0, at = 0;
    int odd = 0;
#if defined(__SSE2__)
    __m128i low = _mm_setzero_si128(), space = _mm_set1_epi8(0x20), newline = _mm_set1_epi8('\n'), tab = _mm_set1_epi8('\t');
    for (; at + 16 <= size; at += 16) {
        __m128i x = _mm_loadu_si128((const __m128i *)(text + at));
        __m128i ends = _mm_cmpeq_epi8(x, newline);
        /* signed: what is no ASCII is below zero */
        __m128i control = _mm_and_si128(_mm_cmplt_epi8(x, space), _mm_cmpgt_epi8(x, _mm_set1_epi8(-1)));
        low = _mm_or_si128(low, _mm_andnot_si128(_mm_or_si128(ends, _mm_cmpeq_epi8(x, tab)), control));
        for (unsigned bits = (unsigned)_mm_movemask_epi8(ends); bits; bits &= bits - 1) {
            size_t end = at + (size_t)__builtin_ctz(bits);
            if (add_found(found, start, end)) return -1;
            start = end + 1;
        }
    }
    odd = _mm_movemask_epi8(low) != 0;
#endif
    for (; at < size; at++) {
        if (text[at] == '\n') {
            if (add_found(found, start, at)) return -1;
            start = at + 1;
        } else if (text[at] < 0x20 && text[at] != '\t') {
            odd = 1;
        }
    }
    if (start < size && add_found(found, start, size)) return -1;
    return odd;
}

/* Of lines that only count near a header that surely goes on none, those may touch it that could be a part of a traceback. */
static void look_beside(const Sieve *self, Found *found, const uint8_t *text) {
    for (int64_t n = 0; n < found->count; n++) {
        if (found->lines[n].kind != ALONE) continue;
        int64_t last = n + self->behind < found->count - 1 ? n + self->behind : found->count - 1;
        for (int64_t near = n > self->before_loud ? n - self->before_loud : 0; near <= last; near++) {
            Line *line = found->lines + near;
            const uint8_t *p = text + line->start, *end = p + line->size;
            if (line->kind != CALM || line->looked_at) continue;
            line->looked_at = 1;
            if (may_fit(self, p + line->said, end)) line->kind = APART;
        }
    }
}

/* Keep what stands near a line that may touch others, and at both ends: what is beyond them is not known. The number of
   lines that are kept. */
static int64_t keep_near(const Sieve *self, Found *found) {
    int64_t kept = 0, until = self->at_ends;
    for (int64_t n = 0; n < found->count; n++) {
        Line *line = found->lines + n;
        if (line->kind == CALM && n < until) line->kind = KEPT;
        if (line->kind < ALONE && n + self->behind >= until) until = n + 1 + self->behind;
    }
    until = found->count - 1 - self->at_ends;
    for (int64_t n = found->count - 1; n >= 0; n--) {
        Line *line = found->lines + n;
        if (line->kind == CALM && n > until) line->kind = KEPT;
        int64_t before = line->kind == APART ? self->before : self->before_loud;
        if (line->kind < ALONE && n - before <= until) until = n - 1 - before;
        kept += line->kind < CALM;
    }
    return kept;
}

int push(Numbers *into, int64_t number) {
    if (into->count == into->cap) {
        int64_t cap = into->cap ? into->cap * 2 : 256;
        int64_t *numbers = realloc(into->numbers, (size_t)cap * sizeof(int64_t));
        if (!numbers) return -1;
        into->numbers = numbers;
        into->cap = cap;
    }
    into->numbers[into->count++] = number;
    return 0;
}

PyObject *hand_out_numbers(Numbers *from) {
    void *kept[4] = {NULL, from->numbers ? from->numbers : malloc(1), NULL, NULL};
    int64_t count = from->count;
    *from = (Numbers){NULL, 0, 0};
    return hand_out("l", count, 0, kept, 2, 0);
}

/* Whether the second of two times is before the first; a stamp of whole seconds may be of anywhere in its second. */
static int steps_back(int64_t first, int64_t second) {
    int64_t inside = first % 1000000;
    return second < first && second != first - (inside < 0 ? inside + 1000000 : inside);
}

/* What is left of lines that only count. */
typedef struct {
    Numbers run_groups, firsts, lasts, counts; /* lines of one group in one stretch of time */
    Numbers end_lines, end_times;              /* the first and the last of such lines that stand together */
    int64_t disorder;                          /* steps back between neighbours, but those between such a first and last */
} Left;

typedef struct {
    int64_t slice, first, last, count;
} Run;

static int flush(Left *left, int group, Run *run) {
    int failed = run->count && (push(&left->run_groups, group) || push(&left->firsts, run->first) || push(&left->lasts, run->last) ||
                                push(&left->counts, run->count));
    run->count = 0;
    return failed;
}

static int close_stretch(Left *left, const Found *found, int64_t from, int64_t until, int64_t first) {
    const Line *lines = found->lines;
    if (push(&left->end_lines, first + from) || push(&left->end_times, lines[from].at)) return -1;
    if (until == from) return 0;
    left->disorder -= steps_back(lines[from].at, lines[until].at);
    return push(&left->end_lines, first + until) || push(&left->end_times, lines[until].at);
}

/* Count the lines that only count, of which there are so many groups; -1 where memory is short. */
static int count_calm(Left *left, const Found *found, Run *runs, int groups, int64_t first, int64_t width) {
    int64_t from = -1, last = -1;
    for (int64_t n = 0; n <= found->count; n++) {
        const Line *line = found->lines + n;
        if (n < found->count && line->kind == GONE) continue;
        if (n == found->count || (line->kind != CALM && line->kind != REPEATED)) {
            if (from >= 0 && close_stretch(left, found, from, last, first)) return -1;
            from = -1;
            continue;
        }
        if (from < 0)
            from = n;
        else
            left->disorder += steps_back(found->lines[last].at, line->at);
        last = n;
        if (line->kind == REPEATED) continue; /* it has a time, and is counted elsewhere */
        Run *run = runs + line->group;
        int64_t at = line->at, slice = at / width - (at % width < 0);
        if (run->count && run->slice == slice) {
            if (at < run->first) run->first = at;
            if (at > run->last) run->last = at;
            run->count++;
            continue;
        }
        if (flush(left, line->group, run)) return -1;
        *run = (Run){slice, at, at, 1};
    }
    for (int group = 0; group < groups; group++)
        if (flush(left, group, runs + group)) return -1;
    return 0;
}

PyObject *leave(const Found *found, int groups, int64_t first, int64_t width) {
    Left left = {0};
    Numbers *all[] = {&left.run_groups, &left.firsts, &left.lasts, &left.counts, &left.end_lines, &left.end_times};
    Run *runs = calloc((size_t)groups + 1, sizeof(Run));
    int failed = !runs || count_calm(&left, found, runs, groups, first, width > 0 ? width : 1);
    free(runs);
    if (failed) {
        for (int n = 0; n < 6; n++) free(all[n]->numbers);
        return PyErr_NoMemory();
    }
    PyObject *columns[6];
    for (int n = 0; n < 6; n++) columns[n] = hand_out_numbers(all[n]);
    return Py_BuildValue("((NNNN)(NN)L)", columns[0], columns[1], columns[2], columns[3], columns[4], columns[5], (long long)left.disorder);
}

static PyObject *sift(const Found *found, const uint8_t *text, int64_t kept, int64_t first, int64_t width, PyObject *repeats) {
    size_t size = 0;
    for (int64_t n = 0; n < found->count; n++)
        if (found->lines[n].kind < CALM) size += found->lines[n].size;
    View *views = malloc((size_t)(kept ? kept : 1) * sizeof(View));
    char *data = malloc(size ? size : 1);
    int64_t *numbers = malloc((size_t)(kept ? kept : 1) * sizeof(int64_t));
    PyObject *left = views && data && numbers ? leave(found, 256, first, width) : PyErr_NoMemory();
    if (!left) {
        free(views), free(data), free(numbers);
        return NULL;
    }
    size_t used = 0;
    int64_t k = 0;
    int escapes = 0, returns = 0;
    for (int64_t n = 0; n < found->count; n++) {
        const Line *line = found->lines + n;
        if (line->kind >= CALM) continue;
        size_t length = line->size;
        memcpy(data + used, text + line->start, length);
        escapes |= memchr(data + used, 0x1b, length) != NULL;
        if (length && data[used + length - 1] == '\r') length--;
        returns |= length != line->size || memchr(data + used, '\r', length) != NULL;
        views[k] = view_of(data + used, length, used);
        numbers[k++] = first + n;
        used += line->size;
    }
    void *texts[4] = {NULL, views, data, NULL}, *places[4] = {NULL, numbers, NULL, NULL};
    PyObject *lines = hand_out("vu", kept, 0, texts, 4, (int64_t)used), *where = hand_out("l", kept, 0, places, 2, 0);
    return Py_BuildValue("(NNNNNO)", lines, where, left, PyBool_FromLong(escapes), PyBool_FromLong(returns), repeats);
}

static PyObject *sieve_sift(Sieve *self, PyObject *args) {
    Py_buffer data;
    long long first, from, width;
    if (!PyArg_ParseTuple(args, "y*LLL", &data, &first, &from, &width)) return NULL;
    const uint8_t *text = data.buf;
    size_t size = (size_t)data.len;
    Found found = {.stamp = stamp_size(self)};
    PyObject *made = NULL;
    int odd = size > LARGEST || memchr(text, 0, size) || !is_utf8(text, text + size);
    if (odd) {
        made = Py_NewRef(Py_None);
    } else if ((odd = split(&found, text, size)) < 0) {
        PyErr_NoMemory();
    } else {
        int failed = 0;
        for (int64_t n = 0; n < found.count && !failed; n++) {
            Line *line = found.lines + n;
            const uint8_t *p = text + line->start, *end = p + line->size, *said;
            if (end > p && end[-1] == '\r') end--;
            failed = look_at(self, line, p, end, &said);
            if (line->kind == CALM && first + n < from) line->kind = KEPT;
            if (line->kind >= ALONE && odd && is_odd(p, end)) line->kind = line->kind == ALONE ? LOUD : APART;
        }
        if (!failed && self->until[128]) look_beside(self, &found, text);
        int beside = self->before > self->behind ? self->before : self->behind;
        PyObject *repeats = failed ? NULL : odd || !self->until[128] ? Py_NewRef(Py_None) : find_repeats(self->repeats, (PyObject *)self, &found, text, first, from, self->at_ends, beside);
        if (repeats) made = sift(&found, text, keep_near(self, &found), first, width, repeats);
        Py_XDECREF(repeats);
    }
    free(found.lines);
    PyBuffer_Release(&data);
    return made;
}

static PyObject *sieve_settle(Sieve *self, PyObject *args) {
    int is_record, number, known;
    if (!PyArg_ParseTuple(args, "pip", &is_record, &number, &known)) return NULL;
    if (settle_repeat(self->repeats, is_record, number, known)) {
        PyErr_SetString(PyExc_ValueError, "nothing of that number was asked for");
        return NULL;
    }
    return Py_NewRef(Py_None);
}

static PyObject *sieve_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    const char *steps, *sets, *pieces, *classes, *words, *endings, *between, *point, *other_steps, *other_sets, *others;
    Py_ssize_t step_size, set_size, piece_size, class_size, word_size, ending_size, between_size, point_size, other_step_size, other_set_size,
        other_size;
    int digits_, class_count, found, at_ends, before, before_loud, behind_;
    PyObject *ask;
    if (!PyArg_ParseTuple(args, "y#y#y#y#y#iiy#y#y#iiiiiOy#y#y#", &steps, &step_size, &sets, &set_size, &pieces, &piece_size, &classes, &class_size, &words, &word_size,
                          &class_count, &found, &endings, &ending_size, &between, &between_size, &point, &point_size, &digits_, &at_ends,
                          &before, &before_loud, &behind_, &ask, &other_steps, &other_step_size, &other_sets, &other_set_size, &others,
                          &other_size))
        return NULL;
    if (piece_size != PIECES || class_size != 256 || between_size > 1 || other_step_size % (Py_ssize_t)sizeof(Step) || other_size % (Py_ssize_t)sizeof(Other) || point_size > 1 || step_size % (Py_ssize_t)sizeof(Step) || digits_ > 9 ||
        (digits_ && !point_size)) {
        PyErr_SetString(PyExc_ValueError, "this is no sieve");
        return NULL;
    }
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Sieve *self = (Sieve *)make(type, 0);
    if (!self) return NULL;
    self->steps = malloc((size_t)step_size + 1);
    self->sets = malloc((size_t)set_size + 1);
    self->words = malloc((size_t)word_size + 1);
    self->endings = calloc((size_t)ending_size + 1, 1);
    self->other_steps = malloc((size_t)other_step_size + 1);
    self->other_sets = malloc((size_t)other_set_size + 1);
    self->others = malloc(((size_t)other_size + 1) * 128);
    self->repeats = new_repeats();
    if (!self->steps || !self->sets || !self->words || !self->endings || !self->other_steps || !self->other_sets || !self->others || !self->repeats) {
        Py_DECREF((PyObject *)self);
        return PyErr_NoMemory();
    }
    memcpy(self->steps, steps, (size_t)step_size);
    memcpy(self->sets, sets, (size_t)set_size);
    memcpy(self->words, words, (size_t)word_size);
    memcpy(self->endings, endings, (size_t)ending_size);
    memcpy(self->other_steps, other_steps, (size_t)other_step_size);
    memcpy(self->other_sets, other_sets, (size_t)other_set_size);
    for (int byte = 0; byte < 128; byte++) {
        self->until[byte + 1] = self->until[byte];
        for (const char *one = others; one < others + other_size; one += sizeof(Other)) {
            Other other;
            memcpy(&other, one, sizeof other);
            if (other.begins == ANY || self->other_sets[other.begins * 256 + byte]) self->others[self->until[byte + 1]++] = other;
        }
    }
    memcpy(self->pieces, pieces, PIECES);
    memcpy(self->classes, classes, 256);
    self->class_count = class_count;
    self->found = found;
    self->between = between_size ? between[0] : 0;
    self->point = point_size ? point[0] : 0;
    self->digits = digits_;
    self->at_ends = at_ends;
    self->before = before;
    self->before_loud = before_loud;
    self->behind = behind_;
    self->ask = Py_NewRef(ask);
    return (PyObject *)self;
}

static void sieve_dealloc(Sieve *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    free(self->steps);
    free(self->sets);
    free(self->words);
    free(self->endings);
    free(self->other_steps);
    free(self->other_sets);
    free(self->others);
    free_repeats(self->repeats);
    Py_XDECREF(self->ask);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef sieve_methods[] = {
    {"sift", (PyCFunction)(void (*)(void))sieve_sift, METH_VARARGS,
     "sift(data, line, start, width): (lines that are kept, their numbers, what is left: ((levels, first times, last times, counts) of those that only count, "
     "a row for each level and stretch of `width` microseconds, (numbers, times) of the first and the last of those that stand together, how "
     "many steps back in time there are between them), whether an ESC, a carriage return is in what is kept, records that say the same as "
     "one before them: (lines, times, numbers) of those that are left out, (lines, numbers) of those of which the lines below their "
     "headers are, (line, lines, number of what is below the header, number of the record, text of the header) of some that are to be "
     "settled; None where none are told apart). Times are local, in microseconds. Lines in front of number `start` are kept; `line` is the number of the first. None where it is no UTF-8 or has a NUL."},
    {"settle", (PyCFunction)(void (*)(void))sieve_settle, METH_VARARGS,
     "settle(is_record, number, known): whether it is known what becomes of the record, or of what stands below a header."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot sieve_slots[] = {{Py_tp_new, sieve_new}, {Py_tp_dealloc, sieve_dealloc}, {Py_tp_methods, sieve_methods},
                                    {Py_tp_doc, "Sieve(...): tells lines that only count from all others; calm.py makes it."}, {0, NULL}};
PyType_Spec sieve_spec = {"triage.intake._cutter.Sieve", sizeof(Sieve), 0, Py_TPFLAGS_DEFAULT, sieve_slots};
