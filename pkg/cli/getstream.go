package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/koinon-io/koinon/pkg/apis/federation/v1alpha1"
)

const (
	// streamPatience is how long a list may be silent: the fleet takes up to 15 s for a page of a slow member.
	streamPatience = 30 * time.Second
	// watchAgain is how long it takes to begin a watch again.
	watchAgain = time.Second

	tableAccept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
)

// cutError says that a list broke off, with a part of it printed.
type cutError struct{ error }

func (e *cutError) Unwrap() error { return e.error }

// errSilent is why a stream that says nothing is ended.
var errSilent = errors.New("there was no answer in time")

// stream opens what is at the type's path. What is read of it is cut off if nothing comes for as long as patience says;
// 0 waits. It also says what the server warns of.
func (o *getOptions) stream(ctx context.Context, p *place, patience time.Duration, query map[string]string) (io.ReadCloser, error) {
	namespace := ""
	if p.namespaced && !o.All {
		namespace = o.source.namespace
	}
	ctx, cancel := context.WithCancelCause(ctx)
	// The first answer has a deadline in any case.
	timer := time.AfterFunc(o.patience(p), func() { cancel(errSilent) })
	said := &heard{}
	request := p.client.Get().AbsPath(p.path(namespace)).MaxRetries(0).SetHeader("Accept", o.accept()).WarningHandler(said)
	for key, value := range query {
		request.Param(key, value)
	}
	if fields := o.fields(); fields != "" {
		request.Param("fieldSelector", fields)
	}
	if o.LabelSelector != "" {
		request.Param("labelSelector", o.LabelSelector)
	}
	body, err := request.Stream(ctx)
	if err != nil {
		timer.Stop()
		cancel(nil)
		if errors.Is(context.Cause(ctx), errSilent) {
			return nil, errSilent
		}
		return nil, err
	}
	for _, text := range said.texts {
		if strings.Contains(text, v1alpha1.FleetMissing) {
			o.miss(text)
		} else {
			o.warn(text)
		}
	}
	if patience == 0 {
		timer.Stop()
	}
	return &patient{body, ctx, cancel, timer, patience}, nil
}

// patience is how long a list may be silent.
func (o *getOptions) patience(p *place) time.Duration {
	if o.flags.overrides.Timeout != "" {
		return p.timeout
	}
	return streamPatience
}

// path is where the place has the objects of the type.
func (p *place) path(namespace string) string {
	path := pathOf(p.resource, namespace, "")
	return strings.TrimSuffix(path, "/")
}

func (o *getOptions) accept() string {
	if o.printer.isTable() {
		return tableAccept
	}
	return "application/json"
}

func (o *getOptions) fields() string {
	if o.name != "" {
		return "metadata.name=" + o.name
	}
	return o.FieldSelector
}

// patient is a body that is cut off if it is silent for too long.
type patient struct {
	io.ReadCloser
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
}

func (p *patient) Read(into []byte) (int, error) {
	if p.patience > 0 {
		p.timer.Reset(p.patience)
	}
	n, err := p.ReadCloser.Read(into)
	if err != nil && err != io.EOF && errors.Is(context.Cause(p.ctx), errSilent) {
		err = errSilent
	}
	return n, err
}

func (p *patient) Close() error {
	p.timer.Stop()
	p.cancel(nil)
	return p.ReadCloser.Close()
}

// gotten is one object, or its row of a table.
type gotten struct {
	Cells  []any           `json:"cells"`
	Object json.RawMessage `json:"object"`

	metav1.PartialObjectMetadata `json:"-"`
	cluster, cell                string
}

// sheet is a list or a table that is read.
type sheet struct {
	metadata metav1.ListMeta
	columns  []metav1.TableColumnDefinition
	// each is called for each object or row.
	each func(*sheet, *gotten) error
}

// listOf prints what is in a place now, as it comes.
func (o *getOptions) listOf(ctx context.Context, p *place) error {
	// Without a limit a list is streamed, each member's once. In chunks every member would be asked for each of them.
	body, err := o.stream(ctx, p, o.patience(p), nil)
	if err != nil {
		return err
	}
	defer body.Close()
	some := false
	s := &sheet{each: func(s *sheet, g *gotten) error {
		some = true
		return o.print(p, s, g)
	}}
	if err = s.read(body); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if ended := o.flush(); err == nil { // what is known is shown in any case
		err = ended
	}
	p.version = s.metadata.ResourceVersion
	if err != nil && some {
		return &cutError{fmt.Errorf("the list of %s broke off, and is not whole: %w", p.target, err)}
	}
	return err
}

