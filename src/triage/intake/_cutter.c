/* Cuts the values that are asked for out of lines of JSON, one object a line, into Arrow columns.

   It takes a line only where it is sure of it: a whole, valid object, valid UTF-8, no key that is asked for twice, no
   number out of range. Every other line is left to the caller, who reads it slowly. So it is never more lenient than
   the decoder that it stands in for, and what it says of a line is what that one would say. Nothing here knows a
   format: the keys are given, as a tree. At its end lines are counted, and lines of plain text taken apart. */

#include "_cutter.h"

#include <stdlib.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define VERSION 10     /* of what is said to and by the Python around it: cutting.py takes no other */
#define MAX_DEPTH 64   /* of values in values; deeper lines are left to the caller */
#define FEW 48 /* different texts of a column, none of them long, up to which its rows hold their numbers */
#define SHORT 256

/* ---------------------------------------------------------------- the Arrow C data interface, as its standard has it */

struct ArrowSchema {
    const char *format, *name, *metadata;
    int64_t flags, n_children;
    struct ArrowSchema **children, *dictionary;
    void (*release)(struct ArrowSchema *);
    void *private_data;
};

struct ArrowArray {
    int64_t length, null_count, offset, n_buffers, n_children;
    const void **buffers;
    struct ArrowArray **children, *dictionary;
    void (*release)(struct ArrowArray *);
    void *private_data;
};

/* ------------------------------------------------------------------------------------------------------ the columns */

/* Whether two texts of that size, most often a short one, are the same. */
static inline int equal(const void *a, const void *b, size_t size) {
    const char *x = a, *y = b;
    uint64_t one, other;
    if (size < 8) {
        for (size_t n = 0; n < size; n++)
            if (x[n] != y[n]) return 0;
        return 1;
    }
    for (size_t n = 0; n + 8 < size; n += 8) {
        memcpy(&one, x + n, 8), memcpy(&other, y + n, 8);
        if (one != other) return 0;
    }
    memcpy(&one, x + size - 8, 8), memcpy(&other, y + size - 8, 8);
    return one == other;
}

static int grow(Column *column, int64_t rows) {
    if (rows <= column->cap) return 0;
    int64_t cap = column->cap ? column->cap : 1024;
    while (cap < rows) cap += cap < 8192 ? cap : cap / 4;
    if (column->few) {
        uint8_t *codes = realloc(column->codes, (size_t)cap * sizeof(uint8_t));
        if (!codes) return -1;
        column->codes = codes;
    } else {
        View *views = realloc(column->views, (size_t)cap * sizeof(View));
        if (!views) return -1;
        column->views = views;
    }
    uint8_t *valid = realloc(column->valid, (size_t)(cap + 7) / 8);
    if (!valid) return -1;
    memset(valid + (column->cap + 7) / 8, 0, (size_t)((cap + 7) / 8 - (column->cap + 7) / 8));
    column->valid = valid;
    if (column->whole) {
        int64_t *numbers = realloc(column->numbers, (size_t)cap * sizeof(int64_t));
        if (!numbers) return -1;
        column->numbers = numbers;
    }
    column->cap = cap;
    return 0;
}

static int make_view(Column *column, View *view, const char *text, size_t size) {
    memset(view, 0, sizeof *view);
    view->size = (int32_t)size;
    if (size <= 12) {
        memcpy(view->as.inside, text, size);
        return 0;
    }
    if (column->data_size + size > column->data_cap) {
        size_t cap = column->data_cap ? column->data_cap : 1 << 16;
        while (cap < column->data_size + size) cap += cap < 1 << 20 ? cap : cap / 4;
        char *data = realloc(column->data, cap);
        if (!data) return -1;
        column->data = data;
        column->data_cap = cap;
    }
    memcpy(view->as.far.first, text, 4);
    view->as.far.offset = (int32_t)column->data_size;
    memcpy(column->data + column->data_size, text, size);
    column->data_size += size;
    return 0;
}

static int pad(Column *column, int64_t rows) {
    if (rows <= column->rows) return 0;
    if (grow(column, rows)) return -1;
    size_t more = (size_t)(rows - column->rows);
    if (column->few) memset(column->codes + column->rows, 0, more * sizeof(uint8_t));
    else memset(column->views + column->rows, 0, more * sizeof(View));
    if (column->whole) memset(column->numbers + column->rows, 0, more * sizeof(int64_t));
    column->nulls += rows - column->rows;
    column->rows = rows;
    return 0;
}

static uint64_t tail_of(const char *text, size_t size) {
    uint64_t tail = 0;
    memcpy(&tail, size > sizeof tail ? text + size - sizeof tail : text, size > sizeof tail ? sizeof tail : size);
    return tail;
}

/* The number of the text among the different ones, to which it is added; -1 where they are too many or it is long, -2 without memory. */
static int number_of(Column *column, const char *text, size_t size) {
    uint64_t tail = tail_of(text, size);
    for (int step = -1; step < column->different_count; step++) {
        int n = step < 0 ? column->last : step;
        const Different *one = column->different + n;
        if (n < column->different_count && one->tail == tail && one->size == size && equal(one->text, text, size))
            return column->last = n;
    }
    if (column->different_count == FEW || size > SHORT) return -1;
    if (!column->different && !(column->different = malloc(FEW * sizeof(Different)))) return -2;
    char *copy = malloc(size ? size : 1);
    if (!copy) return -2;
    memcpy(copy, text, size);
    column->different[column->different_count] = (Different){copy, (uint32_t)size, tail};
    return column->last = column->different_count++;
}

static void forget(Column *column) {
    for (int n = 0; n < column->different_count; n++) free(column->different[n].text);
    free(column->different);
    free(column->codes);
    column->different = NULL;
    column->codes = NULL;
    column->different_count = column->last = 0;
}

/* Lay down the number of the one text of all rows, because it is not the text of all rows any more. */
static int lay_down(Column *column) {
    int64_t rows = column->rows;
    column->same = 0;
    column->few = 1;
    if (!rows) return 0;
    if (grow(column, rows)) return -1;
    memset(column->codes, 0, (size_t)rows * sizeof(uint8_t));
    memset(column->valid, 0xff, (size_t)(rows / 8));
    for (int64_t n = rows / 8 * 8; n < rows; n++) column->valid[n / 8] |= (uint8_t)(1 << n % 8);
    return 0;
}

