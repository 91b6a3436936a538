/* Tells records of text that say the same as ones before them: a header that surely starts a record, and the lines below it that
   have none. What comes of such lines once they are put together was learned of an earlier one (repeats.py); from then on the lines
   below the header, or with a header that says the same too the whole record, never become rows.

   Only those that stand by themselves are told apart: near them are nothing but headers that start records of their own, and
   records that are known like them. */

#include "_cutter.h"

#include <stdlib.h>

#define MOST_BODIES 4096
#define MOST_RECORDS 16384
#define MOST_BYTES ((size_t)8 << 20) /* of what is remembered */
#define LONGEST_BODY (64 << 10)
#define LONGEST_HEAD 1024
#define SEEN 65536 /* texts of which it is remembered that they came before, by their hash */

enum { UNKNOWN, KNOWN, REFUSED };
enum { ANY_HEADER, WARNING_HEADER, NAMING_HEADER }; /* above what stands below: what becomes of it may depend on that */

/* A text that came twice: what stands below a header of such a kind (`body`), or with the number of that what the header says. */
typedef struct {
    uint64_t hash;
    char *text;
    int64_t asked; /* when it was asked for last */
    uint32_t size;
    int32_t body;
    uint8_t state;
} Text;

typedef struct {
    Text *texts; /* from 1 on */
    int32_t *places, count, most, cap;
} Texts;

/* A record: its lines, the numbers of what it says (0: none), and whether what stands below its header is the same below others. */
typedef struct {
    int64_t from, until;
    int32_t body, record, free;
} Block;

struct Repeats {
    Texts bodies, records;
    uint32_t seen[SEEN];
    size_t bytes;
    int64_t calls;
};

struct Repeats *new_repeats(void) {
    struct Repeats *self = calloc(1, sizeof *self);
    if (!self) return NULL;
    Texts *both[] = {&self->bodies, &self->records};
    int32_t most[] = {MOST_BODIES, MOST_RECORDS};
    for (int n = 0; n < 2; n++) {
        both[n]->most = most[n], both[n]->cap = most[n] * 2;
        both[n]->texts = malloc(((size_t)most[n] + 1) * sizeof(Text));
        both[n]->places = calloc((size_t)both[n]->cap, sizeof(int32_t));
    }
    if (!self->bodies.texts || !self->bodies.places || !self->records.texts || !self->records.places) {
        free_repeats(self);
        return NULL;
    }
    return self;
}

void free_repeats(struct Repeats *self) {
    if (!self) return;
    Texts *both[] = {&self->bodies, &self->records};
    for (int n = 0; n < 2; n++) {
        for (int32_t text = 1; both[n]->texts && text <= both[n]->count; text++) free(both[n]->texts[text].text);
        free(both[n]->texts), free(both[n]->places);
    }
    free(self);
}

int settle_repeat(struct Repeats *self, int is_record, int number, int known) {
    Texts *texts = is_record ? &self->records : &self->bodies;
    if (number < 1 || number > texts->count) return -1;
    texts->texts[number].state = known ? KNOWN : REFUSED;
    return 0;
}

/* The number of a text that came before, with the same body; 0 where it did not, or there are too many; -1 without memory. */
static int32_t number_of(struct Repeats *self, Texts *texts, const uint8_t *p, size_t size, int32_t body) {
    uint64_t hash = mix_text((uint64_t)body + 1, p, size);
    int32_t *place;
    for (uint64_t at = hash;; at++) {
        place = texts->places + at % (uint64_t)texts->cap;
        if (!*place) break;
        Text *text = texts->texts + *place;
        if (text->hash == hash && text->size == size && text->body == body && !memcmp(text->text, p, size)) return *place;
    }
    uint32_t *seen = self->seen + (hash >> 40) % SEEN, mark = (uint32_t)hash | 1;
    if (*seen != mark) { /* most texts come only once: those are not remembered */
        *seen = mark;
        return 0;
    }
    if (texts->count >= texts->most || self->bytes + size > MOST_BYTES) return 0;
    char *copy = malloc(size + 1);
    if (!copy) return -1;
    memcpy(copy, p, size);
    self->bytes += size;
    *place = ++texts->count;
    texts->texts[*place] = (Text){hash, copy, 0, (uint32_t)size, body, UNKNOWN};
    return *place;
}

/* Whether a header may be the headline of the lines below it: it is one word, or one and a colon, or names an exception. */
static int may_name(const uint8_t *p, const uint8_t *end) {
    static const char *const names[] = {"Error", "Exception", "Throwable", "Panic", "Fault"};
    const uint8_t *q = p;
    while (q < end && (*q == '.' || *q == '_' || (*q >= '0' && *q <= '9') || (*q >= 'a' && *q <= 'z') || (*q >= 'A' && *q <= 'Z'))) q++;
    if (q == end || *q == ':') return 1;
    for (; p < end; p++)
        for (size_t n = 0; n < sizeof names / sizeof *names; n++)
            if (*p == (uint8_t)*names[n] && (size_t)(end - p) >= strlen(names[n]) && !memcmp(p, names[n], strlen(names[n]))) return 1;
    return 0;
}

/* The record that begins with this line, if one does that may be told apart: its last line is followed by one that surely starts
   another. 1 where there is one, -1 without memory. */
