//go:build !race

package frontend_test

const raced = false