/* Lay down texts instead of their numbers, because they are not few any more. */
static int write_out(Column *column) {
    View views[FEW];
    for (int n = 0; n < column->different_count; n++)
        if (make_view(column, views + n, column->different[n].text, column->different[n].size)) return -1;
    if (column->cap) {
        column->views = malloc((size_t)column->cap * sizeof(View));
        if (!column->views) return -1;
    }
    for (int64_t n = 0; n < column->rows; n++) {
        if (column->valid[n / 8] >> n % 8 & 1) column->views[n] = views[column->codes[n]];
        else memset(column->views + n, 0, sizeof(View));
    }
    column->few = 0;
    forget(column);
    return 0;
}

static int append(Column *column, int64_t row, const char *text, size_t size, int whole, int64_t number) {
    if (column->whole && !whole) column->whole = 0;
    if (column->same || column->few) {
        int code = number_of(column, text, size);
        if (code == -2) return -1;
        if (column->same && !code && column->rows == row) {
            column->rows++;
            return 0;
        }
        if (column->same && lay_down(column)) return -1;
        if (code >= 0) {
            if (pad(column, row) || grow(column, row + 1)) return -1;
            column->codes[row] = (uint8_t)code;
            column->valid[row / 8] |= (uint8_t)(1 << row % 8);
            column->rows = row + 1;
            return 0;
        }
        if (write_out(column)) return -1;
    }
    if (pad(column, row) || grow(column, row + 1)) return -1;
    View *view = column->views + row;
    const View *before = row ? view - 1 : NULL;
    if (size > 12 && before && before->size == (int32_t)size &&
        !memcmp(column->data + before->as.far.offset, text, size)) {
        *view = *before;
    } else if (make_view(column, view, text, size)) {
        return -1;
    }
    column->valid[row / 8] |= (uint8_t)(1 << row % 8);
    if (column->whole) column->numbers[row] = number;
    column->rows = row + 1;
    return 0;
}

static void clear_column(Column *column, int wanted) {
    forget(column);
    free(column->views);
    free(column->valid);
    free(column->data);
    free(column->numbers);
    memset(column, 0, sizeof *column);
    column->whole = wanted >= AS_NUMBER;
    column->same = !column->whole; /* numbers are laid down at once */
}

/* --------------------------------------------------------------------------------------------------------- scanning */

/* Behind a whole sequence of UTF-8 that begins with a byte above 0x7f, or NULL. */
static const uint8_t *sequence(const uint8_t *p, const uint8_t *end) {
    uint8_t a = p[0];
    int more = a >= 0xc2 && a <= 0xdf ? 1 : a >= 0xe0 && a <= 0xef ? 2 : a >= 0xf0 && a <= 0xf4 ? 3 : 0;
    if (!more || end - p <= more) return NULL;
    uint8_t b = p[1];
    if ((b & 0xc0) != 0x80 || (a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || (a == 0xf0 && b < 0x90) ||
        (a == 0xf4 && b > 0x8f))
        return NULL;
    for (int n = 2; n <= more; n++)
        if ((p[n] & 0xc0) != 0x80) return NULL;
    return p + more + 1;
}

/* The four hexadecimal digits there, or -1. */
static int unit(const uint8_t *p, const uint8_t *end) {
    int value = 0;
    if (end - p < 4) return -1;
    for (int n = 0; n < 4; n++) {
        int digit = hex(p[n]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

#if defined(__SSE2__)
/* Where among 16 bytes a string ends or needs a closer look, as bits. */
static inline int stops_in(const uint8_t *p) {
    __m128i x = _mm_loadu_si128((const __m128i *)p);
    /* as signed bytes those of control characters and of no ASCII are both below the space */
    return _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, _mm_set1_epi8('"')), _mm_cmpeq_epi8(x, _mm_set1_epi8('\\'))),
                                          _mm_cmplt_epi8(x, _mm_set1_epi8(0x20))));
}
#endif

static const uint8_t *rest_of_string(const uint8_t *p, const uint8_t *end, int *escaped) {
    for (;;) {
#if defined(__SSE2__)
        while (end - p >= 16) {
            int found = stops_in(p);
            if (found) {
                p += __builtin_ctz((unsigned)found);
                break;
            }
            p += 16;
        }
#endif
        while (p < end && *p != '"' && *p != '\\' && *p >= 0x20 && *p < 0x80) p++;
        if (p >= end) return NULL;
        if (*p == '"') return p;
        if (*p >= 0x80) {
            p = sequence(p, end);
            if (!p) return NULL;
            continue;
        }
        if (*p != '\\' || end - p < 2) return NULL;
        *escaped = 1;
        if (p[1] == 'u') {
            int high = unit(p + 2, end);
            if (high < 0 || (high >= 0xdc00 && high <= 0xdfff)) return NULL;
            p += 6;
            if (high >= 0xd800 && high <= 0xdbff) {
                if (end - p < 6 || p[0] != '\\' || p[1] != 'u') return NULL;
                int low = unit(p + 2, end);
                if (low < 0xdc00 || low > 0xdfff) return NULL;
                p += 6;
            }
        } else {
            if (!memchr("\"\\/bfnrt", p[1], 8)) return NULL;
            p += 2;
        }
    }
}

/* The quote that ends the string whose text begins at p, or NULL where it is not surely a string. */
static inline const uint8_t *string_end(const uint8_t *p, const uint8_t *end, int *escaped) {
#if defined(__SSE2__)
    if (end - p >= 16) { /* most end soon */
        int found = stops_in(p);
        if (!found) return rest_of_string(p + 16, end, escaped);
        const uint8_t *stop = p + __builtin_ctz((unsigned)found);
        if (*stop == '"') return stop;
    }
#endif
    return rest_of_string(p, end, escaped);
}

