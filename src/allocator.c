/*
 * glibc takes memory of more than a threshold from the system piece by piece and gives it back at once. When such a piece is
 * freed the threshold rises to its size, up to 32 MiB, and each thread's heap keeps twice that (mallopt(3), "dynamic mmap
 * threshold"). After a few manifests of some MiB a gate with many threads would hold a hundred MiB more than it uses.
 *
 * Said once, the threshold stays: above the 1 MiB that bodies are read in, so that those are used again without the system,
 * and below a large manifest. A heap then keeps 128 KiB at its end, which would send each such buffer back and forth: two of
 * them may stay. There is no other way than a call of C, and `unsafe` is forbidden in our Rust.
 */
#include <malloc.h>

__attribute__((constructor)) static void keep_little(void)
{
	mallopt(M_MMAP_THRESHOLD, 1280 * 1024);
	mallopt(M_TRIM_THRESHOLD, 2048 * 1024);
}
