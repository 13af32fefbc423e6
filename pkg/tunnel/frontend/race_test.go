//go:build race

package frontend_test

// raced: what is measured of memory is the race detector's.
const raced = true