size_t unescape(const uint8_t *p, const uint8_t *end, char *into) {
    char *to = into;
    while (p < end) {
        const uint8_t *stop = memchr(p, '\\', (size_t)(end - p));
        size_t plain = (size_t)((stop ? stop : end) - p);
        memcpy(to, p, plain);
        to += plain;
        p += plain;
        if (p >= end) break;
        uint8_t c = p[1];
        p += 2;
        if (c != 'u') {
            *to++ = c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c == 'b' ? '\b' : c == 'f' ? '\f' : (char)c;
            continue;
        }
        unsigned code = (unsigned)unit(p, end);
        p += 4;
        if (code >= 0xd800) {
            if (code <= 0xdbff) {
                code = 0x10000 + ((code - 0xd800) << 10) + ((unsigned)unit(p + 2, end) - 0xdc00);
                p += 6;
            }
        }
        if (code < 0x80) {
            *to++ = (char)code;
        } else if (code < 0x800) {
            *to++ = (char)(0xc0 | code >> 6);
            *to++ = (char)(0x80 | (code & 0x3f));
        } else if (code < 0x10000) {
            *to++ = (char)(0xe0 | code >> 12);
            *to++ = (char)(0x80 | (code >> 6 & 0x3f));
            *to++ = (char)(0x80 | (code & 0x3f));
        } else {
            *to++ = (char)(0xf0 | code >> 18);
            *to++ = (char)(0x80 | (code >> 12 & 0x3f));
            *to++ = (char)(0x80 | (code >> 6 & 0x3f));
            *to++ = (char)(0x80 | (code & 0x3f));
        }
    }
    return (size_t)(to - into);
}

static const uint8_t *space(const uint8_t *p, const uint8_t *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r')) p++;
    return p;
}

/* Behind the number at p, or NULL. Its kind is RAW where Python would write it in another way. */
static const uint8_t *number_end(const uint8_t *p, const uint8_t *end, int *kind, size_t *size) {
    const uint8_t *start = p, *digits, *point = NULL;
    int exponent = 0;
    if (p < end && *p == '-') p++;
    digits = p;
    while (p < end && *p >= '0' && *p <= '9') p++;
    size_t before = (size_t)(p - digits);
    if (!before || before > 100 || (before > 1 && *digits == '0')) return NULL;
    if (p < end && *p == '.') {
        point = p++;
        while (p < end && *p >= '0' && *p <= '9') p++;
        if (p == point + 1) return NULL;
    }
    if (p < end && (*p == 'e' || *p == 'E')) {
        exponent = 1;
        p++;
        if (p < end && (*p == '+' || *p == '-')) p++;
        const uint8_t *power = p;
        while (p < end && *p >= '0' && *p <= '9') p++;
        if (p == power || p - power > 2) return NULL; /* it may be out of range */
    }
    *kind = RAW;
    *size = (size_t)(p - start);
    if (exponent) return p;
    if (!point) {
        if (before <= 18 && !(*start == '-' && *digits == '0')) *kind = WHOLE;
        return p;
    }
    const uint8_t *last = p;
    while (last > point + 2 && last[-1] == '0') last--;
    size_t after = (size_t)(last - point - 1), zeros = 0;
    while (zeros < after && point[1 + zeros] == '0') zeros++;
    /* up to 15 digits a float keeps what was written; from 0.0001 on it is written without an exponent */
    if (before + after <= 15 && (*digits != '0' || zeros <= 3 || zeros == after)) {
        *kind = DECIMAL;
        *size = (size_t)(last - start);
    }
    return p;
}

int digits(const char *text, int count, int *value) {
    *value = 0;
    for (int n = 0; n < count; n++) {
        if (text[n] < '0' || text[n] > '9') return -1;
        *value = *value * 10 + (text[n] - '0');
    }
    return 0;
}

int is_second(const char *t, char between, int64_t *seconds) {
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year, month, day, hour, minute, second;
    if (t[4] != '-' || t[7] != '-' || t[10] != between || t[13] != ':' || t[16] != ':' || digits(t, 4, &year) ||
        digits(t + 5, 2, &month) || digits(t + 8, 2, &day) || digits(t + 11, 2, &hour) || digits(t + 14, 2, &minute) ||
        digits(t + 17, 2, &second))
        return 0;
    int leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > lengths[month - 1] + (leap && month == 2) || hour > 23 || minute > 59 ||
        second > 59)
        return 0;
    /* days since 1970, in years that begin in March: leap days come last */
    int64_t y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t days = era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
    *seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    return 1;
}

int is_stamp(const char *t, size_t size, int64_t *micros) {
    int64_t seconds;
    int fraction = 0, rest;
    if (size < 20 || size > 35) return 0;
    size_t body = t[size - 1] == 'Z' ? size - 1 : size >= 25 && !memcmp(t + size - 6, "+00:00", 6) ? size - 6 : 0;
    if (body < 19 || body == 20 || body > 29 || !is_second(t, 'T', &seconds)) return 0;
    if (body > 19) {
        int count = (int)body - 20;
        if (t[19] != '.' || digits(t + 20, count > 6 ? 6 : count, &fraction) || (count > 6 && digits(t + 26, count - 6, &rest))) return 0;
        for (int n = count; n < 6; n++) fraction *= 10;
    }
    *micros = seconds * 1000000 + fraction;
    return 1;
}

int is_common_stamp(const char *t, size_t size, int64_t *micros) {
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int month = 0, hours, minutes;
    int64_t seconds;
    if (size != 26 || t[2] != '/' || t[6] != '/' || t[11] != ':' || t[20] != ' ' || (t[21] != '+' && t[21] != '-')) return 0;
    while (month < 12 && memcmp(months + 3 * month, t + 3, 3)) month++;
    if (month++ == 12 || digits(t + 22, 2, &hours) || digits(t + 24, 2, &minutes) || hours > 14 || minutes > 59) return 0;
    char plain[19] = {t[7], t[8], t[9], t[10], '-', (char)('0' + month / 10), (char)('0' + month % 10), '-', t[0], t[1], 'T'};
    memcpy(plain + 11, t + 12, 8);
    if (!is_second(plain, 'T', &seconds)) return 0;
    *micros = (seconds - (t[21] == '-' ? -1 : 1) * (hours * 60 + minutes) * 60) * 1000000;
    return 1;
}

static const uint8_t *object(Cutter *self, const uint8_t *p, const uint8_t *end, int node, int depth);

static int take(Cutter *self, int leaf, int kind, const uint8_t *at, size_t size) {
    Leaf *one = self->leaves + leaf;
    if (kind == ESCAPED && size >= 6 && !memcmp(at, "\\u0000", 6)) return -1; /* it would look like RAW */
    if (kind == RAW && one->wanted == AS_LAST) return -1;
    one->seen = self->stamp;
    one->kind = kind;
    one->at = at;
    one->size = size;
    if (kind != ABSENT) self->touched[self->touched_count++] = leaf;
    return 0;
}

static const uint8_t *value(Cutter *self, const uint8_t *p, const uint8_t *end, const Slot *slot, int depth);

