package storagetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// Long says that the tests are to take the time that they need to try everything: that
// KOINON_LONG is set.
func Long() bool { return os.Getenv("KOINON_LONG") != "" }

// Seed is a new one in each test, unless KOINON_SEED repeats one.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := uint64(time.Now().UnixNano()) % 1_000_000
	if given := os.Getenv("KOINON_SEED"); given != "" {
		var err error
		if seed, err = strconv.ParseUint(given, 10, 64); err != nil {
			t.Fatalf("KOINON_SEED: %v", err)
		}
	}
	t.Logf("KOINON_SEED=%d repeats this", seed)
	return seed
}

// Sample is some of the numbers below n, in order: the first and the last, and so many between
// them as make it size. It is all of them if Long is true.
func Sample(t testing.TB, n, size int) []int {
	t.Helper()
	left := size
	if Long() {
		left = n
	}
	random := rand.New(rand.NewPCG(Seed(t), 0))
	var sample []int
	for i := range n {
		// Each of those that are left has the same chance.
		if i == 0 || i == n-1 || random.IntN(n-i) < left-1 {
			sample = append(sample, i)
			left--
		}
	}
	return sample
}
