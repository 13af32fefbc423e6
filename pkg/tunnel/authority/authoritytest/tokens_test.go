package authoritytest_test

import (
	"testing"

	"github.com/koinon-io/koinon/pkg/tunnel/authority"
	"github.com/koinon-io/koinon/pkg/tunnel/authority/authoritytest"
)

func TestTokens(t *testing.T) {
	authoritytest.RunTokens(t, func(_ *testing.T, token authority.Token) []authority.Tokens {
		store := authoritytest.NewTokens()
		store.Add(token)
		return []authority.Tokens{store, store}
	})
}