/* Behind the list whose inside begins at p, or NULL. */
static const uint8_t *list(Cutter *self, const uint8_t *p, const uint8_t *end, int depth) {
    if (p < end && *p == ']') return p + 1;
    for (;;) {
        p = value(self, p, end, NULL, depth);
        if (!p) return NULL;
        p = space(p, end);
        if (p >= end || (*p != ',' && *p != ']')) return NULL;
        if (*p++ == ']') return p;
        p = space(p, end);
    }
}

/* Behind the value at p, which belongs in `slot` (NULL: nowhere), or NULL where its line is not surely understood. */
static const uint8_t *value(Cutter *self, const uint8_t *p, const uint8_t *end, const Slot *slot, int depth) {
    int leaf = slot ? slot->leaf : -1, node = slot ? slot->node : -1, kind = ABSENT;
    size_t size = 0;
    const uint8_t *at = p;
    if (p >= end || depth > MAX_DEPTH) return NULL;
    if (leaf >= 0 && self->leaves[leaf].seen == self->stamp) return NULL;
    if (node >= 0) {
        if (self->nodes[node].seen == self->stamp) return NULL;
        self->nodes[node].seen = self->stamp;
        if (self->strict && *p != '{') return NULL;
    }
    switch (*p) {
    case '"': {
        int escaped = 0;
        at = p + 1;
        p = string_end(at, end, &escaped);
        if (!p) return NULL;
        size = (size_t)(p - at);
        kind = escaped ? ESCAPED : TEXT;
        p++;
        break;
    }
    case '{':
        p = object(self, p + 1, end, node, depth + 1);
        if (!p) return NULL;
        kind = RAW;
        size = (size_t)(p - at);
        break;
    case '[':
        p = list(self, space(p + 1, end), end, depth + 1);
        if (!p) return NULL;
        kind = RAW;
        size = (size_t)(p - at);
        break;
    case 't':
        if (end - p < 4 || memcmp(p, "true", 4)) return NULL;
        p += 4, size = 4, kind = RAW;
        break;
    case 'f':
        if (end - p < 5 || memcmp(p, "false", 5)) return NULL;
        p += 5, size = 5, kind = RAW;
        break;
    case 'n':
        if (end - p < 4 || memcmp(p, "null", 4)) return NULL;
        p += 4;
        break;
    default:
        p = number_end(p, end, &kind, &size);
        if (!p) return NULL;
    }
    if (leaf >= 0 && take(self, leaf, kind, at, size)) return NULL;
    return p;
}

static const char FLAG[] = "runcated";

static uint64_t hash_of(const uint8_t *text, size_t size) {
    uint64_t hash = 1469598103934665603u ^ size;
    for (size_t n = 0; n < size; n++) hash = (hash ^ text[n]) * 1099511628211u;
    return hash;
}

static int slot_of(const Node *node, const uint8_t *at, size_t size) {
    const char *key = (const char *)at;
    for (int n = 0; n < node->count; n++)
        if (node->slots[n].size == size && equal(node->slots[n].key, key, size)) return n;
    return -1;
}

/* Behind the object whose inside begins at p, of which the values of `node` are taken (-1: none), or NULL. */
static const uint8_t *object(Cutter *self, const uint8_t *p, const uint8_t *end, int node, int depth) {
    Node *here = node >= 0 ? self->nodes + node : NULL;
    const Shape *like = node == 0 && self->expected >= 0 ? self->shapes + self->expected : NULL;
    const char *names = like ? like->names : NULL;
    int place = 0;
    p = space(p, end);
    if (p < end && *p == '}') return p + 1;
    for (;;) {
        if (p >= end || *p != '"') return NULL;
        const uint8_t *key = p + 1;
        int escaped = 0, slot = -1;
        size_t size;
        const Key *same = like && self->key_count < like->count ? like->keys + self->key_count : NULL;
        if (same && (size_t)(end - key) > same->size && key[same->size] == '"' && equal(key, names, same->size)) {
            size = same->size;
            slot = same->slot;
            p = key + size + 1;
            names += size;
            self->keys[self->key_count] = *same;
            self->key_at[self->key_count++] = key;
        } else if (node > 0 && place < LIKES && here->like[place].size && (size_t)(end - key) > here->like[place].size &&
                   key[here->like[place].size] == '"' && equal(key, here->like[place].name, here->like[place].size)) {
            size = here->like[place].size;
            slot = here->like[place++].slot;
            p = key + size + 1;
        } else {
            p = string_end(key, end, &escaped);
            if (!p || (escaped && here)) return NULL;
            size = (size_t)(p - key);
            p++;
            if (here) slot = slot_of(here, key, size);
            if (node > 0 && place < LIKES && size < LIKE_SIZE) {
                memcpy(here->like[place].name, key, size);
                here->like[place].size = size;
                here->like[place].slot = slot;
            }
            place++;
            if (node == 0) {
                like = NULL;
                if (self->key_count >= MAX_KEYS) return NULL;
                self->keys[self->key_count] = (Key){hash_of(key, size), size, slot};
                self->key_at[self->key_count++] = key;
            }
        }
        if (size >= sizeof FLAG - 1 && key[size - 1] == FLAG[sizeof FLAG - 2] &&
            !memcmp(key + size - (sizeof FLAG - 1), FLAG, sizeof FLAG - 1))
            self->flagged = 1;
        p = space(p, end);
        if (p >= end || *p++ != ':') return NULL;
        p = value(self, space(p, end), end, slot >= 0 ? here->slots + slot : NULL, depth);
        if (!p) return NULL;
        p = space(p, end);
        if (p >= end || (*p != ',' && *p != '}')) return NULL;
        if (*p++ == '}') return p;
        p = space(p, end);
    }
}

/* The number of the shape that the keys of this line make; -1 where there are too many shapes, -2 without memory. */
static int shape_of(Cutter *self) {
    for (int step = 0; step <= self->shape_count; step++) {
        int n = step ? step - 1 : self->expected;
        if (n < 0) continue;
        const Shape *shape = self->shapes + n;
        if (shape->count != self->key_count) continue;
        const char *name = shape->names;
        int k = 0;
        while (k < shape->count && shape->keys[k].hash == self->keys[k].hash && shape->keys[k].size == self->keys[k].size &&
               equal(name, self->key_at[k], shape->keys[k].size))
            name += shape->keys[k++].size;
        if (k == shape->count) return self->expected = n;
    }
    if (self->shape_count >= MAX_SHAPES) return -1;
    size_t size = 0;
    for (int k = 0; k < self->key_count; k++) size += self->keys[k].size;
    Shape *shapes = realloc(self->shapes, (size_t)(self->shape_count + 1) * sizeof(Shape));
    if (!shapes) return -2;
    self->shapes = shapes;
    Shape *shape = shapes + self->shape_count;
    shape->count = self->key_count;
    shape->keys = malloc((size_t)self->key_count * sizeof(Key) + 1);
    shape->names = malloc(size + 1);
    if (!shape->keys || !shape->names) {
        free(shape->keys);
        free(shape->names);
        return -2;
    }
    memcpy(shape->keys, self->keys, (size_t)self->key_count * sizeof(Key));
    char *to = shape->names;
    for (int k = 0; k < self->key_count; k++) {
        memcpy(to, self->key_at[k], self->keys[k].size);
        to += self->keys[k].size;
    }
    return self->expected = self->shape_count++;
}

