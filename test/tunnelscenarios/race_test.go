//go:build race

package tunnelscenarios

// raced: what is measured of memory is the race detector's.
const raced = true
