package callers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

const (
	// askFor is how long an answer of the API server is waited for.
	askFor = 10 * time.Second
	// maxAnswer is how much of one is read.
	maxAnswer = 1 << 20
)

// Doer makes requests of the API server as the node. A URL has a path and a query only.
type Doer interface {
	Do(*http.Request) (*http.Response, error)
}

// create has the API server answer a review, and returns when it did so by its own clock; zero if it does not say. The error is ErrAway, with why, for whatever is no answer of it. The answer
// shares nothing with the question, of which others may have a part.
func create[T any](ctx context.Context, client Doer, path string, review *T) (at time.Time, err error) {
	body, err := json.Marshal(review)
	if err != nil {
		return at, err
	}
	ctx, cancel := context.WithTimeout(ctx, askFor)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, path, bytes.NewReader(body))
	if err != nil {
		return at, err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return at, fmt.Errorf("%w: %w", ErrAway, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return at, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type")); kind != "application/json" || response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		return at, fmt.Errorf("%w: it answers %s", ErrAway, response.Status)
	}
	var said T
	if err := json.Unmarshal(answer, &said); err != nil {
		return at, fmt.Errorf("%w: its answer cannot be read: %w", ErrAway, err)
	}
	*review = said
	at, _ = http.ParseTime(response.Header.Get("Date"))
	return at, nil
}