/* Add the values of the line that was just read as one more row. */
static int commit(Cutter *self, int64_t line, int shape) {
    if (self->rows >= self->row_cap) {
        int64_t cap = self->row_cap ? self->row_cap * 2 : 4096;
        int64_t *lines = realloc(self->lines, (size_t)cap * sizeof(int64_t));
        if (!lines) return -1;
        self->lines = lines;
        int32_t *shapes = realloc(self->shape_of, (size_t)cap * sizeof(int32_t));
        if (!shapes) return -1;
        self->shape_of = shapes;
        self->row_cap = cap;
    }
    for (int n = 0; n < self->touched_count; n++) {
        Leaf *leaf = self->leaves + self->touched[n];
        const char *text = (const char *)leaf->at;
        size_t size = leaf->size;
        int64_t number = 0;
        int fits = 0;
        if (leaf->kind == ESCAPED || leaf->kind == RAW) {
            if (size + 1 > self->scratch_cap) {
                char *scratch = realloc(self->scratch, (size + 1) * 2);
                if (!scratch) return -1;
                self->scratch = scratch;
                self->scratch_cap = (size + 1) * 2;
            }
            text = self->scratch;
            if (leaf->kind == ESCAPED) {
                size = unescape(leaf->at, leaf->at + size, self->scratch);
            } else {
                leaf->column.raw = 1;
                self->scratch[0] = 0;
                memcpy(self->scratch + 1, leaf->at, size++);
            }
        }
        if (leaf->wanted == AS_LAST) {
            size_t cut = size;
            while (cut && text[cut - 1] != '/') cut--;
            if (cut == size) continue; /* nothing stands there */
            text += cut, size -= cut;
        } else if (leaf->column.whole && leaf->wanted == AS_TIME) {
            fits = leaf->kind == TEXT && is_stamp(text, size, &number);
        } else if (leaf->column.whole && leaf->kind == WHOLE) {
            fits = 1;
            int minus = *text == '-';
            for (size_t k = (size_t)minus; k < size; k++) number = number * 10 + (text[k] - '0');
            if (minus) number = -number;
        }
        if (append(&leaf->column, self->rows, text, size, fits, number)) return -1;
    }
    self->lines[self->rows] = line;
    self->shape_of[self->rows] = shape;
    self->rows++;
    return 0;
}

/* Whether every column has room for what this line may bring. */
static int has_room(const Cutter *self, size_t size) {
    for (int n = 0; n < self->leaf_count; n++) /* the longest that a text can get: a NUL in front of each */
        if (self->leaves[n].column.data_size + size * 2 > LARGEST) return 0;
    return 1;
}

int read_entry(Cutter *self, const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = space(*at, end);
    self->stamp++;
    self->touched_count = self->key_count = 0;
    p = p < end && *p == '{' ? object(self, p + 1, end, 0, 1) : NULL;
    if (p) p = space(p, end);
    *at = p;
    return p && (p >= end || *p == '\n') ? shape_of(self) : -1;
}

/* Whether there are no more lines than so many. */
static int is_so_long(const uint8_t *p, const uint8_t *end, Py_ssize_t lines) {
    while (p < end) {
        if (--lines < 0) return 0;
        p = memchr(p, '\n', (size_t)(end - p));
        p = p ? p + 1 : end;
    }
    return 1;
}

static PyObject *cutter_add(Cutter *self, PyObject *args) {
    Py_buffer data, which = {0};
    long long line;
    if (!PyArg_ParseTuple(args, "y*L|z*", &data, &line, &which)) return NULL;
    size_t n = 0;
    PyObject *left = PyList_New(0);
    const uint8_t *p = data.buf, *end = p + data.len;
    if (which.buf && !is_so_long(p, end, which.len / (Py_ssize_t)sizeof line)) {
        PyErr_SetString(PyExc_ValueError, "there are more lines than numbers");
        Py_CLEAR(left);
    }
    int roomy = has_room(self, (size_t)data.len);
    while (left && p < end) {
        const uint8_t *start = p;
        int shape = roomy ? read_entry(self, &p, end) : -1;
        if (which.buf) memcpy(&line, (const char *)which.buf + n++ * sizeof line, sizeof line);
        if (shape == -2 || (shape >= 0 && commit(self, line, shape))) {
            Py_CLEAR(left);
            PyErr_NoMemory();
            break;
        }
        if (shape < 0) {
            p = memchr(start, '\n', (size_t)(end - start));
            p = p ? p : end;
            PyObject *where = Py_BuildValue("(Lnn)", line, (Py_ssize_t)(start - (const uint8_t *)data.buf),
                                            (Py_ssize_t)(p - (const uint8_t *)data.buf));
            if (!where || PyList_Append(left, where)) Py_CLEAR(left);
            Py_XDECREF(where);
        }
        p += p < end;
        line++;
    }
    PyBuffer_Release(&data);
    if (which.buf) PyBuffer_Release(&which);
    return left;
}

static PyObject *cutter_flagged(Cutter *self, PyObject *unused) {
    (void)unused;
    int flagged = self->flagged;
    self->flagged = 0;
    return PyBool_FromLong(flagged);
}

/* ---------------------------------------------------------------------------------------------------- handing it out */

typedef struct {
    void *kept[4];
    const void *buffers[4];
    int64_t sizes[1];
} Held;

static void release_array(struct ArrowArray *array) {
    Held *held = array->private_data;
    for (int n = 0; n < 4; n++) free(held->kept[n]);
    free(held);
    array->release = NULL;
}

static void release_schema(struct ArrowSchema *schema) { schema->release = NULL; }

