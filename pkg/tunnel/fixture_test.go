package tunnel_test

import (
	"errors"

	"github.com/koinon-io/koinon/pkg/tunnel/tunneltest"
)

const patience = tunneltest.Patience

// The tests of this package use these all the time.
var (
	newAuthority = tunneltest.NewAuthority
	serve        = tunneltest.Serve
	run          = tunneltest.Run
	target       = tunneltest.Target
	hear         = tunneltest.Hear
	linked       = tunneltest.Linked
	eventually   = tunneltest.Eventually
)

var errRevoked = errors.New("its certificate was revoked")
