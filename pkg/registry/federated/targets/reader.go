package targets

import (
	"context"
	"errors"
	"net/http"
	"time"

	"k8s.io/apiserver/pkg/registry/rest"

	"github.com/koinon-io/koinon/pkg/apis/federation/tenancy"
	"github.com/koinon-io/koinon/pkg/registry/federated"
	"github.com/koinon-io/koinon/pkg/registry/federated/strategy"
)

// Members are the ways to members, with the accounts that the federation has there.
type Members interface {
	// To returns the way to a member, or an error of the API.
	To(ctx context.Context, member string) (Member, error)
}

// Member is the way to one member.
type Member struct {
	// Transport sends requests whose URL has a path of the member; its host is not heeded. It
	// follows no redirects. Its errors are sentences for whoever may see the federated object.
	Transport http.RoundTripper
	// Replaced ends when there is another credential, or none.
	Replaced context.Context
}

// Lookups are what a guard looks up. Answers may be some milliseconds old.
type Lookups interface {
	strategy.Targets
	// Tenant returns the tenant of a namespace of the host, or an error while it is not known.
	Tenant(namespace string) (tenancy.Tenant, error)
}

// Config is what a Reader needs. All fields but Longest are required.
type Config struct {
	Members Members
	Lookups Lookups
	// Federation returns the name of this federation.
	Federation func(context.Context) (string, error)
	// Longest is how long a watch goes on at most; 0 is an hour.
	Longest time.Duration
}

// The bounds. docs/targets.md has them for users.
const (
	// atOnce is how many targets one request has asked at a time, and atOnceInAll how many all have;
	// atOnceOfEach is how many of them may be in one member.
	atOnce, atOnceInAll, atOnceOfEach = 64, 128, 8
	// Watches take nothing of these: all of them have followedAtOnce targets asked at a time.
	followedAtOnce, followedAtOnceOfEach = 64, 8
	// silencePause is how long nobody asks a member that did not answer in time.
	silencePause = 10 * time.Second
	// patience is how long a member may take for one answer, and patienceInAll all of them for one
	// request: API servers give it a minute.
	patience, patienceInAll = 5 * time.Second, 30 * time.Second
	// objectBytes bounds the object of a target, and allBytes what one request shows of all.
	objectBytes, allBytes = 4 << 20, 64 << 20
	// allWatchedBytes bounds what one watch keeps, which is as long as it goes on, and watchedBytes
	// what all watches keep: more than those of one user.
	allWatchedBytes, watchedBytes = 16 << 20, 512 << 20
	// watches bounds the watches that are served, and followed the targets in all of them.
	watches, followed = 200, 10_000
	// watchesOfUser and followedOfUser are how many of these may be one user's.
	watchesOfUser, followedOfUser = 20, 5_000
	// guardAge is how old the answer of the guard may be in a watch.
	guardAge = 10 * time.Second
	// retry is the pause before a member that failed is asked again; it doubles up to retryAtMost.
	retry, retryAtMost = time.Second, 30 * time.Second
	// quiet is how long a member's watch may say nothing: API servers send bookmarks every minute.
	quiet = 5 * time.Minute
	// eventBytes bounds an event of a member, which has only metadata.
	eventBytes = 64 << 10
	// rereadPause is how long a target in a watch is not asked again after an event.
	rereadPause = time.Second
	// clientPatience is how long a client may take to read one event. What changes meanwhile is one
	// event of each target afterwards.
	clientPatience = time.Minute
	// longest is the default of Config.Longest.
	longest = time.Hour
)

// Reader asks members for the objects of targets.
type Reader struct {
	Config
	requests, followers *gate // for those who wait for the answer, and for watches
	silences            *silences
	watched             *counter
	watchedBytes        *budget // of all watches

	// As the constants say; tests have shorter ones.
	patience, patienceInAll, guardAge, retry, rereadPause, clientPatience time.Duration
	allBytes, allWatchedBytes                                             int
}

// NewReader makes a Reader; it asks nobody yet.
func NewReader(config Config) (*Reader, error) {
	if config.Members == nil || config.Lookups == nil || config.Federation == nil {
		return nil, errors.New("targets: members, lookups and the name of the federation are required")
	}
	if config.Longest == 0 {
		config.Longest = longest
	}
	return &Reader{
		Config:   config,
		requests: newGate(atOnceInAll, atOnceOfEach), followers: newGate(followedAtOnce, followedAtOnceOfEach),
		silences: &silences{pause: silencePause, held: map[ear]*silence{}},
		watched:  &counter{users: map[string]*share{}}, watchedBytes: &budget{left: watchedBytes},
		patience: patience, patienceInAll: patienceInAll, guardAge: guardAge, retry: retry, rereadPause: rereadPause,
		clientPatience: clientPatience, allBytes: allBytes, allWatchedBytes: allWatchedBytes,
	}, nil
}

// Objects are the federated objects of one kind, as they are stored.
type Objects interface {
	rest.Getter
	rest.Watcher
}

// REST returns the storage of the subresource of a kind. The Reader may be nil: all requests are
// then refused with a sentence.
func (r *Reader) REST(kind federated.Kind, objects Objects) *REST {
	return &REST{kind, objects, r}
}

// REST is the subresource targets of one kind.
type REST struct {
	kind    federated.Kind
	objects Objects
	reader  *Reader
}

var (
	_ rest.GetterWithOptions        = &REST{}
	_ rest.GroupVersionKindProvider = &REST{}
	_ rest.TableConvertor           = &REST{}
)
