package upstream

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("down")

func TestTheServerThatIsAskedIsKeptUnlessABetterOneIsWellForAWhile(t *testing.T) {
	now := time.Now()
	down := func(priority int) *server { return &server{priority: priority, asked: true, err: errDown} }
	well := func(priority int) *server { return &server{priority: priority, asked: true} }
	back := func(priority int, ago time.Duration) *server {
		return &server{priority: priority, asked: true, recovered: now.Add(-ago)}
	}
	for what, test := range map[string]struct {
		servers       []*server
		current, want int // -1: none
	}{
		"the lowest priority is first":                    {[]*server{well(2), well(1), well(3)}, -1, 1},
		"one that was not asked yet is tried":             {[]*server{{priority: 1}, well(2)}, -1, 0},
		"one that is down is not":                         {[]*server{down(1), well(2)}, -1, 1},
		"none is well":                                    {[]*server{down(1), down(2)}, 0, -1},
		"one that came back is kept out for a while":      {[]*server{back(1, settled-1), well(2)}, 1, 1},
		"and is taken after it":                           {[]*server{back(1, settled), well(2)}, 1, 0},
		"one that came back is better than none":          {[]*server{back(1, 0), down(2)}, 1, 0},
		"the best of those that came back":                {[]*server{back(2, time.Second), back(1, 0), down(0)}, 2, 1},
		"an equal one is no reason to go":                 {[]*server{well(1), well(1)}, 1, 1},
		"a better one that is down is no reason to go":    {[]*server{down(1), well(2)}, 1, 1},
		"of two that are better the best":                 {[]*server{well(2), well(1), well(3)}, 2, 1},
		"one that is down is left, and be it the best":    {[]*server{down(1), well(3), well(2)}, 0, 2},
		"a worse one that came back is no reason to stay": {[]*server{well(1), back(2, time.Hour)}, 1, 0},
	} {
		t.Run(what, func(t *testing.T) {
			var current *server
			if test.current >= 0 {
				current = test.servers[test.current]
			}
			got := -1
			for i, s := range test.servers {
				if s == choose(test.servers, current, now) {
					got = i
				}
			}
			if got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestEqualServersAreChosenByChance(t *testing.T) {
	servers := []*server{{priority: 2}, {priority: 1}, {priority: 1}, {priority: 1}}
	count := map[*server]int{}
	for range 3000 {
		count[choose(servers, nil, time.Now())]++
	}
	for _, s := range servers[1:] {
		if count[s] < 700 { // a thousand, with a deviation of 26
			t.Errorf("chosen: %v", count)
		}
	}
	if count[servers[0]] > 0 {
		t.Errorf("a worse one is chosen")
	}
}

// script is servers that are well or not, in a test without a network.
type script struct {
	*Upstream
	mu   sync.Mutex
	down map[string]bool // guarded by mu
	// asked counts, guarded by mu.
	asked map[string]int
}

func scripted(t *testing.T, names ...string) *script {
	s := &script{down: map[string]bool{}, asked: map[string]int{}}
	var config Config
	for i, name := range names {
		config.Servers = append(config.Servers, Server{URL: "https://" + name, Priority: i})
	}
	config.CAs = (&authority{}).pools
	s.Upstream = create(t, config)
	s.probe = func(_ context.Context, asked *server, _ time.Duration) (time.Duration, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.asked[asked.url.Host]++
		if s.down[asked.url.Host] {
			return 0, errDown
		}
		return time.Millisecond, nil
	}
	return s
}

func (s *script) set(name string, down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[name] = down
}

func (s *script) is(t *testing.T, want string) {
	t.Helper()
	synctest.Wait()
	if got, err := s.choice(); err != nil || got.url.Host != want {
		t.Fatalf("got %v, %v, want %s", got, err, want)
	}
}

func TestAServerThatComesAndGoesEachSevenSecondsMovesNothingToAndFro(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(t, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		s.is(t, "a")
		s.set("a", true)
		time.Sleep(2 * probeChosen)
		s.is(t, "b")
		for range 30 * 60 / 7 {
			s.mu.Lock()
			s.down["a"] = !s.down["a"]
			s.mu.Unlock()
			time.Sleep(7 * time.Second)
			s.is(t, "b")
		}
		s.set("a", false)
		time.Sleep(settled + 2*probeOthers)
		s.is(t, "a")
		cancel()
		running.Wait()
		if _, err := s.choice(); !errors.Is(err, errEnded) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// What is answered from memory because the API server is away is answered so only when that is known: a hub that starts does not know it yet.
func TestServersAreAwayOnceAllWereAskedAndNoneIsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(t, "a", "b")
		held := make(chan struct{})
		probe := s.probe
		s.probe = func(ctx context.Context, asked *server, patience time.Duration) (time.Duration, error) {
			if asked.url.Host == "b" {
				<-held
			}
			return probe(ctx, asked, patience)
		}
		s.set("a", true)
		s.set("b", true)
		is := func(what string, want bool) {
			t.Helper()
			if synctest.Wait(); s.Away() != want {
				t.Errorf("%s: away is %t", what, !want)
			}
		}
		is("before any was asked", false)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) }) // ends with cancel
		is("one was not asked yet", false)
		close(held)
		is("none is well", true)
		s.set("b", false)
		time.Sleep(2 * probeChosen)
		is("one is back", false)
		cancel()
		running.Wait()
	})
}

func TestTheOneServerIsAskedAgainOnceItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(t, "a")
		if s.Available() {
			t.Error("it is available before it was asked")
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		s.is(t, "a")
		for range 10 {
			changed := s.Changes()
			s.set("a", true)
			<-changed
			if _, err := s.choice(); !errors.Is(err, ErrAway) || err.Error() != "no API server answers: https://a: down" || s.Available() {
				t.Fatalf("got %v", err)
			}
			changed = s.Changes()
			s.set("a", false)
			<-changed
			s.is(t, "a")
			if !s.Available() {
				t.Fatal("it is not available")
			}
		}
		cancel()
		running.Wait()
	})
}

func TestServersAreAskedNoMoreOftenThanIsNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := scripted(t, "a", "b")
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		const minutes = 10
		for range minutes * 60 * 100 { // requests that fail, a hundred each second
			s.servers[1].kick()
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		running.Wait()
		if most := minutes * 60 * 4 / 3; s.asked["a"] > minutes*60/2 || s.asked["b"] > most*3 {
			t.Errorf("asked: %v", s.asked)
		}
	})
}

func TestServersAreChecked(t *testing.T) {
	pools := (&authority{}).pools
	for url, good := range map[string]bool{
		"https://a": true, "https://a:6443": true, "https://[::1]:6443": true, "https://a/k8s/clusters/c": true, "https://a/": true,
		"": false, "a": false, "a:6443": false, "http://a": false, "https://": false, "https://:6443": false, "https://a?x=y": false, "https://a#b": false, "https://u:secret@a": false, "https://u:secret@a:b": false,
	} {
		_, err := New(Config{Servers: []Server{{URL: url}}, CAs: pools})
		if (err == nil) != good || err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", url, err)
		}
	}
	if _, err := New(Config{Servers: []Server{{URL: "https://a"}, {URL: "https://a/"}}, CAs: pools}); err == nil {
		t.Error("a server may be there twice")
	}
	if _, err := New(Config{Servers: []Server{{URL: "https://a"}}}); err == nil {
		t.Error("anybody is believed")
	}
}
