// Package ports picks free TCP ports of the loopback interface.
//
// A port that is picked is not reserved: between the pick and the program's own listen
// another program may take it. Ports are picked at random from below the range that the
// kernel takes for outgoing connections, so that this is rare, and so that a program that
// stopped finds its port free when it is started again.
package ports

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// First and Limit are the range that ports are picked from. Linux takes 32768 and up for
// outgoing connections, other systems 49152 and up.
const (
	First = 20000
	Limit = 32000
)

// attempts is how many ports are tried for each that is wanted.
const attempts = 200

// Pick returns n different ports of 127.0.0.1 that nobody listens on.
func Pick(n int) ([]int, error) {
	var held []net.Listener // listeners are kept until the end, so that ports differ
	defer func() {
		for _, l := range held {
			l.Close()
		}
	}()
	var last error
	picked := make([]int, 0, n)
	for range n * attempts {
		if len(picked) == n {
			break
		}
		port := First + rand.IntN(Limit-First)
		l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			last = err
			continue
		}
		held, picked = append(held, l), append(picked, port)
	}
	if len(picked) < n {
		return nil, fmt.Errorf("no %d free ports of 127.0.0.1 between %d and %d: %w", n, First, Limit,
			errors.Join(last))
	}
	return picked, nil
}
