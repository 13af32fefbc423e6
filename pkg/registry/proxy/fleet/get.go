package fleet

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// get answers an object by its name: the one that there is; rows for all of them, if a table is
// wanted; else an error that names the clusters that have one.
func (c *call) get(ctx context.Context, w http.ResponseWriter) error {
	l := &listing{call: c, versions: versions{}, failures: slices.Clone(c.alike)}
	answers, problems := make([]*source, len(c.members)), make([]*failure, len(c.members))
	c.each(func(i int, m Member) { answers[i], problems[i] = c.getFrom(ctx, m) })
	for i := range c.members {
		if problems[i] != nil {
			l.failures = append(l.failures, problems[i])
		} else {
			l.sources = append(l.sources, answers[i])
		}
	}
	l.vote()
	if len(l.sources) == 0 {
		return l.absent()
	}
	if c.form == formTable {
		return l.tableOf(w)
	}
	if len(l.sources) > 1 {
		return l.several()
	}
	s := l.sources[0]
	l.failures.warn(w.Header())
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(append(l.appendItem(nil, s, s.head()), '\n'))
	return nil
}

// getFrom asks one member. What it answers is a list of one object.
func (c *call) getFrom(ctx context.Context, m Member) (*source, *failure) {
	query := url.Values{}
	if value := c.raw.Get("includeObject"); value != "" && c.form == formTable && !c.noObject {
		query.Set("includeObject", value)
	}
	a, f := c.ask(ctx, m, c.path, query, http.Header{"Accept": {c.form.ask(verbGet)}})
	if f != nil {
		return nil, f
	}
	if a.code != http.StatusOK {
		return nil, refusal(m.Name, a.code, a.body)
	}
	p, err := c.scanOne(a.body)
	if err != nil {
		return nil, failed(m.Name, http.StatusServiceUnavailable, "its answer cannot be read: %v", err)
	}
	s := c.source(m)
	if f := s.accept(fetched{page: p}); f != nil {
		return nil, f
	}
	return s, nil
}

// scanOne reads an object, or a table with one row.
func (c *call) scanOne(data []byte) (*page, error) {
	p, tableErr := scanPage(data)
	if tableErr != nil || !p.isTable() {
		s := &scanner{data: data}
		o, err := scanObject(s)
		if err == nil {
			err = s.end()
		}
		if err != nil {
			return nil, err
		}
		p = &page{kind: o.kind + "List", apiVersion: o.apiVersion, version: o.version, items: []item{{object: o}}}
	}
	if len(p.items) != 1 {
		return nil, fmt.Errorf("a table of %d rows is no object", len(p.items))
	}
	if name := p.items[0].name(); name != c.name {
		return nil, fmt.Errorf("it sent the object %.100q where %q was asked for", name, c.name)
	}
	return p, p.belong(c.namespace)
}

// absent is the answer if nobody has the object. It is absent if all say so.
func (l *listing) absent() error {
	away := slices.DeleteFunc(slices.Clone(l.failures), (*failure).lacking)
	switch {
	case len(away) == 0:
		return apierrors.NewNotFound(l.groupResource(), l.name)
	case len(away) == len(l.failures):
		return l.failures.all(l.what())
	}
	return status(away.code(), fmt.Sprintf("no cluster that could be asked has %s %q, and %d of %d could not: %s",
		l.groupResource(), l.name, len(away), len(l.failures), away.reasons()))
}

// several is the answer if many members have an object of the name.
func (l *listing) several() error {
	var names []string
	for i, s := range l.sources {
		if i == maxNamed {
			names = append(names, fmt.Sprintf("and %d more", len(l.sources)-maxNamed))
			break
		}
		names = append(names, s.member.Name)
	}
	return status(http.StatusConflict, fmt.Sprintf("%s %q is in %d clusters (%s): list with the field selector metadata.name=%s to see all, or ask one of them, through %s",
		l.groupResource(), l.name, len(l.sources), strings.Join(names, ", "), l.name, fmt.Sprintf(l.config.Via, "NAME")))
}

// tableOf answers a row for each member that has the object.
func (l *listing) tableOf(w http.ResponseWriter) error {
	l.lay()
	meta := metav1.ListMeta{}
	if len(l.sources) == 1 {
		meta.ResourceVersion = l.sources[0].head().version
	}
	out := l.beginAnswer(w, meta)
	for i, s := range l.sources {
		row := l.appendItem(nil, s, s.head())
		if i > 0 {
			row = append([]byte{','}, row...)
		}
		_, _ = out.Write(row) // the error is that of the end
	}
	endAnswer(out)
	return nil
}
