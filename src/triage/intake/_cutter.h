/* What the compiled parts have in common: columns that are handed out, and what is known of bytes. */

#ifndef TRIAGE_CUTTER_H
#define TRIAGE_CUTTER_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define LARGEST ((size_t)1 << 30) /* bytes of one column */

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

/* The number that so many digits are; -1 where one of them is none. */
int digits(const char *text, int count, int *value);

extern PyType_Spec sieve_spec;

#endif