static void drop_array(PyObject *capsule) {
    struct ArrowArray *array = PyCapsule_GetPointer(capsule, "arrow_array");
    if (!array) return;
    if (array->release) array->release(array);
    free(array);
}

static void drop_schema(PyObject *capsule) {
    struct ArrowSchema *schema = PyCapsule_GetPointer(capsule, "arrow_schema");
    if (!schema) return;
    if (schema->release) schema->release(schema);
    free(schema);
}

typedef struct {
    PyObject_HEAD
    const char *format;
    struct ArrowArray *array;
} Cut;

static PyObject *cut_type, *entries_type;
PyObject *cutter_type, *sieve_type;

static PyObject *cut_export(Cut *self, PyObject *args, PyObject *kwargs) {
    (void)args, (void)kwargs;
    if (!self->array) {
        PyErr_SetString(PyExc_ValueError, "this column was handed out before");
        return NULL;
    }
    struct ArrowSchema *schema = calloc(1, sizeof *schema);
    if (!schema) return PyErr_NoMemory();
    schema->format = self->format;
    schema->name = "";
    schema->flags = 2; /* nullable */
    schema->release = release_schema;
    PyObject *first = PyCapsule_New(schema, "arrow_schema", drop_schema);
    if (!first) {
        free(schema);
        return NULL;
    }
    PyObject *second = PyCapsule_New(self->array, "arrow_array", drop_array);
    if (!second) {
        Py_DECREF(first);
        return NULL;
    }
    self->array = NULL;
    return Py_BuildValue("(NN)", first, second);
}

static void cut_dealloc(Cut *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    if (self->array) {
        self->array->release(self->array);
        free(self->array);
    }
    PyObject_Free(self);
    Py_DECREF(type);
}

PyObject *hand_out(const char *format, int64_t rows, int64_t nulls, void *kept[4], int count, int64_t data_size) {
    struct ArrowArray *array = calloc(1, sizeof *array);
    Held *held = calloc(1, sizeof *held);
    Cut *cut = array && held ? PyObject_New(Cut, (PyTypeObject *)cut_type) : NULL;
    if (!cut) {
        for (int n = 0; n < 4; n++) free(kept[n]);
        free(array);
        free(held);
        return PyErr_Occurred() ? NULL : PyErr_NoMemory();
    }
    for (int n = 0; n < 4; n++) held->buffers[n] = held->kept[n] = kept[n];
    if (!nulls) held->buffers[0] = NULL;
    held->sizes[0] = data_size;
    if (format[0] == 'v') held->buffers[count - 1] = held->sizes;
    array->length = rows;
    array->null_count = nulls;
    array->n_buffers = count;
    array->buffers = held->buffers;
    array->private_data = held;
    array->release = release_array;
    cut->format = format;
    cut->array = array;
    return (PyObject *)cut;
}

static PyObject *text_of(const Different *one) { return PyUnicode_DecodeUTF8(one->text, (Py_ssize_t)one->size, NULL); }

static PyObject *hand_out_leaf(Leaf *leaf, int64_t rows) {
    Column *column = &leaf->column;
    if (column->same && column->rows == rows) return text_of(column->different);
    if ((column->same && lay_down(column)) || pad(column, rows)) return PyErr_NoMemory();
    if (column->few) {
        PyObject *texts = PyList_New(column->different_count);
        for (int n = 0; texts && n < column->different_count; n++) {
            PyObject *text = text_of(column->different + n);
            if (!text || PyList_SetItem(texts, n, text)) Py_CLEAR(texts);
        }
        if (!texts) return NULL;
        void *kept[4] = {column->valid, column->codes, NULL, NULL};
        column->valid = NULL, column->codes = NULL;
        return Py_BuildValue("(NN)", hand_out("C", rows, column->nulls, kept, 2, 0), texts);
    }
    /* a moment that is missing in some lines may stand elsewhere in them, and there in another form */
    if (column->whole && !(leaf->wanted == AS_TIME && column->nulls)) {
        void *kept[4] = {column->valid, column->numbers, NULL, NULL};
        column->valid = NULL, column->numbers = NULL;
        return hand_out(leaf->wanted == AS_TIME ? "tsu:UTC" : "l", rows, column->nulls, kept, 2, 0);
    }
    int far = column->data != NULL;
    if (far) { /* what is not needed is given back: a column may live long */
        char *data = realloc(column->data, column->data_size ? column->data_size : 1);
        if (data) column->data = data;
    }
    View *views = realloc(column->views, (size_t)(rows ? rows : 1) * sizeof(View));
    if (views) column->views = views;
    void *kept[4] = {column->valid, column->views, column->data, NULL};
    column->valid = NULL, column->views = NULL, column->data = NULL;
    return hand_out("vu", rows, column->nulls, kept, 3 + far, (int64_t)column->data_size);
}

PyObject *keys_of(const Shape *shape) {
    const char *name = shape->names;
    PyObject *keys = PyTuple_New(shape->count);
    for (int k = 0; keys && k < shape->count; k++) {
        PyObject *text = PyUnicode_DecodeUTF8(name, (Py_ssize_t)shape->keys[k].size, NULL);
        if (!text || PyTuple_SetItem(keys, k, text)) Py_CLEAR(keys);
        name += shape->keys[k].size;
    }
    return keys;
}

static PyObject *shape_names(const Cutter *self) {
    PyObject *all = PyList_New(0);
    for (int n = 0; all && n < self->shape_count; n++) {
        PyObject *keys = keys_of(self->shapes + n);
        if (!keys || PyList_Append(all, keys)) Py_CLEAR(all);
        Py_XDECREF(keys);
    }
    return all;
}

static PyObject *cutter_finish(Cutter *self, PyObject *unused) {
    (void)unused;
    int64_t rows = self->rows;
    PyObject *columns = PyDict_New(), *lines = NULL, *shapes = NULL, *names = NULL;
    for (int n = 0; columns && n < self->leaf_count; n++) {
        Leaf *leaf = self->leaves + n;
        if (!leaf->column.rows) continue;
        PyObject *number = PyLong_FromLong(n);
        PyObject *column = number ? Py_BuildValue("(NO)", hand_out_leaf(leaf, rows), leaf->column.raw ? Py_True : Py_False) : NULL;
        if (!column || PyDict_SetItem(columns, number, column)) Py_CLEAR(columns);
        Py_XDECREF(number);
        Py_XDECREF(column);
    }
    if (columns) {
        void *kept[4] = {NULL, self->lines, NULL, NULL};
        self->lines = NULL;
        lines = hand_out("l", rows, 0, kept, 2, 0);
    }
    if (lines) {
        void *kept[4] = {NULL, self->shape_of, NULL, NULL};
        self->shape_of = NULL;
        shapes = hand_out("i", rows, 0, kept, 2, 0);
    }
    if (shapes) names = shape_names(self);
    for (int n = 0; n < self->leaf_count; n++) clear_column(&self->leaves[n].column, self->leaves[n].wanted);
    free(self->lines);
    free(self->shape_of);
    self->lines = NULL, self->shape_of = NULL;
    self->rows = self->row_cap = 0;
    if (names) return Py_BuildValue("(LNNNN)", (long long)rows, lines, shapes, names, columns);
    Py_XDECREF(columns);
    Py_XDECREF(lines);
    Py_XDECREF(shapes);
    return NULL;
}

