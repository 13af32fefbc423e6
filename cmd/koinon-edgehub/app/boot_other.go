//go:build !linux

package app

import (
	"errors"
	"time"
)

// sinceBoot is not known here.
func sinceBoot() (boot string, at time.Duration, err error) { return "", 0, errors.ErrUnsupported }
