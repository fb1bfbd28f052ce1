/* The entry of the one executable: an arena for what its start allocates, and the choice of the SAPI. */
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

@DECLARATIONS@

/*
 * A start makes tens of thousands of small allocations that live as long as the process: functions, classes, names. malloc's
 * care for reuse is a third of its instructions, and the first touch of each page a trap into the kernel, two microseconds
 * in a virtual machine. So they come from an arena that only grows and whose pages are made by one call. Once it is full,
 * and for all that is large, malloc is the C library's.
 *
 * The link asks the finished program how much its start takes, and writes that into this section.
 */
#define UNMEASURED UINT64_MAX
#define UNMEASURED_SIZE (16 * 1024 * 1024)
__attribute__((used, section("phplayer_arena"))) static const volatile uint64_t measured = UNMEASURED;

/* Larger blocks are tables that are outgrown and freed, or the application's. */
#define LARGEST (64 * 1024)
/* Before each block stands its size. Blocks begin at multiples of 16, as malloc's do. */
#define HEAD sizeof(size_t)

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

static int asked;
static uintptr_t arena;
static uintptr_t arena_size;
/* Where the next block's head goes. Extensions start threads, hence atomic. */
static _Atomic uintptr_t next;

static void make_arena(void)
{
	const uint64_t size = measured == UNMEASURED ? UNMEASURED_SIZE : measured;
	const int populate = measured == UNMEASURED ? MAP_NORESERVE : MAP_POPULATE;
	asked = measured == UNMEASURED && getenv("PHPLAYER_MEASURE_ARENA") != NULL;
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | populate, -1, 0);

	if (pages != MAP_FAILED) {
		arena = (uintptr_t)pages;
		atomic_store(&next, arena + HEAD);
		arena_size = size;
	}
}

static inline int in_arena(const void *block)
{
	return (uintptr_t)block - arena < arena_size;
}

static inline size_t *head_of(void *block)
{
	return (size_t *)((char *)block - HEAD);
}

static inline uintptr_t after(uintptr_t head, size_t size)
{
	return head + ((size + HEAD + 15) & ~(uintptr_t)15);
}

/* A fresh block, all zero, or NULL. */
static inline void *take(size_t size)
{
	uintptr_t head = atomic_load_explicit(&next, memory_order_relaxed);

	if (size > LARGEST) {
		return NULL;
	}
	do {
		if (after(head, size) > arena + arena_size) {
			return NULL;
		}
	} while (!atomic_compare_exchange_weak_explicit(&next, &head, after(head, size), memory_order_relaxed, memory_order_relaxed));
	*(size_t *)head = size;
	return (char *)head + HEAD;
}

/* The C library and everything that is loaded later take these too, so that no block is freed by another than made it. */
#pragma GCC visibility push(default)

void *malloc(size_t size)
{
	void *block = take(size);
	return block ? block : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
	size_t total;
	void *block = __builtin_mul_overflow(count, size, &total) ? NULL : take(total);
	return block ? block : __libc_calloc(count, size);
}

void free(void *block)
{
	if (!in_arena(block)) {
		__libc_free(block);
	}
}

void *realloc(void *block, size_t size)
{
	if (!in_arena(block)) {
		return __libc_realloc(block, size);
	}
	size_t *const head = head_of(block);
	if (size <= *head) {
		return block;
	}
	void *const larger = malloc(size);
	if (larger) {
		memcpy(larger, block, *head);
	}
	return larger;
}

#pragma GCC visibility pop

/* Answers the link, which asks before a program is measured; on descriptor 3, since PHP has closed its own by now. */
__attribute__((destructor)) static void report(void)
{
	if (asked) {
		dprintf(3, "%lu\n", (unsigned long)(atomic_load(&next) - arena));
	}
}

int main(int argc, char **argv)
{
	const char *path = argc > 0 ? argv[0] : "php";
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	(void)name;
	make_arena();
	@CALL@
}
