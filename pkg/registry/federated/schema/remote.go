package schema

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
)

const (
	// remoteInterval is how often schemas that others define are looked at again.
	remoteInterval = 30 * time.Second
	// remoteTimeout bounds one request.
	remoteTimeout = 10 * time.Second
	// changeWait and maxChangeWait are how long a change of one kind's schema has to wait for
	// the one before it: the wait doubles with each, and is short again after two of the
	// longest. A change has all kinds installed anew, and a member may answer something else
	// whenever it is asked.
	changeWait    = time.Minute
	maxChangeWait = 15 * time.Minute
)

// APIServers returns clients of the API servers to ask for schemas, best first: the
// host, then the members that are ready.
type APIServers func(ctx context.Context) []rest.Interface

// Remote knows the kinds that the host or a member serves, custom resources
// above all. What it was asked for and does not know it looks for in the background.
//
// What it is told is not trusted, see Read. A schema that is not usable is as one that nobody
// has: the next server is asked, then the last usable one stays, if there is one. Problem says
// so.
type Remote struct {
	servers APIServers
	changed func()
	kick    chan struct{}
	changes *flowcontrol.Backoff                              // by kind
	read    map[documentID]map[schema.GroupVersionKind]answer // the documents of the last round; update's own

	mu     sync.Mutex // guards wanted and known
	wanted map[schema.GroupVersionKind]bool
	known  map[schema.GroupVersionKind]answer
}

// documentID tells documents apart.
type documentID struct {
	version schema.GroupVersion
	sum     [sha256.Size]byte
}

// answer is what is made of what servers say of a kind. All may be empty: they do not have it.
type answer struct {
	target  *Target
	problem string // why a schema is not used, where there is no better one
}

func (a answer) saysAs(other answer) bool {
	return a.problem == other.problem && a.target.saysAs(other.target)
}

// NewRemote returns a source that calls changed when it has learnt of a schema,
// or of a change of one, or of a problem. It learns only while Run runs.
func NewRemote(servers APIServers, changed func()) *Remote {
	return &Remote{servers: servers, changed: changed, kick: make(chan struct{}, 1), changes: flowcontrol.NewBackOff(changeWait, maxChangeWait),
		wanted: map[schema.GroupVersionKind]bool{}, known: map[schema.GroupVersionKind]answer{}}
}

// TargetSchemas returns what is known now.
func (r *Remote) TargetSchemas(kinds []schema.GroupVersionKind) map[schema.GroupVersionKind]*Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := map[schema.GroupVersionKind]*Target{}
	for _, gvk := range kinds {
		if s := r.known[gvk].target; s != nil {
			out[gvk] = s
		}
		if !r.wanted[gvk] {
			r.wanted[gvk] = true
			select {
			case r.kick <- struct{}{}:
			default: // it is about to look anyway
			}
		}
	}
	return out
}

// Problem says, in a sentence, why the schema of a kind is not used that a server has, and what
// comes of it; "" if there is nothing to say.
func (r *Remote) Problem(kind schema.GroupVersionKind) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.known[kind]
	switch {
	case a.problem == "":
		return ""
	case a.target != nil:
		return fmt.Sprintf("%s. The schema before it stays in use.", a.problem)
	default:
		return fmt.Sprintf("%s. Templates are not compared with a schema.", a.problem)
	}
}

// Run looks for schemas until ctx is done.
func (r *Remote) Run(ctx context.Context) {
	ticker := time.NewTicker(remoteInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		case <-ticker.C:
		}
		if r.update(ctx) {
			r.changed()
		}
	}
}

// update asks for every kind that is wanted and reports whether anything is new.
func (r *Remote) update(ctx context.Context) bool {
	r.mu.Lock()
	byVersion := map[schema.GroupVersion][]schema.GroupVersionKind{}
	for gvk := range r.wanted {
		byVersion[gvk.GroupVersion()] = append(byVersion[gvk.GroupVersion()], gvk)
	}
	r.mu.Unlock()
	if len(byVersion) == 0 {
		return false
	}
	found := map[schema.GroupVersionKind]answer{}
	before := r.read
	r.read = map[documentID]map[schema.GroupVersionKind]answer{}
	for _, server := range r.servers(ctx) {
		for gv, kinds := range byVersion {
			r.ask(ctx, server, gv, kinds, found, before)
		}
	}
	return r.learn(ctx, found)
}

// learn takes over what was found, unless a kind changes too often, and reports whether
// anything is new.
func (r *Remote) learn(ctx context.Context, found map[schema.GroupVersionKind]answer) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	news, now := false, r.changes.Clock.Now()
	for gvk, next := range found {
		if next.target == nil {
			next.target = r.known[gvk].target
		}
		if r.known[gvk].saysAs(next) || r.changes.IsInBackOffSinceUpdate(gvk.String(), now) {
			continue
		}
		r.changes.Next(gvk.String(), now)
		if next.problem != "" && next.problem != r.known[gvk].problem {
			klog.FromContext(ctx).Info("Refused the schema of a kind", "kind", gvk, "reason", next.problem)
		}
		r.known[gvk], news = next, true
	}
	return news
}

// ask adds to found what the server knows of the kinds and none before it did. Documents that
// are as they were before are not read again.
func (r *Remote) ask(ctx context.Context, server rest.Interface, gv schema.GroupVersion, kinds []schema.GroupVersionKind, found map[schema.GroupVersionKind]answer, before map[documentID]map[schema.GroupVersionKind]answer) {
	var missing []schema.GroupVersionKind
	for _, gvk := range kinds {
		if found[gvk].target == nil {
			missing = append(missing, gvk)
		}
	}
	if len(missing) == 0 {
		return
	}
	data, err := fetch(ctx, server, gv)
	if err != nil {
		klog.FromContext(ctx).V(4).Info("Fetched no schema", "groupVersion", gv, "err", err)
		return
	}
	id := documentID{gv, sha256.Sum256(data)}
	if r.read[id] == nil {
		r.read[id] = map[schema.GroupVersionKind]answer{}
	}
	var unread []schema.GroupVersionKind
	for _, gvk := range missing {
		if a, ok := before[id][gvk]; ok {
			r.read[id][gvk] = a
		} else if _, ok := r.read[id][gvk]; !ok {
			unread = append(unread, gvk)
		}
	}
	targets, problems := Read(data, unread)
	for _, gvk := range unread {
		a := answer{target: targets[gvk]}
		if problem := problems[gvk]; problem != "" {
			a.problem = fmt.Sprintf("The schema of %s %s that %s has is not used: %s", gv, gvk.Kind, server.Get().URL().Host, problem)
		}
		r.read[id][gvk] = a
	}
	for _, gvk := range missing {
		if a := r.read[id][gvk]; a.target != nil || a.problem != "" && found[gvk].problem == "" {
			found[gvk] = a
		}
	}
}

func fetch(ctx context.Context, server rest.Interface, gv schema.GroupVersion) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, remoteTimeout)
	defer cancel()
	path := "/openapi/v3/apis/" + gv.String()
	if gv.Group == "" {
		path = "/openapi/v3/api/" + gv.Version
	}
	data, err := server.Get().AbsPath(path).SetHeader("Accept", "application/json").DoRaw(ctx)
	if err != nil {
		if apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("%s is not served", gv)
		}
		return nil, err
	}
	return data, nil
}
