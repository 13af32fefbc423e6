package fleet

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// first answers with what one member says: its version, its health, its schemas. Members are asked
// by name, the next one once the one before has failed or is slow.
func (c *call) first(ctx context.Context, w http.ResponseWriter) error {
	if strings.Join(c.path, "/") == "openapi/v3" {
		return c.schemaIndex(ctx, w)
	}
	type outcome struct {
		*answer
		*failure
	}
	outcomes, failures := make(chan outcome, len(c.members)), failures{}
	header := http.Header{"Accept": c.acceptHeader()}
	for asked := 0; len(failures) < len(c.members); {
		if asked < len(c.members) {
			m := c.members[asked]
			asked++
			go func() { // ends with ctx
				a, f := c.ask(ctx, m, c.path, nil, header)
				if f == nil && a.code != http.StatusOK {
					f = refusal(m.Name, a.code, a.body)
				}
				outcomes <- outcome{a, f}
			}()
		}
		slow := time.NewTimer(c.config.Slow)
		select {
		case <-ctx.Done():
			slow.Stop()
			return ctx.Err()
		case <-slow.C:
		case got := <-outcomes:
			slow.Stop()
			if got.failure == nil {
				c.passOn(w, got.answer)
				return nil
			}
			failures = append(failures, got.failure)
		}
	}
	return failures.all("/" + strings.Join(c.path, "/"))
}

// acceptHeader is the client's.
func (c *call) acceptHeader() []string {
	if c.acceptText == "" {
		return []string{"application/json"}
	}
	return []string{c.acceptText}
}

// passOn answers with what a member said, and nothing that a browser would run.
func (c *call) passOn(w http.ResponseWriter, a *answer) {
	contentType := a.header.Get("Content-Type")
	allowed := []string{"application/json", "application/com.github.proto-openapi.", "text/plain"}
	if !slices.ContainsFunc(allowed, func(prefix string) bool { return strings.HasPrefix(contentType, prefix) }) {
		contentType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(a.body)
}

// schemas is the index of OpenAPI v3 documents.
type schemas struct {
	Paths map[string]schemaPath `json:"paths"`
}

type schemaPath struct {
	URL string `json:"serverRelativeURL"`
}

// schemaIndex answers all documents that some member has. Each is answered by the first that has
// it, whatever hash is asked for.
func (c *call) schemaIndex(ctx context.Context, w http.ResponseWriter) error {
	indexes, problems := make([]*schemas, len(c.members)), make([]*failure, len(c.members))
	c.each(func(i int, m Member) { indexes[i], problems[i] = c.schemasOf(ctx, m) })
	out := schemas{Paths: map[string]schemaPath{}}
	var failed failures
	for i := range c.members {
		if problems[i] != nil {
			failed = append(failed, problems[i])
			continue
		}
		for _, path := range slices.Sorted(maps.Keys(indexes[i].Paths)) {
			// Only the hash is the member's: the rest could lead anywhere.
			_, query, _ := strings.Cut(indexes[i].Paths[path].URL, "?")
			if _, known := out.Paths[path]; !known && len(query) <= maxTagBytes && !strings.Contains(path, "..") {
				out.Paths[path] = schemaPath{strings.TrimSuffix("/openapi/v3/"+path+"?"+query, "?")}
			}
		}
	}
	if len(failed) == len(c.members) {
		return failed.all("its schemas")
	}
	failed.warn(w.Header())
	respond(w, http.StatusOK, out)
	return nil
}

func (c *call) schemasOf(ctx context.Context, m Member) (*schemas, *failure) {
	a, f := c.ask(ctx, m, c.path, nil, http.Header{"Accept": {"application/json"}})
	if f != nil {
		return nil, f
	}
	if a.code != http.StatusOK {
		return nil, refusal(m.Name, a.code, a.body)
	}
	var index schemas
	if err := json.Unmarshal(a.body, &index); err != nil {
		return nil, failed(m.Name, http.StatusServiceUnavailable, "its index of schemas cannot be read: %v", err)
	}
	return &index, nil
}
