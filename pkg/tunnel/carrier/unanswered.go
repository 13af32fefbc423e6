package carrier

import (
	"errors"
	"io"
	"syscall"
)

// UnansweredError is why there is no connection where nobody has done anything for it: each way was refused, reset or closed before it was secured.
// So it is while a server is away, and trying again costs a server that comes back nothing but that.
type UnansweredError struct{ Err error }

func (e *UnansweredError) Error() string { return e.Err.Error() }

func (e *UnansweredError) Unwrap() error { return e.Err }

// isUnanswered reports whether one way failed so.
func isUnanswered(err error) bool {
	for _, one := range []error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.EHOSTUNREACH, syscall.ENETUNREACH, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, one) {
			return true
		}
	}
	return false
}
