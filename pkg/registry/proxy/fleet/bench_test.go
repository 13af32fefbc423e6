package fleet

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// canned is a member that holds pods, and answers pages of them without making anything, after a
// time: what is measured is the fleet.
type canned struct {
	member, pods int
	latency      time.Duration
	rest         string // of each pod
}

// podBytes is about what a running pod has.
const podBytes = 6 << 10

func newCanned(member, pods int, latency time.Duration) *canned {
	env := strings.Repeat(`{"name":"SETTING","value":"some value of \"it\""},`, podBytes/50)
	return &canned{member, pods, latency,
		`"labels":{"app":"web"},"annotations":{"a":"b"}},"spec":{"containers":[{"name":"web","env":[` + env + `{"name":"LAST"}]}]},"status":{"phase":"Running"}}`}
}

func (c *canned) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := pause(r.Context(), c.latency); c.latency > 0 && err != nil {
		return nil, err
	}
	query := r.URL.Query()
	from, _ := strconv.Atoi(query.Get("continue"))
	limit, _ := strconv.Atoi(query.Get("limit"))
	to, next := c.pods, ""
	if limit > 0 && from+limit < c.pods {
		to = from + limit
		next = strconv.Itoa(to)
	}
	readers := []io.Reader{strings.NewReader(fmt.Sprintf(`{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5000","continue":%q},"items":[`, next))}
	for n := from; n < to; n++ {
		comma := ","
		if n == from {
			comma = ""
		}
		head := fmt.Sprintf(`%s{"metadata":{"name":"web-%05d-%d","namespace":"shop","uid":"0b0c9c1e-2f8a-4b5e-9d38-%012d","resourceVersion":"%d",`, comma, n, c.member, n, 1000+n)
		readers = append(readers, strings.NewReader(head), strings.NewReader(c.rest))
	}
	readers = append(readers, strings.NewReader("]}"))
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(io.MultiReader(readers...)), ContentLength: -1}, nil
}

func benchFleet(b *testing.B, members, pods int, latency func(member int) time.Duration) *Handler {
	s := &scope{}
	for m := range members {
		s.members = append(s.members, Member{fmt.Sprintf("m%04d", m), newCanned(m, pods, latency(m))})
	}
	h, err := New(Config{Members: func(*http.Request) (Members, error) { return s, nil }})
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// nobody reads an answer, and counts it.
type nobody struct {
	header http.Header
	bytes  int
}

func (n *nobody) Header() http.Header { return n.header }
func (n *nobody) WriteHeader(int)     {}
func (n *nobody) Write(p []byte) (int, error) {
	n.bytes += len(p)
	return len(p), nil
}

// peak samples the heap until stop is called, which returns how much it had grown at most.
func peak() (stop func() uint64) {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	most, done := before.HeapInuse, make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() { // ends with done
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			select {
			case <-done:
				tick.Stop()
				return
			case <-tick.C:
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapInuse)
			}
		}
	})
	return func() uint64 {
		close(done)
		all.Wait()
		return most - before.HeapInuse
	}
}

// processor is how much time of processors this process has taken. Others of the machine do not
// change it.
func processor() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// The list of a fleet beside the same objects of one member, read page by page and copied; and
// beside the slowest member, when members take their time.
func BenchmarkList(b *testing.B) {
	none := func(int) time.Duration { return 0 }
	// What API servers take for pages of 500, and one that is slow.
	real := func(member int) time.Duration {
		if member == 7 {
			return 800 * time.Millisecond
		}
		return 200 * time.Millisecond
	}
	for _, bench := range []struct {
		name          string
		members, pods int
		latency       func(int) time.Duration
		limit         int
	}{
		{"20 members of 500", 20, 500, none, 0},
		{"20 members of 500, which take 0.2 s and one 0.8 s", 20, 500, real, 0},
		{"20 members of 500, in chunks of 500", 20, 500, none, 500},
		{"100 members of 1000", 100, 1000, none, 0},
		{"1000 members of 10", 1000, 10, none, 0},
	} {
		b.Run(bench.name, func(b *testing.B) {
			h := benchFleet(b, bench.members, bench.pods, bench.latency)
			stop, begun := peak(), processor()
			b.ReportAllocs()
			for b.Loop() {
				n := listAll(b, h, bench.limit)
				b.SetBytes(int64(n))
			}
			b.ReportMetric(float64(stop())/(1<<20), "MiB-peak")
			b.ReportMetric(float64((processor()-begun).Microseconds())/float64(b.N*bench.members*bench.pods), "cpu-µs/object")
		})
	}
	b.Run("one member of 10000, copied", func(b *testing.B) {
		c := newCanned(1, 10_000, 0)
		b.ReportAllocs()
		for b.Loop() {
			r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/pods", nil)
			response, err := c.RoundTrip(r)
			if err != nil {
				b.Fatal(err)
			}
			n, _ := io.Copy(&nobody{}, response.Body)
			b.SetBytes(n)
		}
	})
	b.Run("the slowest member of 500 alone", func(b *testing.B) {
		c := newCanned(7, 500, real(7))
		for b.Loop() {
			response, err := c.RoundTrip(httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/pods", nil))
			if err != nil {
				b.Fatal(err)
			}
			_, _ = io.Copy(&nobody{}, response.Body)
		}
	})
}

func listAll(b *testing.B, h http.Handler, limit int) (n int) {
	b.Helper()
	if limit == 0 {
		out := &nobody{header: http.Header{}}
		h.ServeHTTP(out, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/pods", nil))
		return out.bytes
	}
	for token := ""; ; {
		a := ask(b, h, "/api/v1/pods", "", "limit", strconv.Itoa(limit), "continue", token)
		p, err := scanPage(a.body)
		if err != nil {
			b.Fatalf("%d %.200s: %v", a.code, a.body, err)
		}
		n += len(a.body)
		if token = p.next; token == "" {
			return n
		}
	}
}

// BenchmarkScan is the cost of checking and finding, of one page.
func BenchmarkScan(b *testing.B) {
	response, _ := newCanned(1, 500, 0).RoundTrip(httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/api/v1/pods", nil))
	data, _ := io.ReadAll(response.Body)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := scanPage(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkIdleWatch is the memory of a watch in which nothing happens, for each member.
func BenchmarkIdleWatch(b *testing.B) {
	const members = 100
	s := &scope{}
	for m := range members {
		s.members = append(s.members, served(fmt.Sprint("m", m), func(w http.ResponseWriter, r *http.Request) {
			if !r.URL.Query().Has("watch") {
				_, _ = io.WriteString(w, listOf("ConfigMapList", ""))
				return
			}
			w.WriteHeader(http.StatusOK)
			<-r.Context().Done()
		}))
	}
	h, err := New(Config{Members: func(*http.Request) (Members, error) { return s, nil }})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		var before, now runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		ctx, cancel := context.WithCancel(b.Context())
		watch, _ := openWatch(b, ctx, h, "", "sendInitialEvents", "true", "resourceVersionMatch", "NotOlderThan", "allowWatchBookmarks", "true")
		if _, err := watch.next(); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		runtime.ReadMemStats(&now)
		b.ReportMetric(float64(int64(now.HeapInuse+now.StackInuse)-int64(before.HeapInuse+before.StackInuse))/members/1024, "KiB/member")
		cancel()
		_, _ = io.Copy(io.Discard, watch.body)
	}
}