static void cutter_dealloc(Cutter *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int n = 0; n < self->node_count; n++) free(self->nodes[n].slots);
    for (int n = 0; n < self->leaf_count; n++) clear_column(&self->leaves[n].column, 0);
    for (int n = 0; n < self->shape_count; n++) {
        free(self->shapes[n].keys);
        free(self->shapes[n].names);
    }
    free(self->nodes);
    free(self->leaves);
    free(self->shapes);
    free(self->names);
    free(self->lines);
    free(self->shape_of);
    free(self->scratch);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* Fill the nodes from a list of (node, key, leaf or -1, inner node or -1); -1 and an exception where it makes no sense. */
static int plant(Cutter *self, PyObject *slots) {
    Py_ssize_t count = PyList_Size(slots);
    size_t size = 0, used = 0;
    for (Py_ssize_t n = 0; n < count; n++) {
        int node, leaf, inner, wanted;
        const char *key;
        Py_ssize_t length;
        if (!PyArg_ParseTuple(PyList_GetItem(slots, n), "iy#iii", &node, &key, &length, &leaf, &inner, &wanted))
            return -1;
        if (node < 0 || leaf >= MAX_LEAVES || wanted < AS_TEXT || wanted > AS_TIME || inner > (int)count || node > (int)count) {
            PyErr_SetString(PyExc_ValueError, "no such node or leaf");
            return -1;
        }
        size += (size_t)length;
        if (inner >= self->node_count) self->node_count = inner + 1;
        if (node >= self->node_count) self->node_count = node + 1;
        if (leaf >= self->leaf_count) self->leaf_count = leaf + 1;
    }
    if (!self->node_count) self->node_count = 1;
    self->names = malloc(size + 1);
    self->nodes = calloc((size_t)self->node_count, sizeof(Node));
    self->leaves = calloc((size_t)self->leaf_count + 1, sizeof(Leaf));
    if (!self->names || !self->nodes || !self->leaves) {
        PyErr_NoMemory();
        return -1;
    }
    for (int n = 0; n < self->leaf_count; n++) clear_column(&self->leaves[n].column, 0);
    for (Py_ssize_t n = 0; n < count; n++) {
        int node, leaf, inner, wanted;
        const char *key;
        Py_ssize_t length;
        PyArg_ParseTuple(PyList_GetItem(slots, n), "iy#iii", &node, &key, &length, &leaf, &inner, &wanted);
        Node *at = self->nodes + node;
        Slot *grown = realloc(at->slots, (size_t)(at->count + 1) * sizeof(Slot));
        if (!grown) {
            PyErr_NoMemory();
            return -1;
        }
        at->slots = grown;
        memcpy(self->names + used, key, (size_t)length);
        at->slots[at->count++] = (Slot){self->names + used, (size_t)length, leaf, inner};
        used += (size_t)length;
        if (leaf >= 0) {
            self->leaves[leaf].wanted = wanted;
            clear_column(&self->leaves[leaf].column, wanted);
        }
    }
    return 0;
}

static PyObject *cutter_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    (void)kwargs;
    PyObject *slots;
    int strict;
    if (!PyArg_ParseTuple(args, "O!p", &PyList_Type, &slots, &strict)) return NULL;
    allocfunc make = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Cutter *self = (Cutter *)make(type, 0);
    if (!self) return NULL;
    self->strict = strict;
    self->expected = -1;
    if (plant(self, slots)) Py_CLEAR(self);
    return (PyObject *)self;
}

/* ---------------------------------------------------------------------------------------------------- counting lines */

static PyObject *count_lines(PyObject *unused, PyObject *args) {
    (void)unused;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    const uint8_t *p = data.buf, *end = p + data.len;
    long long lines = data.len && end[-1] != '\n';
    while (p < end) { /* a byte holds up to 255 of them, so compilers do many at once */
        const uint8_t *stop = end - p > 255 * 64 ? p + 255 * 64 : end;
        uint8_t found[64] = {0};
        for (; stop - p >= 64; p += 64)
            for (int n = 0; n < 64; n++) found[n] += p[n] == '\n';
        for (; stop == end && p < end; p++) lines += *p == '\n';
        for (int n = 0; n < 64; n++) lines += found[n];
    }
    PyBuffer_Release(&data);
    return PyLong_FromLongLong(lines);
}

/* ------------------------------------------------------------------------------------------------------ lines of text */

int is_utf8(const uint8_t *p, const uint8_t *end) {
    while (p < end) {
#if defined(__SSE2__)
        while (end - p >= 16 && !_mm_movemask_epi8(_mm_loadu_si128((const __m128i *)p))) p += 16;
#endif
        while (p < end && *p < 0x80) p++;
        if (p < end && !(p = sequence(p, end))) return 0;
    }
    return 1;
}

typedef struct {
    View *views;
    int64_t count, cap;
    const char *text;
    size_t start;
} Lines;

/* Add the line that ends in front of `end`, without the carriage return at its end. */
static int add_line(Lines *lines, size_t end) {
    if (lines->count == lines->cap) {
        int64_t cap = lines->cap ? lines->cap * 2 : 1024;
        View *views = realloc(lines->views, (size_t)cap * sizeof(View));
        if (!views) return -1;
        lines->views = views;
        lines->cap = cap;
    }
    size_t start = lines->start, size = end - start;
    lines->start = end + 1;
    if (size && lines->text[end - 1] == '\r') size--;
    lines->views[lines->count++] = view_of(lines->text + start, size, start);
    return 0;
}