static int block_at(struct Repeats *self, const Found *found, const uint8_t *text, int64_t n, int64_t limit, Block *block) {
    const Line *lines = found->lines, *head = lines + n;
    int64_t end = n + 1;
    while (end < limit && !lines[end].said && lines[end].kind == APART) end++;
    if (end >= limit || !lines[end].said || lines[end].kind < ALONE) return 0;
    /* a quiet header may be taken into a report that the line in front of it opens, where a frame follows */
    if (lines[end].kind != ALONE && !lines[end + 1].said) return 0;
    size_t said = head->size - head->said;
    const uint8_t *says = text + head->start + head->said, *below = text + lines[n + 1].start;
    size_t size = end > n + 1 ? lines[end - 1].start + lines[end - 1].size - lines[n + 1].start : 0;
    if (said > LONGEST_HEAD || size > LONGEST_BODY || (!size && end > n + 1)) return 0;
    int header = may_name(says, says + said) ? NAMING_HEADER : head->group == WARNED ? WARNING_HEADER : ANY_HEADER;
    *block = (Block){n, end, 0, 0, header != NAMING_HEADER};
    if (size && (block->body = number_of(self, &self->bodies, below, size, header)) <= 0) return block->body ? -1 : 1;
    block->record = number_of(self, &self->records, text + head->start + found->stamp, head->size - found->stamp, block->body);
    return block->record < 0 ? -1 : 1;
}

static int is_known(const Texts *texts, int32_t number) {
    return number && texts->texts[number].state == KNOWN;
}

/* Whether the lines are headers that start records of their own, or stand in records that are known. */
static int are_clear(PyObject *sieve, const Found *found, const uint8_t *text, const uint8_t *inside, int64_t from, int64_t until) {
    for (int64_t n = from; n < until; n++) {
        Line *line = found->lines + n;
        if (inside[n]) continue;
        if (!line->said || line->kind < ALONE) return 0;
        if (line->kind == ALONE) continue;
        const uint8_t *p = text + line->start;
        if (!line->looked_at) line->looked_at = may_be_more(sieve, p + line->said, p + line->size) ? 2 : 1;
        if (line->looked_at == 2) return 0;
    }
    return 1;
}

/* Ask what becomes of a record where one of the two is not known yet, once for each in all that is sifted at once. */
static int ask_for(struct Repeats *self, const Found *found, const uint8_t *text, const Block *block, int64_t first, PyObject *asked) {
    Text *body = self->bodies.texts + block->body, *record = self->records.texts + block->record;
    int wanted = 0;
    for (int n = 0; n < 2; n++) {
        Text *one = n ? record : body;
        if (!(n ? block->record : block->free ? block->body : 0) || one->state != UNKNOWN || one->asked == self->calls) continue;
        one->asked = self->calls;
        wanted = 1;
    }
    if (!wanted) return 0;
    const Line *head = found->lines + block->from;
    PyObject *question = Py_BuildValue("(LLiis#)", (long long)(first + block->from), (long long)(block->until - block->from), block->free ? (int)block->body : 0,
                                       (int)block->record, (const char *)text + head->start + head->said, (Py_ssize_t)(head->size - head->said));
    int failed = !question || PyList_Append(asked, question);
    Py_XDECREF(question);
    return failed ? -1 : 0;
}

PyObject *find_repeats(struct Repeats *self, PyObject *sieve, Found *found, const uint8_t *text, int64_t first, int64_t from, int64_t at_ends, int64_t beside) {
    int64_t count = 0, cap = 0, limit = found->count - at_ends - beside;
    Numbers again[3] = {{0}}, bodies[2] = {{0}};
    Block *blocks = NULL;
    uint8_t *inside = calloc((size_t)found->count + 1, 1);
    PyObject *asked = PyList_New(0), *made = NULL;
    int failed = !inside || !asked;
    self->calls++;
    for (int64_t n = at_ends > beside ? at_ends : beside; n < limit && !failed; n++) {
        if (found->lines[n].kind != ALONE || found->lines[n].group == UNSURE || first + n < from) continue;
        Block block;
        int told = block_at(self, found, text, n, limit, &block);
        if (told <= 0) {
            failed = told < 0;
            continue;
        }
        n = block.until - 1;
        if (!block.body && !block.record) continue;
        if (is_known(&self->bodies, block.body) || is_known(&self->records, block.record))
            memset(inside + block.from + 1, 1, (size_t)(block.until - block.from - 1));
        if (count == cap) {
            cap = cap ? cap * 2 : 256;
            Block *more = realloc(blocks, (size_t)cap * sizeof(Block));
            if (!more) {
                failed = 1;
                break;
            }
            blocks = more;
        }
        blocks[count++] = block;
    }
    for (int64_t n = 0; n < count && !failed; n++) {
        Block *block = blocks + n;
        if (ask_for(self, found, text, block, first, asked)) failed = 1;
        int whole = is_known(&self->records, block->record);
        if (!whole && !is_known(&self->bodies, block->body)) continue;
        if (!are_clear(sieve, found, text, inside, block->from - beside, block->from)) continue;
        if (!are_clear(sieve, found, text, inside, block->until, block->until + beside)) continue;
        Line *head = found->lines + block->from;
        for (int64_t line = block->from + 1; line < block->until; line++) found->lines[line].kind = GONE;
        if (whole) {
            head->kind = REPEATED;
            failed |= push(again, first + block->from) || push(again + 1, head->at) || push(again + 2, block->record);
        } else {
            failed |= push(bodies, first + block->from) || push(bodies + 1, block->body);
        }
    }
    if (failed && !PyErr_Occurred()) PyErr_NoMemory();
    if (!failed) {
        PyObject *columns[5];
        for (int n = 0; n < 5; n++) columns[n] = hand_out_numbers(n < 3 ? again + n : bodies + n - 3);
        made = Py_BuildValue("((NNN)(NN)O)", columns[0], columns[1], columns[2], columns[3], columns[4], asked);
    }
    for (int n = 0; n < 5; n++) free((n < 3 ? again + n : bodies + n - 3)->numbers);
    Py_XDECREF(asked);
    free(blocks), free(inside);
    return made;
}