// read reads a list without holding it.
func (s *sheet) read(body io.Reader) error {
	d := json.NewDecoder(body)
	d.UseNumber()
	if _, err := d.Token(); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		switch key {
		case "metadata":
			err = d.Decode(&s.metadata)
		case "columnDefinitions":
			err = d.Decode(&s.columns)
		case "rows":
			err = s.readEach(d, func() (*gotten, error) {
				row := &gotten{}
				return row, d.Decode(row)
			})
		case "items":
			err = s.readEach(d, func() (*gotten, error) {
				item := &gotten{}
				return item, d.Decode(&item.Object)
			})
		default:
			var skipped json.RawMessage
			err = d.Decode(&skipped)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// readEach reads an array, or null.
func (s *sheet) readEach(d *json.Decoder, next func() (*gotten, error)) error {
	if begin, err := d.Token(); err != nil || begin == nil {
		return err
	}
	for d.More() {
		g, err := next()
		if err != nil {
			return err
		}
		if err := s.each(s, g); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

// print prints an object of a place.
func (o *getOptions) print(p *place, s *sheet, g *gotten) error {
	if err := json.Unmarshal(g.Object, &g.PartialObjectMetadata); err != nil {
		return fmt.Errorf("read an object of %s: %w", p.target, err)
	}
	columns := s.columns
	if o.printer.isTable() && columns == nil {
		columns, g.Cells = nameAndAge, []any{g.Name, ageOf(g.CreationTimestamp)}
	} else if p.cluster == "" {
		columns, g.Cells = withoutCluster(columns, g.Cells)
	}
	if p.cluster != "" {
		if g.Annotations == nil {
			g.Annotations = map[string]string{}
		}
		g.Annotations[v1alpha1.ClusterAnnotation] = p.cluster
	}
	g.cluster, g.cell = g.Annotations[v1alpha1.ClusterAnnotation], p.cell
	if p.cell == "" {
		g.cell = p.cells[p.homeOf(&g.PartialObjectMetadata)]
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.printer.print(p, columns, g)
}

// nameAndAge are the columns of what comes as no table.
var nameAndAge = []metav1.TableColumnDefinition{{Name: "Name", Type: "string", Format: "name"}, {Name: "Age", Type: "string"}}

func ageOf(created metav1.Time) string {
	if created.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(created.Time))
}

// withoutCluster leaves out the column that the fleet puts behind that of names: it is printed of all alike.
func withoutCluster(columns []metav1.TableColumnDefinition, cells []any) ([]metav1.TableColumnDefinition, []any) {
	at := behindName(columns)
	if at >= len(columns) || at >= len(cells) || columns[at].Name != "Cluster" {
		return columns, cells
	}
	return slices.Delete(slices.Clone(columns), at, at+1), slices.Delete(slices.Clone(cells), at, at+1)
}

// behindName is the place behind the column of names.
func behindName(columns []metav1.TableColumnDefinition) int {
	return slices.IndexFunc(columns, func(c metav1.TableColumnDefinition) bool { return c.Format == "name" }) + 1
}

// watch prints what changes in the places, until it cannot go on or ctx ends.
func (o *getOptions) watch(ctx context.Context, places []*place) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	problems := make([]error, len(places))
	var all []func()
	for i, p := range places {
		all = append(all, func() {
			if problems[i] = o.follow(ctx, p); problems[i] != nil {
				cancel() // what is said of the others would look like all
			}
		})
	}
	together(len(places), all...)
	return errors.Join(problems...)
}

// follow prints what changes in one place. A watch that ends begins again.
func (o *getOptions) follow(ctx context.Context, p *place) error {
	for {
		err := o.watchOnce(ctx, p)
		switch {
		case ctx.Err() != nil:
			return nil
		case apierrors.IsResourceExpired(err) || apierrors.IsGone(err):
			o.warn(fmt.Sprintf("the watch of %s expired; all objects come again, and what was deleted meanwhile is not told", p.target))
			err = o.listOf(ctx, p)
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watchAgain):
		}
	}
}

// watchOnce watches until the server ends it. The version is then that of the last bookmark.
func (o *getOptions) watchOnce(ctx context.Context, p *place) error {
	body, err := o.stream(ctx, p, 0, map[string]string{"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": p.version})
	if err != nil {
		return err
	}
	defer body.Close()
	s := &sheet{}
	for d := json.NewDecoder(body); ; {
		d.UseNumber()
		var event struct {
			Type   watch.EventType
			Object json.RawMessage
		}
		if err := d.Decode(&event); err == io.EOF || err == io.ErrUnexpectedEOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := o.printEvent(p, s, event.Type, event.Object); err != nil {
			return err
		}
	}
}

// printEvent prints what an event is about. s keeps the columns: only the first event has them.
func (o *getOptions) printEvent(p *place, s *sheet, what watch.EventType, object json.RawMessage) error {
	var said struct {
		Kind              string
		Metadata          metav1.ListMeta
		ColumnDefinitions []metav1.TableColumnDefinition
	}
	if err := json.Unmarshal(object, &said); err != nil {
		return fmt.Errorf("read an event of %s: %w", p.target, err)
	}
	switch {
	case what == watch.Error:
		var status metav1.Status
		if err := json.Unmarshal(object, &status); err != nil {
			return err
		}
		return &apierrors.StatusError{ErrStatus: status}
	case what == watch.Bookmark && said.Metadata.ResourceVersion != "":
		p.version = said.Metadata.ResourceVersion
		return nil
	case what == watch.Bookmark && said.Kind == "Table":
		return s.bookmark(p, object)
	case what == watch.Bookmark:
		return nil
	}
	s.each = func(s *sheet, g *gotten) error { return o.print(p, s, g) }
	if said.Kind == "Table" && o.printer.isTable() {
		if err := s.read(strings.NewReader(string(object))); err != nil {
			return err
		}
	} else if err := s.each(s, &gotten{Object: object}); err != nil {
		return err
	}
	return o.flush()
}

func (o *getOptions) flush() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.printer.flush()
}

// bookmark takes the version out of the row of a table.
func (s *sheet) bookmark(p *place, object json.RawMessage) error {
	s.each = func(_ *sheet, g *gotten) error {
		if err := json.Unmarshal(g.Object, &g.PartialObjectMetadata); err != nil || g.ResourceVersion == "" {
			return err
		}
		p.version = g.ResourceVersion
		return nil
	}
	return s.read(strings.NewReader(string(object)))
}
