// Package multicall picks one of the programs that a binary is, by the name the binary
// was called by or by its first argument.
package multicall

import "path/filepath"

// Program runs on os.Args and returns the exit code.
type Program func() int

// Select returns the program that args ask for, and whether there is one. The name the
// binary was called by (as through a link) goes first, then the first argument, which is
// then taken off args, so that the program sees its own name there.
func Select(programs map[string]Program, args *[]string) (Program, bool) {
	if program, ok := programs[filepath.Base((*args)[0])]; ok {
		return program, true
	}
	if len(*args) < 2 {
		return nil, false
	}
	program, ok := programs[(*args)[1]]
	if ok {
		*args = (*args)[1:]
	}
	return program, ok
}
