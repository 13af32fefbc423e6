package callers

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
)

// Askers are as whom what several callers want is asked for, together: each is asked for as the node if it wants it, and else as any of those that may read it.
// K is what names what is wanted.
type Askers[K comparable] struct {
	node   Doer
	as     func(token string) Doer
	tokens *Tokens

	mu  sync.Mutex
	all map[K]*asker // guarded by mu
}

// maxAskers is how many users are remembered that want one thing: with any of them it can be asked for.
const maxAskers = 16

// asker asks for one thing.
type asker struct {
	node   Doer
	as     func(token string) Doer
	tokens *Tokens

	mu sync.Mutex
	// What follows is guarded by mu.

	local bool
	users []string // who was answered last first
}

// NewAskers returns askers that ask as the node by node, and by as for whom a token is.
func NewAskers[K comparable](node Doer, as func(token string) Doer, tokens *Tokens) *Askers[K] {
	return &Askers[K]{node: node, as: as, tokens: tokens, all: map[K]*asker{}}
}

// Add has what a key names be asked for as a caller, too. It returns who asks, the same until Forget.
func (a *Askers[K]) Add(key K, c *Caller) Doer {
	a.mu.Lock()
	defer a.mu.Unlock()
	one := a.all[key]
	if one == nil {
		one = &asker{node: a.node, as: a.as, tokens: a.tokens}
		a.all[key] = one
	}
	one.add(c)
	return one
}

// Forget has a key be one that nobody has asked for.
func (a *Askers[K]) Forget(key K) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.all, key)
}

func (a *asker) add(c *Caller) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case c.Local:
		a.local = true
	case !slices.Contains(a.users, c.User.Username):
		a.users = append(a.users[:min(len(a.users), maxAskers-1)], c.User.Username)
	}
}

// Do implements Doer. Whoever is refused is followed by the next one; the last answer is the answer. A token that is not taken may be good all the same: what answers may be the server of an aggregated API.
func (a *asker) Do(r *http.Request) (*http.Response, error) {
	a.mu.Lock()
	local, users := a.local, slices.Clone(a.users)
	a.mu.Unlock()
	var last *http.Response
	ask := func(client Doer) (*http.Response, bool, error) {
		if last != nil {
			_ = last.Body.Close()
			last = nil
		}
		response, err := client.Do(r.Clone(r.Context()))
		last = response
		return response, err != nil || response.StatusCode != http.StatusUnauthorized && response.StatusCode != http.StatusForbidden, err
	}
	if local {
		if response, done, err := ask(a.node); done {
			return response, err
		}
	}
	for _, user := range users {
		token := a.tokens.Newest(user)
		if token == "" {
			continue
		}
		response, done, err := ask(a.as(token))
		if done {
			a.answered(user)
			return response, err
		}
		if response.StatusCode == http.StatusUnauthorized {
			a.tokens.doubt(token)
		}
	}
	if last == nil {
		return nil, fmt.Errorf("nobody who wants %s has a token that the API server has not refused", r.URL.Path)
	}
	return last, nil
}

// answered has a user be asked as first.
func (a *asker) answered(user string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := slices.Index(a.users, user); at > 0 {
		a.users = slices.Insert(slices.Delete(a.users, at, at+1), 0, user)
	}
}