static PyObject *lines_of(PyObject *unused, PyObject *args) {
    (void)unused;
    Py_buffer data;
    if (!PyArg_ParseTuple(args, "y*", &data)) return NULL;
    size_t size = (size_t)data.len, at = 0;
    int odd = size > LARGEST, high = 0, broken = 0, escapes = 0, returns = 0;
    char *text = odd ? NULL : malloc(size ? size : 1);
    Lines lines = {NULL, 0, 0, text, 0};
    if (!odd && !text) broken = 1;
    if (text) {
        memcpy(text, data.buf, size);
#if defined(__SSE2__)
        __m128i tops = _mm_setzero_si128(), nuls = tops, escs = tops, crs = tops, none = tops;
        for (; !broken && at + 16 <= size; at += 16) {
            __m128i x = _mm_loadu_si128((const __m128i *)(text + at));
            tops = _mm_or_si128(tops, x);
            nuls = _mm_or_si128(nuls, _mm_cmpeq_epi8(x, none));
            escs = _mm_or_si128(escs, _mm_cmpeq_epi8(x, _mm_set1_epi8(0x1b)));
            crs = _mm_or_si128(crs, _mm_cmpeq_epi8(x, _mm_set1_epi8('\r')));
            for (int ends = _mm_movemask_epi8(_mm_cmpeq_epi8(x, _mm_set1_epi8('\n'))); ends && !broken; ends &= ends - 1)
                broken = add_line(&lines, at + (size_t)__builtin_ctz((unsigned)ends));
        }
        high = _mm_movemask_epi8(tops), odd = _mm_movemask_epi8(nuls);
        escapes = _mm_movemask_epi8(escs), returns = _mm_movemask_epi8(crs);
#endif
        for (; !broken && at < size; at++) {
            char c = text[at];
            high |= c & 0x80, odd |= !c, escapes |= c == 0x1b, returns |= c == '\r';
            if (c == '\n') broken = add_line(&lines, at);
        }
        if (!broken && lines.start < size) broken = add_line(&lines, size);
        if (high && !is_utf8((const uint8_t *)text, (const uint8_t *)text + size)) odd = 1;
    }
    PyBuffer_Release(&data);
    if (broken || odd) {
        free(text);
        free(lines.views);
        if (broken) return PyErr_NoMemory();
        Py_RETURN_NONE;
    }
    View *views = realloc(lines.views, (size_t)(lines.count ? lines.count : 1) * sizeof(View));
    void *kept[4] = {NULL, views ? views : lines.views, text, NULL};
    return Py_BuildValue("(NNN)", hand_out("vu", lines.count, 0, kept, 4, (int64_t)size), PyBool_FromLong(escapes),
                         PyBool_FromLong(returns));
}

static PyObject *route_of(PyObject *self, PyObject *args) {
    (void)self;
    Py_buffer given;
    if (!PyArg_ParseTuple(args, "y*", &given)) return NULL;
    PyObject *made = NULL;
    uint8_t *plain = malloc((size_t)given.len + 1);
    if (plain) made = PyBytes_FromStringAndSize((const char *)plain, (Py_ssize_t)plain_route(given.buf, (size_t)given.len, plain));
    free(plain);
    PyBuffer_Release(&given);
    return plain ? made : PyErr_NoMemory();
}

static PyMethodDef module_methods[] = {
    {"plain_route", route_of, METH_VARARGS, "plain_route(path): the path without what is behind it, ids in it as 0: what has the same template."},
    {"lines_of", lines_of, METH_VARARGS,
     "lines_of(data): (its lines as a column, without a carriage return at their ends; whether an ESC, a carriage return is in it)."
     " None where it is no UTF-8 or has a NUL."},
    {"count_lines", count_lines, METH_VARARGS, "count_lines(data): how many lines there are; the last one may lack its newline."},
    {NULL, NULL, 0, NULL}};

static PyMethodDef cutter_methods[] = {
    {"add", (PyCFunction)(void (*)(void))cutter_add, METH_VARARGS,
     "add(data, line, numbers=None): take the lines of data, the first of which is number `line`, or which have these numbers (64 bits each);"
     " (line, start, end) of each that is left."},
    {"flagged", (PyCFunction)(void (*)(void))cutter_flagged, METH_NOARGS,
     "flagged(): whether a key ended with \"runcated\" since this was asked last; in lines that are left, perhaps."},
    {"finish", (PyCFunction)(void (*)(void))cutter_finish, METH_NOARGS,
     "finish(): (rows, their lines, their shapes, the top keys of each shape, {leaf: (its column, or numbers and what they stand for, or the text of all rows; whether some values in it are RAW)})."},
    {NULL, NULL, 0, NULL}};

static PyMethodDef cut_methods[] = {
    {"__arrow_c_array__", (PyCFunction)(void (*)(void))cut_export, METH_VARARGS | METH_KEYWORDS,
     "The column by the Arrow PyCapsule interface, once."},
    {NULL, NULL, 0, NULL}};

static PyType_Slot cutter_slots[] = {{Py_tp_new, cutter_new}, {Py_tp_dealloc, cutter_dealloc}, {Py_tp_methods, cutter_methods},
                                     {Py_tp_doc, "Cutter(slots, strict): cuts values out of lines of JSON."}, {0, NULL}};
static PyType_Slot cut_slots[] = {{Py_tp_dealloc, cut_dealloc}, {Py_tp_methods, cut_methods}, {0, NULL}};
static PyType_Spec cutter_spec = {"triage.intake._cutter.Cutter", sizeof(Cutter), 0, Py_TPFLAGS_DEFAULT, cutter_slots};
static PyType_Spec cut_spec = {"triage.intake._cutter.Cut", sizeof(Cut), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                               cut_slots};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_cutter", "Values of JSON lines, and lines of text, as Arrow columns.", -1,
                                    module_methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__cutter(void) {
    PyObject *made = PyModule_Create(&module);
    if (!made) return NULL;
    cutter_type = PyType_FromSpec(&cutter_spec);
    cut_type = PyType_FromSpec(&cut_spec);
    sieve_type = PyType_FromSpec(&sieve_spec);
    entries_type = PyType_FromSpec(&entries_spec);
    if (!cutter_type || !cut_type || !sieve_type || !entries_type || PyModule_AddObjectRef(made, "Cutter", cutter_type) ||
        PyModule_AddObjectRef(made, "Sieve", sieve_type) || PyModule_AddObjectRef(made, "EntrySieve", entries_type) ||
        PyModule_AddIntConstant(made, "VERSION", VERSION))
        Py_CLEAR(made);
    return made;
}
