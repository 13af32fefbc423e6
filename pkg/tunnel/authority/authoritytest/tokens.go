package authoritytest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/koinon-io/koinon/pkg/tunnel"
	"github.com/koinon-io/koinon/pkg/tunnel/authority"
)

// Tokens are tokens in memory, for the replicas of one process.
type Tokens struct {
	mu  sync.Mutex
	all map[string]authority.Token // by id; guarded by mu
}

// NewTokens returns none.
func NewTokens() *Tokens { return &Tokens{all: map[string]authority.Token{}} }

// New makes a token for a name, which was made at a time, and returns its text.
func (s *Tokens) New(t testing.TB, name tunnel.Name, at time.Time, lifetime time.Duration) string {
	t.Helper()
	text, token, err := authority.NewToken(name, at, lifetime)
	if err != nil {
		t.Fatal(err)
	}
	s.Add(token)
	return text
}

// Add keeps a token.
func (s *Tokens) Add(token authority.Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[token.ID] = token
}

// Get implements authority.Tokens.
func (s *Tokens) Get(_ context.Context, id string) (authority.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := s.all[id]
	if !ok {
		return authority.Token{}, authority.ErrNoToken
	}
	return token, nil
}

// Take implements authority.Tokens.
func (s *Tokens) Take(_ context.Context, id, key string, at time.Time) (authority.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := s.all[id]
	if !ok {
		return authority.Token{}, authority.ErrNoToken
	}
	if token.Key == "" {
		token.Key, token.Used = key, at
		s.all[id] = token
	}
	return token, nil
}
