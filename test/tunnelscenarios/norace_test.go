//go:build !race

package tunnelscenarios

const raced = false
