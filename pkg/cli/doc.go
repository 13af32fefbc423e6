// Package cli is the commands of kubectl-koinon, which kubectl runs as "kubectl koinon".
//
// They are clients and nothing more: each command is an options struct with Complete, Validate and
// Run, which reads kubeconfigs as kubectl does, asks the federation's API as its caller, and writes
// to the streams that it is given. What the API does not say they do not guess; what
// the controllers would do they find out with the controllers' own functions, and from members in dry runs. The package links no
// server: its program is small, and runs where kubectl runs, on Windows and macOS too.
//
// Results are on the standard output, what is to be known besides on the standard error. An error is
// one sentence; who runs the command prints it. Every request has a deadline.
//
// Nothing in it is meant to be called concurrently.
package cli
